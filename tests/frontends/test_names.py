"""What is said of names and arguments that are not there, and what `optgen.load` takes."""

from __future__ import annotations

import inspect

import jax.numpy as jnp
import pytest

import optgen
import optgen.brainpy
import optgen.lucid
import optgen.optax
import optgen.optim
import optgen.schedules
import optgen.torch
from optgen.errors import InvalidHyperparameter, UnknownSchedule
from optgen.schedules import spelled_schedule


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        (optgen.optax, "adamm", "adam"),
        (optgen.optim, "Adem", "Adam"),
        (optgen.torch, "Adem", "Adam"),
        (optgen.lucid, "Adem", "Adam"),
        (optgen.brainpy, "Adem", "Adam"),
        (optgen.schedules, "cosine_anealing", "cosine_annealing"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_nearest_name_is_told(module, name, meant):
    with pytest.raises(AttributeError, match=f"did you mean '{meant}'"):
        getattr(module, name)
    assert meant in dir(module)
    assert not [n for n in dir(module) if n.startswith("_") or n in ("Any", "functools", "annotations")]


def test_what_optgen_has():
    assert {"define", "load"} <= set(dir(optgen))


def test_an_unknown_argument_is_named_before_a_missing_one():
    with pytest.raises(TypeError, match="adamw: got an unexpected keyword argument 'lr'"):
        optgen.optax.adamw(lr=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'step_sise'; did you mean 'step_size'"):
        spelled_schedule("torch", "StepLR")(step_sise=3)


def test_unknown_schedules():
    with pytest.raises(UnknownSchedule, match="no library 'pytorch' is known; there are: optax, torch"):
        spelled_schedule("pytorch", "StepLR")
    with pytest.raises(UnknownSchedule, match="did you mean 'StepLR'"):
        spelled_schedule("torch", "StepsLR")


@pytest.mark.parametrize("count", [-5, 1001])
def test_counts_have_a_range(count):
    with pytest.raises(InvalidHyperparameter, match=f"lbfgs: memory_size = {count} is no count from 0 to 1000"):
        optgen.optax.lbfgs(0.1, memory_size=count)


def test_every_option_is_an_argument_of_what_is_loaded():
    """Under the dialect's names where there are some, and by the spec's for the rest."""
    nadam = optgen.load("nadam")
    parameters = inspect.signature(nadam.optax).parameters
    assert list(parameters)[:4] == ["learning_rate", "b1", "b2", "eps"]
    assert {"as_printed", "maximize", "grad_clip_norm", "momentum_decay"} <= set(parameters)
    assert parameters["momentum"].default == "fixed"  # what optax means
    params = {"w": jnp.ones(3)}
    updates = []
    for options in ({}, {"as_printed": True}, {"maximize": True}):
        optimizer = nadam.optax(learning_rate=0.1, **options)
        updates.append(optimizer.update({"w": jnp.full(3, 0.5)}, optimizer.init(params), params)[0]["w"])
    assert not jnp.allclose(updates[0], updates[1])
    assert jnp.allclose(updates[0], -updates[2])


def test_hyperparameters_of_what_is_wrapped_are_arguments():
    lookahead = optgen.load("lookahead", wraps="adamw")
    assert {"learning_rate", "base_weight_decay"} <= set(inspect.signature(lookahead.optax).parameters)
    params = {"w": jnp.ones(3)}
    steps = []
    for rate in (0.1, 0.2):
        optimizer = lookahead.optax(sync_period=5, slow_step_size=0.5, learning_rate=rate)
        steps.append(optimizer.update({"w": jnp.ones(3)}, optimizer.init(params), params)[0]["w"])
    assert jnp.allclose(2 * steps[0], steps[1])
