"""The weights that an optimizer trains, by name, and the trees of gradients that go with them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from optgen.errors import TreeMismatch
from optgen.frontends.weights.cells import HasValue

#: Where a weight stands in the mapping that it was registered by: one key, or several if mappings lie in each other.
Path = tuple[Hashable, ...]


def shown(path: Path) -> Any:
    """A path as the user wrote it: a single key as it is."""
    return path[0] if len(path) == 1 else path


def _children(node: Any) -> Iterable[tuple[Any, Any]] | None:
    """The children of a mapping or a sequence, by key or index; None for anything else."""
    if isinstance(node, Mapping):
        return node.items()
    if isinstance(node, list | tuple):
        return enumerate(node)
    return None


def flat_weights(label: str, tree: Any) -> dict[Path, HasValue]:
    """The weights of a mapping, which may hold further mappings or lists.

    Raises:
        TreeMismatch: there are none, or something is no object with a `.value` of floating-point arrays that can be set
            or assigned.
    """
    if _children(tree) is None:
        raise TreeMismatch(
            f"{label}: weights are a mapping of names to objects with a .value, and this is a {_kind(tree)}"
        )
    found: dict[Path, HasValue] = {}

    def collect(node: Any, path: Path) -> None:
        children = _children(node)
        if children is not None:
            for key, child in children:
                collect(child, (*path, key))
        elif hasattr(node, "value"):
            _check_weight(label, path, node.value)
            if _is_read_only(node) and not callable(getattr(node, "assign", None)):
                raise TreeMismatch(
                    f"{label}: the .value of weight {shown(path)!r}, a {_kind(node)}, cannot be set, and it has no "
                    "method assign"
                )
            found[path] = node
        else:
            raise TreeMismatch(
                f"{label}: weights are a mapping of names to objects with a .value, and {shown(path)!r} is a "
                f"{_kind(node)}"
            )

    collect(tree, ())
    if not found:
        raise TreeMismatch(f"{label} was given no weights")
    return found


def _is_read_only(weight: object) -> bool:
    """Whether `.value` cannot be set, as that of keras's Variables."""
    return _has_property_without_setter(type(weight))  # type: ignore[arg-type]  # mypy takes no class for hashable


@functools.cache
def _has_property_without_setter(kind: type) -> bool:
    given = inspect.getattr_static(kind, "value", None)
    return isinstance(given, property) and given.fset is None


def _kind(value: object) -> str:
    return type(value).__name__


def _check_weight(label: str, path: Path, value: Any) -> None:
    for leaf in jax.tree.leaves(unwrapped(value)):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None and not isinstance(leaf, float):
            raise TreeMismatch(
                f"{label}: weight {shown(path)!r} holds a {_kind(leaf)}, and what is trained is an array"
            )
        if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
            raise TreeMismatch(
                f"{label}: weight {shown(path)!r} holds {dtype}, and what is trained is of a real floating-point dtype"
            )


def unwrapped(tree: Any) -> Any:
    """A tree whose leaves may be objects with a `.value` (States, Variables, brainpy's arrays): their values."""
    return jax.tree.map(
        lambda leaf: leaf.value if hasattr(leaf, "value") else leaf, tree, is_leaf=lambda leaf: hasattr(leaf, "value")
    )


def _flattened(tree: Any) -> tuple[list[Any], Any]:
    leaves, structure = jax.tree.flatten(unwrapped(tree))
    return leaves, structure


