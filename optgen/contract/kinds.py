"""Kinds: how many numbers a value is, and how a tensor is seen as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

#: Numbers of a tensor's shape, as equations and the compiler call them.
SHAPE_SYMBOLS = ("size", "rank", "rows", "columns", "row_count", "column_count", "matrix_count")

#: Numbers of the shapes of all tensors.
MODEL_SYMBOLS = ("model_size", "tensor_count")

#: Names that stand for Python numbers, known without any tensor's values.
SIZE_SYMBOLS = (*SHAPE_SYMBOLS, *MODEL_SYMBOLS)


class Kind(StrEnum):
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
