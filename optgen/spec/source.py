"""Where things stand in a spec's text, so that every mistake can be shown in place.

`tomllib` reports values, not positions. A spec keeps to a small part of TOML (tables headed by `[name]`, one key to
a line), so the position of a key is found by reading the lines once more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from optgen.errors import Location

_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_.\-]+)\s*\]")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+)\s*=\s*")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text on one line; `line` and `column` count from 1."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a spec and the name it is reported under."""

    path: str
    text: str

    def line(self, number: int) -> str:
        """The line of that number, counted from 1, without its end."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else ""

    def location(self, span: Span) -> Location:
        """The same stretch with everything that an error message shows."""
        return Location(self.path, span.line, span.column, span.width, self.line(span.line))

    def find(self, table: str, key: str = "", inner: str = "") -> Span:
        """Where a table, a key of it, or a key of that key's inline table stands.

        Falls back to the nearest enclosing thing that is written down: the key, the table, the first line.
        """
        current = ""
        best = Span(1, 1, 1)
        in_string = False
        for number, line in enumerate(self.text.split("\n"), start=1):
            was_inside = in_string
            if (line.count('"""') + line.count("'''")) % 2:
                in_string = not in_string
            if was_inside:
                continue
            if header := _HEADER.match(line):
                current = header.group(1)
                if current == table:
                    best = Span(number, header.start(1) + 1, len(header.group(1)))
                continue
            found = _KEY.match(line)
            if not found or current != table or not key or found.group(1) != key:
                continue
            best = Span(number, found.start(1) + 1, len(key))
            if inner and (deeper := re.search(rf"\b{re.escape(inner)}\b(?=\s*=)", line[found.end() :])):
                best = Span(number, found.end() + deeper.start() + 1, len(inner))
            break
        return best

    def string_start(self, table: str, key: str) -> tuple[int, int]:
        """Line and column offset at which a multi-line string's own first line begins."""
        span = self.find(table, key)
        line = self.line(span.line)
        match = _KEY.match(line)
        after = match.end() if match else 0
        for quotes in ("'''", '"""'):
            if line.startswith(quotes, after):
                rest = line[after + 3 :]
                # TOML drops a line break that follows the opening quotes at once.
                return (span.line + 1, 0) if rest == "" else (span.line, after + 3)
        return span.line, after + 1