class Weights:
    """Weights by name, in the order in which they came; one object under several names is one weight.

    Args:
        label: who asks, for messages.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._objects: dict[Path, HasValue] = {}
        self._aliases: dict[Path, Path] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._objects)

    def __getitem__(self, path: Path) -> HasValue:
        return self._objects[path]

    def named(self, paths: Iterable[Path] | None = None) -> dict[Any, HasValue]:
        """The objects by the names they were registered under."""
        return {shown(path): self._objects[path] for path in (self._objects if paths is None else paths)}

    def path_of(self, weight: HasValue) -> Path | None:
        """Where an object stands, None if it is not here."""
        return next((path for path, known in self._objects.items() if known is weight), None)

    def add(self, given: Mapping[Path, HasValue]) -> list[Path]:
        """Take in weights; returns the paths of those that are new.

        Raises:
            TreeMismatch: a name is another object's already; nothing is changed then.
        """
        known = {id(weight): path for path, weight in self._objects.items()}
        objects: dict[Path, HasValue] = {}
        aliases: dict[Path, Path] = {}
        for path, weight in given.items():
            taken = self._objects.get(path) or self._objects.get(self._aliases.get(path, ()))
            if taken is not None and taken is not weight:
                raise TreeMismatch(f"{self._label}: {shown(path)!r} is the name of another weight already")
            if id(weight) not in known:
                known[id(weight)] = path
                objects[path] = weight
            elif known[id(weight)] != path:
                aliases[path] = known[id(weight)]
        self._objects |= objects
        self._aliases |= aliases
        return list(objects)

    def gradients(self, tree: Any) -> dict[Path, Any]:
        """The gradient of each weight, as a tree of arrays like the weight's value.

        Raises:
            TreeMismatch: one is missing or extra, or its tree, shape or dtype is not the weight's.
        """
        found = self.gathered("gradient", tree)
        return {path: self._gradient(path, gradient) for path, gradient in found.items()}

    def gathered(self, what: str, tree: Any) -> dict[Path, Any]:
        """The leaf of a tree for each weight, by the weights' names.

        Raises:
            TreeMismatch: something is missing or extra.
        """
        known: dict[Any, Any] = {}
        for path in (*self._objects, *self._aliases):
            node = known
            for key in path[:-1]:
                node = node.setdefault(key, {})
            node[path[-1]] = path
        found: dict[Path, Any] = {}
        extra: list[Any] = []

        def walk(node: Any, given: Any, path: Path) -> None:
            if isinstance(node, tuple):
                found[node] = given
                return
            children = _children(given)
            if children is None:
                where = f" at {shown(path)!r}" if path else ""
                raise TreeMismatch(
                    f"{self._label}: the {what}s{where} are a mapping with the weights' names, not a {_kind(given)}"
                )
            for key, child in children:
                if key in node:
                    walk(node[key], child, (*path, key))
                else:
                    extra.append(shown((*path, key)))

        walk(known, tree, ())
        # Under each of a shared weight's names stands the whole gradient, so one of them is enough.
        for alias, path in self._aliases.items():
            if alias in found:
                value = found.pop(alias)
                found.setdefault(path, value)
        missing = [shown(path) for path in self._objects if path not in found]
        if missing or extra:
            problems = [f"no {what} for {missing}"] if missing else []
            problems += [f"no weight for {extra}"] if extra else []
            raise TreeMismatch(f"{self._label}: {' and '.join(problems)}")
        return {path: found[path] for path in self._objects}

    def _gradient(self, path: Path, gradient: Any) -> Any:
        of = f"{self._label}: the gradient of {shown(path)!r}"
        leaves, tree = _flattened(gradient)
        weights, wanted = _flattened(self._objects[path].value)
        if tree != wanted:
            raise TreeMismatch(f"{of} is {tree}, its weight {wanted}")
        arrays = []
        for leaf, weight in zip(leaves, weights, strict=True):
            try:
                array = jnp.asarray(leaf)
            except (TypeError, ValueError):
                raise TreeMismatch(f"{of} holds {leaf!r}, which is no array") from None
            if array.shape != jnp.shape(weight):
                raise TreeMismatch(f"{of} has shape {array.shape}, its weight {jnp.shape(weight)}")
            if array.dtype != jnp.asarray(weight).dtype:
                raise TreeMismatch(f"{of} has dtype {array.dtype}, its weight {jnp.asarray(weight).dtype}")
            arrays.append(array)
        return jax.tree.unflatten(tree, arrays)

    def move(self, values: Mapping[Path, Any]) -> None:
        """Give weights new values: set `.value`, or call `assign` where that cannot be set."""
        for path, value in values.items():
            weight: Any = self._objects[path]
            if _is_read_only(weight):
                weight.assign(value)
            else:
                weight.value = value

    def values(self, paths: Iterable[Path]) -> dict[Path, Any]:
        """The current values of the weights, as trees of arrays."""
        return {path: jax.tree.map(jnp.asarray, unwrapped(self._objects[path].value)) for path in paths}
