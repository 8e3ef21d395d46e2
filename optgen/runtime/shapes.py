"""Where the numbers of each kind stand in memory, as the index arithmetic of generated kernels expects it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optgen.contract.kinds import Kind, kept_shapes


def shape_numbers(shape: Sequence[int]) -> dict[str, int]:
    """The numbers of a shape that equations and kernels ask for.

    `size`, `rank`, `rows` and `columns`, and of how many rows, columns and matrices there is one number each.
    """
    rows, columns = shape[-2] if len(shape) >= 2 else 1, shape[-1] if shape else 1
    matrices = math.prod(shape[:-2])
    return {
        "size": math.prod(shape),
        "rank": len(shape),
        "rows": rows,
        "columns": columns,
        "row_count": matrices * rows,
        "column_count": matrices * columns,
        "matrix_count": matrices,
    }


def count_of(kind: Kind, shape: Sequence[int]) -> int:
    """How many numbers there are of a kind; vectors per axis stand one after the other."""
    return sum(math.prod(kept) for kept in kept_shapes(kind, tuple(shape)))


def axis_table(shape: Sequence[int]) -> list[int]:
    """For each axis its length, its stride and where its vector begins; a single number has one axis of length 1."""
    table: list[int] = []
    first = 0
    for axis, length in enumerate(shape):
        table += [length, math.prod(shape[axis + 1 :]), first]
        first += length
    return table or [1, 1, 0]


def slice_maps(extent: str, source: Kind, shape: Sequence[int]) -> list[dict[str, int]]:
    """The folds along axes that make up one of an extent: one, or for `other_axes` one for each axis.

    Each maps number `o` of the result (of `outer`, the first of which stands at `first`) and number `k` of what it
    folds (of `inner`) to a place in the array; see `optgen.contract.kernel_plan`.

    Raises:
        ValueError: there is no such fold.
    """
    numbers = shape_numbers(shape)
    rows, columns = numbers["rows"], numbers["columns"]
    matrices = math.prod(shape[:-2])
    match extent, source:
        case "rows", Kind.ELEMENT:
            return [_map(0, (matrices * columns, rows), (columns, rows * columns, 1), (1, columns, 0))]
        case "columns", Kind.ELEMENT:
            return [_map(0, (matrices * rows, columns), (1, columns, 0), (1, 1, 0))]
        case "rows", Kind.ROW:
            return [_map(0, (matrices, rows), (1, rows, 0), (1, 1, 0))]
        case "columns", Kind.COLUMN:
            return [_map(0, (matrices, columns), (1, columns, 0), (1, 1, 0))]
        case "other_axes", Kind.ELEMENT:
            maps = []
            table = axis_table(shape)
            for axis in range(len(table) // 3):
                length, stride, first = table[3 * axis : 3 * axis + 3]
                inner = math.prod(other for a, other in enumerate(shape) if a != axis)
                maps.append(_map(first, (length, inner), (1, stride, 0), (stride, length * stride, 1)))
            return maps
    raise ValueError(f"no fold of {source.value} values over {extent!r}")


def _map(
    first: int, counts: tuple[int, int], result: tuple[int, int, int], folded: tuple[int, int, int]
) -> dict[str, int]:
    names = ("first", "outer", "inner", "out_turn", "out_far", "out_near", "in_turn", "in_far", "in_near")
    found = dict(zip(names, (first, *counts, *result, *folded), strict=True))
    # An empty axis would have kernels divide by zero; it has nothing to index.
    return found | {turn: max(1, found[turn]) for turn in ("out_turn", "in_turn")}
