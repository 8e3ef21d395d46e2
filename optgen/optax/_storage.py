"""How optax stores what a rule keeps: in which shape and dtype, and where a rule keeps nothing for a tensor.

A rule keeps values with an axis of length 1 where they do not vary; optax stores them without those axes. Both keep
them in the dtype of the parameter: the step itself goes to float32 or float64 and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from optgen.contract.formats import is_eight_bit
from optgen.contract.kinds import Kind, inverse_order, kept_shapes, matrix_order
from optgen.contract.manifest import StateInfo
from optgen.errors import TreeMismatch
from optgen.runtime.formats.codes import Blocks
from optgen.runtime.jax.variant import JaxVariant


@dataclass(frozen=True, slots=True)
class Rings:
    """States of which a fixed number of values is stored, the value of step t at place (t - 1 + ahead) % length.

    A value of zeros is one that does not count.
    """

    states: tuple[str, ...] = ()
    length: int = 1
    ahead: int = 0

    def last(self, ring: jax.Array, count: Any) -> jax.Array:
        """The value of the last of `count` steps; zeros where only that of the step to come is to count."""
        if self.length == 1:
            return jnp.zeros_like(ring[0])
        return ring[(count - 1 + self.ahead) % self.length]

    def pushed(self, ring: jax.Array, value: jax.Array, count: Any) -> jax.Array:
        """The ring with the value of the step after `count` steps."""
        return ring.at[(count + self.ahead) % self.length].set(value)


class Storage:
    """Stores the states of one variant, or of several that differ in nothing that is kept.

    Args:
        variant: one of them.
        plain: whether states are stored as the rule keeps them.
        rings: the states that are stored as histories of one length, which is longer than what the rule keeps.
        formats: of the states that come and go as `optgen.runtime.formats` stores them.
    """

    def __init__(self, variant: JaxVariant, plain: bool, rings: Rings, formats: Mapping[str, str]) -> None:
        self.variant = variant
        self.plain = plain
        self.rings = rings
        self.formats = formats
        self.infos = {state.name: state for case in variant.info.cases for state in case.states}

    def info(self, name: str, shape: tuple[int, ...]) -> StateInfo | None:
        """The state of a name for a tensor of a shape; None if it has none."""
        return next((s for s in self.variant.case_of(shape).states if s.name == name), None)

    def number(self, name: str, value: Any, dtype: Any) -> jax.Array:
        """A number of the model before the first step, as it is stored."""
        array = jnp.asarray(value, dtype)
        return self._ring(name, array) if name in self.rings.states else array

    def kept_number(self, name: str, stored: jax.Array, count: Any) -> jax.Array:
        """A stored number of the model as the rule computes with it."""
        return self.rings.last(stored, count) if self._is_single(name) else stored

    def next_number(self, name: str, value: jax.Array, like: jax.Array, count: Any) -> jax.Array:
        """A number of the model after a step as it is stored."""
        value = value.astype(like.dtype)
        return self.rings.pushed(like, value, count) if self._is_single(name) else value

    def _is_single(self, name: str) -> bool:
        """Whether the rule keeps one value where a history is stored."""
        return name in self.rings.states and self.infos[name].depth == 1

    def _ring(self, name: str, value: jax.Array) -> jax.Array:
        """A history before the first step, at its stored length."""
        shape = value.shape[1:] if self.infos[name].depth > 1 else value.shape
        return jnp.zeros((self.rings.length, *shape), value.dtype)

    def stored(self, name: str, shape: tuple[int, ...], value: Any, like: Any, dtype: Any, count: Any = 0) -> Any:
        """A rule's value for a tensor as it is stored.

        Args:
            name: the state.
            shape: the tensor's.
            value: what the rule keeps.
            like: what was stored before, whose dtype it takes; None before the first step.
            dtype: the dtype to take then.
            count: the number of steps done before this one.
        """
        info = self.info(name, shape)
        if info is None:
            return None if self.plain else (like if like is not None else jnp.zeros((1,), dtype))
        if self.plain or name in self.formats:
            return value if like is None else _contained(value, like)
        if name in self.rings.states:
            if like is None:
                return self._ring(name, value).astype(dtype)
            value = value.astype(like.dtype)
            return self.rings.pushed(like, value, count) if self._is_single(name) else value
        axes = self._dropped(info, shape)
        if info.kind is Kind.AXIS:
            vectors = [_reshaped(v, info, (n,)) for v, n in zip(value, shape or (1,), strict=True)]
            if like is None:
                return [v.astype(dtype) for v in vectors]
            old = jax.tree.leaves(like)
            return _contained([v.astype(o.dtype) for v, o in zip(vectors, old, strict=True)], like)
        if axes:
            before = int(info.depth > 1)
            order = inverse_order(matrix_order(self.variant.info.matrix_axes, shape))
            value = jnp.transpose(value, (*range(before), *(axis + before for axis in order)))
            value = jnp.squeeze(value, tuple(axis + before for axis in axes))
        return value.astype(dtype if like is None else like.dtype)

    def kept(self, name: str, shape: tuple[int, ...], stored: Any, count: Any) -> Any:
        """A stored value as the rule keeps it, in the dtype in which it is stored; None where it keeps nothing."""
        info = self.info(name, shape)
        if info is None:
            return None
        stored = self._several(name, info, stored)
        if self.plain or name in self.formats:
            return stored
        if self._is_single(name):
            stored = self.rings.last(stored, count)
        if info.kind is Kind.AXIS:
            return tuple(
                _reshaped(v, info, wanted) for v, wanted in zip(stored, kept_shapes(Kind.AXIS, shape), strict=True)
            )
        if axes := self._dropped(info, shape):
            before = int(info.depth > 1)
            stored = jnp.expand_dims(stored, tuple(sorted(axis + before for axis in axes)))
            order = matrix_order(self.variant.info.matrix_axes, shape)
            stored = jnp.transpose(stored, (*range(before), *(axis + before for axis in order)))
        return stored

    def check(self, name: str, shape: tuple[int, ...], stored: Any, where: str) -> None:
        """Refuse a stored value in another format, or of another shape than the tensor's.

        Raises:
            TreeMismatch: it is one.
        """
        info = self.info(name, shape)
        if info is None:
            return
        stored = self._several(name, info, stored)
        if isinstance(stored, Blocks) is not is_eight_bit(self.formats.get(name)):
            kind = "in 8 bits" if isinstance(stored, Blocks) else "an array"
            raise TreeMismatch(f"{where} is {kind}, and state_dtype says otherwise")
        if self.plain:
            return
        if info.kind is Kind.AXIS:
            wanted: Any = [(n,) for n in shape or (1,)]
            found: Any = [jnp.shape(v) for v in stored] if isinstance(stored, tuple | list) else type(stored).__name__
        else:
            order = matrix_order(self.variant.info.matrix_axes, shape)
            full = kept_shapes(info.kind, tuple(shape[axis] for axis in order))[0]
            if info.kind is Kind.ELEMENT:
                full = shape
            elif len(full) == len(shape):
                dropped = self._dropped(info, shape)
                full = tuple(shape[axis] for axis in range(len(shape)) if axis not in dropped) if dropped else full
            if name in self.rings.states:
                full = (self.rings.length, *full)
            elif info.depth > 1:
                full = (info.depth, *full)
            wanted, found = full, tuple(getattr(stored, "shape", ()))
        if wanted != found:
            raise TreeMismatch(f"{where} has shape {found}, expected {wanted} for a gradient of shape {shape}")

    def _several(self, name: str, info: StateInfo, stored: Any) -> Any:
        """Read what is stored, where it consists of several arrays, in the container that `stored` makes.

        Some frameworks keep such arrays in containers of their own; flax.nnx does in mappings.
        """
        if hasattr(stored, "dtype") or isinstance(stored, Blocks):
            return stored
        leaves = jax.tree.leaves(stored)
        if is_eight_bit(self.formats.get(name)):
            return Blocks(*leaves) if len(leaves) == len(Blocks._fields) else stored
        return tuple(leaves) if info.kind is Kind.AXIS else stored

    def _dropped(self, info: StateInfo, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of a tensor that a row, column or matrix of it does not vary along."""
        if len(shape) < 2:
            return ()
        order = matrix_order(self.variant.info.matrix_axes, shape)
        axes = {Kind.ROW: (order[-1],), Kind.COLUMN: (order[-2],), Kind.MATRIX: (order[-2], order[-1])}
        return axes.get(info.kind, ())


def _contained(value: Any, like: Any) -> Any:
    """The arrays of a container, in one like another."""
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(value))


def _reshaped(vector: jax.Array, info: StateInfo, shape: tuple[int, ...]) -> jax.Array:
    return jnp.reshape(vector, (*vector.shape[:1], *shape) if info.depth > 1 else shape)
