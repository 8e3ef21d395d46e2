"""Where the keys and values of a TOML text stand; `tomllib` reports values only.

The text is known to be TOML, or to be TOML up to some mistake: reading stops where it no longer makes sense, and what
was found until then is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

#: The way to a value: names of tables and keys, and numbers of array items.
Path = tuple[str | int, ...]
#: Start and end, in characters from the start of the text.
Stretch = tuple[int, int]

_MAX_DEPTH = 20

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_REST_OF_LINE = re.compile(r"[^\n]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?!"")(?:[^"\\\n]|\\.)*"' r"|'(?!'')[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^\s,\]}#]+")


@dataclass(frozen=True, slots=True)
class Positions:
    """Where keys and values stand, and where the text stopped to be TOML.

    A key given twice has two stretches, in the order written.
    """

    keys: Mapping[Path, tuple[Stretch, ...]]
    values: Mapping[Path, Stretch]
    end: int


@lru_cache(maxsize=8)
def positions(text: str) -> Positions:
    """The positions of all keys and values of a TOML text."""
    scanner = _Scanner(text)
    with suppress(_NotUnderstood):
        scanner.document()
    return Positions({path: tuple(found) for path, found in scanner.keys.items()}, scanner.values, scanner.at)


class _NotUnderstood(Exception):
    """The text is not TOML from here on."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[Path, list[Stretch]] = {}
        self.values: dict[Path, Stretch] = {}
        self.array_tables: dict[Path, int] = {}

    def skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        assert found is not None  # these patterns match the empty text
        self.at = found.end()

    def take(self, pattern: re.Pattern[str]) -> Stretch:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _NotUnderstood
        self.at = found.end()
        return found.span()

    def expect(self, word: str) -> None:
        if not self.text.startswith(word, self.at):
            raise _NotUnderstood
        self.at += len(word)

    def document(self) -> None:
        table: Path = ()
        self.skip(_BLANK_LINES)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table, 0)
            self.skip(_REST_OF_LINE)
            self.skip(_BLANK_LINES)

    def header(self) -> Path:
        close = "]]" if self.text.startswith("[[", self.at) else "]"
        self.at += len(close)
        self.skip(_BLANK)
        parts, stretches = self.key()
        self.skip(_BLANK)
        self.expect(close)
        path: Path = parts
        if close == "]]":
            number = self.array_tables.get(parts, 0)
            self.array_tables[parts] = number + 1
            path = (*parts, number)
        self.keys.setdefault(path, []).append((stretches[0][0], stretches[-1][1]))
        return path

    def key(self) -> tuple[tuple[str, ...], list[Stretch]]:
        stretches = [self.take(_KEY_PART)]
        while dot := _DOT.match(self.text, self.at):
            self.at = dot.end()
            stretches.append(self.take(_KEY_PART))
        return tuple(self.text[start:end].strip("\"'") for start, end in stretches), stretches

    def pair(self, table: Path, depth: int) -> None:
        parts, stretches = self.key()
        for count in range(1, len(parts)):
            self.keys.setdefault((*table, *parts[:count]), [stretches[count - 1]])
        path = (*table, *parts)
        self.keys.setdefault(path, []).append(stretches[-1])
        self.skip(_BLANK)
        self.expect("=")
        self.skip(_BLANK)
        self.value(path, depth)

    def value(self, path: Path, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise _NotUnderstood
        start = self.at
        match self.text[start : start + 1]:
            case "[":
                self.array(path, depth)
            case "{":
                self.inline_table(path, depth)
            case "'" | '"':
                self.take(_STRING)
            case _:
                self.take(_SCALAR)
        self.values.setdefault(path, (start, self.at))

    def array(self, path: Path, depth: int) -> None:
        self.expect("[")
        self.skip(_BLANK_LINES)
        count = 0
        while not self.text.startswith("]", self.at):
            self.value((*path, count), depth + 1)
            count += 1
            self.skip(_BLANK_LINES)
            if not self.text.startswith("]", self.at):
                self.expect(",")
                self.skip(_BLANK_LINES)
        self.expect("]")

    def inline_table(self, path: Path, depth: int) -> None:
        self.expect("{")
        self.skip(_BLANK_LINES)
        while not self.text.startswith("}", self.at):
            self.pair(path, depth + 1)
            self.skip(_BLANK_LINES)
            if not self.text.startswith("}", self.at):
                self.expect(",")
                self.skip(_BLANK_LINES)
        self.expect("}")
