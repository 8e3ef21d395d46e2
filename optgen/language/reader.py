"""Reading a spec file: TOML in, `Spec` out, every mistake reported in place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optgen.errors import SpecError
from optgen.language.check import check_spec
from optgen.language.declarations import (
    read_hyperparameter,
    read_input,
    read_option,
    read_references,
    read_state,
)
from optgen.language.dialects import read_dialects
from optgen.language.equations import parse_equations
from optgen.language.gradient import shared_declarations, taken_names, with_transformations
from optgen.language.implied import imply_domains
from optgen.language.model import Preamble, Spec
from optgen.language.source import Source, Span
from optgen.language.tables import Tables, shortened, suggestion
from optgen.language.toml_errors import toml_error

MAX_FILE = 256 * 1024

_TABLES = ("optimizer", "hyperparameters", "options", "inputs", "states", "equations", "dialect")
# Reading a long key takes time quadratic in its parts, and a number with thousands of digits is refused by `int`.
_LONG_KEY = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){50}")
_LONG_NUMBER = re.compile(r"[0-9_]{1000,}")


def read_spec(path: Path | str, shown_as: str = "") -> Spec:
    """Read one spec file.

    Args:
        path: the file.
        shown_as: the name it goes by in messages; the path as given if empty.

    Raises:
        SpecError: the file is not a valid spec.
        OSError: it cannot be read.
    """
    name = shown_as or str(path)
    return parse_spec(read_text(path, name), name)


def read_text(path: Path | str, name: str) -> str:
    """The text of a spec file that goes by a name in messages.

    Raises:
        SpecError: it is too large, or not UTF-8.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise _too_large(name)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        readable = data[: error.start].decode()
        source = Source(name, data.decode(errors="replace"))
        raise SpecError(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            source.location(source.span(len(readable), len(readable) + 1)),
            "save the file as UTF-8",
        ) from None


def parse_spec(text: str, path: str) -> Spec:
    """Read the text of a spec; `path` is the name it goes by in messages.

    Raises:
        SpecError: the text is not a valid spec.
    """
    source = spec_source(text, path)
    return _spec(Tables(source), spec_tables(source))


def spec_source(text: str, path: str) -> Source:
    """The text of a spec, as messages show it.

    Raises:
        SpecError: it is too large.
    """
    if len(text) > MAX_FILE:
        raise _too_large(path)
    # Editors on Windows start files with a byte order mark and end lines with two characters.
    return Source(path, text.removeprefix("\ufeff").replace("\r\n", "\n"))


def _too_large(path: str) -> SpecError:
    start = Source(path, "").location(Span(1, 1, 1))
    return SpecError(f"a spec file is at most {MAX_FILE // 1024} KiB", start, "an update rule is a few dozen lines")


def spec_tables(source: Source) -> Mapping[str, Any]:
    """The tables of a spec.

    Raises:
        SpecError: the text is not TOML.
    """
    for pattern, message in ((_LONG_KEY, "this key has too many parts"), (_LONG_NUMBER, "this number is too long")):
        if found := pattern.search(source.text):
            raise SpecError(message, source.location(source.span(*found.span())))
    try:
        data = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise toml_error(source, str(error)) from None
    except RecursionError:
        place = source.location(_deep_bracket(source))
        raise SpecError("too many brackets inside one another", place, "a spec needs two or three") from None
    source.refuse_hidden()
    # Equations alone have several lines, and are the text of the file as it stands there.
    Tables(source).check_lines({name: value for name, value in data.items() if name != "equations"})
    return data


def _deep_bracket(source: Source) -> Span:
    """The first bracket inside a great many others."""
    depth = 0
    for at, character in enumerate(source.text):
        depth += (character in "[{") - (character in "]}")
        if depth > 20:
            return source.span(at, at + 1)
    return Span(1, 1, 1)


def _spec(tables: Tables, data: Mapping[str, Any]) -> Spec:
    for name in data:
        if name not in _TABLES:
            raise tables.fail(f"unknown table '{shortened(name)}'", name, hint=suggestion(name, _TABLES))
    for name in _TABLES:
        tables.table(data, name, required=name in ("optimizer", "equations"))
    head, equations = data["optimizer"], data["equations"]
    tables.keys(head, ("name", "class", "title", "summary", "references", "wraps", "wrapped"), "optimizer")
    tables.keys(equations, ("rule",), "equations")
    wraps = tables.string(head, "", "optimizer", "wraps")
    if "wraps" in head:
        tables.identifier(wraps, "optimizer", "wraps")
    wrapped = tables.string(head, "", "optimizer", "wrapped")
    if wrapped and not wraps:
        message = "'wrapped' says which optimizer is wrapped"
        raise tables.fail(message, "optimizer", "wrapped", hint='add wraps = "base"')
    hyperparameters = tuple(
        read_hyperparameter(tables, name, raw) for name, raw in tables.table(data, "hyperparameters").items()
    )
    options = tuple(read_option(tables, name, raw) for name, raw in tables.table(data, "options").items())
    rule = tables.text(equations, None, "equations", "rule")
    start = rule_start(tables.source, rule)
    body = parse_equations(tables.source, rule, start.line, start.column - 1, wraps)
    hyperparameters = imply_domains(hyperparameters, body, tables.source)
    inputs = tuple(read_input(tables, name, raw) for name, raw in tables.table(data, "inputs").items())
    declared = frozenset((*(h.name for h in hyperparameters), *(o.name for o in options), *(i.name for i in inputs)))
    shared_hyperparameters, shared_options = shared_declarations(taken_names(body, declared))
    spec = Spec(
        name=tables.identifier(tables.string(head, None, "optimizer", "name"), "optimizer", "name"),
        class_name=tables.identifier(tables.string(head, None, "optimizer", "class"), "optimizer", "class"),
        title=tables.string(head, None, "optimizer", "title"),
        summary=tables.string(head, None, "optimizer", "summary"),
        references=read_references(tables, head),
        hyperparameters=hyperparameters,
        options=options,
        inputs=inputs,
        states=tuple(read_state(tables, name, raw) for name, raw in tables.table(data, "states").items()),
        wraps=wraps,
        wrapped=wrapped,
        equations=rule,
        body=body,
        dialects=read_dialects(
            tables, data, hyperparameters + shared_hyperparameters, options + shared_options, inputs
        ),
        source=tables.source,
        preamble=Preamble((), (), tables.source),
    )
    check_spec(spec)
    return with_transformations(spec)


def rule_start(source: Source, rule: str) -> Span:
    """Where the equations start; every position in them is right only if they stand in the file as they are read.

    Raises:
        SpecError: they do not.
    """
    start = source.string_start("equations", "rule")
    written = source.text[start : start + len(rule)]
    if written != rule:
        same = next((i for i, (a, b) in enumerate(zip(written, rule, strict=False)) if a != b), len(written))
        raise SpecError(
            "'\\' is not part of the equation language",
            source.location(source.span(start + same, start + same + 1)),
            "a line goes on by itself inside brackets",
        )
    return source.span(start, start + 1)
