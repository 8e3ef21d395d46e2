"""Arithmetic on intervals: everything that a target may compute, whatever order it sums in and whatever it rounds.

`interpret.Arithmetic` for comparing targets. Each operation takes all numbers its operands may be and gives all that
the result may be: the interval of the exact results, widened by the roundings that a target's arithmetic is allowed
(as in `optgen.reference.functions`), and whether it may be NaN. Where nothing but NaN can come out, the interval is
empty. So a comparison needs no tolerance: a number lies inside or it is wrong, and an infinity or NaN that the
equations leave no way around is demanded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optgen.language.functions import FUNCTIONS, primitives
from optgen.reference.functions import REFERENCE_FUNCTIONS

#: Units in the last place of a number of the step that a target has rounded to its own precision.
STEP_ULPS = 3.0
#: What float64 arithmetic on numbers of the step is off by: the target's rounding and the reference's own.
DOUBLE = 2.0**-52


@dataclass(frozen=True, slots=True)
class Precision:
    """A floating-point type: its unit roundoff, its smallest normal and largest finite number."""

    roundoff: float
    smallest: float
    largest: float


SINGLE_PRECISION = Precision(2.0**-24, 2.0**-126, float(np.finfo(np.float32).max))
#: Twice the roundoff, since the reference rounds as well.
DOUBLE_PRECISION = Precision(2.0**-52, 2.0**-1022, float(np.finfo(np.float64).max))


@dataclass(frozen=True, slots=True)
class Interval:
    """All that a number may be: from `low` to `high` (nothing where low > high), and NaN where `nan` says so.

    `value` is what float64 arithmetic gives. `per_step` marks numbers of the step, computed from such alone.
    """

    value: Any
    low: Any
    high: Any
    nan: Any
    per_step: bool = False

    def reshape(self, shape: tuple[int, ...]) -> Interval:
        """Give the numbers another shape."""
        return Interval(*(np.reshape(part, shape) for part in self._parts()), self.per_step)

    def _parts(self) -> tuple[Any, Any, Any, Any]:
        return self.value, self.low, self.high, self.nan

    def mapped(self, change: Callable[[Any], Any]) -> Interval:
        """A change of shape made of every part."""
        return Interval(*map(change, self._parts()), self.per_step)


def exactly(value: Any, per_step: bool = False) -> Interval:
    """A number that is known."""
    array = np.asarray(value, np.float64)
    unknown = np.isnan(array)
    return Interval(array, np.where(unknown, np.inf, array), np.where(unknown, -np.inf, array), unknown, per_step)


class Intervals:
    """`interpret.Arithmetic` over intervals, for targets that compute in some precision."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision

    def literal(self, value: float) -> Interval:
        return exactly(np.float64(value), per_step=True)

    def given(self, value: Any) -> Interval:
        return value if isinstance(value, Interval) else exactly(value)

    def full(self, shape: tuple[int, ...], value: Interval) -> Interval:
        spread = self._rounded_operand(value).mapped(lambda part: np.broadcast_to(part, shape))
        return Interval(spread.value, spread.low, spread.high, spread.nan)

    def transpose(self, value: Interval, order: tuple[int, ...]) -> Interval:
        return value.mapped(lambda part: np.transpose(part, order))

    def apply(self, operator: str, *operands: Interval) -> Interval:
        with np.errstate(all="ignore"):
            value = np.asarray(
                REFERENCE_FUNCTIONS[operator].value(*(operand.value for operand in operands)), np.float64
            )
            per_step = all(operand.per_step for operand in operands)
            if not per_step:
                operands = tuple(map(self._rounded_operand, operands))
            low, high, nan = OPERATIONS[operator](*operands)
            if operator not in ("where", "**"):
                for operand in operands:
                    empty = operand.low > operand.high
                    if operator in COMPARISONS or operator in ("and", "or", "not"):
                        continue
                    nan = nan | operand.nan
                    low, high = np.where(empty, np.inf, low), np.where(empty, -np.inf, high)
            units = ROUNDINGS.get(operator, 1.0)
            if per_step:
                is_exact = functools.reduce(np.logical_and, [_is_whole(o.value) for o in operands], _is_whole(value))
                is_exact &= low == high
                low, high = self._widened(low, high, np.where(is_exact, 0.0, units * DOUBLE), 0.0, np.inf)
            elif units:
                unit, smallest = units * self.precision.roundoff, self.precision.smallest
                low, high = self._widened(low, high, unit, smallest, self.precision.largest)
            return Interval(value, low, high, np.broadcast_to(nan, np.shape(low)), per_step)

    def _rounded_operand(self, operand: Interval) -> Interval:
        """A number of the step as the arithmetic of tensors takes it."""
        if not operand.per_step or self.precision is DOUBLE_PRECISION:
            return operand
        with np.errstate(all="ignore"):
            is_exact = (operand.low == operand.high) & (np.float64(np.float32(operand.value)) == operand.value)
            unit = np.where(is_exact, 0.0, STEP_ULPS * self.precision.roundoff)
            low, high = self._widened(operand.low, operand.high, unit, 0.0, self.precision.largest)
        return Interval(operand.value, low, high, operand.nan)

    @staticmethod
    def _widened(low: Any, high: Any, unit: Any, smallest: float, largest: float) -> tuple[Any, Any]:
        """Room for roundings to either side, for subnormal numbers taken as zero, and for overflow."""
        empty = low > high
        by_low = np.where(np.isfinite(low), np.abs(low) * unit + smallest * (unit != 0), 0.0)
        by_high = np.where(np.isfinite(high), np.abs(high) * unit + smallest * (unit != 0), 0.0)
        low, high = low - by_low, high + by_high
        low = np.where(low < -largest, -np.inf, np.where((low > largest) & np.isfinite(low), largest, low))
        high = np.where(high > largest, np.inf, np.where((high < -largest) & np.isfinite(high), -largest, high))
        return np.where(empty, np.inf, low), np.where(empty, -np.inf, high)

    def reduce(self, operation: str, value: Interval, axes: tuple[int, ...]) -> Interval:
        value = self._rounded_operand(value)
        empty = np.any(value.low > value.high, axis=axes, keepdims=True)
        nan = np.any(value.nan, axis=axes, keepdims=True)
        with np.errstate(all="ignore"):
            if operation == "sum":
                low, high, more, plain = self._sum(value, axes)
                nan = nan | more
            else:
                fold, start = (np.max, -np.inf) if operation == "max" else (np.min, np.inf)
                given = {"axis": axes, "keepdims": True, "initial": start}
                plain, low, high = fold(value.value, **given), fold(value.low, **given), fold(value.high, **given)
                signs = (np.any(one, axis=axes, keepdims=True) for one in _zeros(value.low, value.high))
                low, high = _with_zeros(low, high, *signs)
        return Interval(plain, np.where(empty, np.inf, low), np.where(empty, -np.inf, high), nan)

    def _sum(self, value: Interval, axes: tuple[int, ...]) -> tuple[Any, Any, Any, Any]:
        given: dict[str, Any] = {"axis": axes, "keepdims": True}
        plain, low, high = (np.sum(part, **given) for part in (value.value, value.low, value.high))
        count = int(np.prod([np.shape(value.low)[axis] for axis in axes], dtype=int))
        largest = np.maximum(np.abs(value.low), np.abs(value.high))
        finite = np.where(np.isfinite(largest), largest, 0.0)
        magnitude = np.sum(finite, **given)
        room = magnitude * self.precision.roundoff * max(count - 1, 0) + self.precision.smallest * max(count - 1, 0)
        above, below = np.any(value.high == np.inf, **given), np.any(value.low == -np.inf, **given)
        certain = np.any(value.low == np.inf, **given) & np.any(value.high == -np.inf, **given)
        # Partial sums may overflow to either side, in some order.
        overflows = magnitude > self.precision.largest
        low = np.where(np.isnan(low) | overflows, -np.inf, low - np.where(np.isfinite(low), room, 0.0))
        high = np.where(np.isnan(high) | overflows, np.inf, high + np.where(np.isfinite(high), room, 0.0))
        low, high = np.where(certain, np.inf, low), np.where(certain, -np.inf, high)
        return low, high, (above & below) | overflows, plain

    def total(self, operation: str, values: Sequence[Interval]) -> Interval:
        flat = [self._rounded_operand(value).reshape(()) for value in values]
        stacked = Interval(*(np.stack([getattr(v, part) for v in flat]) for part in ("value", "low", "high", "nan")))
        return self.reduce(operation, stacked, (0,)).reshape(())


