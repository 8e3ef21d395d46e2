"""Mesh axes: over which of them an array varies, and which a caller names."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

from optgen.errors import HyperparameterTypeError, TreeMismatch


def varying_of(arrays: Any) -> frozenset[str]:
    """Along which axes of a mesh the devices of a `shard_map` have other values, of some array of a tree."""
    kinds = [jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(arrays)]
    return frozenset().union(*kinds)


def axes_named(optimizer: str, name: Any) -> tuple[str, ...]:
    """The axes that the argument `axis_name` names: one, several or with None none.

    Raises:
        HyperparameterTypeError: it is neither a name nor several.
        TreeMismatch: they are no axes of a `shard_map` that is being traced, or types do not tell what is split.
    """
    names = () if name is None else (name,) if isinstance(name, str) else name
    if not isinstance(names, tuple | list) or not all(isinstance(one, str) for one in names):
        raise HyperparameterTypeError(f"{optimizer}: axis_name is the name of a mesh's axis or several, not {name!r}")
    for one in names:
        try:
            place = lax.axis_index(one)
        except NameError:
            known = ", ".join(map(repr, jax.sharding.get_abstract_mesh().axis_names)) or "none"
            what = f"{optimizer}: axis_name is {one!r}, and no shard_map around the step has it"
            raise TreeMismatch(f"{what}; its axes: {known}") from None
        if one not in varying_of(place):
            raise TreeMismatch(
                f"{optimizer}: axis_name asks the types of arrays which of them are split along {one!r}, and with "
                "check_vma=False, or under vmap, they do not tell"
            )
    return tuple(names)


def split_along(array: Any, axes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of some axes of a mesh along which devices have parts of an array."""
    varying = varying_of(array)
    return tuple(axis for axis in axes if axis in varying)
