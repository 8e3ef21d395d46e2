"""What the tests of stateful optimizers train: objects with a value, and gradients for them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


class Box:
    """The least that a weight has to be."""

    def __init__(self, value):
        self.value = value


def box(*numbers, dtype=jnp.float32):
    return Box(jnp.asarray(numbers, dtype))


def ones(weights, factor=1.0):
    """A gradient of ones, or of another number, for each weight of a mapping."""
    return {k: jax.tree.map(lambda x: jnp.full_like(x, factor), w.value) for k, w in weights.items()}


def moved(weight, start) -> np.ndarray:
    """How far a weight has gone down."""
    return np.asarray(start) - np.asarray(weight.value)
