"""In which dtypes states are kept, and what that is worth to steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen.optax
from optgen.errors import InvalidHyperparameter, TreeMismatch
from optgen.runtime.formats.codes import Blocks


def dtypes_of(state: Any) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)}


@pytest.mark.parametrize("state_dtype", ["float32", jnp.float32, {"mu": "float32", "nu": "float32"}])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_float32_that_is_asked_for(state_dtype: Any, dtype: str) -> None:
    """A slow average beside narrow parameters is what it is beside parameters in float32, and updates stay narrow."""
    tx, full = optgen.optax.adam(1e-3, state_dtype=state_dtype), optgen.optax.adam(1e-3)
    random = np.random.default_rng(0)
    params, wide = jnp.zeros(512, dtype), jnp.zeros(512, jnp.float32)
    state, other = tx.init(params), full.init(wide)
    assert dtypes_of(state) == {"float32"}
    step, whole = jax.jit(tx.update), jax.jit(full.update)
    for _ in range(300):
        gradients = jnp.asarray(random.standard_normal(512), dtype)
        updates, state = step(gradients, state, params)
        _, other = whole(gradients.astype(jnp.float32), other, wide)
    assert updates.dtype == dtype
    assert dtypes_of(state) == {"float32"}
    np.testing.assert_allclose(state[0].nu, other[0].nu, rtol=1e-5)


def test_float32_beside_bfloat16_for_some_states() -> None:
    state = optgen.optax.adam(1e-3, state_dtype={"nu": "float32"}).init(jnp.ones(3, jnp.bfloat16))
    assert (state[0].mu.dtype, state[0].nu.dtype) == (jnp.bfloat16, jnp.float32)
    state = optgen.optax.adam(1e-3, state_dtype={"nu": "float32", "mu": "8bit"}).init(jnp.ones(3, jnp.bfloat16))
    assert isinstance(state[0].mu, Blocks)
    assert state[0].nu.dtype == jnp.float32
    # Rows, columns and numbers of the model as well.
    for name, given in (("adafactor", {"min_dim_size_to_factor": 2}), ("prodigy", {}), ("sm3", {})):
        tx = getattr(optgen.optax, name)(1e-3, state_dtype="float32", **given)
        assert dtypes_of(tx.init(jnp.ones((4, 3), jnp.bfloat16))) == {"float32"}, name
    # The precision of the arithmetic is float64 beside such parameters.
    assert dtypes_of(optgen.optax.adam(1e-3, state_dtype="float32").init(jnp.ones(3, jnp.float64))) == {"float64"}


def test_two_arguments_for_one_state() -> None:
    with pytest.raises(InvalidHyperparameter, match="mu_dtype and state_dtype say of one state"):
        optgen.optax.adam(1e-3, mu_dtype="bfloat16", state_dtype="float32")


def test_a_state_that_lost_what_is_asked_for_is_refused() -> None:
    params = jnp.ones(3, jnp.bfloat16)
    narrow = optgen.optax.adam(1e-3).init(params)
    with pytest.raises(TreeMismatch, match=r"leaf 0 of state\.mu is bfloat16, and state_dtype says float32"):
        optgen.optax.adam(1e-3, state_dtype="float32").update(params, narrow, params)
    half = jnp.ones(3, jnp.float16)
    ours, theirs = optgen.optax.adam(1e-3), optax.adam(1e-3).init(half)
    with pytest.raises(TreeMismatch, match=r"leaf 0 of state\.mu is float16, in which small numbers are lost"):
        ours.update(half, theirs, half)
    _, after = ours.update(half, optax.tree.cast(theirs, jnp.float32), half)
    assert dtypes_of(after) == {"float32"}
    # Who asks for it by name has it.
    state = optgen.optax.adam(1e-3, mu_dtype=jnp.float16).init(half)
    assert (state[0].mu.dtype, state[0].nu.dtype) == (jnp.float16, jnp.float32)


NAMES = ["adam", "adamw", "adabelief", "amsgrad", "nadam", "radam", "rmsprop", "adagrad", "yogi", "lamb", "lion", "sgd"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_small_gradients_of_float16_parameters(name: str, size: float) -> None:
    """Parameters move as they do in float32, but for the rounding of each update and of the sum."""
    tx = getattr(optgen.optax, name)(1e-3)
    random = np.random.default_rng(0)

    def moved(dtype: str) -> Any:
        params = jnp.zeros(64, dtype)
        state, step = tx.init(params), jax.jit(tx.update)
        for count in range(60):
            # After some gradients, none.
            gradients = jnp.asarray(size * random.standard_normal(64) * (count < 40), jnp.float16).astype(dtype)
            updates, state = step(gradients, state, params)
            params = optax.apply_updates(params, updates)
        return params

    narrow = moved("float16")
    random = np.random.default_rng(0)
    wide = moved("float32")
    np.testing.assert_allclose(narrow, wide, rtol=0.02, atol=1e-5 + 2e-3 * float(jnp.max(jnp.abs(wide))))
