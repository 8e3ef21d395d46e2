"""Reading values out of TOML's tables, each with a check of its type and a message in place."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any

from optgen.errors import SpecError
from optgen.escaping import HIDDEN, visible
from optgen.spec.language import RESERVED
from optgen.spec.names import declared_problem, keyword_problem, name_problem
from optgen.spec.source import Source
from optgen.spec.symbols import symbol_problem
from optgen.spec.tokens import MAX_NAME
from optgen.suggestions import did_you_mean

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*\Z")

Key = str | int


class Tables:
    """Access to the tables of one file; a class only so that `source` need not be passed around."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def fail(self, message: str, table: str, *keys: Key, hint: str = "") -> SpecError:
        """A mistake shown at a table or key."""
        return SpecError(message, self.source.location(self.source.find(table, *keys)), hint)

    def fail_value(self, message: str, table: str, *keys: Key, hint: str = "") -> SpecError:
        """A mistake shown at the value of a key."""
        return SpecError(message, self.source.location(self.source.value(table, *keys)), hint)

    def table(self, data: Mapping[str, Any], name: str, *, required: bool = False) -> Mapping[str, Any]:
        """A table of the file; empty if it is not there."""
        inner = name.rsplit(".", 1)[-1]
        if inner not in data:
            if required:
                raise self.fail(f"the table [{name}] is missing", name, hint=f"add [{name}]")
            return {}
        return self.as_table(data[inner], name)

    def as_table(self, value: object, name: str) -> Mapping[str, Any]:
        """A value that must be a table."""
        if not isinstance(value, dict):
            raise self.fail(f"'{name}' is a table", name, hint=f"write [{name}]")
        return value

    def keys(self, entry: Mapping[str, Any], known: tuple[str, ...], table: str, *keys: Key) -> None:
        """Refuse keys other than the known ones."""
        for name in entry:
            if name not in known:
                raise self.fail(f"unknown key '{shortened(name)}'", table, *keys, name, hint=suggestion(name, known))

    def string(self, entry: Mapping[str, Any], default: str | None, table: str, *keys: Key) -> str:
        """The line of text under the last of `keys`; `default` where there is none, required if that is None."""
        value = self.text(entry, default, table, *keys)
        self.check_line(value, table, *keys)
        return value

    def check_line(self, value: str, table: str, *keys: Key) -> None:
        """Refuse a line of text that holds a character which is not seen, or which would end it."""
        if visible(value) == value:
            return
        if hidden := next((character for character in value if character > "\x7f" and HIDDEN.match(character)), ""):
            raise self.fail_value(f"'{keys[-1]}' holds {character_name(hidden)}", table, *keys, hint="remove it")
        # "\beta" in TOML is a backspace and "eta": LaTeX written in the wrong quotes.
        span = self.source.value(table, *keys)
        written = self.source.line(span.line)[span.column - 1 :][: span.width]
        raise self.fail_value(
            f"'{keys[-1]}' holds a control character",
            table,
            *keys,
            hint="write LaTeX in single quotes: '\\beta'" if "\\" in written else "write it on one line",
        )

    def check_lines(self, value: object, *keys: Key) -> None:
        """Refuse such characters in all keys and values below a key, whatever they are read as."""
        if isinstance(value, str):
            self.check_line(value, str(keys[0]), *keys[1:])
        elif isinstance(value, dict):
            for key, inner in value.items():
                if visible(key) != key:
                    what = f"a key holds {character_name(next(c for c in key if visible(c) != c))}"
                    raise self.fail(what, str(keys[0]) if keys else key, *keys[1:], hint="remove it")
                self.check_lines(inner, *keys, key)
        elif isinstance(value, list):
            for position, inner in enumerate(value):
                self.check_lines(inner, *keys, position)

    def symbol(self, entry: Mapping[str, Any], default: str, table: str, *keys: Key) -> str:
        """The LaTeX of a symbol under the last of `keys`; `default` where there is none."""
        value = self.string(entry, default, table, *keys)
        if problem := symbol_problem(value):
            raise self.fail_value(problem[0], table, *keys, hint=problem[1])
        return value

    def text(self, entry: Mapping[str, Any], default: str | None, table: str, *keys: Key) -> str:
        """The same, of any number of lines."""
        key = str(keys[-1])
        if key not in entry:
            if default is None:
                raise self.fail(f"'{key}' is missing in [{table}]", table, hint=f'add {key} = "..."')
            return default
        if not isinstance(entry[key], str):
            raise self.fail_value(f"'{key}' is a string", table, *keys, hint='write it in quotes: "..."')
        value: str = entry[key]
        return value

    def number(self, value: object, table: str, *keys: Key) -> float:
        """A number that a float64 can hold."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail_value(f"'{keys[-1]}' is a number", table, *keys, hint="write it without quotes")
        try:
            float(value)
        except OverflowError:
            raise self.fail_value("this number is too large for a float64", table, *keys) from None
        return value

    def flag(self, entry: Mapping[str, Any], table: str, *keys: Key) -> bool:
        """The flag under the last of `keys`; false where there is none."""
        value = entry.get(str(keys[-1]), False)
        if not isinstance(value, bool):
            raise self.fail_value(f"'{keys[-1]}' is true or false", table, *keys)
        return value

    def inline(self, entry: object, known: tuple[str, ...], table: str, name: str) -> Mapping[str, Any]:
        """An entry of a table that is a table itself, with known keys only."""
        if not isinstance(entry, dict):
            raise self.fail_value(
                f"'{name}' is an inline table", table, name, hint=f"write {name} = {{ {known[0]} = ... }}"
            )
        self.keys(entry, known, table, name)
        return entry

    def strings(self, entry: Mapping[str, Any], table: str, *keys: Key) -> tuple[str, ...]:
        """The list of different strings under the last of `keys`; empty where there is none."""
        key = str(keys[-1])
        values = entry.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.fail_value(f"'{key}' is a list of strings", table, *keys, hint=f'write {key} = ["...", "..."]')
        for position, value in enumerate(values):
            if value in values[:position]:
                raise self.fail_value(f"'{value}' stands twice in '{key}'", table, *keys, position, hint="remove it")
        return tuple(values)

    def identifier(self, name: str, table: str, *keys: Key) -> str:
        """A word that can name a file, a function and a variable."""
        if not _NAME.match(name) or len(name) > MAX_NAME:
            raise self.fail_value(
                f"'{shortened(name)}' is not a name",
                table,
                *keys,
                hint=f"letters, digits and single '_', a letter first, at most {MAX_NAME}",
            )
        if problem := keyword_problem(name):
            raise self.fail_value(problem[0], table, *keys, hint="choose another name")
        return name

    def declared(self, name: str, table: str, *keys: Key) -> str:
        """A name that equations may use; the message stands at the key itself."""
        where = keys or (name,)
        if not _NAME.match(name) or len(name) > MAX_NAME:
            hint = f"letters, digits and single '_', a letter first, at most {MAX_NAME}"
            raise self.fail(f"'{shortened(name)}' is not a name", table, *where, hint=hint)
        if problem := keyword_problem(name) or name_problem(name) or declared_problem(name, table):
            raise self.fail(problem[0], table, *where, hint=problem[1])
        if name in RESERVED:
            raise self.fail(f"'{name}' has a meaning in the language", table, *where, hint="choose another name")
        return name


def character_name(character: str) -> str:
    """How a character is spoken of that cannot be shown."""
    return f"the character U+{ord(character):04X}"


def is_word(name: str) -> bool:
    """Whether a text can be a name in Python as it stands: Python reads some letters beyond ASCII as others."""
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"


def shortened(name: str) -> str:
    """A name as messages show it."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """A hint for a misspelt name: the closest known one, or all."""
    return did_you_mean(name, known, f"known: {', '.join(known)}" if known else "there is none", 0.7)
