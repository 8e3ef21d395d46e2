"""Reductions along axes, as the driver goes through them: which numbers each result is computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from optgen.contract.kinds import Kind
from optgen.runtime.native.chunks import BAND, BAND_NUMBERS, CHUNK, WIDEST, Chunks, part_count, part_size
from optgen.runtime.native.rows import Direction, Form, SliceCounts
from optgen.runtime.shapes import shape_numbers


@dataclass(frozen=True, slots=True)
class Across:
    """A reduction over runs of numbers that lie apart.

    Attributes:
        results: how many there are.
        runs: how many make up one result.
        length: numbers of a run.
        run_stride, result_stride: numbers from one run of a result to the next, and from a result's first to the next
            one's.
    """

    form: ClassVar = Form.ACROSS
    results: int
    runs: int
    length: int
    run_stride: int
    result_stride: int

    @property
    def counts(self) -> SliceCounts:
        """The reduction as an item says it."""
        return SliceCounts(self.results, self.runs, self.length, self.run_stride, self.result_stride)

    @property
    def chunks(self) -> Chunks:
        """The results as they are shared out."""
        size = max(1, CHUNK // max(1, self.runs * self.length))
        return Chunks(size, -(-self.results // size))

    def result_count(self, direction: Direction) -> int:
        """How many numbers it writes to an array of results; one direction is as good as the other."""
        return self.results


@dataclass(frozen=True, slots=True)
class Bands:
    """A reduction along the rows of matrices, or down their columns, or both.

    Attributes:
        matrices: how many there are.
        rows, columns: of each.
        band, block: rows and columns of the parts into which large matrices are taken.
    """

    form: ClassVar = Form.BANDS
    matrices: int
    rows: int
    columns: int
    band: int
    block: int

    @property
    def counts(self) -> SliceCounts:
        """The reduction as an item says it."""
        return SliceCounts(self.matrices, self.rows, self.columns, self.band, self.block)

    @property
    def chunks(self) -> Chunks:
        """The matrices as they are shared out: several small ones to a chunk, or one part of a large one."""
        parts = part_count(self.rows, self.band) * part_count(self.columns, self.block)
        size = 1 if parts > 1 else max(1, CHUNK // max(1, self.rows * self.columns))
        return Chunks(size, -(-self.matrices // size) * parts)

    def result_count(self, direction: Direction) -> int:
        """How many numbers it writes to an array of results: one for each column, or row, of every part."""
        each = self.columns if direction is Direction.DOWNWARD else self.rows
        return self.matrices * self.part_count(direction) * each

    def part_count(self, direction: Direction) -> int:
        """How many partial results there are for each result."""
        if direction is Direction.DOWNWARD:
            return part_count(self.rows, self.band)
        return part_count(self.columns, self.block)

    def joining(self, direction: Direction) -> Joining:
        """How its partial results become results."""
        results = self.columns if direction is Direction.DOWNWARD else self.rows
        return Joining(self.matrices, self.part_count(direction), results)


@dataclass(frozen=True, slots=True)
class Joining:
    """The reduction of partial results.

    Attributes:
        matrices: how many there are.
        parts: partial results for each result.
        results: of each matrix.
    """

    matrices: int
    parts: int
    results: int

    @property
    def counts(self) -> SliceCounts:
        """The reduction as an item says it."""
        return SliceCounts(self.matrices, self.parts, self.results)

    @property
    def partial_count(self) -> int:
        """How many partial results there are."""
        return self.matrices * self.parts * self.results


#: A reduction for which a kernel computes what is reduced.
Slices = Across | Bands


def slices_of(extent: str, domain: Kind, shape: tuple[int, ...]) -> list[Slices]:
    """The reductions that make up one over an extent: one, or for `other_axes` one for each axis.

    Raises:
        ValueError: there is no such reduction.
    """
    numbers = shape_numbers(shape)
    rows, columns = numbers["rows"], numbers["columns"]
    matrices = math.prod(shape[:-2])
    match extent, domain:
        case "rows" | "columns" | "lines", Kind.ELEMENT:
            return [_bands(matrices, rows, columns)]
        case "rows", Kind.ROW:
            return [_bands(1, matrices, rows)]
        case "columns", Kind.COLUMN:
            return [_bands(1, matrices, columns)]
        case "other_axes", Kind.ELEMENT:
            return [_over_others(shape, axis) for axis in range(len(shape))] or [_bands(1, 1, 1)]
    raise ValueError(f"no reduction of {domain.value} values over {extent!r}")


def _over_others(shape: tuple[int, ...], axis: int) -> Slices:
    """The reduction over all axes but one."""
    length, stride, before = shape[axis], math.prod(shape[axis + 1 :]), math.prod(shape[:axis])
    if axis == len(shape) - 1:
        return _bands(1, before, length)
    return Across(length, before, stride, length * stride, stride)


def _bands(matrices: int, rows: int, columns: int) -> Bands:
    block = part_size(columns, -(-columns // WIDEST))
    return Bands(matrices, rows, columns, part_size(rows, rows // max(BAND, -(-BAND_NUMBERS // block))), block)
