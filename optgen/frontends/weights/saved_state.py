"""State as it is saved: arrays by name, checked against the optimizer that they are loaded into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optgen.errors import StateMismatch

#: Raised whenever what `state_dict` gives changes, so that a state of another version is refused by name.
STATE_FORMAT = 1


def packed(state: Any) -> dict[str, Any]:
    """The arrays of a tree, by where they stand in it."""
    found = jax.tree_util.tree_flatten_with_path(state)[0]
    names = [_name(path) for path, _ in found]
    if len(set(names)) < len(names):
        names = [jax.tree_util.keystr(path) for path, _ in found]
    return dict(zip(names, (leaf for _, leaf in found), strict=True))


def _name(path: tuple[Any, ...]) -> str:
    """The keys on the way to a leaf, joined: `m/w`."""
    return "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path)


def unpacked(label: str, saved: Any, like: Any) -> Any:
    """A tree like another from its arrays by name.

    Raises:
        StateMismatch: an array is missing, extra, or of another shape or dtype.
    """
    if not isinstance(saved, Mapping):
        raise StateMismatch(f"{label}: the saved state is a mapping of names to arrays, not {type(saved).__name__}")
    wanted = packed(like)
    missing = [name for name in wanted if name not in saved]
    extra = [str(name) for name in saved if name not in wanted]
    if missing or extra:
        told = [f"lacks {_some(missing)}"] if missing else []
        told += [f"holds {_some(extra)}, which this optimizer does not keep"] if extra else []
        raise StateMismatch(f"{label}: the saved state {' and '.join(told)}")
    leaves = [_array(f"{label}: {name} of the saved state", saved[name], leaf) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _array(what: str, value: Any, like: Any) -> jax.Array:
    found = value if isinstance(value, jax.Array) else np.asarray(value)
    wanted = jnp.asarray(like)
    if found.shape != wanted.shape:
        raise StateMismatch(f"{what} has shape {tuple(found.shape)}, and {tuple(wanted.shape)} is expected")
    if found.dtype != wanted.dtype:
        raise StateMismatch(f"{what} has dtype {found.dtype}, and {wanted.dtype} is expected")
    return jnp.asarray(found)


def expect(label: str, saved: Mapping[str, Any], key: str, wanted: Any) -> None:
    """Check one entry of a saved state.

    Raises:
        StateMismatch: it is missing, or another.
    """
    if key not in saved:
        raise StateMismatch(f"{label}: the saved state has no entry '{key}'; it holds {', '.join(map(str, saved))}")
    if saved[key] != wanted:
        raise StateMismatch(f"{label}: the saved state is of {key} {saved[key]!r}, and this is of {wanted!r}")


def count_of(label: str, name: str, value: Any) -> int:
    """A number of steps of a saved state.

    Raises:
        StateMismatch: it is none.
    """
    try:
        count = int(value)
        whole = bool(count == value) and count >= 0
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise StateMismatch(f"{label}: '{name}' of the saved state is a count, not {value!r}")
    return count
