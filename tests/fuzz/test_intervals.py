"""Arithmetic on intervals: what numpy computes in a precision lies inside, and what is wrong lies outside."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from optgen.reference.functions import REFERENCE_FUNCTIONS
from tools.fuzzing.intervals import DOUBLE_PRECISION, OPERATIONS, SINGLE_PRECISION, Interval, Intervals, exactly

PRECISIONS = {np.float32: SINGLE_PRECISION, np.float64: DOUBLE_PRECISION}
DTYPES = pytest.mark.parametrize("dtype", PRECISIONS, ids=lambda dtype: dtype.__name__)
OPERATORS = pytest.mark.parametrize("operator", OPERATIONS)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-30)
#: Operands that are truth values, by operator.
LOGICAL = {"and": 2, "or": 2, "not": 1, "where": 1}


def count_of(operator):
    return len(inspect.signature(OPERATIONS[operator]).parameters)


def operands_of(operator, dtype):
    """Every special value beside every other, and random numbers of several sizes."""
    count, generator = count_of(operator), np.random.default_rng(0)
    pairs = np.array(list(itertools.product(SPECIAL, repeat=min(count, 2)))).T
    sizes = np.repeat([1.0, 1.0, 30.0, 0.01], 100)
    found = []
    for place in range(count):
        special = pairs[place] if place < len(pairs) else generator.choice(SPECIAL, pairs.shape[1])
        value = np.concatenate([special, sizes * generator.normal(size=sizes.size)])
        if place == 1:
            value[-40:] = found[0][-40:]  # `==` holds now and then
        if place < LOGICAL.get(operator, 0):
            value = (value > 0).astype(float)
        found.append(value.astype(dtype))
    return found


def computed(operator, operands):
    with np.errstate(all="ignore"):
        return np.asarray(REFERENCE_FUNCTIONS[operator].value(*operands)).astype(operands[-1].dtype)


def is_inside(allowed, actual):
    actual = np.asarray(actual, np.float64)
    return np.where(np.isnan(actual), allowed.nan, (allowed.low <= actual) & (actual <= allowed.high))


def of(precision, operator, operands):
    return Intervals(precision).apply(operator, *(exactly(operand) for operand in operands))


def test_the_operations_are_those_of_the_reference():
    assert OPERATIONS.keys() == REFERENCE_FUNCTIONS.keys()


@DTYPES
@OPERATORS
def test_results_lie_inside(operator, dtype):
    operands = operands_of(operator, dtype)
    actual = computed(operator, operands)
    outside = ~is_inside(of(PRECISIONS[dtype], operator, operands), actual)
    assert [(*(o[i] for o in operands), actual[i]) for i in np.flatnonzero(outside)] == []


@DTYPES
@OPERATORS
def test_results_of_uncertain_operands_lie_inside(operator, dtype):
    """Intervals around the numbers, which may be anything in them."""
    operands = operands_of(operator, dtype)
    generator = np.random.default_rng(1)
    intervals = []
    for place, operand in enumerate(operands):
        value = operand.astype(np.float64)
        reach = generator.choice([0.0, 0.001, 0.5, 3.0], (2, value.size)) * np.where(np.isfinite(value), 1, 0)
        if place < LOGICAL.get(operator, 0):
            reach = np.array([value, 1 - value]) * generator.integers(2, size=value.size)
        known = exactly(value)
        intervals.append(Interval(value, known.low - reach[0], known.high + reach[1], known.nan))
    actual = computed(operator, operands)
    outside = ~is_inside(Intervals(PRECISIONS[dtype]).apply(operator, *intervals), actual)
    assert [(*(o[i] for o in operands), actual[i]) for i in np.flatnonzero(outside)] == []


@DTYPES
@OPERATORS
def test_wrong_results_lie_outside(operator, dtype):
    operands = operands_of(operator, dtype)
    allowed, actual = of(PRECISIONS[dtype], operator, operands), computed(operator, operands).astype(np.float64)
    is_number = np.isfinite(actual)
    told = is_number & (np.abs(actual) > 1e-25) & (np.abs(actual) < 1e37)
    if operator == "atan2":
        told &= (operands[0] != 0) | (operands[1] > 0)  # the sign of a zero decides, and is nobody's to tell
    assert told.sum() > 50
    for wrong in (1.01 * actual, 0.99 * actual, -actual):
        assert not is_inside(allowed, wrong)[told].any()
    assert not is_inside(allowed, np.full_like(actual, np.nan))[is_number].any()
    assert not is_inside(allowed, np.full_like(actual, 0.5))[np.isnan(actual)].any()


@DTYPES
@pytest.mark.parametrize("operation", ["sum", "max", "min"])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_reductions(operation, axes, dtype):
    generator = np.random.default_rng(2)
    values = generator.normal(size=(40, 30)).astype(dtype)
    allowed = Intervals(PRECISIONS[dtype]).reduce(operation, exactly(values), axes)
    function = {"sum": np.sum, "max": np.max, "min": np.min}[operation]
    for order in (values, np.flip(values, axes)):
        actual = function(order, axis=axes, keepdims=True)
        assert is_inside(allowed, actual).all()
    if operation == "sum":
        # One after the other, as a loop sums.
        actual = values.reshape(-1) if len(axes) == 2 else np.moveaxis(values, axes[0], -1)
        actual = np.cumsum(actual, axis=-1, dtype=dtype)[..., -1].reshape(allowed.low.shape)
        assert is_inside(allowed, actual).all()
    for wrong in (1.01 * actual, -actual, np.full_like(actual, np.nan)):
        assert not is_inside(allowed, wrong).any()


@DTYPES
@pytest.mark.parametrize("operation", ["sum", "max", "min"])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_reductions_of_special_numbers(operation, special, dtype):
    values = np.array([1.0, special, 2.0, -3.0], dtype)
    arithmetic = Intervals(PRECISIONS[dtype])
    function = {"sum": np.sum, "max": np.max, "min": np.min}[operation]
    for allowed in (
        arithmetic.reduce(operation, exactly(values), (0,)),
        arithmetic.total(operation, [exactly(value) for value in values]),
    ):
        actual = function(values)
        assert is_inside(allowed, actual).all()
        assert not is_inside(allowed, 1.5).any()
        assert is_inside(allowed, np.nan).all() == np.isnan(actual)


def test_reductions_of_nothing():
    empty = exactly(np.zeros((0, 3)))
    for operation, expected in (("sum", 0.0), ("max", -np.inf), ("min", np.inf)):
        allowed = Intervals(SINGLE_PRECISION).reduce(operation, empty, (0,))
        assert is_inside(allowed, np.full((1, 3), expected)).all()
        assert not is_inside(allowed, np.full((1, 3), 1.0)).any()


@pytest.mark.parametrize("number", [0.1, 1 / 3, -2.7, 3.0])
def test_numbers_of_the_step_are_rounded_once_they_meet_tensors(number):
    """Among themselves they are in float64 whatever the tensors are in."""
    arithmetic = Intervals(SINGLE_PRECISION)
    step = arithmetic.apply("*", arithmetic.literal(number), arithmetic.literal(0.7))
    assert step.per_step
    assert is_inside(step, number * 0.7)
    assert not is_inside(step, np.float32(number) * np.float32(0.7))
    values = np.random.default_rng(3).normal(size=50).astype(np.float32)
    allowed = arithmetic.apply("*", step, exactly(values))
    assert not allowed.per_step
    assert is_inside(allowed, np.float32(number * 0.7) * values).all()
    assert not is_inside(allowed, np.float32(1.00001 * number * 0.7) * values).any()


@pytest.mark.parametrize("operator", ["exp", "log", "sqrt", "tanh", "sigmoid", "erf", "floor", "ceil"])
def test_rising_functions_of_narrow_intervals_leave_something(operator):
    """numpy's tanh falls by a unit in the last place where it goes from one piece of its table to the next."""
    middle = np.arange(1, 10 * 32) / 32
    low, high = middle * (1 - 4.5e-16), middle * (1 + 4.5e-16)
    result = Intervals(DOUBLE_PRECISION).apply(operator, Interval(middle, low, high, np.zeros(low.shape, bool)))
    for values in (low, middle, high):
        numbers = REFERENCE_FUNCTIONS[operator].value(values)
        assert np.all((result.low <= numbers) & (numbers <= result.high))
