"""Arithmetic that knows what float32 would lose.

Runs the interpreter's equations in float64 and carries, beside each value, a bound on the error that the same
operations in float32 may make: the first-order running error analysis of Higham, *Accuracy and Stability of Numerical
Algorithms*, 2nd ed., section 3.3. Errors are absolute, in units of the roundoff u = 2**-24. A target that computes in
float32 has to stay within the bound; nothing looser is asked, and nothing tighter can be.

Numbers of the step are not charged for every operation on them: a target folds them in float64 or by accurate
functions, and owes them to `STEP_ULPS` units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optgen.reference.functions import LARGEST, REFERENCE_FUNCTIONS

#: What a number of the step, computed in float32 by a handful of operations, may be off by.
STEP_ULPS = 3.0


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
            function = REFERENCE_FUNCTIONS[operator]
            value = function.value(*values)
            if all(operand.per_step for operand in operands):
                return Bounded(value, np.zeros_like(value, np.float64), per_step=True)
            errors = [
                operand.error + (STEP_ULPS * np.abs(operand.value) if _is_rounded(operand) else 0.0)
                for operand in operands
            ]
            error = function.error(value, values, errors)
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
