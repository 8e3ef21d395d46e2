"""Arithmetic that knows what float32 would lose.

Runs the interpreter's equations in float64 and carries, beside each value, a bound on the error that the same
operations in float32 may make: the first-order running error analysis of Higham, *Accuracy and Stability of Numerical
Algorithms*, 2nd ed., section 3.3. Errors are absolute, in units of the roundoff u = 2**-24. A target that computes in
float32 has to stay within the bound; nothing looser is asked, and nothing tighter can be.

Numbers of the step are not charged for every operation on them: a target folds them in float64 or by accurate
functions, and owes them to `STEP_ULPS` units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optgen.reference.arithmetic import NUMPY_FUNCTIONS

ROUNDOFF = 2.0**-24
#: What a number of the step, computed in float32 by a handful of operations, may be off by.
STEP_ULPS = 3.0
#: Below this, float32 has subnormal numbers, which some hardware and compilers flush to zero.
SMALLEST_NORMAL = 2.0**-126
#: Above this, float32 has infinity.
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value, and a bound on its error in units of the roundoff.

    `per_step` says that it is a number of the step, computed from numbers of the step alone.
    """

    value: Any
    error: Any
    per_step: bool = False

    def reshape(self, shape: tuple[int, ...]) -> Bounded:
        """The value and its bound in another shape."""
        return Bounded(np.reshape(self.value, shape), np.reshape(self.error, shape), self.per_step)


class Float32Bounds:
    """`interpret.Arithmetic` over `Bounded` values."""

    def literal(self, value: float) -> Bounded:
        return Bounded(np.float64(value), np.float64(0.0), per_step=True)

    def given(self, value: Any) -> Bounded:
        """Parameters, gradients and states are float32 numbers already: exact."""
        array = np.asarray(value, np.float64)
        return Bounded(array, np.zeros_like(array))

    def full(self, shape: tuple[int, ...], value: Bounded) -> Bounded:
        return Bounded(np.broadcast_to(value.value, shape), np.broadcast_to(value.error, shape))

    def apply(self, operator: str, *operands: Bounded) -> Bounded:
        with np.errstate(all="ignore"):
            values = [operand.value for operand in operands]
            value = NUMPY_FUNCTIONS[operator](*values)
            if all(operand.per_step for operand in operands):
                return Bounded(value, np.zeros_like(value, np.float64), per_step=True)
            errors = [
                operand.error + (STEP_ULPS * np.abs(operand.value) if _is_rounded(operand) else 0.0)
                for operand in operands
            ]
            error = _ERRORS[operator](value, values, errors)
            # NaN appears where Inf meets Inf or 0; the value decides there, not the bound. What float32 cannot hold
            # may be infinite, or not, depending on the order of the operations: nothing is asked of it.
            overflows = np.isfinite(value) & (np.abs(value) > LARGEST)
            return Bounded(value, np.where(np.isnan(error) | overflows, np.inf, error))

    def transpose(self, value: Bounded, order: tuple[int, ...]) -> Bounded:
        return Bounded(np.transpose(value.value, order), np.transpose(value.error, order), value.per_step)

    def reduce(self, operation: str, value: Bounded, axes: tuple[int, ...]) -> Bounded:
        with np.errstate(all="ignore"):
            count = int(np.prod([np.shape(value.value)[axis] for axis in axes], dtype=int))
            if operation == "sum":
                total = np.sum(value.value, axis=axes, keepdims=True)
                magnitude = np.sum(np.abs(value.value), axis=axes, keepdims=True)
                errors = np.sum(value.error, axis=axes, keepdims=True)
                return Bounded(total, errors + max(count - 1, 0) * magnitude)
            fold, start = (np.max, -np.inf) if operation == "max" else (np.min, np.inf)
            folded = fold(value.value, axis=axes, keepdims=True, initial=start)
            return Bounded(folded, np.max(value.error, axis=axes, keepdims=True, initial=0.0))

    def total(self, operation: str, values: Sequence[Bounded]) -> Bounded:
        stacked = Bounded(
            np.stack([np.reshape(v.value, ()) for v in values]), np.stack([np.reshape(v.error, ()) for v in values])
        )
        return self.reduce(operation, stacked, (0,)).reshape(())


def _is_rounded(operand: Bounded) -> bool:
    """Whether a number of the step is rounded when it is cast to float32; small integers and the like are not."""
    return operand.per_step and bool(np.any(np.float64(np.float32(operand.value)) != operand.value))


Values = list[Any]
Rule = Callable[[Any, Values, Values], Any]


