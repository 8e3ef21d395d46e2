"""Errors of `tomllib`, reworded in terms of a spec.

Its messages may change with the Python version. So the known ones are told apart by how they start and said anew, and
any other is reported by its place alone.
"""

from __future__ import annotations

import re

from optgen.errors import SpecError
from optgen.language.positions import positions
from optgen.language.source import Source, Span
from optgen.language.tables import shortened

_TWICE = ("Cannot overwrite", "Cannot declare", "Duplicate inline", "Cannot mutate", "Cannot redefine")
_QUOTE = ("Illegal character '\\n'", "Unterminated string", 'Expected "\'"', "Expected '\"'", "Expected \"'''\"")
#: How a message starts → what is wrong and what to do.
_MEANINGS = {
    "Expected '=' after a key": ("a key lacks its '='", "write key = value"),
    "Invalid initial character for a key part": ("a key is missing", "write key = value"),
    "Invalid statement": ("this is neither [table] nor key = value", "a string of several lines stands in '''"),
    "Invalid value": ("this is no value", "a string needs quotes"),
    "Expected newline or end of document": ("something stands after the value", "write one key to a line"),
    "Unclosed array": ("a list lacks ',' or ']'", 'write ["...", "..."]'),
    "Unclosed inline table": ("an inline table lacks ',' or '}'", "it stands on one line: { key = value, ... }"),
    "Expected ']": ("the head of a table lacks its ']'", "write [table]"),
    "Unescaped '\\'": ("a '\\' in double quotes", "write LaTeX in single quotes: '\\alpha'"),
    "Invalid hex value": ("a '\\' in double quotes", "write LaTeX in single quotes: '\\alpha'"),
    "Escaped character is not": ("a '\\' in double quotes", "write LaTeX in single quotes: '\\alpha'"),
    "Invalid date": ("there is no such date", "a string needs quotes"),
}


def toml_error(source: Source, message: str) -> SpecError:
    """The mistake that a message of `tomllib` speaks of."""
    where = re.search(r" \(at line (\d+), column (\d+)\)", message)
    if where:
        line, column = int(where.group(1)), int(where.group(2))
    else:
        line, column = source.text.rstrip().count("\n") + 1, 10**9
    # A mistake found at the end of a line is shown at the last thing on it.
    column = max(1, min(column, len(source.line(line).rstrip())))
    span = Span(line, column, 1)
    if message.startswith(_TWICE) and (twice := _given_twice(source, line)):
        return twice
    if message.startswith(_QUOTE):
        end = positions(source.text).end
        opening = source.span(end, end + 1) if source.text.startswith(("'", '"'), end) else span
        return SpecError("a string is never closed", source.location(opening), "close its quotes")
    what, hint = "this is not TOML", ""
    if message.startswith(("Illegal character", "Found invalid character")):
        what, hint = "a control character", "remove it"
    for start, meaning in _MEANINGS.items():
        if message.startswith(start):
            what, hint = meaning
    return SpecError(what, source.location(span), hint)


def _given_twice(source: Source, last: int) -> SpecError | None:
    """The key or table that stands in the file for the second time, if that is what is wrong."""
    for path, stretches in positions(source.text).keys.items():
        if len(stretches) < 2:
            continue
        first, again = source.span(*stretches[0]), source.span(*stretches[1])
        if again.line <= last:
            is_table = source.text.startswith("[", stretches[1][0] - 1)
            name = f"[{'.'.join(map(str, path))}]" if is_table else shortened(str(path[-1]))
            return SpecError(f"'{name}' is given twice", source.location(again), f"line {first.line} has it already")
    return None
