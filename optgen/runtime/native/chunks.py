"""How the numbers of a tensor are shared out: in chunks that do not depend on how many threads there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optgen.compiler.kinds import Kind
from optgen.runtime.slices import count_of, shape_numbers
from optgen.targets.kernels.plan import BLOCKS, Launch

#: How the driver goes through an array, as in c/table.h.
STRETCHES, ACROSS, DOWN, COPY = range(4)

#: Numbers that one thread goes through before it looks for further work; partial results of folds are per chunk.
CHUNK = 16384
#: What a kernel is handed at once, and how many arrays it may take, as in c/sizes.h.
STRETCH = 1024
MOST_ARGUMENTS = 96
#: Numbers below which a further thread does not pay.
PER_THREAD = 32768


def chunked(form: int, count: int, slices: Sequence[int]) -> tuple[int, int]:
    """How much one thread does at a time, and how often."""
    if form in (STRETCHES, COPY):
        return CHUNK, -(-count // CHUNK)
    results, runs, length, *_ = slices
    if form == ACROSS:
        chunk = max(1, CHUNK // max(1, runs * length))
        return chunk, -(-results // chunk)
    if not length:
        return 1, 0
    # Narrow enough for several threads to have something to do, wide enough for vectors.
    width = min(STRETCH, length if count <= CHUNK else max(64, -(-length // 8)))
    return width, results // length * -(-length // width)


def chunks_of(launch: Launch, shape: tuple[int, ...]) -> int:
    """How many partial results a launch leaves for each of its folds."""
    if launch.form != BLOCKS:
        return 1
    return -(-count_of(Kind(launch.domain), shape) // CHUNK)


def slices_of(extent: str, domain: Kind, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The folds along axes that make up one: form, results, runs, length, and strides of runs and of results.

    Raises:
        ValueError: there is no such fold.
    """
    numbers = shape_numbers(shape)
    rows, columns = numbers["rows"], numbers["columns"]
    matrices = math.prod(shape[:-2])
    match extent, domain:
        case "rows", Kind.ELEMENT:
            return [(DOWN, matrices * columns, rows, columns, 0, 0)]
        case "columns", Kind.ELEMENT:
            return [(ACROSS, matrices * rows, 1, columns, 0, columns)]
        case "rows", Kind.ROW:
            return [(ACROSS, matrices, 1, rows, 0, rows)]
        case "columns", Kind.COLUMN:
            return [(ACROSS, matrices, 1, columns, 0, columns)]
        case "other_axes", Kind.ELEMENT:
            found: list[tuple[int, ...]] = []
            for axis, length in enumerate(shape):
                stride, before = math.prod(shape[axis + 1 :]), math.prod(shape[:axis])
                is_last = axis == len(shape) - 1
                found.append(
                    (DOWN, length, before, length, 0, 0)
                    if is_last
                    else (ACROSS, length, before, stride, length * stride, stride)
                )
            return found or [(DOWN, 1, 1, 1, 0, 0)]
    raise ValueError(f"no fold of {domain.value} values over {extent!r}")