Found = tuple[Any, Any, Any]


def _is_whole(value: Any) -> Any:
    return np.isfinite(value) & (np.floor(value) == value) & (np.abs(value) < 2.0**50)


def _known(*operands: Interval) -> Any:
    """Whether there is but one number that each operand can be; a zero whose sign is not known may be two."""
    return functools.reduce(
        np.logical_and, [(o.low == o.high) & (np.signbit(o.low) == np.signbit(o.high)) for o in operands]
    )


def _with_zeros(low: Any, high: Any, minus: Any, plus: Any) -> tuple[Any, Any]:
    """Let an extreme be either zero where it is one, and both were there: which of them is taken is left open."""
    is_zero = (low == 0) & (high == 0) & minus & plus
    return np.where(is_zero, -0.0, low), np.where(is_zero, 0.0, high)


def _zeros(*ends: Any) -> tuple[Any, Any]:
    """Whether -0 and whether +0 is among some numbers."""
    minus = functools.reduce(np.logical_or, [(end == 0) & np.signbit(end) for end in ends])
    plus = functools.reduce(np.logical_or, [(end == 0) & ~np.signbit(end) for end in ends])
    return minus, plus


def _corners(function: Callable[[Any, Any], Any], x: Interval, y: Interval, otherwise: Any = None) -> Found:
    """The hull of what a function that is monotone in each argument gives."""
    corners = [function(a, b) for a in (x.low, x.high) for b in (y.low, y.high)]
    undefined = functools.reduce(np.logical_or, map(np.isnan, corners))
    least, most = (-np.inf, np.inf) if otherwise is None else (otherwise, otherwise)
    low = functools.reduce(np.minimum, [np.where(np.isnan(c), least, c) for c in corners])
    high = functools.reduce(np.maximum, [np.where(np.isnan(c), most, c) for c in corners])
    certain = undefined & _known(x, y)
    return np.where(certain, np.inf, low), np.where(certain, -np.inf, high), undefined


