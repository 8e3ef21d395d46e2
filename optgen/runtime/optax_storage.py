"""How optax stores what a rule keeps: in which shape and dtype, and where a rule keeps nothing for a tensor.

A rule computes on values with an axis of length 1 where they do not vary, in float32 or float64; optax stores them
without those axes, in the parameter's dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from optgen.compiler.kinds import Kind, inverse_order, kept_shapes, matrix_order
from optgen.errors import TreeMismatch
from optgen.runtime.jax import JaxVariant
from optgen.targets.manifest import StateInfo


class Storage:
    """Stores the states of one variant, or of several that differ in nothing that is kept.

    Args:
        variant: one of them.
        plain: whether states are stored as the rule keeps them.
        history: how long histories are; None for as long as the rule needs.
    """

    def __init__(self, variant: JaxVariant, plain: bool, history: int | None) -> None:
        self.variant = variant
        self.plain = plain
        self.history = history
        self.infos = {state.name: state for case in variant.info.cases for state in case.states}

    def info(self, name: str, shape: tuple[int, ...]) -> StateInfo | None:
        """What a tensor of a shape keeps under a name; None for nothing."""
        return next((s for s in self.variant.case_of(shape).states if s.name == name), None)

    def stored(self, name: str, shape: tuple[int, ...], value: Any, like: Any, dtype: Any) -> Any:
        """A rule's value for a tensor as it is stored.

        Args:
            name: the state.
            shape: the tensor's.
            value: what the rule keeps.
            like: what was stored before, whose dtype it takes; None before the first step.
            dtype: the dtype to take then.
        """
        info = self.info(name, shape)
        if info is None:
            return None if self.plain else (like if like is not None else jnp.zeros((1,), dtype))
        if self.plain:
            return value
        if like is None and info.depth > 1 and self.history is not None:
            value = _lengthened(value, self.history)
        axes = self._dropped(info, shape)
        if Kind(info.kind) is Kind.AXIS:
            vectors = [_reshaped(v, info, (n,)) for v, n in zip(value, shape or (1,), strict=True)]
            dtypes = [v.dtype for v in like] if like is not None else [dtype] * len(vectors)
            return [v.astype(d) for v, d in zip(vectors, dtypes, strict=True)]
        if axes:
            before = int(info.depth > 1)
            order = inverse_order(matrix_order(self.variant.info.matrix_axes, shape))
            value = jnp.transpose(value, (*range(before), *(axis + before for axis in order)))
            value = jnp.squeeze(value, tuple(axis + before for axis in axes))
        return value.astype(dtype if like is None else like.dtype)

    def kept(self, name: str, shape: tuple[int, ...], stored: Any, dtype: Any) -> Any:
        """A stored value as the rule computes with it; None where it keeps nothing."""
        info = self.info(name, shape)
        if info is None:
            return None
        if self.plain:
            return stored
        if Kind(info.kind) is Kind.AXIS:
            return tuple(
                _reshaped(v, info, wanted).astype(dtype)
                for v, wanted in zip(stored, kept_shapes(Kind.AXIS, shape), strict=True)
            )
        if axes := self._dropped(info, shape):
            before = int(info.depth > 1)
            stored = jnp.expand_dims(stored, tuple(sorted(axis + before for axis in axes)))
            order = matrix_order(self.variant.info.matrix_axes, shape)
            stored = jnp.transpose(stored, (*range(before), *(axis + before for axis in order)))
        return stored.astype(dtype)

    def check(self, name: str, shape: tuple[int, ...], stored: Any, where: str) -> None:
        """Refuse a stored value of another shape than the tensor's.

        Raises:
            TreeMismatch: it is one.
        """
        info = self.info(name, shape)
        if info is None or self.plain:
            return
        if Kind(info.kind) is Kind.AXIS:
            wanted: Any = [(n,) for n in shape or (1,)]
            found: Any = [jnp.shape(v) for v in stored] if isinstance(stored, tuple | list) else type(stored).__name__
        else:
            order = matrix_order(self.variant.info.matrix_axes, shape)
            full = kept_shapes(Kind(info.kind), tuple(shape[axis] for axis in order))[0]
            if Kind(info.kind) is Kind.ELEMENT:
                full = shape
            elif len(full) == len(shape):
                dropped = self._dropped(info, shape)
                full = tuple(shape[axis] for axis in range(len(shape)) if axis not in dropped) if dropped else full
            if info.depth > 1:
                full = (self.history or info.depth, *full)
            wanted, found = full, tuple(getattr(stored, "shape", ()))
        if wanted != found:
            raise TreeMismatch(f"{where} has shape {found}, expected {wanted} for a gradient of shape {shape}")

    def _dropped(self, info: StateInfo, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of a tensor that a row, column or matrix of it does not vary along."""
        if len(shape) < 2:
            return ()
        order = matrix_order(self.variant.info.matrix_axes, shape)
        axes = {Kind.ROW: (order[-1],), Kind.COLUMN: (order[-2],), Kind.MATRIX: (order[-2], order[-1])}
        return axes.get(Kind(info.kind), ())


def stored_number(value: Any, history: int | None, info: StateInfo | None, dtype: Any) -> jax.Array:
    """A number of the model before the first step as it is stored; a history of such at its full length."""
    array = jnp.asarray(value, dtype)
    return _lengthened(array, history) if history is not None and info is not None and info.depth > 1 else array


def as_mapping(names: tuple[str, ...], values: list[Any]) -> Mapping[str, Any]:
    """Values by name, those that are there."""
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _lengthened(ring: jax.Array, length: int) -> jax.Array:
    return jnp.zeros((length, *ring.shape[1:]), ring.dtype)


def _reshaped(vector: jax.Array, info: StateInfo, shape: tuple[int, ...]) -> jax.Array:
    return jnp.reshape(vector, (*vector.shape[:1], *shape) if info.depth > 1 else shape)
