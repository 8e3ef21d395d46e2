"""Steps in a `shard_map` whose devices have parts of tensors: folds over a tensor or the model go over all parts.

Which tensors are split is told by their types, which vary along the axes of the mesh over which they are.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from optgen.contract.manifest import VariantInfo
from optgen.errors import HyperparameterTypeError, TreeMismatch
from optgen.runtime.jax import JaxVariant, varying_of


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


class SplitFunctions:
    """What a generated module calls in place of jax.numpy: folds over whole arrays go over the parts of all devices.

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
                f"{self._optimizer}: this rule folds along rows, columns or axes, of which devices have parts only"
            )
        found = fold(value, **how)
        return combine(found, split) if split else found


class SplitVariant(JaxVariant):
    """A variant on parts of tensors.

    Args:
        axes: of the mesh over which tensors are split.
        optimizer, info: see `JaxVariant`.
        module: the generated module, of which this may change what it calls.
    """

    def __init__(self, axes: tuple[str, ...], optimizer: str, info: VariantInfo, module: types.ModuleType) -> None:
        vars(module)["jnp"] = SplitFunctions(optimizer, axes)
        super().__init__(optimizer, info, module)
        self._axes = axes

    def shape_numbers(self, gradient: Any) -> dict[str, int]:
        """See `ArrayVariant.shape_numbers`; the size and the counts are those of the whole tensor."""
        parts = math.prod(map(lax.axis_size, split_along(gradient, self._axes)))
        found = super().shape_numbers(gradient)
        return {name: n * parts if name == "size" or name.endswith("_count") else n for name, n in found.items()}
