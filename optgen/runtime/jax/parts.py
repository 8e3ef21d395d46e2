"""Which part of a tensor a device has in a `shard_map`: random bits follow from the places of numbers in the whole.

Types tell along which axes of the mesh a tensor is split, and not which of its own axes those split; the argument
`specs` does, in the words of `in_specs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from optgen.contract.formats import BLOCK, is_eight_bit, is_stochastic
from optgen.errors import TreeMismatch
from optgen.runtime.jax.mesh import split_along
from optgen.runtime.jax.trees import leaf_paths


@dataclass(frozen=True, slots=True)
class Part:
    """A device's part of a tensor.

    Attributes:
        shape: that of the part.
        whole: that of the tensor.
        first: where the part starts, along each axis of the tensor.
    """

    shape: tuple[int, ...]
    whole: tuple[int, ...]
    first: tuple[Any, ...]

    @property
    def is_contiguous(self) -> bool:
        """Whether the part lies in one piece in the tensor's memory."""
        return self.shape[1:] == self.whole[1:]

    def places(self, count: int, _: Any) -> Any:
        """The places of the part's numbers in the tensor; see `Arrays.places`."""
        if self.is_contiguous:
            return self.first[0] * _wrapped(math.prod(self.shape[1:])) + lax.iota(jnp.int32, count)
        found = jnp.int32(0)
        for axis, first in enumerate(self.first):
            along = first + lax.broadcasted_iota(jnp.int32, self.shape, axis)
            found = found + along * _wrapped(math.prod(self.whole[axis + 1 :]))
        return found.reshape(-1)

    def of(self, whole: jax.Array) -> Any:
        """This part of an array of the tensor's shape."""
        return lax.dynamic_slice(whole, self.first, self.shape)


def parts_of(
    optimizer: str, specs: Any, tree: Any, tensors: Sequence[jax.Array], axes: tuple[str, ...]
) -> list[Part | None]:
    """Which part of each tensor a device has; None of what it has whole, or where nothing tells.

    Args:
        optimizer: what messages call it.
        specs: a tree of `PartitionSpec`s like the parameters, or a prefix of it; None for none.
        tree: the gradients.
        tensors: its leaves.
        axes: those that `axis_name` names.

    Raises:
        TreeMismatch: specs are of another tree, or do not say what the types of arrays do.
    """
    given: list[Any] = [None] * len(tensors)
    if specs is not None:
        try:
            spread = jax.tree.map(lambda spec, part: jax.tree.map(lambda _: spec, part), specs, tree, is_leaf=_is_spec)
        except ValueError as error:
            raise TreeMismatch(f"{optimizer}: specs is no prefix of the tree of the gradients: {error}") from None
        given = jax.tree.leaves(spread, is_leaf=_is_spec)
    found: list[Part | None] = []
    for index, (tensor, spec) in enumerate(zip(tensors, given, strict=True)):
        split = split_along(tensor, axes)
        if spec is None and tensor.ndim == 1 and len(split) == 1:
            spec = jax.sharding.PartitionSpec(split[0])  # type: ignore[no-untyped-call]
        if spec is None:
            found.append(None)
            continue
        by_axis = [_names(entry) for entry in spec] + [()] * (tensor.ndim - len(spec))
        if {name for names in by_axis for name in names} != set(split) or len(by_axis) != tensor.ndim:
            where = leaf_paths(tree)[index]
            along = ", ".join(split) or "no axis"
            raise TreeMismatch(f"{optimizer}: specs{where} is {spec}, and the gradient is split along {along}")
        found.append(_part(tensor.shape, by_axis) if split else None)
    return found


def check_formats(
    optimizer: str,
    formats: Mapping[str, str],
    tensors: Sequence[jax.Array],
    parts: Sequence[Part | None],
    axes: tuple[str, ...],
) -> None:
    """Refuse formats of states that would not be those of whole tensors.

    Raises:
        TreeMismatch: random bits ask for the places of numbers, which nothing tells, or 256 numbers that share a scale
            are on several devices.
    """
    for tensor, part in zip(tensors, parts, strict=True):
        if not split_along(tensor, axes):
            continue
        if part is None and any(is_stochastic(format) or is_eight_bit(format) for format in formats.values()):
            raise TreeMismatch(
                f"{optimizer}: state_dtype asks for the places of numbers in whole tensors: specs=... gives a "
                "PartitionSpec for each parameter, as in_specs does"
            )
        if part is not None and any(map(is_eight_bit, formats.values())):
            if not part.is_contiguous or math.prod(part.shape) % BLOCK:
                raise TreeMismatch(
                    f"{optimizer}: of a tensor of shape {part.whole} a device has {part.shape}, and states in 8 bits "
                    f"have scales of {BLOCK} numbers that follow each other: only the first axis can be split, into "
                    "parts of whole blocks"
                )


def _part(shape: tuple[int, ...], by_axis: Iterable[tuple[str, ...]]) -> Part:
    whole, first = [], []
    for length, names in zip(shape, by_axis, strict=True):
        index = jnp.int32(0)
        for name in names:
            index = index * lax.axis_size(name) + lax.axis_index(name)
        whole.append(length * math.prod(map(lax.axis_size, names)))
        first.append(index * _wrapped(length))
    return Part(shape, tuple(whole), tuple(first))


def _names(entry: Any) -> tuple[str, ...]:
    """The axes of a mesh that split an axis of a tensor, the outer first."""
    return () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)


def _is_spec(node: Any) -> bool:
    return node is None or isinstance(node, jax.sharding.PartitionSpec)


def _wrapped(number: int) -> Any:
    """A number as one of 32 bits, of which those above are left out."""
    return jnp.int32((number + 2**31) % 2**32 - 2**31)
