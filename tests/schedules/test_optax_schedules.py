"""Every schedule that optax has: the same names, arguments and defaults, and the same values."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen.optax
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter
from optgen.schedules.manifests import spelled
from tests.schedules.comparison import assert_follows

STEPS = range(1001)

CASES = [
    ("constant_schedule", (0.3,), {}),
    ("linear_schedule", (0.1, 0.9, 700), {}),
    ("linear_schedule", (0.1, 0.0, 333, 50), {}),
    ("polynomial_schedule", (1.0, 0.01, 2, 800), {}),
    ("polynomial_schedule", (0.3, 0.02, 0.5, 600), {"transition_begin": 37}),
    ("piecewise_constant_schedule", (1.0,), {}),
    ("piecewise_constant_schedule", (0.5, {600: 0.3, 100: 0.1, 101: 7.0}), {}),
    ("piecewise_constant_schedule", (0.5, {0: 0.5}), {}),
    ("exponential_decay", (0.1, 100, 0.95), {}),
    ("exponential_decay", (0.1, 1, 0.97), {}),
    ("exponential_decay", (0.1, 77, 0.5), {"transition_begin": 13, "staircase": True}),
    ("exponential_decay", (0.1, 50, 0.8), {"end_value": 0.02}),
    ("exponential_decay", (0.1, 50, 1.2), {"end_value": 0.9, "staircase": True}),
    ("cosine_decay_schedule", (0.1, 900), {}),
    ("cosine_decay_schedule", (0.1, 500, 0.05, 1.7), {}),
    ("cosine_decay_schedule", (3.0, 1), {}),
    ("piecewise_interpolate_schedule", ("linear", 1.0, {100: 0.1, 300: 5.0, 900: 0.3}), {}),
    ("piecewise_interpolate_schedule", ("cosine", 1.0, {100: 0.1, 300: 5.0, 900: 0.3}), {}),
    ("piecewise_interpolate_schedule", ("cosine", 1.0, {0: 0.5, 10: 2.0}), {}),
    ("piecewise_interpolate_schedule", ("linear", 1.0), {}),
    ("linear_onecycle_schedule", (900, 0.1), {}),
    ("linear_onecycle_schedule", (777, 0.1, 0.21, 0.6, 10.0, 100.0), {}),
    ("cosine_onecycle_schedule", (900, 0.1), {}),
    ("cosine_onecycle_schedule", (777, 0.1, 0.21, 10.0, 100.0), {}),
    ("cosine_onecycle_schedule", (3, 0.1), {}),
    ("warmup_constant_schedule", (0.01, 0.3, 250), {}),
    ("warmup_cosine_decay_schedule", (0.0, 0.1, 100, 900), {}),
    ("warmup_cosine_decay_schedule", (0.02, 0.1, 99, 801, 0.003, 2.5), {}),
    ("warmup_cosine_decay_schedule", (0.02, 0.1, 0, 800, 0.003), {}),
    ("warmup_exponential_decay_schedule", (0.0, 0.1, 100, 70, 0.7), {}),
    ("warmup_exponential_decay_schedule", (0.0, 0.1, 100, 70, 0.7, 20, True, 0.01), {}),
]


def test_there_is_a_case_for_every_schedule():
    assert {name for name, _, _ in CASES} == set(spelled("optax"))


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_values(name, args, kwargs):
    reference = getattr(optax, name)(*args, **kwargs)
    values = np.broadcast_to(np.asarray(jax.vmap(lambda t: jnp.asarray(reference(t), float))(jnp.arange(1001))), 1001)
    assert_follows(getattr(optgen.optax, name)(*args, **kwargs), values, STEPS)


@pytest.mark.parametrize("name", sorted({*spelled("optax"), "join_schedules", "sgdr_schedule"}))
def test_signature(name):
    def told(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.default, p.kind) for p in parameters]

    assert told(getattr(optgen.optax, name)) == told(getattr(optax, name))


def test_restarts_of_cycles():
    cycles = [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 100},
        {"init_value": 0.01, "peak_value": 0.05, "warmup_steps": 20, "decay_steps": 300, "end_value": 0.002},
        {"init_value": 0.0, "peak_value": 0.01, "warmup_steps": 0, "decay_steps": 200, "exponent": 2.0},
    ]
    counts = jnp.arange(700)
    found = jax.jit(jax.vmap(optgen.optax.sgdr_schedule(cycles)))(counts)
    np.testing.assert_allclose(found, jax.vmap(optax.sgdr_schedule(cycles))(counts), rtol=1e-9, atol=1e-17)


def test_joined_schedules():
    ours = [optgen.optax.linear_schedule(0.0, 0.1, 10), optgen.optax.cosine_decay_schedule(0.1, 50)]
    theirs = [optax.linear_schedule(0.0, 0.1, 10), optax.cosine_decay_schedule(0.1, 50)]
    for count in range(70):
        found = optgen.optax.join_schedules(ours, [10])(count)
        np.testing.assert_allclose(found, optax.join_schedules(theirs, [10])(count), rtol=1e-9, atol=1e-17)


def test_an_optimizer_follows_a_schedule():
    params, grads = jnp.array([1.0, 2.0]), jnp.array([0.3, -0.7])
    ours = optgen.optax.adam(optgen.optax.cosine_decay_schedule(0.1, 5))
    theirs = optax.adam(optax.cosine_decay_schedule(0.1, 5))
    state, other = ours.init(params), theirs.init(params)
    for _ in range(6):
        update, state = jax.jit(ours.update)(grads, state, params)
        wanted, other = theirs.update(grads, other, params)
        np.testing.assert_allclose(update, wanted, rtol=1e-9, atol=1e-15)


def test_hyperparameters_may_be_arrays_and_mapped_over():
    def rate(peak, count):
        return optgen.optax.cosine_decay_schedule(peak, 100)(count)

    peaks = jnp.array([0.1, 0.2, 0.3])
    wanted = [optax.cosine_decay_schedule(peak, 100)(30) for peak in (0.1, 0.2, 0.3)]
    np.testing.assert_allclose(jax.jit(jax.vmap(rate, (0, None)))(peaks, 30), wanted, rtol=1e-12)
    with jax.enable_x64(False):
        narrow = jax.vmap(rate, (0, None))(jnp.asarray([0.1, 0.2, 0.3], jnp.float32), 30)
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(narrow, wanted, rtol=1.2e-7)


def test_derivative_with_respect_to_a_hyperparameter():
    gradient = jax.grad(lambda peak: optgen.optax.cosine_decay_schedule(peak, 100)(30))(0.1)
    np.testing.assert_allclose(gradient, optax.cosine_decay_schedule(1.0, 100)(30), rtol=1e-12)


def test_float32_does_not_lose_what_a_power_loses():
    # 0.95 rounded to float32 is off by 1e-8 relative, and to the power of 1000 by 1e-5.
    with jax.enable_x64(False):
        found = float(jax.jit(optgen.optax.exponential_decay(1.0, 1, 0.95))(1000))
        theirs = float(optax.exponential_decay(1.0, 1, 0.95)(1000))
    assert abs(found / 0.95**1000 - 1) < 1e-7
    assert abs(theirs / 0.95**1000 - 1) > 1e-6


def test_a_large_count_is_exact_in_float32():
    with jax.enable_x64(False):
        schedule = optgen.optax.piecewise_constant_schedule(1.0, {2**24 + 1: 0.5})
        assert [float(jax.jit(schedule)(2**24 + i)) for i in (0, 1)] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("linear_schedule", (0.1, 0.0, 0), "linear_schedule: transition_steps = 0 is outside its domain: transition_s"),
        ("linear_schedule", (0.1, 0.0, -5), "linear_schedule: transition_steps = -5 is outside its domain"),
        ("linear_schedule", (0.1, 0.0, 10, -1), "linear_schedule: transition_begin = -1 is outside its domain"),
        ("linear_schedule", (0.1, 0.0, 10.5), r"linear_schedule: transition_steps = 10\.5 is no whole number"),
        ("linear_schedule", (float("nan"), 0.0, 10), "linear_schedule: init_value = nan is outside its domain"),
        (
            "exponential_decay",
            (0.1, 10, 0.0),
            "exponential_decay: decay_rate = 0.0 is outside its domain: decay_rate > 0",
        ),
        (
            "cosine_decay_schedule",
            (0.1, 0),
            "cosine_decay_schedule: decay_steps = 0 is outside its domain: decay_steps > 0",
        ),
        ("piecewise_constant_schedule", (0.1, {-3: 0.1}), r"boundaries_and_scales\[0\] = -3 is outside its domain"),
        ("piecewise_constant_schedule", (0.1, {3: -0.1}), r"boundaries_and_scales\[0\] = -0.1 is outside its domain"),
        (
            "warmup_cosine_decay_schedule",
            (0.0, 0.1, 100, 100),
            "warmup_cosine_decay_schedule: warmup_steps < decay_steps must hold, and they are 100 and 100",
        ),
        ("linear_onecycle_schedule", (100, 0.1, 0.9, 0.5), "pct_start < pct_final must hold, and they are 0.9 and 0.5"),
        ("piecewise_interpolate_schedule", ("quadratic", 0.1), "interpolate_type is one of linear, cosine, not 'quad"),
        ("sgdr_schedule", ([],), "sgdr_schedule: cosine_kwargs names no cycle"),
    ],
)
def test_wrong_values_are_refused_by_name(name, args, message):
    with pytest.raises(InvalidHyperparameter, match=message):
        getattr(optgen.optax, name)(*args)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("cosine_decay_schedule", ("0.1", 10), "cosine_decay_schedule: init_value is a number or an array, not '0.1'"),
        ("exponential_decay", (0.1, 10, 0.5, 0, 1), "exponential_decay: staircase is True or False, not 1"),
        ("piecewise_constant_schedule", (0.1, [1, 2]), "boundaries_and_scales is a mapping from boundaries to scales"),
    ],
)
def test_wrong_types_are_refused_by_name(name, args, message):
    with pytest.raises(HyperparameterTypeError, match=message):
        getattr(optgen.optax, name)(*args)


def test_a_misspelt_argument():
    with pytest.raises(TypeError, match=r"cosine_decay_schedule: .*; did you mean 'decay_steps'\?"):
        optgen.optax.cosine_decay_schedule(0.1, decay_step=3)


def test_docstring():
    text = optgen.optax.cosine_decay_schedule.__doc__
    assert text.startswith(
        "Cosine decay.\n\nHalf a cosine, or a power of it, from the learning rate down to a fraction"
    )
    assert r"c &= \frac{1 + \cos\left(\frac{\pi \min(t, T)}{T}\right)}{2}" in text
    assert "    decay_steps: steps that the decay takes (decay_steps > 0).\n" in text
    assert "SGDR: Stochastic Gradient Descent with Warm Restarts" in text
