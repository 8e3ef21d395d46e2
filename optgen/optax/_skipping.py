"""Steps that leave everything as it was where a gradient is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.optax._transformation import Transformation
from optgen.runtime.jax.mesh import axes_named, split_along
from optgen.runtime.jax.trees import all_finite, no_change


class Skipping:
    """A transformation that leaves out steps whose gradients are not finite, in optax.apply_if_finite's state.

    Args:
        inner: what makes the other steps.
    """

    def __init__(self, inner: Transformation) -> None:
        self._inner = inner

    def init(self, params: Any) -> optax.ApplyIfFiniteState:
        """The state before the first step."""
        # Two arrays, since both may be donated.
        row, total = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return optax.ApplyIfFiniteState(row, jnp.array(True), total, self._inner.init(params))

    def update(
        self, updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, optax.ApplyIfFiniteState]:
        """One step: what is to be added to the parameters, and the state after it."""

        def step(before: Any) -> tuple[Any, Any]:
            return self._inner.update(updates, before, params, **extra)

        # What the step gives may have another tree than the gradients.
        shapes, _ = jax.eval_shape(step, state.inner_state)
        return self._unless(updates, state, extra, step, jax.tree.map(no_change, shapes))

    def apply(self, gradients: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, optax.ApplyIfFiniteState]:
        """One step: the new parameters, and the state after it."""

        def step(before: Any) -> tuple[Any, Any]:
            return self._inner.apply(gradients, before, params, **extra)

        return self._unless(gradients, state, extra, step, params)

    def _unless(
        self, gradients: Any, state: Any, extra: Mapping[str, Any], step: Callable[[Any], Any], otherwise: Any
    ) -> tuple[Any, optax.ApplyIfFiniteState]:
        """The result of a step if all gradients are finite, else the old values."""
        finite = all_finite(gradients)
        axes = split_along(finite, axes_named(self._inner.name, extra.get("axis_name")))
        if axes:
            finite = jax.lax.pmin(finite.astype(jnp.int32), axes) > 0  # type: ignore[no-untyped-call]
        found, after = jax.lax.cond(finite, step, lambda before: (otherwise, before), state.inner_state)
        row = jnp.where(finite, 0, optax.safe_increment(state.notfinite_count))
        total = jnp.where(finite, state.total_notfinite, optax.safe_increment(state.total_notfinite))
        return found, optax.ApplyIfFiniteState(row, finite, total, after)
