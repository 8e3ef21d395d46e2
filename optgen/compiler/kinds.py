"""Kinds: how many numbers a value is.

A tensor is seen as a stack of matrices: `columns` runs over its last matrix axis, `rows` over the one before, and
whatever other axes it has count the matrices. A kind says over which of these indices a value varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

#: Numbers of a tensor's shape, as equations and the compiler call them.
SHAPE_SYMBOLS = ("size", "rank", "rows", "columns", "row_count", "column_count", "matrix_count")
#: Numbers of the shapes of all tensors.
MODEL_SYMBOLS = ("model_size", "tensor_count")
#: Names that stand for Python numbers, known without any tensor's values.
SIZE_SYMBOLS = (*SHAPE_SYMBOLS, *MODEL_SYMBOLS)


class Kind(Enum):
    """How many numbers a value is, from fewest to most."""

    CONSTANT = "constant"  # one, known when the optimizer is built
    STEP = "step"  # one per step
    GLOBAL = "global"  # one per step, and it takes all tensors to know it
    TENSOR = "tensor"  # one per parameter tensor
    MATRIX = "matrix"  # one per matrix of a tensor
    ROW = "row"  # one per row of each matrix
    COLUMN = "column"  # one per column of each matrix
    AXIS = "axis"  # a vector for each axis of the tensor, one number per position along it
    ELEMENT = "element"  # one per element

    @property
    def is_scalar(self) -> bool:
        """One number for a whole tensor, or for more than that."""
        return self in (Kind.CONSTANT, Kind.STEP, Kind.GLOBAL, Kind.TENSOR)

    @property
    def is_per_step(self) -> bool:
        """One number, known before any tensor is looked at."""
        return self in (Kind.CONSTANT, Kind.STEP)


_RANK = {
    Kind.CONSTANT: 0,
    Kind.STEP: 1,
    Kind.GLOBAL: 2,
    Kind.TENSOR: 3,
    Kind.MATRIX: 4,
    Kind.AXIS: 4,
    Kind.ROW: 5,
    Kind.COLUMN: 5,
    Kind.ELEMENT: 6,
}


class KindMismatch(Exception):
    """Two kinds that no broadcasting brings together."""


def join(a: Kind, b: Kind) -> Kind:
    """The kind of a value computed from values of two kinds.

    Raises:
        KindMismatch: one is per axis and the other varies within a tensor in another way.
    """
    if a is b:
        return a
    low, high = sorted((a, b), key=_RANK.__getitem__)
    if high is Kind.AXIS or low is Kind.AXIS:
        if low.is_scalar:
            return high
        raise KindMismatch
    if _RANK[low] == _RANK[high]:
        return Kind.ELEMENT  # a row and a column: their outer product
    return high


#: What a reduction makes of a kind, for each extent that fits it.
_REDUCED = {
    "rows": {Kind.ELEMENT: Kind.COLUMN, Kind.ROW: Kind.MATRIX},
    "columns": {Kind.ELEMENT: Kind.ROW, Kind.COLUMN: Kind.MATRIX},
    "other_axes": {Kind.ELEMENT: Kind.AXIS},
    "axes": {Kind.AXIS: Kind.ELEMENT},
    "tensor": dict.fromkeys((Kind.ELEMENT, Kind.ROW, Kind.COLUMN, Kind.MATRIX), Kind.TENSOR),
    "model": dict.fromkeys((Kind.ELEMENT, Kind.TENSOR), Kind.GLOBAL),
}


def reduced(kind: Kind, over: str) -> Kind:
    """The kind that is left when a value is folded over an extent.

    Raises:
        KindMismatch: the value does not vary over that extent.
    """
    try:
        return _REDUCED[over][kind]
    except KeyError:
        raise KindMismatch from None


def reducible(kind: Kind) -> tuple[str, ...]:
    """The extents that a value of a kind can be folded over."""
    return tuple(over for over, table in _REDUCED.items() if kind in table)


def matrix_order(matrix_axes: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The order that brings a tensor's matrix axes to the end; of the largest two, the longer one is the last.

    Of equally long axes the later ones count as longer.
    """
    axes = range(len(shape))
    if matrix_axes == "last":
        return tuple(axes)
    largest = sorted(axes, key=lambda axis: shape[axis])[-2:]
    return (*(axis for axis in axes if axis not in largest), *largest)


def inverse_order(order: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes another."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def kept_shapes(kind: Kind, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that a value of a kind has for a tensor: one, or for a vector per axis one for each axis.

    Axes that a value does not vary along have length 1, so that it broadcasts against the tensor.
    """
    rank = len(shape)
    match kind:
        case Kind.CONSTANT | Kind.STEP | Kind.GLOBAL | Kind.TENSOR:
            return [()]
        case Kind.MATRIX:
            return [(*shape[:-2], *(1,) * min(rank, 2))]
        case Kind.ROW:
            return [(*shape[:-1], 1)] if rank else [()]
        case Kind.COLUMN:
            return [(*shape[:-2], 1, shape[-1])] if rank >= 2 else [shape]
        case Kind.AXIS:
            return [tuple(n if a == axis else 1 for a, n in enumerate(shape)) for axis in range(rank)] or [()]
        case Kind.ELEMENT:
            return [shape]
