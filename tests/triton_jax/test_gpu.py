"""Steps inside jit on a GPU: Triton kernels beside the functions of the jax target, and donated memory."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.optax

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(jax.default_backend() != "gpu", reason="jax sees no GPU"),
    pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="Triton interprets"),
]

SHAPES = {"w": (300, 140), "b": (37,), "e": (0, 3), "s": (), "l": (300_001,)}
NAMES = ["adamw", "nadam", "lion", "lamb", "sgd", "radam", "adafactor", "sm3", "novograd", "prodigy"]


def tree(seed: int, dtype: Any) -> dict[str, jax.Array]:
    random = np.random.default_rng(seed)
    return {name: jnp.asarray(random.standard_normal(shape), dtype) for name, shape in SHAPES.items()}


def steps(name: str, dtype: Any, **arguments: Any) -> tuple[list[jax.Array], str]:
    """Parameters and states after some steps, and what they were lowered to."""
    tx = getattr(optgen.optax, name)(1e-2, **arguments)
    params = tree(0, dtype)
    state = tx.init(params)
    step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
    text = step.lower(params, state, params).as_text()
    for seed in range(1, 5):
        params, state = step(params, state, tree(seed, dtype))
    return jax.tree.leaves((params, state)), text


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_as_the_jax_target(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTGEN_BACKEND", "triton")
    ours, text = steps(name, dtype)
    assert "optgen_triton" in text
    monkeypatch.setenv("OPTGEN_BACKEND", "arrays")
    theirs, text = steps(name, dtype)
    assert "optgen_triton" not in text
    # Whoever rounds at another neighbour of a tie is one unit in the last place away.
    tolerance = 2e-6 if dtype == jnp.float32 else 2e-2
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), tolerance, tolerance)


@pytest.mark.parametrize("state_dtype", ["bfloat16", "bfloat16_nearest", "8bit", "8bit_stochastic"])
def test_states_in_formats(state_dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same codes, but where a rounding of float32 lies at a boundary."""
    found = []
    for backend in ("triton", "arrays"):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        found.append(steps("adamw", jnp.float32, state_dtype=state_dtype)[0])
    for a, b in zip(*found, strict=True):
        if a.dtype in (jnp.uint8, jnp.bfloat16) and a.size:
            assert float(jnp.mean(a != b)) <= 0.005
        elif a.size:
            np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4)


def test_donated_arrays_are_changed_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTGEN_BACKEND", "triton")
    tx = optgen.optax.adamw(1e-2)
    params = tree(0, jnp.float32)
    state = tx.init(params)
    step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
    where = []
    for seed in range(1, 4):
        params, state = step(params, state, tree(seed, jnp.float32))
        where.append([leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((params, state)) if leaf.size > 1])
    assert where[0] == where[1] == where[2]
