"""The calls that a step in JAX is made of: so many arrays each that XLA's time grows with the model, not faster."""

from __future__ import annotations

import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen
import optgen.optax
from optgen.runtime.native import jax as native_jax


@pytest.fixture(autouse=True)
def _however_small(monkeypatch):
    monkeypatch.setattr(native_jax, "SMALLEST", 0)
    monkeypatch.setenv("OPTGEN_BACKEND", "native")


def model(count, seed):
    random = np.random.default_rng(seed)
    return [
        jnp.asarray(random.normal(size=[(5,), (3, 4), (), (2, 3, 2)][index % 4]), jnp.float32) for index in range(count)
    ]


def lowered(tx, count, donated=(0, 1)):
    params = model(count, 0)
    step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=donated)
    return step.lower(params, tx.init(params), params)


def changed_by_each(text):
    """How many results each call of C in a program has."""
    calls = re.findall(r"custom_call @optgen_native.*-> (.*)", text)
    return [call.count("tensor<") for call in calls]


@pytest.mark.parametrize("name", ["adamw", "sgd", "nadamw", "adafactor", "lamb", "sm3"])
def test_no_call_changes_more_arrays_than_xla_takes_well(name):
    tx = getattr(optgen.optax, name)(0.1)
    for count in (20, 200, 400):
        state = tx.init(model(count, 0))
        wanted = count + sum(leaf.ndim > 0 or name != "sgd" for leaf in jax.tree.leaves(state))
        found = changed_by_each(lowered(tx, count).as_text())
        # Numbers of the step are changed by every call.
        assert max(found) <= native_jax.MOST_CHANGED + 2
        assert len(found) <= -(-wanted // (native_jax.MOST_CHANGED - 8)) + 1
        assert len(found) == 1 or count > 20


def test_donated_arrays_are_changed_where_they_are_by_every_call():
    text = lowered(optgen.optax.adamw(0.1), 200).compile().as_text()
    assert text.count('custom_call_target="optgen_native"') == 5
    assert " copy(" not in text


RULES = {
    "adamw": lambda: optgen.load("adamw"),
    "nadam": lambda: optgen.load("nadam"),
    "lamb": lambda: optgen.load("lamb"),
    # A number of the step that only some of the tensors keep: there are calls without it.
    "by_shape": lambda: optgen.define(
        "by_shape",
        """
        if rank >= 2:
            n[t] = 0.5*n[t-1] + 1/t
            d = n[t]*g
        else:
            d = g
        theta[t] = theta[t-1] - lr*d
        """,
        lr=0.001,
    ),
}


@pytest.mark.parametrize("options", [{}, {"state_dtype": "8bit_stochastic"}, {"grad_clip_norm": 0.1}])
@pytest.mark.parametrize("name", RULES)
def test_the_bits_do_not_depend_on_how_many_calls_there_are(name, options, monkeypatch):
    found = []
    for most in (10**6, 128, 8, 1):
        monkeypatch.setattr(native_jax, "MOST_CHANGED", most)
        tx = RULES[name]().optax(0.001, **({} if name == "by_shape" and "state_dtype" in options else options))
        params = model(30, 0)
        state = tx.init(params)
        step = jax.jit(lambda p, s, g, tx=tx: optgen.optax.apply_gradients(tx, g, s, p))
        calls = len(changed_by_each(step.lower(params, state, params).as_text()))
        is_joint = "grad_clip_norm" in options
        assert calls == 1 if is_joint or most == 10**6 else calls > 1 or most == 128
        for t in range(3):
            params, state = step(params, state, model(30, t + 1))
        found.append(jax.tree.leaves((params, state)))
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, found[0], other)


def test_large_models_that_one_call_has_to_step_are_left_to_xla(monkeypatch):
    """Unless kernels are asked for; whatever steps them, the numbers are the same but for rounding."""
    tx = optgen.load("adamw").optax(0.1, grad_clip_norm=1.0)
    for backend, count, calls in (("auto", 170, 1), ("auto", 171, 0), ("native", 171, 1), ("arrays", 2, 0)):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        assert len(changed_by_each(lowered(tx, count).as_text())) == calls, (backend, count)


@pytest.mark.parametrize("folder", [b"cache", b"\xff", "\N{GREEK SMALL LETTER THETA}".encode()])
def test_kernels_are_called_wherever_they_are_kept(folder, tmp_path, monkeypatch):
    """Also where the name of the folder is no text."""
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / os.fsdecode(folder)))
    rule = optgen.define("kept_somewhere", "theta[t] = theta[t-1] - lr*g/(1 + g*g)", lr=0.5)
    text = lowered(rule.optax(), 3).as_text()
    assert len(changed_by_each(text)) == 1
    assert list((tmp_path / os.fsdecode(folder) / "native").glob("kept_somewhere-*.so"))