def _has(x: Interval, value: float) -> Any:
    return (x.low <= value) & (x.high >= value)


def _sum(x: Interval, y: Interval) -> Found:
    low, high = x.low + y.low, x.high + y.high
    nan = (_has(x, np.inf) & _has(y, -np.inf)) | (_has(x, -np.inf) & _has(y, np.inf))
    certain = nan & _known(x, y)
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return np.where(certain, np.inf, low), np.where(certain, -np.inf, high), nan


def _negated(x: Interval) -> Interval:
    return Interval(-x.value, -x.high, -x.low, x.nan, x.per_step)


def _product(x: Interval, y: Interval) -> Found:
    low, high, _ = _corners(np.multiply, x, y, 0.0)
    infinite = [(_has(a, 0.0) & (_has(b, np.inf) | _has(b, -np.inf))) for a, b in ((x, y), (y, x))]
    return low, high, infinite[0] | infinite[1]


def _quotient(x: Interval, y: Interval) -> Found:
    zero = _has(y, 0.0)
    infinite = (_has(x, np.inf) | _has(x, -np.inf)) & (_has(y, np.inf) | _has(y, -np.inf))
    low, high, _ = _corners(np.divide, x, y, 0.0)
    is_open = zero & ~_known(y)
    unclear = is_open | (zero & ~_known(x) & _has(x, 0.0))
    low, high = np.where(unclear, -np.inf, low), np.where(unclear, np.inf, high)
    return low, high, (zero & _has(x, 0.0)) | infinite


def _power(x: Interval, y: Interval) -> Found:
    exponent = y.low
    # Large numbers are whole, and the largest are even, infinities included.
    known, whole = _known(y), np.floor(y.low) == y.low
    even = known & whole & (np.mod(np.where(np.isfinite(exponent), exponent, 0.0), 2) == 0)
    spans = _has(x, 0.0)
    # An even power is one of the absolute value.
    a = np.where(even, np.where(spans, 0.0, np.minimum(np.abs(x.low), np.abs(x.high))), x.low)
    b = np.where(even, np.maximum(np.abs(x.low), np.abs(x.high)), x.high)
    # Roots of negative numbers are NaN.
    rooted = ~(known & whole)
    may_be_nan = rooted & (a < 0) & ~np.isneginf(x.low)
    only_nan = rooted & (b < 0) & np.isfinite(x.low) & known
    low_base = np.where(rooted, np.maximum(a, 0.0), a)
    base = Interval(x.value, low_base, np.where(rooted, np.maximum(b, 0.0), b), x.nan)
    low, high, undefined = _corners(np.power, base, y)
    pole = (y.low < 0) & _has(x, 0.0) & ~_known(x, y)
    odd = known & whole & ~even
    low = np.where(pole, np.where(odd | ~known, -np.inf, np.minimum(low, high)), low)
    high = np.where(pole, np.inf, high)
    low, high = np.where(rooted & np.isneginf(x.low), 0.0, low), np.where(rooted & np.isneginf(x.low), np.inf, high)
    # 1**y spans all between, and (0, 1) with exponents of both signs.
    low = np.where(~known & (base.low < 1) & (base.high > 1), np.minimum(low, 0.0), low)
    # Of a negative number, an exponent that may be one whole number or another.
    spread = ~known & (x.low < 0) & (np.floor(y.high) >= np.ceil(y.low))
    sizes = [np.power(np.abs(base_end), end) for base_end in (x.low, x.high) for end in (y.low, y.high)]
    reach = np.where(spans & (y.low < 0), np.inf, functools.reduce(np.maximum, sizes))
    low, high = np.where(spread, np.minimum(low, -reach), low), np.where(spread, np.maximum(high, reach), high)
    nan = undefined | may_be_nan | x.nan | y.nan
    is_one = (known & (exponent == 0)) | (_known(x) & (x.low == 1))
    empty = ((x.low > x.high) | (y.low > y.high) | only_nan) & ~is_one
    low, high = np.where(empty, np.inf, low), np.where(empty, -np.inf, high)
    # 1 to the power of NaN is 1, and so is NaN to the power of 0.
    may_be_one = (_has(x, 1.0) & y.nan) | (_has(y, 0.0) & x.nan)
    low, high = np.where(may_be_one, np.minimum(low, 1.0), low), np.where(may_be_one, np.maximum(high, 1.0), high)
    return np.where(is_one, 1.0, low), np.where(is_one, 1.0, high), np.where(is_one, False, nan)