def _rounded(value: Any) -> Any:
    """The rounding of the operation itself, and the flushing of a subnormal result."""
    return np.abs(value) + SMALLEST_NORMAL / ROUNDOFF


def _times(a: Any, error: Any) -> Any:
    """`|a|*error`, where no error stays none however large a is."""
    return np.where(error == 0, 0.0, np.abs(a) * error)


def _sum(value: Any, x: Values, e: Values) -> Any:
    return e[0] + e[1] + _rounded(value)


def _product(value: Any, x: Values, e: Values) -> Any:
    return _times(x[0], e[1]) + _times(x[1], e[0]) + e[0] * e[1] * ROUNDOFF + _rounded(value)


def _quotient(value: Any, x: Values, e: Values) -> Any:
    # The denominator may be as small as |b| - its error; a first-order bound would miss a near zero.
    least = np.maximum(np.abs(x[1]) - e[1] * ROUNDOFF, 0.0)
    return np.where((e[0] == 0) & (e[1] == 0), 0.0, (e[0] + _times(value, e[1])) / least) + _rounded(value)


def _root(value: Any, x: Values, e: Values) -> Any:
    first_order = e[0] / (2 * value)
    near_zero = np.sqrt(np.maximum(e[0], 0.0) * ROUNDOFF) / ROUNDOFF
    return np.where(e[0] == 0, 0.0, np.fmin(first_order, near_zero)) + _rounded(value)


def _power(value: Any, x: Values, e: Values) -> Any:
    base = np.where(e[0] == 0, 0.0, np.abs(x[1] * np.power(x[0], x[1] - 1)) * e[0])
    exponent = np.where(e[1] == 0, 0.0, np.abs(value * np.log(np.abs(x[0]))) * e[1])
    return base + exponent + (1.0 if np.all(x[1] == 2) else 4.0) * _rounded(value)


def _decided(difference: Any, errors: Any) -> Any:
    """An infinite error where a condition may come out either way."""
    return np.where((errors > 0) & (np.abs(difference) <= errors * ROUNDOFF), np.inf, 0.0)


def _comparison(value: Any, x: Values, e: Values) -> Any:
    return _decided(x[0] - x[1], e[0] + e[1])


def _step(value: Any, x: Values, e: Values) -> Any:
    """A function that jumps at the integers."""
    distance = np.abs(x[0] - np.round(x[0]))
    return np.where((e[0] > 0) & (distance <= e[0] * ROUNDOFF), 1.0 / ROUNDOFF, 0.0)


def _sign(value: Any, x: Values, e: Values) -> Any:
    # A subnormal operand may have been flushed, and then its sign is 0.
    unsure = (e[0] > 0) & (np.abs(x[0]) <= e[0] * ROUNDOFF)
    return np.where(unsure, 2.0 / ROUNDOFF, 0.0)


def _where(value: Any, x: Values, e: Values) -> Any:
    sure = np.where(x[0], e[1], e[2])
    return np.where(e[0] > 0, np.maximum(np.maximum(e[1], e[2]), np.abs(x[1] - x[2]) / ROUNDOFF), sure)


_ERRORS: dict[str, Rule] = {
    "+": _sum,
    "-": _sum,
    "*": _product,
    "/": _quotient,
    "**": _power,
    "%": lambda v, x, e: e[0] + e[1],
    "neg": lambda v, x, e: e[0],
    "sqrt": _root,
    "abs": lambda v, x, e: e[0],
    "sign": _sign,
    "exp": lambda v, x, e: _times(v, e[0]) + 2 * _rounded(v),
    "log": lambda v, x, e: e[0] / np.abs(x[0]) + 2 * _rounded(v),
    "sin": lambda v, x, e: e[0] + 2 * _rounded(v),
    "cos": lambda v, x, e: e[0] + 2 * _rounded(v),
    "tanh": lambda v, x, e: e[0] + 4 * _rounded(v),
    "floor": _step,
    "ceil": _step,
    "max": lambda v, x, e: np.maximum(e[0], e[1]),
    "min": lambda v, x, e: np.maximum(e[0], e[1]),
    "where": _where,
    "<": _comparison,
    "<=": _comparison,
    ">": _comparison,
    ">=": _comparison,
    "==": _comparison,
    "!=": _comparison,
    "and": lambda v, x, e: np.maximum(e[0], e[1]),
    "or": lambda v, x, e: np.maximum(e[0], e[1]),
    "not": lambda v, x, e: e[0],
}
