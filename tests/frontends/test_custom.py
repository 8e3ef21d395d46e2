"""define and load: a user's equations, with the front-ends of a built-in optimizer."""

from __future__ import annotations

import pickle

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import optgen
from optgen._paths import specs_folder
from optgen.errors import InvalidHyperparameter, SpecError
from optgen.language.starter import starter_spec

SOPHON = """
    m[t] = beta1*m[t-1] + (1 - beta1)*g
    h[t] = beta2*h[t-1] + (1 - beta2)*g**2
    theta[t] = theta[t-1] - lr*clip(m[t]/max(gamma*h[t], eps), -1, 1)
"""
DEFAULTS = {"lr": 1e-3, "beta1": 0.96, "beta2": 0.99, "gamma": 0.01, "eps": 1e-12}


def run(optimizer, steps=10):
    generator = np.random.default_rng(0)
    params = jnp.asarray(generator.normal(size=5))
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(jnp.asarray(generator.normal(size=5)), state, params)
        params = optax.apply_updates(params, updates)
    return np.asarray(params)


def test_define():
    sophon = optgen.define("sophon", SOPHON, **DEFAULTS)
    generator = np.random.default_rng(0)
    theta, m, h = generator.normal(size=5), np.zeros(5), np.zeros(5)
    for _ in range(10):
        g = generator.normal(size=5)
        m = 0.96 * m + 0.04 * g
        h = 0.99 * h + 0.01 * g * g
        theta = theta - 3e-4 * np.clip(m / np.maximum(0.01 * h, 1e-12), -1, 1)
    np.testing.assert_allclose(run(sophon.optax(learning_rate=3e-4)), theta, rtol=1e-12)
    assert repr(sophon) == (
        "<optgen optimizer sophon(lr=0.001, *, beta1=0.96, beta2=0.99, gamma=0.01, eps=1e-12, "
        "grad_clip_norm=None, grad_clip_value=None, maximize=False, skip_nonfinite=False, state_dtype=None)>"
    )


@pytest.mark.parametrize("name", ["name", "equations", "cls", "args", "key", "optimizer"])
def test_a_hyperparameter_may_be_called_as_an_argument_of_the_front_ends(name):
    rule = optgen.define("scaled", f"theta[t] = theta[t-1] - lr*{name}*g", **{"lr": 1.0, name: 0.5})

    class Box:
        value, data, grad = jnp.ones(2), np.ones(2), np.ones(2)

    tx, stateful, box, theta = rule.optax(1.0, **{name: 0.25}), rule.optim(**{name: 0.25}), Box(), Box()
    stateful.register_trainable_weights({"w": box})
    stateful.step({"w": jnp.ones(2)})
    rule.lucid([theta], **{name: 0.25}).step()
    leaf = torch.nn.Parameter(torch.ones(2))
    leaf.grad = torch.ones(2)
    rule.torch([leaf], **{name: 0.25}).step()
    updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))
    for found in (1 + updates, box.value, theta.data, leaf.detach()):
        np.testing.assert_array_equal(np.asarray(found), [0.75, 0.75])
    assert pickle.loads(pickle.dumps(rule)) is rule


@pytest.mark.parametrize("value", [0.5, True, np.float32(1)])
@pytest.mark.parametrize("name", ["wraps", "counts"])
def test_a_hyperparameter_cannot_be_called_as_what_define_asks_for(name, value):
    with pytest.raises(SpecError, match=f"'{name}' is the opti.*, in the arguments of define"):
        optgen.define("scaled", f"theta[t] = theta[t-1] - lr*{name}*g", **{"lr": 1.0, name: value})


def test_the_stateful_front_end():
    class Box:
        value = jnp.ones(2)

    sophon = optgen.define("sophon", SOPHON, **DEFAULTS)
    box = Box()
    optimizer = sophon.optim(lr=0.5)
    optimizer.register_trainable_weights({"w": box})
    optimizer.step({"w": jnp.ones(2)})
    np.testing.assert_allclose(box.value, [0.5, 0.5])
    assert type(optimizer).__name__ == "Sophon"


def test_load_a_spec_file(tmp_path):
    path = tmp_path / "adam.toml"
    path.write_text((specs_folder() / "adam.toml").read_text())
    np.testing.assert_allclose(run(optgen.load(path).optax(0.1)), run(optax.adam(0.1)), rtol=1e-9)


def test_the_starter_spec_trains(tmp_path):
    path = tmp_path / "first.toml"
    path.write_text(starter_spec("first"))
    plain = run(optgen.load(path).optax(0.1))
    generator = np.random.default_rng(0)
    theta, m = generator.normal(size=5), np.zeros(5)
    for _ in range(10):
        m = 0.9 * m + (1 - 0.9) * generator.normal(size=5)
        theta = theta - 0.1 * m
    np.testing.assert_allclose(plain, theta, rtol=1e-12)


def test_options_and_optional_hyperparameters():
    rule = """
    if decay:
        g = g + decay*theta[t-1]
    if flip:
        g = -g
    theta[t] = theta[t-1] - lr*g
    """
    made = optgen.define("switchy", rule, lr=0.1, decay=None, flip=False)
    one = jnp.ones(1)
    both = {"flip": True, "decay": 1.0}
    for arguments, expected in [({}, 0.9), ({"decay": 1.0}, 0.8), ({"flip": True}, 1.1), (both, 1.2)]:
        optimizer = made.optax(**arguments)
        updates, _ = optimizer.update(one, optimizer.init(one), one)
        np.testing.assert_allclose(one + updates, expected)


