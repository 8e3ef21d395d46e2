"""Reading the layout of a library's state and the arguments for it: the keys of a dialect from `layout` on."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optgen.contract.declarations import OptionValue
from optgen.contract.dialects import Argument, Dialect
from optgen.contract.library_state import COUNT, GivenTransformation, History, LibraryStateLayout, StatePart
from optgen.errors import SpecError
from optgen.language.model import Spec
from optgen.language.tables import (
    Tables,
    is_word,
    shortened,
    suggestion,
)

#: The keys of a dialect that are read here; all but the first need the first.
LAYOUT_KEYS = (
    "layout",
    "dtypes",
    "masks",
    "transformations",
    "draws",
    "words",
    "schedules",
    "parameters",
    "history",
    "only",
    "complex",
)

#: Stands among the `dtypes` for the library's default dtype.
DEFAULT_DTYPE = "default"

_PART_KEYS = ("type", "fields", "when", "otherwise", "schedule", "mask", "of")
_TRANSFORMATION_KEYS = ("gives", "every", "restarts", "after")


Value = float | OptionValue | None


@dataclass(frozen=True, slots=True)
class Known:
    """The names that a layout may refer to.

    Attributes:
        arguments: of the dialect.
        numbers: the spec's hyperparameters.
        options: its options.
        inputs: its inputs.
        value: checks the value of a hyperparameter or option at some place of the table.
    """

    arguments: tuple[Argument, ...]
    numbers: tuple[str, ...]
    options: tuple[str, ...]
    inputs: tuple[str, ...]
    value: Callable[..., Value]


def read_layout(tables: Tables, name: str, known: Known, entry: Mapping[str, Any]) -> LibraryStateLayout | None:
    """The layout of a dialect, None if it has none.

    Args:
        tables: the file.
        name: the dialect's table.
        known: what it may speak of.
        entry: the dialect.

    Raises:
        SpecError: the layout is malformed, or speaks of something that is not there.
    """
    return _LayoutReader(tables, name, known).read(entry)


class _LayoutReader:
    """Reads the layout of one dialect."""

    def __init__(self, tables: Tables, name: str, known: Known) -> None:
        self.tables = tables
        self.name = name
        self.arguments = tuple(argument.name for argument in known.arguments)
        self.own = tuple(argument.name for argument in known.arguments if not argument.targets)
        self.numbers = known.numbers
        self.options = known.options
        self.inputs = known.inputs
        self.value = known.value

    def read(self, entry: Mapping[str, Any]) -> LibraryStateLayout | None:
        if "layout" not in entry:
            for key in LAYOUT_KEYS:
                if key in entry:
                    raise self.tables.fail(f"'{key}' goes with 'layout'", self.name, key, hint="add layout = [...]")
            return None
        transformations = {
            name: self.transformation(name, raw) for name, raw in self.of_own(entry, "transformations").items()
        }
        masks = {name: self.left_out(name, raw) for name, raw in self.of_own(entry, "masks").items()}
        draws = {name: self.keys_of(name, raw) for name, raw in self.table(entry, "draws").items()}
        holders = (*transformations, *(argument for names in draws.values() for argument in names))
        state = self.part(entry["layout"], ("layout",), masks, holders)
        fields = {field for part in state.walk() for field, _ in part.fields}
        return LibraryStateLayout(
            state,
            self.dtypes(entry),
            masks,
            transformations,
            draws,
            {name: self.words(name, raw) for name, raw in self.table(entry, "words").items()},
            {
                name: self.known(raw, tuple(sorted(fields)), "field", "schedules", name)
                for name, raw in self.of_arguments(entry, "schedules", self.arguments).items()
            },
            self.parameters(entry),
            self.history(entry),
            {
                name: self.tables.string(self.table(entry, "only"), "", self.name, "only", name)
                for name in self.of_own(entry, "only")
            },
            self.tables.flag(entry, self.name, "complex"),
        )

    def fail(self, message: str, *keys: str | int, hint: str = "") -> SpecError:
        return self.tables.fail_value(message, self.name, *keys, hint=hint)

    def known(self, name: object, names: tuple[str, ...], what: str, *keys: str | int) -> str:
        """A name that has to be one of some; the message stands at its value."""
        if not isinstance(name, str) or name not in names:
            raise self.fail(f"unknown {what} '{shortened(str(name))}'", *keys, hint=suggestion(str(name), names))
        return name

    def table(self, entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = entry.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"'{key}' is an inline table", key, hint=f"write {key} = {{ ... }}")
        return value

    def of_own(self, entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """A table whose keys are arguments that belong to the front-end."""
        return self.of_arguments(entry, key, self.own)

    def of_arguments(self, entry: Mapping[str, Any], key: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        found = self.table(entry, key)
        for name in found:
            if name not in known:
                message = f"'{shortened(name)}' is no argument that '{key}' may speak of"
                raise self.tables.fail(message, self.name, key, name, hint=suggestion(name, known))
        return found

    def strings(self, raw: object, *keys: str | int) -> tuple[str, ...]:
        return self.tables.strings({str(keys[-1]): raw}, self.name, *keys)

    def words_of(self, raw: object, *keys: str | int) -> tuple[str, ...]:
        """Names of states or fields, whether there are such or not."""
        found = self.strings(raw, *keys)
        for position, name in enumerate(found):
            if not is_word(name):
                raise self.fail(f"'{shortened(name)}' is not a name", *keys, position)
        return found

    def part(
        self,
        raw: object,
        keys: tuple[str | int, ...],
        masks: Mapping[str, Any],
        holders: tuple[str, ...],
    ) -> StatePart:
        if isinstance(raw, list):
            return StatePart(
                parts=tuple(self.part(item, (*keys, place), masks, holders) for place, item in enumerate(raw))
            )
        if not isinstance(raw, dict):
            raise self.fail("a part of a state is an inline table", *keys, hint='write { type = "..." }')
        self.tables.keys(raw, _PART_KEYS, self.name, *keys)
        if ("type" in raw) == ("of" in raw):
            raise self.fail("a part has either a type or an argument whose state it is", *keys, hint="write type or of")
        when = self.strings(raw.get("when", []), *keys, "when")
        for place, word in enumerate(when):
            self.known(word.removeprefix("not "), self.arguments, "argument", *keys, "when", place)
        schedule, scheduled = self.schedule(raw, keys)
        return StatePart(
            type=self.class_name(raw, *keys, "type"),
            fields=self.fields(raw, keys, holders),
            when=when,
            otherwise=self.class_name(raw, *keys, "otherwise"),
            schedule=schedule,
            scheduled=scheduled,
            mask=self.known(raw["mask"], tuple(masks), "mask", *keys, "mask") if "mask" in raw else "",
            of=self.known(raw["of"], holders, "transformation", *keys, "of") if "of" in raw else "",
        )

    def schedule(self, raw: Mapping[str, Any], keys: tuple[str | int, ...]) -> tuple[str, str]:
        found = raw.get("schedule", {})
        if not isinstance(found, dict) or len(found) > 1:
            hint = 'write schedule = { learning_rate = "..." }'
            raise self.fail("'schedule' says for one argument what the part is", *keys, "schedule", hint=hint)
        for argument in found:
            self.known(argument, self.arguments, "argument", *keys, "schedule", argument)
            return argument, self.class_name(found, *keys, "schedule", argument)
        return "", ""

    def class_name(self, raw: Mapping[str, Any], *keys: str | int) -> str:
        found = self.tables.string(raw, "", self.name, *keys)
        if found and not is_word(found):
            raise self.fail(f"'{shortened(found)}' cannot name a class", *keys)
        return found

    def fields(
        self, raw: Mapping[str, Any], keys: tuple[str | int, ...], holders: tuple[str, ...]
    ) -> tuple[tuple[str, str], ...]:
        found = raw.get("fields", {})
        if not isinstance(found, dict):
            raise self.fail("'fields' is an inline table", *keys, "fields", hint='write { count = "t", mu = "m" }')
        fields = []
        for field, source in found.items():
            where = (*keys, "fields", field)
            self.tables.identifier(field, self.name, *where)
            if not isinstance(source, str) or not (is_word(source) or COUNT.fullmatch(source)):
                hint = 'write a state, "t", "t + 1", "t == 0" or "t % period"'
                raise self.fail(f"'{shortened(str(source))}' cannot stand in a field", *where, hint=hint)
            count = COUNT.fullmatch(source)
            if count and count["period"]:
                self.known(count["period"], self.numbers, "hyperparameter", *where)
            if source in self.own and source not in holders:
                hint = "name it under transformations or draws"
                raise self.fail(f"argument '{source}' has no state", *where, hint=hint)
            fields.append((field, source))
        return tuple(fields)

    def dtypes(self, entry: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        found = self.of_arguments(entry, "dtypes", (*self.own, DEFAULT_DTYPE))
        return {name: self.words_of(raw, "dtypes", name) for name, raw in found.items()}

    def left_out(self, mask: str, raw: object) -> dict[str, Value]:
        if not isinstance(raw, dict) or not raw:
            hint = f'write {mask} = {{ weight_decay = "none" }}'
            raise self.fail("a mask says what tensors that it leaves out take", "masks", mask, hint=hint)
        return {name: self.value(name, value, "masks", mask) for name, value in raw.items()}

    def transformation(self, name: str, raw: object) -> GivenTransformation:
        where = ("transformations", name)
        if not isinstance(raw, dict):
            hint = f'write {name} = {{ gives = "..." }} or {{ after = true }}'
            raise self.fail("a transformation is an inline table", *where, hint=hint)
        self.tables.keys(raw, _TRANSFORMATION_KEYS, self.name, *where)
        after = self.tables.flag(raw, self.name, *where, "after")
        if after == ("gives" in raw):
            message = "a transformation gives an input, or comes after the rule"
            raise self.fail(message, *where, hint="write one of them")
        restarts = self.words_of(raw.get("restarts", []), *where, "restarts")
        if len(restarts) not in (0, 2) or (restarts and restarts[0] not in self.own):
            hint = 'write restarts = ["the switch", "the field"]'
            raise self.fail("'restarts' is a switch of the front-end and a field", *where, "restarts", hint=hint)
        return GivenTransformation(
            self.known(raw["gives"], self.inputs, "input", *where, "gives") if "gives" in raw else "",
            self.known(raw["every"], self.numbers, "hyperparameter", *where, "every") if "every" in raw else "",
            restarts,
        )

    def keys_of(self, name: str, raw: object) -> tuple[str, ...]:
        if name not in self.inputs:
            message = f"unknown input '{shortened(name)}'"
            raise self.tables.fail(message, self.name, "draws", name, hint=suggestion(name, self.inputs))
        found = self.strings(raw, "draws", name)
        for place, argument in enumerate(found):
            self.known(argument, self.own, "argument of the front-end", "draws", name, place)
        return found

    def words(self, option: str, raw: object) -> dict[str, str]:
        if option not in self.options:
            message = f"unknown option '{shortened(option)}'"
            raise self.tables.fail(message, self.name, "words", option, hint=suggestion(option, self.options))
        if not isinstance(raw, dict):
            raise self.fail("words are an inline table", "words", option, hint='write { "theirs" = "ours" }')
        for theirs, ours in raw.items():
            self.value(option, ours, "words", option, theirs)
        return dict(raw)

    def parameters(self, entry: Mapping[str, Any]) -> StatePart | None:
        if "parameters" not in entry:
            return None
        return self.part(entry["parameters"], ("parameters",), {}, ())

    def history(self, entry: Mapping[str, Any]) -> History | None:
        if "history" not in entry:
            return None
        raw = self.table(entry, "history")
        self.tables.keys(raw, ("states", "length", "ahead"), self.name, "history")
        length = self.known(raw.get("length"), self.options, "option", "history", "length")
        ahead = raw.get("ahead", 0)
        if isinstance(ahead, bool) or not isinstance(ahead, int):
            raise self.fail("'ahead' is a number of steps", "history", "ahead")
        return History(self.words_of(raw.get("states", []), "history", "states"), length, ahead)


def unassigned_field(
    spec: Spec, dialect: Dialect, assigned: Container[str]
) -> tuple[tuple[str | int, ...], str] | None:
    """A field of a layout in which a state stands that no equation assigns: where it is, and the state's name.

    Args:
        spec: the spec.
        dialect: one of its dialects.
        assigned: what equations assign, as they write it.
    """
    if dialect.layout is None:
        return None
    known = {h.name for h in spec.hyperparameters} | {*dialect.layout.transformations, "theta"}
    known |= {argument for names in dialect.layout.draws.values() for argument in names}
    roots = (("layout", dialect.layout.state), ("parameters", dialect.layout.parameters))
    for key, root in roots:
        for place, part in _places((key,), root) if root is not None else ():
            for field, source in part.fields:
                if not COUNT.fullmatch(source) and source not in known and f"{source}[t]" not in assigned:
                    return (*place, "fields", field), source
    return None


def _places(place: tuple[str | int, ...], part: StatePart) -> Iterator[tuple[tuple[str | int, ...], StatePart]]:
    yield place, part
    for number, inner in enumerate(part.parts or ()):
        yield from _places((*place, number), inner)
