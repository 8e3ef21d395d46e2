"""A step of the transformation and of the parameters in one: the same as the two calls."""

from __future__ import annotations

import jax.numpy as jnp
import optax
import pytest

import optgen.optax
from tests.optax.factories import cases, difference, ours, parameters, stepping, tree

ARGUMENTS = dict(reversed(cases()))


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_it_is_the_two_calls(name):
    tx = ours(name)(**ARGUMENTS[name])
    one, two = stepping(name, tx, optgen.optax.apply_gradients), stepping(name, tx)
    a = b = (parameters(name), tx.init(parameters(name)))
    for step in range(1, 4):
        a, b = one(*a, tree(step, name=name)), two(*b, tree(step, name=name))
        assert difference(a, b) <= 1e-13


def test_any_transformation():
    tx = optax.chain(optax.clip_by_global_norm(1.0), optgen.optax.lion(0.1))
    params, gradients = {"w": jnp.ones(3, jnp.bfloat16)}, {"w": jnp.ones(3)}
    new, _ = optgen.optax.apply_gradients(tx, gradients, tx.init(params), params)
    updates, _ = tx.update(gradients, tx.init(params), params)
    assert new["w"].dtype == jnp.bfloat16
    assert difference(new, optax.apply_updates(params, updates)) == 0
