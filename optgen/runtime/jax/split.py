"""Steps in a `shard_map` whose devices have parts of tensors: folds over a tensor or the model go over all parts.

Which tensors are split is told by their types, which vary along the axes of the mesh over which they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from optgen.errors import TreeMismatch
from optgen.runtime.jax.mesh import split_along


class SplitFunctions:
    """Replacement of jax.numpy for a generated module: reductions over whole arrays include the parts of all devices.

    Args:
        optimizer: what messages call it.
        axes: of the mesh.
    """

    def __init__(self, optimizer: str, axes: tuple[str, ...]) -> None:
        self._optimizer = optimizer
        self._axes = axes

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def sum(self, value: Any, **how: Any) -> Any:
        """See `jax.numpy.sum`."""
        return self._folded(jnp.sum, lax.psum, value, how)

    def max(self, value: Any, **how: Any) -> Any:
        """See `jax.numpy.max`."""
        return self._folded(jnp.max, lax.pmax, value, how)

    def min(self, value: Any, **how: Any) -> Any:
        """See `jax.numpy.min`."""
        return self._folded(jnp.min, lax.pmin, value, how)

    def _folded(self, fold: Callable[..., Any], combine: Callable[..., Any], value: Any, how: dict[str, Any]) -> Any:
        split = split_along(value, self._axes)
        if split and how.get("axis") is not None:
            raise TreeMismatch(
                f"{self._optimizer}: this rule reduces along rows, columns or axes, of which devices have parts only"
            )
        found = fold(value, **how)
        return combine(found, split) if split else found
