"""Where things stand in a spec's text, so that every mistake can be shown in place."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.errors import Location, SpecError
from optgen.escaping import HIDDEN
from optgen.language.positions import Path, Stretch, positions


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
        """The line of that number, counted from 1, without its end; tabs are shown as one space each."""
        lines = self.text.split("\n")
        text = lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else ""
        # A caret below the line must count the same columns as the line itself.
        return text.replace("\t", " ")

    def location(self, span: Span) -> Location:
        """A span with everything that an error message shows."""
        return Location(self.path, span.line, span.column, span.width, self.line(span.line))

    def span(self, start: int, end: int) -> Span:
        """The stretch between two places in the text; if it runs over several lines, what stands on the first."""
        line_start = self.text.rfind("\n", 0, start) + 1
        line_end = self.text.find("\n", start)
        end = min(end, len(self.text) if line_end < 0 else line_end)
        return Span(self.text.count("\n", 0, start) + 1, start - line_start + 1, max(1, end - start))

    def refuse_hidden(self) -> None:
        """Refuse a character that a reader does not see, wherever it stands.

        Raises:
            SpecError: there is one.
        """
        if found := HIDDEN.search(self.text):
            message = f"the character U+{ord(found[0]):04X} is not seen, and has no place in a spec"
            raise SpecError(message, self.location(self.span(*found.span())), "remove it")

    def find(self, table: str, *keys: str | int) -> Span:
        """Where a table, a key of it, a key of that key's inline table or an item of its list stands.

        Falls back to the nearest enclosing thing that is written down: the key, the table, the first line.
        """
        found = positions(self.text).keys
        return self._nearest(_path(table, keys), {path: stretches[0] for path, stretches in found.items()})

    def value(self, table: str, *keys: str | int) -> Span:
        """Where the value of a key stands; where `find` says if it has none."""
        path = _path(table, keys)
        if stretch := positions(self.text).values.get(path):
            return self.span(*stretch)
        return self.find(table, *keys)

    def string_start(self, table: str, key: str) -> int:
        """How many characters stand before the content of a string."""
        start = positions(self.text).values.get(_path(table, (key,)), (0, 0))[0]
        for quotes in ("'''", '"""'):
            if self.text.startswith(quotes, start):
                # TOML drops a line break that follows the opening quotes at once.
                return start + 3 + self.text.startswith("\n", start + 3)
        return start + 1

    def _nearest(self, path: Path, found: dict[Path, Stretch]) -> Span:
        while path and path not in found:
            path = path[:-1]
        return self.span(*found[path]) if path else Span(1, 1, 1)


def _path(table: str, keys: tuple[str | int, ...]) -> Path:
    return (*table.split("."), *keys)
