"""How a schedule's values are computed in every way there is, and how far they are from a reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

#: Beside a value that is 0 in exact arithmetic, a reference in float64 is off by a few of its last places times the
#: largest rate: 1 + cos(pi) is exactly 0, but 0.1 + (1e-5 - 0.1)*1 is not 1e-5.
FLOOR = 16 * np.finfo(np.float64).eps
#: A value that is rounded to float32 once is off by half a unit in the last place, and the reference by less.
FLOAT32 = np.finfo(np.float32).eps


def in_every_way(schedule, steps: Sequence[int]) -> dict[str, np.ndarray]:
    """The values at some steps: one by one and all at once, with jit and without, in float64 and float32."""
    counts = jnp.asarray(np.asarray(steps), jnp.int32)
    found = {"host": np.array([schedule.at(step) for step in steps])}
    found["called with Python integers"] = np.array([schedule(step) for step in steps[:20]])
    found["jit of vmap"] = np.asarray(jax.jit(jax.vmap(schedule))(counts))
    found["an array of counts"] = np.broadcast_to(np.asarray(schedule(counts)), len(steps))
    with jax.enable_x64(False):
        narrow = jax.jit(jax.vmap(schedule))(jnp.asarray(np.asarray(steps), jnp.int32))
        assert narrow.dtype == jnp.float32
        found["float32"] = np.asarray(narrow)
        found["float32, called with Python integers"] = np.array([schedule(step) for step in steps[:20]])
    assert found["jit of vmap"].dtype == np.float64
    return found


def worst(values: np.ndarray, reference: Sequence[float], scale: float) -> float:
    """The largest difference, relative to the reference's values."""
    wanted = np.asarray(reference, np.float64)[: len(values)]
    difference = np.abs(np.asarray(values, np.float64) - wanted)
    return float(np.max(difference / np.maximum(np.abs(wanted), FLOOR / 1e-6 * scale)))


def assert_follows(schedule, reference: Callable[[int], float] | Sequence[float], steps: Sequence[int]) -> None:
    """Every way to compute a schedule gives the reference's values, to 1e-12 relative; in float32 to its rounding."""
    wanted = [float(reference(step)) for step in steps] if callable(reference) else list(reference)
    scale = max(abs(value) for value in wanted)
    for way, values in in_every_way(schedule, steps).items():
        limit = FLOAT32 if "float32" in way else 1e-12
        assert worst(values, wanted, scale) <= limit, (way, worst(values, wanted, scale))
