"""The rows of the driver's table, and the values in them, against the structures and enums of C's headers."""

from __future__ import annotations

import re
from enum import IntEnum

import pytest

from optgen.runtime.native import rows
from optgen.runtime.native.c_compiler import SOURCES

ROWS = {
    "header": rows.Header,
    "operand": rows.OperandRow,
    "group": rows.GroupRow,
    "transfer": rows.TransferRow,
    "item": rows.ItemRow,
    "argument": rows.ArgumentRow,
    "total": rows.TotalRow,
    "phase": rows.PhaseRow,
}

ENUMS = {
    "storage_type": rows.StorageType,
    "space": rows.Space,
    "form": rows.Form,
    "indexing": rows.Indexing,
    "access_mode": rows.AccessMode,
    "direction": rows.Direction,
    "reduction": rows.Reduction,
}


def header(name: str) -> str:
    """A header without its comments."""
    return re.sub(r"/\*.*?\*/", "", (SOURCES / name).read_text(), flags=re.DOTALL)


def blocks(name: str, kind: str) -> dict[str, str]:
    """What stands between the braces of the structures or enums of a header, by their names."""
    return dict(re.findall(rf"\b{kind}\s+(\w+)\s*\{{(.*?)\}};", header(name), re.DOTALL))


def fields(body: str) -> tuple[str, ...]:
    """The names of a structure's fields, all of which are int64s."""
    declarations = [line.strip() for line in body.split(";") if line.strip()]
    assert all(declaration.startswith("int64_t ") for declaration in declarations)
    return tuple(name.strip() for d in declarations for name in d.removeprefix("int64_t ").split(","))


def members(body: str) -> dict[str, int]:
    """The names of an enum with their values."""
    values: dict[str, int] = {}
    for position, member in enumerate(body.split(",")):
        name, _, value = member.partition("=")
        values[name.strip()] = int(value) if value else position
    return values


STRUCTURES = blocks("table.h", "struct")
C_ENUMS = blocks("table.h", "enum")


def test_all_structures_and_enums_are_compared() -> None:
    assert STRUCTURES.keys() == ROWS.keys()
    assert C_ENUMS.keys() == ENUMS.keys()
    declared = {value for value in vars(rows).values() if isinstance(value, type) and value.__module__ == rows.__name__}
    assert declared == {*ROWS.values(), *ENUMS.values(), rows.SliceCounts, rows.Within}


@pytest.mark.parametrize("name", ROWS)
def test_rows_have_the_fields_of_structures(name: str) -> None:
    assert ROWS[name]._fields == fields(STRUCTURES[name])


@pytest.mark.parametrize("name", ENUMS)
def test_enums_have_the_same_values(name: str) -> None:
    assert values_of(ENUMS[name]) == members(C_ENUMS[name])


def test_what_a_stretch_lies_within() -> None:
    within = members(blocks("sizes.h", "enum")["optgen_within"])
    assert {f"OPTGEN_{name}": value for name, value in values_of(rows.Within).items()} == within


def test_counts_of_slices_are_fields_of_items() -> None:
    first = rows.ItemRow._fields.index("results")
    assert rows.ItemRow._fields[first : first + 5] == rows.SliceCounts._fields


def values_of(enum: type[IntEnum]) -> dict[str, int]:
    return {member.name: member.value for member in enum}
