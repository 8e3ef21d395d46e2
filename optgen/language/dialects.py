"""How libraries spell an optimizer: the tables [dialect.LIBRARY] and [dialect.LIBRARY.also.NAME]."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from optgen.contract.declarations import MAX_COUNT, Hyperparameter, Input, Option, OptionValue
from optgen.contract.dialects import DIALECTS, Argument, Dialect
from optgen.contract.domain import Domain, parse_domain
from optgen.contract.library_state import LibraryStateLayout
from optgen.errors import SpecError
from optgen.language.declarations import demand
from optgen.language.refused_names import declared_problem
from optgen.language.state_layouts import LAYOUT_KEYS, Known, read_layout
from optgen.language.tables import (
    Tables,
    is_word,
    shortened,
    suggestion,
)

#: Stands for the absence of an optional hyperparameter, since TOML has no null.
ABSENT = "none"

Value = float | OptionValue | None

_KEYS = (
    *"arguments required keyword_only deprecated defaults options states count sparse missing domains demands".split(),
    *"counts instead note".split(),
    *LAYOUT_KEYS,
)

#: What a library does with sparse gradients: changes the entries that are there, or takes them as dense ones.
SPARSE = ("", "entries", "dense")

#: What a library takes for a gradient that is missing, where the parameter makes a step all the same.
MISSING = ("", "zeros")

#: What a schedule may count besides what the user says.
COUNTS = ("calls",)


def read_dialects(
    tables: Tables,
    data: Mapping[str, Any],
    hyperparameters: tuple[Hyperparameter, ...],
    options: tuple[Option, ...],
    inputs: tuple[Input, ...] = (),
) -> tuple[Dialect, ...]:
    """Every [dialect.LIBRARY], each followed by the library's further names for the same rule.

    Raises:
        SpecError: one is malformed, or speaks of something that the spec does not declare.
    """
    found: list[Dialect] = []
    for library, raw in tables.table(data, "dialect").items():
        if library not in DIALECTS:
            raise tables.fail(
                f"unknown dialect '{shortened(library)}'", f"dialect.{library}", hint=suggestion(library, DIALECTS)
            )
        table = f"dialect.{library}"
        main = tables.as_table(raw, table)
        read = _DialectReader(tables, library, table, hyperparameters, options, inputs).dialect(main)
        found.append(read)
        for name, entry in tables.table(main, f"{table}.also").items():
            where = f"{table}.also.{name}"
            own = tables.as_table(entry, where)
            tables.keys(own, _KEYS, where)
            tables.identifier(name, where)
            if name in [dialect.name for dialect in found if dialect.library == library]:
                raise tables.fail(f"'{name}' is the name of another entry", where, hint="leave one out")
            inherited = {key: value for key, value in main.items() if key not in ("name", "also")}
            reader = _DialectReader(tables, library, where, hyperparameters, options, inputs)
            found.append(reader.dialect({**inherited, **own, "name": name}))
    return tuple(found)


class _DialectReader:
    """Reads one dialect."""

    def __init__(
        self,
        tables: Tables,
        library: str,
        table: str,
        hyperparameters: tuple[Hyperparameter, ...],
        options: tuple[Option, ...],
        inputs: tuple[Input, ...],
    ) -> None:
        self.inputs = tuple(declared.name for declared in inputs)
        self.tables = tables
        self.library = library
        self.name = table
        self.hyperparameters = {h.name: h for h in hyperparameters}
        self.options = {o.name: o for o in options}
        self.known = (*self.hyperparameters, *self.options)

    def dialect(self, entry: Mapping[str, Any]) -> Dialect:
        tables = self.tables
        tables.keys(entry, ("name", *_KEYS, "also"), self.name)
        name = tables.string(entry, None, self.name, "name")
        tables.identifier(name, self.name, "name")
        stated = self.defaults(entry)
        arguments = self.arguments(entry, stated)
        exposed = {target for argument in arguments for target in argument.targets}
        return Dialect(
            library=self.library,
            name=name,
            arguments=arguments,
            options=self.fixed_options(entry, stated, exposed),
            hyperparameters={
                name: _as_number(value)
                for name, value in stated.items()
                if name not in exposed and name in self.hyperparameters
            },
            states=self.states(entry),
            count=tables.string(entry, "step", self.name, "count"),
            sparse=self.treatment(entry, "sparse", SPARSE),
            missing=self.treatment(entry, "missing", MISSING),
            domains=self.domains(entry),
            demands=self.demands(entry),
            note=tables.string(entry, "", self.name, "note"),
            layout=self.layout(entry, arguments),
            counts=self.counts(entry),
            instead=tables.string(entry, "", self.name, "instead"),
        )

    def layout(self, entry: Mapping[str, Any], arguments: tuple[Argument, ...]) -> LibraryStateLayout | None:
        """The layout of the library's state, if the dialect has one."""
        known = Known(arguments, tuple(self.hyperparameters), tuple(self.options), self.inputs, self.left_out)
        return read_layout(self.tables, self.name, known, entry)

    def left_out(self, name: str, value: object, *keys: str | int) -> Value:
        """The value of a hyperparameter or option that stands somewhere below a key."""
        if name not in self.known:
            raise self.unknown(name, *keys, name)
        if name in self.options:
            return self.option_value(name, value, *keys)
        return self.hyperparameter_value(name, value, *keys)

    def counts(self, entry: Mapping[str, Any]) -> str:
        value = self.tables.string(entry, "", self.name, "counts")
        if value and value not in COUNTS:
            raise self.tables.fail_value(
                f"'{shortened(value)}' is nothing that a schedule counts", self.name, "counts", hint='write "calls"'
            )
        return value

    def part(self, entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = entry.get(key, {})
        if not isinstance(value, dict):
            raise self.tables.fail_value(f"'{key}' is an inline table", self.name, key, hint=f"write {key} = {{ ... }}")
        return value

    def defaults(self, entry: Mapping[str, Any]) -> dict[str, Value]:
        stated: dict[str, Value] = {}
        for name, value in self.part(entry, "defaults").items():
            if name not in self.known:
                raise self.unknown(name, "defaults", name)
            if name in self.options:
                stated[name] = self.option_value(name, value, "defaults")
            else:
                stated[name] = self.hyperparameter_value(name, value, "defaults")
        return stated

    def unknown(self, name: str, *keys: str | int) -> SpecError:
        return self.tables.fail(
            f"'{shortened(name)}' is neither hyperparameter nor option",
            self.name,
            *keys,
            hint=suggestion(name, self.known),
        )

    def hyperparameter_value(self, name: str, value: object, *keys: str | int) -> float | None:
        where = (*keys, name)
        hyperparameter = self.hyperparameters[name]
        if value == ABSENT:
            if not hyperparameter.optional:
                raise self.tables.fail_value(
                    f"'{name}' cannot be absent",
                    self.name,
                    *where,
                    hint="declare it with optional = true or absent = 0",
                )
            return None
        number = self.tables.number(value, self.name, *where)
        if not hyperparameter.domain.contains(number):
            raise self.tables.fail_value(
                f"{number!r} is outside the domain of '{name}'",
                self.name,
                *where,
                hint=demand(hyperparameter.domain, number),
            )
        return number

    def option_value(self, name: str, value: object, *keys: str | int) -> OptionValue:
        option = self.options[name]
        if option.choices:
            wanted, fits = ", ".join(option.choices), value in option.choices
        elif isinstance(option.default, bool):
            wanted, fits = "true, false", isinstance(value, bool)
        else:
            wanted = f"a count up to {MAX_COUNT}"
            fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
        if not fits or not _is_option_value(value):
            message = f"no value of option '{name}'"
            raise self.tables.fail_value(message, self.name, *keys, name, hint=f"known: {wanted}")
        return value

    def arguments(self, entry: Mapping[str, Any], stated: Mapping[str, Value]) -> tuple[Argument, ...]:
        written = self.part(entry, "arguments")
        flags = {key: self.tables.strings(entry, self.name, key) for key in ("required", "keyword_only")}
        for key, names in flags.items():
            for position, name in enumerate(names):
                if name not in written:
                    raise self.tables.fail_value(
                        f"'{shortened(name)}' is not an argument",
                        self.name,
                        key,
                        position,
                        hint=suggestion(name, tuple(written)),
                    )
        replaced = self.deprecated(entry, written)
        defaults: dict[str, Value] = {h.name: h.default for h in self.hyperparameters.values()}
        defaults |= {o.name: o.default for o in self.options.values()} | dict(stated)
        arguments = []
        seen: dict[str, str] = {}
        for name, raw in written.items():
            if not is_word(name):
                raise self.tables.fail(f"'{shortened(name)}' cannot name an argument", self.name, "arguments", name)
            if isinstance(raw, dict):
                required, named = (name in flags[key] for key in ("required", "keyword_only"))
                arguments.append(Argument(name, (), (self.own(name, raw),), False, required, named))
                continue
            targets = self.targets(name, raw)
            if targets and (problem := declared_problem(name, "hyperparameters")):
                raise self.tables.fail(problem[0], self.name, "arguments", name, hint=problem[1])
            for target in targets:
                if target in seen and name not in replaced:
                    raise self.tables.fail(
                        f"'{target}' is set by argument '{seen[target]}' already",
                        self.name,
                        "arguments",
                        name,
                        hint="remove one",
                    )
                if name not in replaced:
                    seen[target] = name
            arguments.append(
                Argument(
                    name,
                    targets,
                    tuple(None if name in replaced else defaults[target] for target in targets),
                    isinstance(raw, list) and bool(raw),
                    name in flags["required"],
                    name in flags["keyword_only"],
                    replaced.get(name, ""),
                )
            )
        return tuple(arguments)

    def own(self, argument: str, raw: Mapping[str, Any]) -> OptionValue | None:
        """The default of an argument that the front-end answers itself."""
        default = raw.get("own")
        if set(raw) != {"own"} or not _is_option_value(default):
            raise self.tables.fail_value(
                f"'{argument}' belongs to the front-end, with a default", self.name, "arguments", argument,
                hint="write { own = false }, { own = \"none\" }, { own = \"library\" }, or [] for None",
            )  # fmt: skip
        return None if default == ABSENT else default

    def domains(self, entry: Mapping[str, Any]) -> dict[str, Domain]:
        written = self.part(entry, "domains")
        return {name: self.domain(name, written[name], "domains", name) for name in written}

    def demands(self, entry: Mapping[str, Any]) -> dict[str, tuple[tuple[str, Domain], ...]]:
        found = {}
        for option in (written := self.part(entry, "demands")):
            if option not in self.options:
                raise self.tables.fail(
                    f"unknown option '{shortened(option)}'",
                    self.name,
                    "demands",
                    option,
                    hint=suggestion(option, tuple(self.options)),
                )
            pairs = []
            for position, text in enumerate(self.tables.strings(written, self.name, option)):
                names = [name for name in self.hyperparameters if name in re.findall(r"\w+", text)]
                if len(names) != 1:
                    raise self.tables.fail_value(
                        f"no domain of a hyperparameter: {shortened(text)}", self.name, "demands", option, position
                    )
                pairs.append((names[0], self.domain(names[0], text, "demands", option, position)))
            found[option] = tuple(pairs)
        return found

    def domain(self, name: str, text: object, *keys: str | int) -> Domain:
        if name not in self.hyperparameters:
            raise self.tables.fail(
                f"unknown hyperparameter '{shortened(name)}'",
                self.name,
                *keys,
                hint=suggestion(name, tuple(self.hyperparameters)),
            )
        try:
            return parse_domain(str(text), name)
        except ValueError as error:
            message, hint = error.args
            raise self.tables.fail_value(message, self.name, *keys, hint=hint) from None

    def treatment(self, entry: Mapping[str, Any], key: str, known: Sequence[str]) -> str:
        """The library's treatment of gradients of some sort, in one of the known words."""
        found = self.tables.string(entry, "", self.name, key)
        if found not in known:
            wanted = ", ".join(word for word in known if word)
            raise self.tables.fail_value(
                f"unknown treatment '{shortened(found)}'", self.name, key, hint=f"known: {wanted}"
            )
        return found

    def deprecated(self, entry: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, str]:
        """The arguments that are deprecated, and what to give instead of each."""
        found = {}
        for name, instead in self.part(entry, "deprecated").items():
            for mentioned in (name, instead):
                if mentioned not in written:
                    raise self.tables.fail_value(
                        f"'{shortened(str(mentioned))}' is not an argument",
                        self.name,
                        "deprecated",
                        name,
                        hint=suggestion(str(mentioned), tuple(written)),
                    )
            found[name] = str(instead)
        return found

    def targets(self, argument: str, raw: object) -> tuple[str, ...]:
        where = ("arguments", argument)
        items = raw if isinstance(raw, list) else [raw]
        if not all(isinstance(item, str) for item in items):
            raise self.tables.fail_value(
                f"'{argument}' names a hyperparameter or option", self.name, *where, hint="or a list of them"
            )
        for position, item in enumerate(items):
            if item not in self.known:
                keys = (*where, position) if isinstance(raw, list) else where
                raise self.tables.fail_value(
                    f"'{shortened(item)}' is neither hyperparameter nor option",
                    self.name,
                    *keys,
                    hint=suggestion(item, self.known),
                )
        return tuple(items)

    def fixed_options(
        self, entry: Mapping[str, Any], stated: Mapping[str, Value], exposed: set[str]
    ) -> dict[str, OptionValue]:
        found: dict[str, OptionValue] = {}
        for name, value in self.part(entry, "options").items():
            if name not in self.options:
                raise self.tables.fail(
                    f"unknown option '{shortened(name)}'",
                    self.name,
                    "options",
                    name,
                    hint=suggestion(name, tuple(self.options)),
                )
            if name in exposed:
                raise self.tables.fail(
                    f"'{name}' is an argument here", self.name, "options", name, hint="give its default in 'defaults'"
                )
            found[name] = self.option_value(name, value, "options")
        for name in stated:
            if name in self.options and name not in exposed:
                raise self.tables.fail(
                    f"option '{shortened(name)}' is not an argument here",
                    self.name,
                    "defaults",
                    name,
                    hint="fix its value in 'options'",
                )
        return found

    def states(self, entry: Mapping[str, Any]) -> dict[str, str]:
        written = self.part(entry, "states")
        return {name: self.tables.string(written, "", self.name, "states", name) for name in written}


def _is_option_value(value: object) -> TypeGuard[OptionValue]:
    return isinstance(value, bool | str | int)


def _as_number(value: Value) -> float | None:
    assert not isinstance(value, str)  # of a hyperparameter, whose value was read as a number
    return value
