"""Reading a spec file: TOML in, `Spec` out, every mistake reported in place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from optgen.errors import SpecError
from optgen.spec.check import check_spec
from optgen.spec.domain import Domain, parse_domain
from optgen.spec.language import GENERATED_WORDS, RESERVED, parse_equations
from optgen.spec.model import (
    DIALECTS,
    Argument,
    Dialect,
    Hyperparameter,
    Input,
    Option,
    OptionValue,
    Reference,
    Spec,
    StateEntry,
)
from optgen.spec.source import Source, Span

MAX_FILE = 256 * 1024
INPUT_KINDS = ("step", "global", "tensor", "element")

_TABLES = ("optimizer", "hyperparameters", "options", "inputs", "states", "equations", "dialect")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*\Z")


def read_spec(path: Path | str, shown_as: str = "") -> Spec:
    """Read one spec file.

    Args:
        path: the file.
        shown_as: the name it goes by in messages; the path as given if empty.

    Raises:
        SpecError: the file is not a valid spec.
        OSError: it cannot be read.
    """
    path = Path(path)
    name = shown_as or str(path)
    if path.stat().st_size > MAX_FILE:
        nowhere = Source(name, "").location(Span(1, 1, 1))
        raise SpecError(f"a spec file is at most {MAX_FILE // 1024} KiB", nowhere)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        nowhere = Source(name, "").location(Span(1, 1, 1))
        raise SpecError("a spec file is UTF-8 text", nowhere) from None
    return parse_spec(text, name)


def parse_spec(text: str, path: str) -> Spec:
    """Read the text of a spec; `path` is the name it goes by in messages.

    Raises:
        SpecError: the text is not a valid spec.
    """
    text = text.replace("\r\n", "\n")
    source = Source(path, text)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _toml_error(source, str(error)) from None
    except RecursionError:
        raise SpecError("this is nested too deeply", source.location(Span(1, 1, 1))) from None
    reader = _Tables(source)
    return reader.spec(data)


def _toml_error(source: Source, message: str) -> SpecError:
    where = re.search(r" \(at line (\d+), column (\d+)\)", message)
    end = source.text.count("\n") + 1
    line, column = (int(where.group(1)), int(where.group(2))) if where else (end, 1)
    what = message[: where.start()] if where else message.removesuffix(" (at end of document)")
    # tomllib points behind the end of the line for some mistakes; the line itself is what helps.
    column = max(1, min(column, len(source.line(line)) or 1))
    return SpecError(f"not TOML: {what[:1].lower()}{what[1:]}", source.location(Span(line, column, 1)))


class _Tables:
    """Turns TOML's tables into a `Spec`; a class only so that `source` need not be passed around."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def fail(self, message: str, table: str, key: str = "", inner: str = "", hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(self.source.find(table, key, inner)), hint)

    def spec(self, data: Mapping[str, Any]) -> Spec:
        for name in data:
            if name not in _TABLES:
                raise self.fail(f"unknown table '{name}'", name, hint=_suggest(name, _TABLES))
        head = self.table(data, "optimizer", required=True)
        self.keys(head, "optimizer", ("name", "class", "title", "summary", "references", "wraps"))
        wraps = self.string(head, "optimizer", "wraps", "")
        hyperparameters = tuple(
            self.hyperparameter(name, entry) for name, entry in self.table(data, "hyperparameters").items()
        )
        options = tuple(self.option(name, entry) for name, entry in self.table(data, "options").items())
        inputs = tuple(self.input(name, entry) for name, entry in self.table(data, "inputs").items())
        states = tuple(self.state(name, entry) for name, entry in self.table(data, "states").items())
        equations = self.table(data, "equations", required=True)
        self.keys(equations, "equations", ("rule",))
        rule = self.string(equations, "equations", "rule")
        line, column = self.source.string_start("equations", "rule")
        self.check_raw(rule, line, column)
        spec = Spec(
            name=self.identifier(self.string(head, "optimizer", "name"), "optimizer", "name"),
            class_name=self.identifier(self.string(head, "optimizer", "class"), "optimizer", "class"),
            title=self.string(head, "optimizer", "title"),
            summary=self.string(head, "optimizer", "summary"),
            references=tuple(self.references(head)),
            hyperparameters=hyperparameters,
            options=options,
            inputs=inputs,
            states=states,
            wraps=wraps,
            equations=rule,
            body=parse_equations(self.source, rule, line, column, wraps),
            dialects=self.dialects(data, hyperparameters, options),
            source=self.source,
        )
        check_spec(spec)
        return spec

    def check_raw(self, rule: str, line: int, column: int) -> None:
        """Positions are right only if the equations stand in the file as they are read."""
        first = rule.split("\n", 1)[0]
        if self.source.line(line)[column : column + len(first)] != first or "\\" in rule:
            raise self.fail(
                "equations hold no backslashes", "equations", "rule", hint="use ''' quotes and plain lines"
            )

    def table(self, data: Mapping[str, Any], name: str, required: bool = False) -> Mapping[str, Any]:
        if name not in data:
            if required:
                raise self.fail(f"the table [{name}] is missing", name)
            return {}
        if not isinstance(data[name], dict):
            raise self.fail(f"'{name}' is a table", name, hint=f"write [{name}]")
        value: Mapping[str, Any] = data[name]
        return value

    def keys(self, entry: Mapping[str, Any], table: str, known: tuple[str, ...], key: str = "") -> None:
        for name in entry:
            if name not in known:
                where = (table, key, name) if key else (table, name)
                raise self.fail(f"unknown key '{name}'", *where, hint=_suggest(name, known))

    def string(self, entry: Mapping[str, Any], table: str, key: str, default: str | None = None) -> str:
        if key not in entry:
            if default is None:
                raise self.fail(f"'{key}' is missing in [{table}]", table)
            return default
        if not isinstance(entry[key], str):
            raise self.fail(f"'{key}' is a string", table, key)
        value: str = entry[key]
        return value

    def identifier(self, name: str, table: str, key: str) -> str:
        if not _NAME.match(name):
            raise self.fail(
                f"'{name}' is not a name", table, key, hint="letters, digits and single '_', a letter first"
            )
        return name

    def declared(self, name: str, table: str) -> str:
        self.identifier(name, table, name)
        if name in GENERATED_WORDS:
            raise self.fail(f"'{name}' is a word of the generated code", table, name, hint="choose another name")
        if name in RESERVED:
            raise self.fail(f"'{name}' has a meaning in the language", table, name, hint="choose another name")
        return name

    def inline(self, entry: object, table: str, name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(entry, dict):
            raise self.fail(
                f"'{name}' is an inline table", table, name, hint=f"write {name} = {{ {known[0]} = ... }}"
            )
        self.keys(entry, table, known, name)
        return entry

    def text(self, entry: Mapping[str, Any], table: str, name: str, key: str, default: str) -> str:
        value = entry.get(key, default)
        if not isinstance(value, str):
            raise self.fail(f"'{key}' is a string", table, name, key)
        return value

    def number(self, value: object, table: str, name: str, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(f"'{key}' of '{name}' is a number", table, name, key)
        return value

    def flag(self, entry: Mapping[str, Any], table: str, name: str, key: str) -> bool:
        value = entry.get(key, False)
        if not isinstance(value, bool):
            raise self.fail(f"'{key}' of '{name}' is true or false", table, name, key)
        return value

    def references(self, head: Mapping[str, Any]) -> list[Reference]:
        entries = head.get("references", [])
        if not isinstance(entries, list):
            raise self.fail("'references' is a list", "optimizer", "references")
        found = []
        for entry in entries:
            if not isinstance(entry, dict) or not {"text"} <= set(entry) <= {"text", "url"}:
                raise self.fail(
                    "a reference has 'text' and may have 'url'", "optimizer", "references"
                )
            found.append(Reference(str(entry["text"]), str(entry.get("url", ""))))
        return found

    def hyperparameter(self, name: str, raw: object) -> Hyperparameter:
        table = "hyperparameters"
        self.declared(name, table)
        known = ("default", "symbol", "domain", "meaning", "optional", "absent", "varies")
        entry = self.inline(raw, table, name, known)
        absent = self.number(entry["absent"], table, name, "absent") if "absent" in entry else None
        optional = self.flag(entry, table, name, "optional") or absent is not None
        if "default" not in entry and not optional:
            raise self.fail(f"'{name}' has no default", table, name, hint="or say optional = true")
        default = self.number(entry["default"], table, name, "default") if "default" in entry else None
        domain = Domain()
        if "domain" in entry:
            try:
                domain = parse_domain(self.text(entry, table, name, "domain", ""), name)
            except ValueError as error:
                raise self.fail(str(error), table, name, "domain") from None
        if default is not None and not domain.contains(default):
            raise self.fail(
                f"the default {default!r} is outside the domain",
                table,
                name,
                "default",
                hint=f"'{domain.text or 'finite'}' is what it must satisfy",
            )
        return Hyperparameter(
            name=name,
            default=default,
            symbol=self.text(entry, table, name, "symbol", _latex_name(name)),
            domain=domain,
            meaning=self.text(entry, table, name, "meaning", ""),
            optional=optional,
            absent=absent,
            # The learning rate of any training run changes; it is never folded ahead.
            varies=name == "lr" or self.flag(entry, table, name, "varies"),
        )

    def option(self, name: str, raw: object) -> Option:
        table = "options"
        self.declared(name, table)
        entry = self.inline(raw, table, name, ("default", "choices", "meaning", "requires"))
        choices = entry.get("choices", [])
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise self.fail(f"'choices' of '{name}' is a list of strings", table, name, "choices")
        if "default" not in entry:
            raise self.fail(f"'{name}' has no default", table, name)
        default = entry["default"]
        if choices and default not in choices:
            raise self.fail(
                f"the default {default!r} is not one of the choices", table, name, "default", ", ".join(choices)
            )
        if not choices and not isinstance(default, bool | int):
            raise self.fail(
                f"the default of '{name}' is true, false or a count", table, name, "default", "or give 'choices'"
            )
        return Option(
            name,
            default,
            tuple(choices),
            self.text(entry, table, name, "meaning", ""),
            self.text(entry, table, name, "requires", ""),
        )

    def input(self, name: str, raw: object) -> Input:
        self.declared(name, "inputs")
        entry = self.inline(raw, "inputs", name, ("kind", "meaning"))
        kind = self.text(entry, "inputs", name, "kind", "")
        if kind not in INPUT_KINDS:
            raise self.fail(
                f"'{kind}' is not the kind of an input", "inputs", name, "kind", f"known: {', '.join(INPUT_KINDS)}"
            )
        return Input(name, kind, self.text(entry, "inputs", name, "meaning", ""))

    def state(self, name: str, raw: object) -> StateEntry:
        self.declared(name, "states")
        entry = self.inline(raw, "states", name, ("symbol", "meaning"))
        return StateEntry(
            name,
            self.text(entry, "states", name, "symbol", _latex_name(name)),
            self.text(entry, "states", name, "meaning", ""),
        )

    def dialects(
        self, data: Mapping[str, Any], hyperparameters: tuple[Hyperparameter, ...], options: tuple[Option, ...]
    ) -> dict[str, Dialect]:
        found = {}
        for library, entry in self.table(data, "dialect").items():
            if library not in DIALECTS:
                raise self.fail(
                    f"unknown dialect '{library}'", f"dialect.{library}", hint=f"known: {', '.join(DIALECTS)}"
                )
            found[library] = self.dialect(library, entry, hyperparameters, options)
        return found

    def dialect(
        self,
        library: str,
        entry: Mapping[str, Any],
        hyperparameters: tuple[Hyperparameter, ...],
        options: tuple[Option, ...],
    ) -> Dialect:
        table = f"dialect.{library}"
        known = ("name", "arguments", "required", "keyword_only", "defaults", "options", "states", "note")
        self.keys(entry, table, known)
        defaults: dict[str, Any] = {h.name: h.default for h in hyperparameters} | {
            o.name: o.default for o in options
        }
        parts: dict[str, Mapping[str, Any]] = {}
        for key in ("arguments", "defaults", "options", "states"):
            parts[key] = entry.get(key, {})
            if not isinstance(parts[key], dict):
                raise self.fail(f"'{key}' is an inline table", table, key)
        for key in ("required", "keyword_only"):
            if not set(entry.get(key, [])) <= set(parts["arguments"]):
                raise self.fail(f"'{key}' names no argument", table, key)
        for target in (*parts["defaults"], *parts["options"]):
            if target not in defaults:
                raise self.fail(
                    f"'{target}' is neither hyperparameter nor option", table, hint=_suggest(target, tuple(defaults))
                )
        # 'none' stands for the absence of an optional hyperparameter, since TOML has no null.
        stated = {name: None if value == "none" else value for name, value in parts["defaults"].items()}
        arguments = []
        for argument, target in parts["arguments"].items():
            targets = tuple(target) if isinstance(target, list) else (target,)
            for one in targets:
                if one not in defaults:
                    raise self.fail(
                        f"'{one}' is neither hyperparameter nor option",
                        table,
                        "arguments",
                        argument,
                        _suggest(str(one), tuple(defaults)),
                    )
            values = tuple(stated.get(one, defaults[one]) for one in targets)
            arguments.append(
                Argument(
                    argument,
                    targets,
                    values if isinstance(target, list) else values[0],
                    argument in entry.get("required", []),
                    argument in entry.get("keyword_only", []),
                )
            )
        exposed = {target for argument in arguments for target in argument.targets}
        fixed_options: dict[str, OptionValue] = dict(parts["options"])
        for name, value in fixed_options.items():
            declared = next((option for option in options if option.name == name), None)
            if declared is None or (declared.choices and value not in declared.choices):
                raise self.fail(f"{value!r} is not a value of option '{name}'", table, "options", name)
        return Dialect(
            library=library,
            name=self.string(entry, table, "name"),
            arguments=tuple(arguments),
            options=fixed_options,
            hyperparameters={name: value for name, value in stated.items() if name not in exposed},
            states=dict(parts["states"]),
            note=self.string(entry, table, "note", ""),
        )


def _latex_name(name: str) -> str:
    greek = {"beta", "gamma", "lambda", "rho", "eps", "mu", "alpha", "nu", "eta", "psi", "phi", "tau", "kappa"}
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    letter = f"\\{'varepsilon' if stem == 'eps' else stem}" if stem in greek else stem
    if stem == "lr":
        letter = r"\alpha"
    elif stem not in greek and len(stem) > 1:
        letter = r"\mathrm{" + stem.replace("_", r"\_") + "}"
    return f"{letter}_{{{digits}}}" if digits else letter


def _suggest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