def _modulo(x: Interval, y: Interval) -> Found:
    known = _known(x, y)
    value = np.mod(x.low, y.low)
    first, last = np.floor(x.low / y.low), np.floor(x.high / y.low)
    smooth = _known(y) & (first == last) & np.isfinite(first) & np.isfinite(y.low)
    ends = np.mod(x.low, y.low), np.mod(x.high, y.low)
    low = np.where(smooth, np.minimum(*ends), np.minimum(0.0, y.low))
    high = np.where(smooth, np.maximum(*ends), np.maximum(0.0, y.high))
    low, high = np.where(known, value, low), np.where(known, value, high)
    nan = _has(y, 0.0) | _has(x, np.inf) | _has(x, -np.inf)
    certain = known & np.isnan(value)
    return np.where(certain, np.inf, low), np.where(certain, -np.inf, high), nan


def _comparison(operator: str) -> Callable[[Interval, Interval], Found]:
    def compare(x: Interval, y: Interval) -> Found:
        nan = x.nan | y.nan
        nothing = (x.low > x.high) | (y.low > y.high)
        match operator:
            case "<":
                sure, possible = x.high < y.low, x.low < y.high
            case "<=":
                sure, possible = x.high <= y.low, x.low <= y.high
            case ">":
                sure, possible = x.low > y.high, x.high > y.low
            case ">=":
                sure, possible = x.low >= y.high, x.high >= y.low
            case "==":
                sure, possible = _known(x, y) & (x.low == y.low), (x.low <= y.high) & (y.low <= x.high)
            case _:
                same, maybe = _known(x, y) & (x.low == y.low), (x.low <= y.high) & (y.low <= x.high)
                sure, possible = ~maybe, ~same | nan
                return np.where(nothing, 1.0, sure), np.where(nothing, 1.0, possible), np.zeros_like(nan)
        sure, possible = sure & ~nan, possible & ~nothing
        return np.where(nothing, 0.0, sure), np.where(nothing, 0.0, possible), np.zeros_like(nan)

    return compare


def _where(condition: Interval, x: Interval, y: Interval) -> Found:
    yes, no = condition.low > 0, condition.high < 1
    low = np.where(yes, x.low, np.where(no, y.low, np.minimum(x.low, y.low)))
    high = np.where(yes, x.high, np.where(no, y.high, np.maximum(x.high, y.high)))
    return low, high, np.where(yes, x.nan, np.where(no, y.nan, x.nan | y.nan))


def _ends(function: Callable[[Any], Any], low: Any, high: Any) -> tuple[Any, Any]:
    """The hull of a rising function's values; numpy's vectorised functions may fall by a unit in the last place."""
    ends = function(low), function(high)
    is_empty = low > high
    return np.where(is_empty, np.inf, np.minimum(*ends)), np.where(is_empty, -np.inf, np.maximum(*ends))


def _rising(function: Callable[[Any], Any]) -> Callable[[Interval], Found]:
    def apply(x: Interval) -> Found:
        return *_ends(function, x.low, x.high), np.zeros(np.shape(x.low), bool)

    return apply


