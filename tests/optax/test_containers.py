"""States that consist of several arrays, in frameworks that have containers of their own for them."""

from __future__ import annotations

from typing import Any

import flax.nnx
import flax.serialization
import jax
import jax.numpy as jnp
import optax
import pytest

import optgen
import optgen.optax
from tests.optax.factories import difference

#: Vectors for each axis; codes and scales, alone, beside a count, and where steps may be left out.
FACTORIES: dict[str, Any] = {
    "sm3": lambda: optgen.optax.sm3(0.1),
    "8bit": lambda: optgen.optax.adam(0.1, state_dtype="8bit"),
    "8bit_stochastic": lambda: optgen.optax.sgd(0.1, momentum=0.9, state_dtype="8bit_stochastic"),
    "skip_nonfinite": lambda: optgen.optax.sm3(0.1, state_dtype="8bit", skip_nonfinite=True),
    "own layout": lambda: optgen.load("sm3").optax(0.1),
}


def loss(kernel: Any, bias: Any) -> Any:
    return jnp.mean((jnp.ones((4, 3)) @ kernel + bias - 1.0) ** 2)


def trained(tx: optax.GradientTransformation, params: Any, steps: int) -> Any:
    state = tx.init(params)
    for _ in range(steps):
        gradients = jax.grad(lambda p: loss(p["kernel"], p["bias"]))(params)
        updates, state = jax.jit(tx.update)(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("jit", [flax.nnx.jit, lambda step: step], ids=["jit", "eager"])
@pytest.mark.parametrize("name", list(FACTORIES))
def test_flax_nnx(name: str, jit: Any) -> None:
    model = flax.nnx.Linear(3, 2, rngs=flax.nnx.Rngs(0))
    params = {"kernel": model.kernel[...], "bias": model.bias[...]}
    optimizer = flax.nnx.Optimizer(model, FACTORIES[name](), wrt=flax.nnx.Param)

    @jit
    def step(model: Any, optimizer: Any) -> None:
        gradients = flax.nnx.grad(lambda m: loss(m.kernel[...], m.bias[...]))(model)
        optimizer.update(model, gradients)

    for _ in range(3):
        step(model, optimizer)
    found = {"kernel": model.kernel[...], "bias": model.bias[...]}
    assert difference(found, trained(FACTORIES[name](), params, 3)) <= 1e-6
    assert difference(found, params) > 1e-2


@pytest.mark.parametrize("name", list(FACTORIES))
def test_flax_serialization(name: str) -> None:
    """A state comes back as it was, whichever of flax and optgen is imported first."""
    params = {"kernel": jnp.ones((30, 20)), "bias": jnp.zeros(20)}
    tx = FACTORIES[name]()
    _, state = tx.update(params, tx.init(params), params)
    saved = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(tx.init(params), saved)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert difference(restored, state) == 0
    assert difference(tx.update(params, restored, params), tx.update(params, state, params)) == 0
