"""Arithmetic of the interpreter: numpy's functions in float64, or another implementation of the same operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from optgen.reference.functions import REFERENCE_FUNCTIONS

#: A number or array of whatever arithmetic is in use.
Value = Any
Array = npt.NDArray[np.float64]


class Arithmetic(Protocol):
    """The arithmetic that the interpreter uses. Arrays broadcast as numpy's do."""

    def literal(self, value: float) -> Value:
        """A number of the equations."""
        ...

    def given(self, value: Array) -> Value:
        """A number from outside: parameter, gradient, state or input."""
        ...

    def full(self, shape: tuple[int, ...], value: Value) -> Value:
        """A number spread over a shape."""
        ...

    def apply(self, operator: str, *operands: Value) -> Value:
        """An operator or function of the language, elementwise."""
        ...

    def transpose(self, value: Value, order: tuple[int, ...]) -> Value:
        """The axes in another order."""
        ...

    def reduce(self, operation: str, value: Value, axes: tuple[int, ...]) -> Value:
        """`sum`, `max` or `min` over axes, which stay with length 1."""
        ...

    def total(self, operation: str, values: Sequence[Value]) -> Value:
        """`sum`, `max` or `min` of one value from each tensor."""
        ...


class Float64:
    """IEEE double arithmetic by numpy."""

    _folds: Mapping[str, Callable[..., Any]] = {"sum": np.sum, "max": np.max, "min": np.min}
    _empty: Mapping[str, float] = {"sum": 0.0, "max": -np.inf, "min": np.inf}

    def literal(self, value: float) -> Value:
        return np.float64(value)

    def given(self, value: Array) -> Value:
        return np.asarray(value, np.float64)

    def full(self, shape: tuple[int, ...], value: Value) -> Value:
        return np.broadcast_to(value, shape)

    def apply(self, operator: str, *operands: Value) -> Value:
        with np.errstate(all="ignore"):
            return REFERENCE_FUNCTIONS[operator].value(*operands)

    def transpose(self, value: Value, order: tuple[int, ...]) -> Value:
        return np.transpose(value, order)

    def reduce(self, operation: str, value: Value, axes: tuple[int, ...]) -> Value:
        with np.errstate(all="ignore"):
            return self._folds[operation](value, axis=axes, keepdims=True, initial=self._empty[operation])

    def total(self, operation: str, values: Sequence[Value]) -> Value:
        with np.errstate(all="ignore"):
            return self._folds[operation](np.stack([np.reshape(v, ()) for v in values]))
