"""AdEMAMix's weight and decay of the slow mean may be schedules, as the paper asks for long trainings."""

from __future__ import annotations

import jax.numpy as jnp
import optax.contrib

import optgen.optax
from tests.language.trajectories import difference, problem, run_optax


def alpha(count):
    """The paper's warm-up: the weight rises linearly."""
    return 5.0 * jnp.minimum(count / 10, 1.0)


def decay(count):
    return 0.9 + 0.09 * jnp.minimum(count / 10, 1.0)


def test_schedules_agree_with_optax() -> None:
    parameters, gradients = problem()
    ours = run_optax(optgen.optax.ademamix(0.1, b3=decay, alpha=alpha, weight_decay=0.1), parameters, gradients)
    theirs = run_optax(optax.contrib.ademamix(0.1, b3=decay, alpha=alpha, weight_decay=0.1), parameters, gradients)
    fixed = run_optax(optax.contrib.ademamix(0.1, b3=0.9, alpha=0.0, weight_decay=0.1), parameters, gradients)
    assert difference(ours, theirs) < 1e-9
    assert difference(fixed, theirs) > 1e-3
