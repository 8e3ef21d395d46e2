"""The rows of the driver's table, field by field as the structures of c/table.h, and the values that stand in them.

A row is a named tuple of integers: rows put one after the other are the int64s that C reads.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class StorageType(IntEnum):
    """How numbers of an array are stored; the last three are formats of states."""

    FLOAT32 = 0
    FLOAT64 = 1
    BFLOAT16 = 2
    FLOAT16 = 3
    INT32 = 4
    INT64 = 5
    BFLOAT16_STOCHASTIC = 6
    EIGHT_BIT = 7
    EIGHT_BIT_STOCHASTIC = 8


class Space(IntEnum):
    """Whose table a single number stands in."""

    OF_STEP = 0
    OF_TENSOR = 1
    OF_MODEL = 2


class Form(IntEnum):
    """How the driver goes through an array; `COPY` and `JOIN` take no kernel."""

    STRETCHES = 0
    ACROSS = 1
    BANDS = 2
    COPY = 3
    JOIN = 4


class Indexing(IntEnum):
    """Which number of an array belongs to each number that a kernel goes through.

    `SAME` is the number at the same place, `LINE`, `COLUMN` and `MATRIX` that of its line, column or matrix, `AXES` one
    of each of the vectors of the axes; `PART` is none, since the array takes results of a reduction.
    """

    SAME = 0
    LINE = 1
    COLUMN = 2
    MATRIX = 3
    AXES = 4
    PART = 5


class AccessMode(IntEnum):
    """Whether a kernel reads an array, writes it, or does both."""

    IN = 1
    OUT = 2
    INOUT = 3


class Direction(IntEnum):
    """Whether a matrix is reduced along its rows or down its columns."""

    ALONG = 0
    DOWNWARD = 1


class Reduction(IntEnum):
    """The number to which numbers are reduced."""

    SUM = 0
    MAX = 1
    MIN = 2


class Within(IntEnum):
    """The part of a tensor that a stretch of numbers lies within; `LINES` are several rows or columns."""

    ROW = 0
    COLUMN = 1
    LINES = 2


class Header(NamedTuple):
    """The begin of a table: where its sections begin, in int64s, and how many rows some of them have."""

    workspace: int
    scalars: int
    is_update: int
    most_threads: int
    operands: int
    layouts: int
    groups: int
    group_count: int
    transfers_in: int
    transfer_in_count: int
    transfers_out: int
    transfer_out_count: int
    items: int
    arguments: int
    totals: int
    phases: int
    phase_count: int


class OperandRow(NamedTuple):
    """An array of a tensor."""

    buffer: int
    at: int
    type: StorageType
    depth: int
    lag: int
    slot: int
    layout: int
    stream: int
    scales: int
    length: int


class GroupRow(NamedTuple):
    """The tensors that take the same case."""

    step: int
    wide_at: int
    narrow_at: int
    model_at: int


class TransferRow(NamedTuple):
    """A single number on its way from an array to a table of numbers, or back."""

    space: Space
    at: int
    bits: int
    entry: int
    operand: int
    value: int = 0


class SliceCounts(NamedTuple):
    """The fields of an item that describe a reduction along axes, see `optgen.runtime.native.slices`."""

    results: int
    runs: int
    length: int
    run_stride: int = 0
    result_stride: int = 0


class ItemRow(NamedTuple):
    """One kernel for one tensor, or one copy; `arguments` and `totals` are the rows at which its own begin."""

    function: int
    form: Form
    bits: int
    group: int
    rank: int
    tensor_at: int
    numbers: int
    line: int
    rows: int
    chunk: int
    first_chunk: int
    chunks: int
    arguments: int
    argument_count: int
    totals: int
    total_count: int
    results: int = 0
    runs: int = 0
    length: int = 0
    run_stride: int = 0
    result_stride: int = 0
    within: Within = Within.ROW


class ArgumentRow(NamedTuple):
    """An array that a kernel takes."""

    operand: int
    indexing: Indexing
    access: AccessMode | Direction
    reduction: Reduction
    parts_at: int
    type: StorageType

    @classmethod
    def of_array(cls, operand: int, indexing: Indexing, access: AccessMode, type: StorageType) -> ArgumentRow:
        """An array that is not of a reduction."""
        return cls(operand, indexing, access, Reduction.SUM, 0, type)


class TotalRow(NamedTuple):
    """Partial results that are reduced before a kernel runs."""

    reduction: Reduction
    parts_at: int
    part_count: int
    space: Space
    entry: int


class PhaseRow(NamedTuple):
    """Items that do not wait for each other."""

    first: int
    item_count: int
    chunks: int
