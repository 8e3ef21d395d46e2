"""How the numbers of a tensor are shared out: in chunks that do not depend on how many threads there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optgen.contract.kernel_plan import BLOCKS, Launch
from optgen.contract.kinds import Kind
from optgen.runtime.shapes import count_of, shape_numbers

#: How the driver goes through an array, as in c/table.h.
STRETCHES, ACROSS, BANDS, COPY, JOIN = range(5)

#: Numbers that one thread goes through before it looks for further work; partial results of folds are per chunk.
CHUNK = 16384
#: Rows of a band, at least on average, where a large matrix is folded, and its numbers: one partial result for each of
#: its columns is kept.
BAND = 256
BAND_NUMBERS = 2 * CHUNK
#: Lines of at most so many numbers are handed to a kernel several at a time.
SHORT = 64
#: What a kernel is handed at once, numbers of a row that one thread folds at most, and how many arrays a kernel may
#: take, as in c/sizes.h.
STRETCH = 1024
WIDEST = 4096
MOST_ARGUMENTS = 96
#: Numbers below which a further thread does not pay.
PER_THREAD = 32768


def chunked(form: int, count: int, slices: Sequence[int]) -> tuple[int, int]:
    """How much one thread does at a time, and how often."""
    if form in (STRETCHES, COPY, JOIN):
        return CHUNK, -(-count // CHUNK)
    results, runs, length, band, block = slices
    if form == ACROSS:
        chunk = max(1, CHUNK // max(1, runs * length))
        return chunk, -(-results // chunk)
    parts = parts_of(runs, band) * parts_of(length, block)
    chunk = 1 if parts > 1 else max(1, CHUNK // max(1, runs * length))
    return chunk, -(-results // chunk) * parts


def shared_out(count: int, parts: int) -> int:
    """How large parts are, the last aside, that are as alike as they can be; 1 of nothing."""
    return max(1, -(-count // max(1, parts)))


def parts_of(count: int, size: int) -> int:
    """How many parts of at most a size there are; one of nothing."""
    return max(1, -(-count // size))


def chunks_of(launch: Launch, shape: tuple[int, ...]) -> int:
    """How many partial results a launch leaves for each of its folds."""
    if launch.form != BLOCKS:
        return 1
    return -(-count_of(Kind(launch.domain), shape) // CHUNK)


def slices_of(extent: str, domain: Kind, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The folds along axes that make up one: form, and what c/table.h says of that: results, runs, length, two strides.

    Raises:
        ValueError: there is no such fold.
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
            found: list[tuple[int, ...]] = []
            for axis, length in enumerate(shape):
                stride, before = math.prod(shape[axis + 1 :]), math.prod(shape[:axis])
                is_last = axis == len(shape) - 1
                found.append(
                    _bands(1, before, length) if is_last else (ACROSS, length, before, stride, length * stride, stride)
                )
            return found or [_bands(1, 1, 1)]
    raise ValueError(f"no fold of {domain.value} values over {extent!r}")


def _bands(matrices: int, rows: int, columns: int) -> tuple[int, ...]:
    width = shared_out(columns, -(-columns // WIDEST))
    return (BANDS, matrices, rows, columns, shared_out(rows, rows // max(BAND, -(-BAND_NUMBERS // width))), width)
