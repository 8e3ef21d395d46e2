"""Rules that need more than arguments to be compared with optax, and one that optax has wrong."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optgen._paths import specs_folder
from optgen.contract.dialects import spelling
from optgen.language.reader import read_spec
from optgen.reference.interpret import Interpreter
from tests.language.trajectories import difference, distance, problem, rule_of, run_optax, run_rule

SHAPES = ((3,), (4, 5), (2, 3, 4))
TOLERANCE = 1e-9


def spec_of(name):
    return read_spec(specs_folder() / f"{name}.toml")


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sm3(momentum):
    """optax takes no parameter of a single number."""
    parameters, gradients = problem(SHAPES)
    rule, values = rule_of(spec_of("sm3"), {}, {"lr": 0.1, "momentum": momentum})
    theirs = run_optax(optax.sm3(0.1, momentum), parameters, gradients)
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


def run_with_inputs(rule, values, parameters, gradients, inputs):
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    found = []
    for step, given in zip(gradients, inputs, strict=True):
        model = interpreter.step(model, step, given)
        found.append([np.asarray(tensor.theta) for tensor in model.tensors])
    return found


@pytest.mark.parametrize("arguments", [{}, {"eta": 0.3, "gamma": 0.1}])
def test_noisy_sgd_with_the_noise_that_optax_draws(arguments):
    parameters, gradients = problem()
    with jax.enable_x64(True):
        key, noises = optax.noisy_sgd(0.1, key=7).init([jnp.asarray(p) for p in parameters])[0].rng_key, []
        for step in gradients:
            key, sample = jax.random.split(key)
            target = [jnp.asarray(g) for g in step]
            drawn = optax.tree.random_like(sample, target_tree=target, sampler=jax.random.normal)
            noises.append({"noise": [np.asarray(d) for d in drawn]})
    rule, values = rule_of(spec_of("noisy_sgd"), {}, {"lr": 0.1, **arguments})
    theirs = run_optax(optax.noisy_sgd(0.1, key=7, **arguments), parameters, gradients)
    assert difference(run_with_inputs(rule, values, parameters, gradients, noises), theirs) < TOLERANCE


@pytest.mark.parametrize(
    ("options", "values", "arguments"),
    [
        ({}, {}, {}),
        ({"variant": "sps_plus"}, {}, {"variant": "sps+"}),
        ({}, {"max_lr": 0.1, "scaling": 0.5, "f_min": -1.0, "eps": 0.3}, None),
    ],
)
def test_polyak_sgd(options, values, arguments):
    """With losses on both sides of the least value, and a step without a gradient."""
    parameters, gradients = problem()
    gradients[2] = [np.zeros_like(g) for g in gradients[2]]
    losses = np.random.default_rng(1).normal(size=len(gradients))
    renamed = {"max_lr": "max_learning_rate"}
    given = arguments if arguments is not None else {renamed.get(k, k): v for k, v in values.items()}
    transformation = optax.polyak_sgd(**given)
    with jax.enable_x64(True):
        current = [jnp.asarray(p) for p in parameters]
        state = transformation.init(current)
        theirs = []
        for step, loss in zip(gradients, losses, strict=True):
            updates, state = transformation.update([jnp.asarray(g) for g in step], state, current, value=loss)
            current = optax.apply_updates(current, updates)
            theirs.append([np.asarray(p) for p in current])
    rule, numbers = rule_of(spec_of("polyak_sgd"), options, values)
    inputs = [{"value": float(loss)} for loss in losses]
    assert difference(run_with_inputs(rule, numbers, parameters, gradients, inputs), theirs) < TOLERANCE


def test_rprop_of_optax_is_one_call_late():
    """optax 0.2.8 (pull request 1725) steps by the sign and size of the call before; torch's rule is given instead."""
    parameters, gradients = problem()
    spec = spec_of("rprop")
    rule, values = rule_of(spec, {}, {"lr": 0.1})
    ours = run_rule(rule, values, parameters, gradients)
    theirs = run_optax(optax.rprop(0.1), parameters, gradients)
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours, theirs) > 1e-2
    dialect = spelling(spec.dialects, "optax")
    assert "1725" in dialect.note
    defaults = {p.name: p.default for p in inspect.signature(optax.rprop).parameters.values()}
    assert {a.name: a.default for a in dialect.arguments if not a.required} == {
        name: default for name, default in defaults.items() if name != "learning_rate"
    }