def _partial(function: Callable[[Any], Any]) -> Callable[[Interval], Found]:
    """A rising function of numbers that are not negative."""

    def apply(x: Interval) -> Found:
        nothing = x.high < 0
        low, high = _ends(function, np.maximum(x.low, 0.0), np.maximum(x.high, 0.0))
        return np.where(nothing, np.inf, low), np.where(nothing, -np.inf, high), x.low < 0

    return apply


def _wave(function: Callable[[Any], Any]) -> Callable[[Interval], Found]:
    def apply(x: Interval) -> Found:
        half = (x.high - x.low) / 2
        centre = function(np.where(half > 0, (x.high + x.low) / 2, x.low))
        infinite = np.isinf(x.low) | np.isinf(x.high)
        nothing = infinite & (x.low == x.high)
        low = np.where(infinite, -1.0, np.maximum(centre - half, -1.0))
        high = np.where(infinite, 1.0, np.minimum(centre + half, 1.0))
        return np.where(nothing, np.inf, low), np.where(nothing, -np.inf, high), infinite

    return apply


def _absolute(x: Interval) -> Found:
    low, high = np.abs(x.low), np.abs(x.high)
    return np.where(_has(x, 0.0), 0.0, np.minimum(low, high)), np.maximum(low, high), np.zeros(np.shape(low), bool)


def _sign(x: Interval) -> Found:
    # A subnormal number may be taken as zero.
    tiny = 2.0**-126
    low = np.where((x.low > 0) & (x.low < tiny), 0.0, np.sign(x.low))
    high = np.where((x.high < 0) & (x.high > -tiny), 0.0, np.sign(x.high))
    return low, high, np.zeros(np.shape(low), bool)


def _atan2(y: Interval, x: Interval) -> Found:
    # A subnormal number may be taken as zero, of either sign.
    tiny = 2.0**-126
    sides = []
    for operand in (y, x):
        low = np.where((operand.low > 0) & (operand.low < tiny), 0.0, operand.low)
        high = np.where((operand.high < 0) & (operand.high > -tiny), 0.0, operand.high)
        sides.append(Interval(operand.value, low, high, operand.nan))
    # The angle goes on turning along any side of a box that has not both sides of the jump in it.
    low, high, nan = _corners(np.arctan2, *sides)
    turns = _has(sides[0], 0.0) & (sides[1].low <= 0)
    return np.where(turns, -np.pi, low), np.where(turns, np.pi, high), np.zeros(np.shape(nan), bool)


def _extreme(function: Callable[[Any, Any], Any]) -> Callable[[Interval, Interval], Found]:
    def apply(x: Interval, y: Interval) -> Found:
        low, high = function(x.low, y.low), function(x.high, y.high)
        return *_with_zeros(low, high, *_zeros(x.low, x.high, y.low, y.high)), np.zeros(np.shape(low), bool)

    return apply


COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")

OPERATIONS: dict[str, Callable[..., Found]] = {
    "+": _sum,
    "-": lambda x, y: _sum(x, _negated(y)),
    "*": _product,
    "/": _quotient,
    "**": _power,
    "%": _modulo,
    "neg": lambda x: (-x.high, -x.low, np.zeros(np.shape(x.low), bool)),
    "sqrt": _partial(np.sqrt),
    "abs": _absolute,
    "sign": _sign,
    "log": _partial(np.log),
    "sin": _wave(np.sin),
    "cos": _wave(np.cos),
    "atan2": _atan2,
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "where": _where,
    "and": _extreme(np.minimum),
    "or": _extreme(np.maximum),
    "not": lambda x: (1.0 - x.high, 1.0 - x.low, np.zeros(np.shape(x.low), bool)),
    **{name: _rising(REFERENCE_FUNCTIONS[name].value) for name in primitives() if FUNCTIONS[name].rises},
    **{operator: _comparison(operator) for operator in COMPARISONS},
}

#: Roundings of an operation, in units of the roundoff; one where nothing is said.
ROUNDINGS: dict[str, float] = {
    **dict.fromkeys((*COMPARISONS, "and", "or", "not", "where", "max", "min", "neg", "abs", "sign"), 0.0),
    **dict.fromkeys(("floor", "ceil"), 0.0),
    **dict.fromkeys(("sin", "cos"), 2.0),
    # numpy's vectorised functions are the least accurate in float32, by up to 3.5 and 4.6.
    "exp": 4.0,
    "log": 6.0,
    "tanh": 4.0,
    "sigmoid": 6.0,
    "erf": 6.0,
    "atan2": 4.0,
    "**": 4.0,
}
