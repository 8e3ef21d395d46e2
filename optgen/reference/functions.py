"""The operators and functions of the language on numbers: one row for each, its float64 value and its error in float32.

An error is a bound on what a target that computes in float32 may be off by, in units of the roundoff u = 2**-24, given
such bounds for the operands: see `bounds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDOFF = 2.0**-24
#: Below this, float32 has subnormal numbers, which some hardware and compilers flush to zero.
SMALLEST_NORMAL = 2.0**-126
#: Above this, float32 has infinity.
LARGEST = float(np.finfo(np.float32).max)

Values = list[Any]
ErrorRule = Callable[[Any, Values, Values], Any]


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


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def _sigmoid_error(value: Any, x: Values, e: Values) -> Any:
    # The slope is value*(1 - value).
    return np.minimum(_times(value, e[0]), e[0] / 4) + 6 * _rounded(value)


#: numpy has no erf of its own; Python's is the C library's, to about one unit in the last place.
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _erf_error(value: Any, x: Values, e: Values) -> Any:
    return 2 / math.sqrt(math.pi) * e[0] + 6 * _rounded(value)


def _atan2_error(value: Any, x: Values, e: Values) -> Any:
    # The angle jumps by a full turn at y = 0 left of the origin, at which side a zero's sign decides.
    reach = [error * ROUNDOFF + SMALLEST_NORMAL for error in e]
    turns = (np.abs(x[0]) <= reach[0]) & (x[1] <= reach[1])
    nearest = np.maximum(np.hypot(x[0], x[1]) - (e[0] + e[1]) * ROUNDOFF, 0.0)
    slope = np.where((e[0] == 0) & (e[1] == 0), 0.0, (e[0] + e[1]) / nearest)
    return np.where(turns, 2 * math.pi / ROUNDOFF, slope) + 4 * _rounded(value)


@dataclass(frozen=True, slots=True)
class ReferenceFunction:
    """One row.

    Attributes:
        value: of float64 arrays, as IEEE arithmetic has it.
        error: of the value, the operands and their errors.
    """

    value: Callable[..., Any]
    error: ErrorRule


def _relayed(value: Any, x: Values, e: Values) -> Any:
    """The error of an operation that rounds nothing, of one operand."""
    return e[0]


def _larger(value: Any, x: Values, e: Values) -> Any:
    """The error of an operation that gives one of its operands."""
    return np.maximum(e[0], e[1])


#: By the names of operators, `neg` and `not` among them, and of the language's primitive functions. `every` is written
#: with `%` and `==`.
REFERENCE_FUNCTIONS: Mapping[str, ReferenceFunction] = {
    "+": ReferenceFunction(np.add, _sum),
    "-": ReferenceFunction(np.subtract, _sum),
    "*": ReferenceFunction(np.multiply, _product),
    "/": ReferenceFunction(np.divide, _quotient),
    "**": ReferenceFunction(np.power, _power),
    "%": ReferenceFunction(np.mod, lambda v, x, e: e[0] + e[1]),
    "neg": ReferenceFunction(np.negative, _relayed),
    "<": ReferenceFunction(np.less, _comparison),
    "<=": ReferenceFunction(np.less_equal, _comparison),
    ">": ReferenceFunction(np.greater, _comparison),
    ">=": ReferenceFunction(np.greater_equal, _comparison),
    "==": ReferenceFunction(np.equal, _comparison),
    "!=": ReferenceFunction(np.not_equal, _comparison),
    "and": ReferenceFunction(np.logical_and, _larger),
    "or": ReferenceFunction(np.logical_or, _larger),
    "not": ReferenceFunction(np.logical_not, _relayed),
    "sqrt": ReferenceFunction(np.sqrt, _root),
    "abs": ReferenceFunction(np.abs, _relayed),
    "sign": ReferenceFunction(np.sign, _sign),
    "exp": ReferenceFunction(np.exp, lambda v, x, e: _times(v, e[0]) + 2 * _rounded(v)),
    "log": ReferenceFunction(np.log, lambda v, x, e: e[0] / np.abs(x[0]) + 2 * _rounded(v)),
    "sin": ReferenceFunction(np.sin, lambda v, x, e: e[0] + 2 * _rounded(v)),
    "cos": ReferenceFunction(np.cos, lambda v, x, e: e[0] + 2 * _rounded(v)),
    "tanh": ReferenceFunction(np.tanh, lambda v, x, e: e[0] + 4 * _rounded(v)),
    "sigmoid": ReferenceFunction(_sigmoid, _sigmoid_error),
    "erf": ReferenceFunction(_erf, _erf_error),
    "atan2": ReferenceFunction(np.arctan2, _atan2_error),
    "floor": ReferenceFunction(np.floor, _step),
    "ceil": ReferenceFunction(np.ceil, _step),
    "max": ReferenceFunction(np.maximum, _larger),
    "min": ReferenceFunction(np.minimum, _larger),
    "where": ReferenceFunction(np.where, _where),
}