LOOKAHEAD = """
    slow[0] = theta[0]
    fast = base(g)
    if every(k):
        slow[t] = slow[t-1] + alpha*(fast - slow[t-1])
        theta[t] = slow[t]
    else:
        theta[t] = fast
"""


@pytest.mark.parametrize("wrapped", ["adam", "defined"])
def test_one_optimizer_wraps_another(wrapped):
    base = (
        "adam"
        if wrapped == "adam"
        else optgen.define("heavy", "v[t] = mu*v[t-1] + g\ntheta[t] = theta[t-1] - lr*v[t]", lr=1e-3, mu=0.9)
    )
    made = optgen.define("ahead", LOOKAHEAD, wraps={"base": base}, alpha=0.5, k=3)
    reference = optax.adam(1e-3) if wrapped == "adam" else optax.sgd(1e-3, 0.9)
    generator = np.random.default_rng(0)
    fast = jnp.asarray(generator.normal(size=5))
    slow, state = fast, reference.init(fast)
    for step in range(1, 11):
        updates, state = reference.update(jnp.asarray(generator.normal(size=5)), state, fast)
        fast = fast + updates
        if step % 3 == 0:
            slow = slow + 0.5 * (fast - slow)
            fast = slow
    np.testing.assert_allclose(run(made.optax()), fast, rtol=1e-9)


def test_a_power_of_the_step_demands_a_nonnegative_base():
    made = optgen.define("powers", "theta[t] = theta[t-1] - lr*g/(1 - b**t)", lr=0.1, b=0.5)
    with pytest.raises(InvalidHyperparameter) as caught:
        made.optax(b=-0.5)
    assert str(caught.value) == "powers: b = -0.5 is outside its domain: b >= 0"


def test_mistakes_are_shown_in_place():
    with pytest.raises(SpecError) as caught:
        optgen.define("wrong", "m[t] = beta*m[t-1] + g\ntheta[t] = theta[t-1] - lr*m[t]\n", lr=0.1, beta1=0.9)
    assert str(caught.value) == (
        "<wrong>:1:8: unknown name 'beta'\n    1 | m[t] = beta*m[t-1] + g\n      |        ^^^^ did you mean 'beta1'?"
    )


def test_a_traceback_shows_the_generated_line():
    import traceback

    made = optgen.define("plain", "theta[t] = theta[t-1] - lr*g", lr=0.1)
    module = made.optim.entry.variant({}, {})._calls.module
    try:
        module.default_tensor(None, None)
    except TypeError as error:
        shown = "".join(traceback.format_exception(error))
    assert "theta_update = -lr*g" in shown


def test_counts_are_options_that_are_integers():
    rule = """
    total = g
    for i in range(1, length):
        g_old[i] = grads[t-i]
        total = total + g_old[i]
    grads[t] = g
    theta[t] = theta[t-1] - lr*total
    """
    made = optgen.define("summed", rule, counts={"length": 3}, lr=1.0)
    for arguments, length in [({}, 3), ({"length": 2}, 2)]:
        optimizer = made.optax(**arguments)
        params = jnp.zeros(1)
        state = optimizer.init(params)
        moves = []
        for gradient in (1.0, 10.0, 100.0, 1000.0):
            updates, state = optimizer.update(jnp.full(1, gradient), state, params)
            moves.append(float(updates[0]))
        assert moves == ([-1.0, -11.0, -111.0, -1110.0] if length == 3 else [-1.0, -11.0, -110.0, -1100.0])


def test_inputs_are_passed_to_update_by_name(tmp_path):
    path = tmp_path / "scaled.toml"
    text = starter_spec("scaled").replace(
        "[options]", '[inputs]\nloss = { kind = "step", meaning = "loss" }\n\n[options]'
    )
    path.write_text(text.replace("lr*d", "lr*loss*d"))
    optimizer = optgen.load(path).optax(1.0, beta=0.0)
    state = optimizer.init(jnp.ones(2))
    updates, _ = optimizer.update(jnp.ones(2), state, jnp.ones(2), loss=2.0)
    np.testing.assert_allclose(updates, [-2.0, -2.0], rtol=1e-12)

    class Box:
        value = jnp.ones(2)

    box = Box()
    stateful = optgen.load(path).optim(1.0, beta=0.0)
    stateful.register_trainable_weights({"w": box})
    for wrong in ({}, {"loss": 1.0, "other": 1.0}):
        with pytest.raises(TypeError, match=r"^Scaled: step takes loss=\.\.\. besides the gradients"):
            stateful.step({"w": jnp.ones(2)}, **wrong)
    stateful.step({"w": jnp.ones(2)}, loss=2.0)
    np.testing.assert_allclose(box.value, [-1.0, -1.0], rtol=1e-12)
    with pytest.raises(ValueError, match=r"^scaled: update also needs loss=\.\.\."):
        optimizer.update(jnp.ones(2), state, jnp.ones(2))
