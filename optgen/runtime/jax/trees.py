"""Trees of gradients, parameters and masks, checked before anything is computed; mistakes are named by leaf path."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optgen.errors import HyperparameterTypeError, TreeMismatch
from optgen.runtime.jax.mesh import varying_of

#: What trees of more than a few leaves are cut to in messages.
_SHOWN = 4


def checked_leaves(
    optimizer: str, what: str, tree: Any, *, may_be_complex: bool = False
) -> tuple[list[jax.Array], Any]:
    """The leaves of a tree as arrays, and its structure.

    Raises:
        TreeMismatch: a leaf is no array of floating-point numbers, or of complex ones where they may not be.
    """
    wanted = jnp.inexact if may_be_complex else jnp.floating
    leaves, structure = jax.tree.flatten(tree)
    arrays = []
    for index, leaf in enumerate(leaves):
        try:
            # Of a tensor that is only described, as under `jax.eval_shape`, the state is made all the same.
            described = isinstance(leaf, jax.ShapeDtypeStruct)
            array = jnp.zeros(leaf.shape, leaf.dtype) if described else jnp.asarray(leaf)
        except (TypeError, ValueError):
            array = None
        if array is None or not jnp.issubdtype(array.dtype, wanted):
            where = leaf_paths(tree)[index]
            found = type(leaf).__name__ if array is None else f"an array of {array.dtype}"
            hint = ""
            if array is not None and jnp.issubdtype(array.dtype, jnp.complexfloating):
                hint = "; optax.contrib.split_real_and_imaginary makes real arrays of it"
            raise TreeMismatch(
                f"{optimizer}: {what}{where} is {found}, expected an array of floating-point numbers{hint}"
            )
        arrays.append(array)
    return arrays, structure


def leaf_paths(tree: Any) -> list[str]:
    """Where the leaves of a tree are, as `['layer']['w']`."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


def check_same_tree(optimizer: str, gradients: Any, parameters: Any) -> None:
    """Refuse gradients and parameters of different trees.

    Raises:
        TreeMismatch: their trees differ.
    """
    structures: list[Any] = [jax.tree.structure(tree) for tree in (gradients, parameters)]
    if structures[0] == structures[1]:
        return
    ours, theirs = leaf_paths(gradients), leaf_paths(parameters)
    told = []
    if missing := [path for path in theirs if path not in ours]:
        told.append(f"the gradients have no leaf {_listed(missing)}")
    if extra := [path for path in ours if path not in theirs]:
        told.append(f"the parameters have no leaf {_listed(extra)}")
    if not told:
        told.append(f"gradients {structures[0]}, parameters {structures[1]}")
    raise TreeMismatch(f"{optimizer}: gradients and parameters have different trees: {'; '.join(told)}")


def check_same_shapes(optimizer: str, gradients: Any, parameters: Any) -> None:
    """Refuse gradients whose shapes are not the parameters', also those that would broadcast.

    Raises:
        TreeMismatch: the shapes of a leaf differ.
    """
    pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(parameters), strict=True)
    for index, (gradient, parameter) in enumerate(pairs):
        if np.shape(gradient) != np.shape(parameter):
            where = leaf_paths(parameters)[index]
            raise TreeMismatch(
                f"{optimizer}: gradient{where} has shape {np.shape(gradient)}, expected its parameter's shape "
                f"{np.shape(parameter)}"
            )


def columns(optimizer: str, where: str, structure: Any, gradients: Any, value: Any) -> list[Any]:
    """The values of a state for each leaf of the gradients.

    Raises:
        TreeMismatch: it was made for another tree.
    """
    try:
        found: list[Any] = structure.flatten_up_to(value)
    except ValueError as error:
        ours, theirs = leaf_paths(gradients), leaf_paths(value)
        missing = [path for path in theirs if not any(path.startswith(own) for own in ours)]
        extra = [path for path in ours if not any(path.startswith(own) or own.startswith(path) for own in theirs)]
        told = f": the gradients have no leaf {_listed(missing)}" if missing else ""
        told += f": the state has no leaf {_listed(extra)}" if extra else ""
        raise TreeMismatch(
            f"{optimizer}: {where} was made for parameters of another tree than the gradients'{told or f': {error}'}"
        ) from None
    return found


def mask_values(optimizer: str, argument: str, mask: Any, tree: Any) -> list[bool]:
    """Whether a mask takes each leaf of a tree.

    Args:
        optimizer: what messages call it.
        argument: what they call the mask.
        mask: a tree of booleans of the same structure or a prefix of it, or a function that makes one of the tree.
        tree: parameters or gradients.

    Raises:
        TreeMismatch: the mask is no prefix of the tree.
        HyperparameterTypeError: it holds something else than booleans.
    """
    # A tree may be of a class that can be called, as models are; a function is a tree whose only leaf is callable.
    callables = list(map(callable, jax.tree.leaves(mask)))
    given = mask(tree) if callable(mask) and callables and all(callables) else mask
    for path, leaf in jax.tree_util.tree_flatten_with_path(given)[0]:
        if not isinstance(leaf, bool | np.bool_) and getattr(leaf, "dtype", None) != jnp.bool_:
            where = jax.tree_util.keystr(path)
            raise HyperparameterTypeError(f"{optimizer}: {argument}{where} is {leaf!r}, expected True or False")
    try:
        spread = jax.tree.map(lambda taken, part: jax.tree.map(lambda _: bool(taken), part), given, tree)
    except ValueError as error:
        raise TreeMismatch(f"{optimizer}: {argument} is no prefix of the tree of the gradients: {error}") from None
    return list(jax.tree.leaves(spread))


def _listed(paths: list[str]) -> str:
    shown = ", ".join(path or "at the top" for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")


def no_change(leaf: Any) -> jax.Array:
    """Zeros of an array's type: also of its sharding, where that is part of it, and inside a `shard_map`."""
    sharding = getattr(leaf, "sharding", None)
    kinds = sharding.mesh.axis_types if isinstance(sharding, jax.sharding.NamedSharding) else ()
    is_typed = jax.sharding.AxisType.Explicit in kinds
    zeros = jnp.zeros(leaf.shape, leaf.dtype, out_sharding=sharding if is_typed else None)
    varying = tuple(varying_of(leaf))
    return jax.lax.pcast(zeros, varying, to="varying") if varying else zeros


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree of arrays is finite."""
    return jnp.all(jnp.array([True, *(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree))]))
