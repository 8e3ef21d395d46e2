"""Reading the file of a learning-rate schedule: TOML in, `LrSchedule` out, every mistake reported in place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optgen._paths import spec_label
from optgen.errors import SpecError
from optgen.spec.declarations import demand, latex_name, read_hyperparameter, read_option, read_references
from optgen.spec.dialects import read_dialects
from optgen.spec.domain import Domain, parse_domain
from optgen.spec.language import parse_equations
from optgen.spec.lr_schedule_check import OWN_NAMES, check_schedule
from optgen.spec.lr_schedule_model import Constraint, LrSchedule, NumberList, in_place_of
from optgen.spec.reader import read_text, rule_start, spec_source, spec_tables
from optgen.spec.tables import Tables, shortened, suggestion

_TABLES = ("schedule", "hyperparameters", "options", "equations", "dialect")
_HEAD = ("name", "class", "title", "summary", "references", "base", "constraints")
_LIST = ("default", "symbol", "domain", "meaning", "increasing", "length")
_LENGTH = re.compile(r"\s*len\(\s*(\w+)\s*\)\s*(?:\+\s*(\d+)\s*)?\Z", re.ASCII)
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|<|>=|>)\s*(\w+)\s*\Z", re.ASCII)


def read_schedule(path: Path | str, shown_as: str = "") -> LrSchedule:
    """Read the file of one schedule.

    Args:
        path: the file.
        shown_as: the name it goes by in messages; the path as given if empty.

    Raises:
        SpecError: the file is no valid schedule.
        OSError: it cannot be read.
    """
    name = shown_as or str(path)
    return parse_schedule(read_text(path, name), name)


def parse_schedule(text: str, path: str) -> LrSchedule:
    """Read the text of a schedule; `path` is the name it goes by in messages.

    Raises:
        SpecError: the text is no valid schedule.
    """
    source = spec_source(text, path)
    return _schedule(Tables(source), spec_tables(source))


def _schedule(tables: Tables, data: Mapping[str, Any]) -> LrSchedule:
    for name in data:
        if name not in _TABLES:
            raise tables.fail(f"unknown table '{shortened(name)}'", name, hint=suggestion(name, _TABLES))
    for name in _TABLES:
        tables.table(data, name, required=name in ("schedule", "equations"))
    head, equations = data["schedule"], data["equations"]
    tables.keys(head, _HEAD, "schedule")
    tables.keys(equations, ("rule",), "equations")
    declared = tables.table(data, "hyperparameters")
    whole = tuple(name for name, raw in declared.items() if _is_whole(tables, name, raw))
    lists = tuple(_list(tables, name, raw) for name, raw in declared.items() if _is_list(raw))
    hyperparameters = tuple(
        read_hyperparameter(tables, name, _without(raw, "whole")) for name, raw in declared.items() if not _is_list(raw)
    )
    options = tuple(read_option(tables, name, raw) for name, raw in tables.table(data, "options").items())
    for table, names in (("hyperparameters", declared), ("options", [o.name for o in options])):
        for name in names:
            if name in OWN_NAMES:
                raise tables.fail(f"'{name}' has a meaning in a schedule", table, name, hint="choose another name")
    rule = tables.text(equations, None, "equations", "rule")
    start = rule_start(tables.source, rule)
    schedule = LrSchedule(
        name=tables.identifier(tables.string(head, None, "schedule", "name"), "schedule", "name"),
        class_name=tables.identifier(tables.string(head, None, "schedule", "class"), "schedule", "class"),
        title=tables.string(head, None, "schedule", "title"),
        summary=tables.string(head, None, "schedule", "summary"),
        references=read_references(tables, head, "schedule"),
        hyperparameters=hyperparameters,
        lists=_with_known_lengths(tables, lists),
        whole=whole,
        base=_base(tables, head, tuple(h.name for h in hyperparameters)),
        constraints=_constraints(tables, head, tuple(h.name for h in hyperparameters)),
        options=options,
        order=tuple(declared),
        equations=rule,
        body=parse_equations(tables.source, rule, start.line, start.column - 1, "", lists=True),
        dialects=read_dialects(tables, data, (*hyperparameters, *(in_place_of(found) for found in lists)), options),
        source=tables.source,
    )
    check_schedule(schedule)
    return schedule


def _is_list(raw: object) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("default"), list)


def _without(raw: object, key: str) -> object:
    return {name: value for name, value in raw.items() if name != key} if isinstance(raw, dict) else raw


def _is_whole(tables: Tables, name: str, raw: object) -> bool:
    if not isinstance(raw, dict) or not tables.flag(raw, "hyperparameters", name, "whole"):
        return False
    default = raw.get("default")
    if isinstance(default, float) and not default.is_integer():
        raise tables.fail_value("the default is not a whole number", "hyperparameters", name, "default")
    return True


def _list(tables: Tables, name: str, raw: Mapping[str, Any]) -> NumberList:
    table = "hyperparameters"
    tables.declared(name, table)
    entry = tables.inline(_without(raw, "whole"), _LIST, table, name)
    default = tuple(tables.number(value, table, name, "default", i) for i, value in enumerate(entry["default"]))
    text = tables.string(entry, "", table, name, "domain")
    try:
        domain = parse_domain(text, name) if "domain" in entry else Domain()
    except ValueError as error:
        message, hint = error.args
        raise tables.fail_value(message, table, name, "domain", hint=hint) from None
    increasing = tables.flag(entry, table, name, "increasing")
    for position, value in enumerate(default):
        if not domain.contains(value):
            hint = demand(domain, value)
            raise tables.fail_value(
                f"{value!r} is outside the domain of '{name}'", table, name, "default", position, hint=hint
            )
        if increasing and position and value <= default[position - 1]:
            raise tables.fail_value(f"the default of '{name}' does not increase here", table, name, "default", position)
    length = tables.string(entry, "", table, name, "length")
    found = _LENGTH.match(length)
    if length and not found:
        hint = 'write length = "len(boundaries) + 1"'
        raise tables.fail_value("a length is that of another list", table, name, "length", hint=hint)
    return NumberList(
        name=name,
        default=default,
        symbol=tables.symbol(entry, latex_name(name), table, name, "symbol"),
        domain=domain,
        meaning=tables.string(entry, "", table, name, "meaning"),
        increasing=increasing,
        as_long_as=found[1] if found else "",
        longer_by=int(found[2] or 0) if found else 0,
    )


def _with_known_lengths(tables: Tables, lists: tuple[NumberList, ...]) -> tuple[NumberList, ...]:
    """The lists, once it is known that each length is that of a list with as many entries."""
    lengths = {found.name: len(found.default) for found in lists}
    for found in lists:
        if not found.as_long_as:
            continue
        where = ("hyperparameters", found.name, "length")
        if found.as_long_as not in lengths or found.as_long_as == found.name:
            others = tuple(name for name in lengths if name != found.name)
            raise tables.fail_value(
                f"'{found.as_long_as}' is no other list", *where, hint=suggestion(found.as_long_as, others)
            )
        wanted = lengths[found.as_long_as] + found.longer_by
        if len(found.default) != wanted:
            raise tables.fail_value(
                f"by its length, the default has {wanted} entries, not {len(found.default)}", *where
            )
    return lists


def _base(tables: Tables, head: Mapping[str, Any], names: tuple[str, ...]) -> str:
    base = tables.string(head, "", "schedule", "base")
    if base and base not in names:
        raise tables.fail_value(f"'{base}' is no hyperparameter", "schedule", "base", hint=suggestion(base, names))
    return base


def _constraints(tables: Tables, head: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Constraint, ...]:
    found = []
    for position, text in enumerate(tables.strings(head, "schedule", "constraints")):
        where = ("schedule", "constraints", position)
        match = _CONSTRAINT.match(text)
        if match is None:
            hint = 'write "warmup_steps < decay_steps"'
            raise tables.fail_value("a constraint compares two hyperparameters", *where, hint=hint)
        for name in (match[1], match[3]):
            if name not in names:
                raise tables.fail_value(f"'{name}' is no hyperparameter", *where, hint=suggestion(name, names))
        found.append(Constraint(match[1], match[2], match[3]))
    return tuple(found)


def schedule_at(path: Path) -> LrSchedule:
    """The schedule of a file in a folder of specs, whose name is its file's.

    Raises:
        SpecError: the file is no valid schedule, or has another name.
        OSError: it cannot be read.
    """
    schedule = read_schedule(path, spec_label(path))
    if schedule.name != path.stem:
        where = schedule.source.location(schedule.source.find("schedule", "name"))
        raise SpecError(f"the name is '{schedule.name}' and the file's is '{path.stem}'", where, "make them the same")
    return schedule
