"""A generated optimizer as an optax gradient transformation: what the factories of `optgen.optax` return."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.errors import TreeMismatch
from optgen.runtime.arguments import Settings, bind, dialect_of, settings, signature
from optgen.runtime.docstrings import described
from optgen.runtime.entry import Entry
from optgen.runtime.jax import JaxVariant, ModelState
from optgen.spec.model import Dialect
from optgen.targets.manifest import Manifest

Factory = Callable[..., optax.GradientTransformationExtraArgs]


def factory(entry: Entry, dialect: Dialect | None = None) -> Factory:
    """The factory of one optimizer, in optax's spelling; in the first where optax has several names for it."""
    manifest = entry.manifest
    dialect = dialect or dialect_of(manifest, "optax")
    call_signature = signature(dialect)

    def build(*args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        given = bind(dialect.name, call_signature, args, kwargs)
        return transformation(entry, settings(manifest, dialect, given), dialect)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = "optgen.optax"
    build.__doc__ = described(manifest, dialect)
    build.__signature__ = call_signature.replace(  # type: ignore[attr-defined]
        return_annotation=optax.GradientTransformationExtraArgs
    )
    return build


def transformation(entry: Entry, chosen: Settings, dialect: Dialect) -> optax.GradientTransformationExtraArgs:
    """The gradient transformation for checked settings, whose state has the dialect's names."""
    variant = entry.variant(chosen.options, {**chosen.values, **chosen.schedules})
    used = variant.info.hyperparameters
    names = variant.state_names()
    state_type = _state_type(entry.manifest.class_name, dialect, names)
    shared = variant.shared_names()

    def hyperparameters(count: jax.Array) -> dict[str, Any]:
        return {n: chosen.schedules[n](count) if n in chosen.schedules else chosen.values[n] for n in used}

    def init(params: Any) -> Any:
        leaves, tree = jax.tree.flatten(params)
        count = jnp.zeros([], jnp.int32)
        state = variant.init([jnp.asarray(leaf) for leaf in leaves], hyperparameters(count))
        return _packed(state_type, tree, count, state, names, shared)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(updates)
        gradients = [jnp.asarray(leaf) for leaf in leaves]
        parameters = _parameters(variant, tree, params)
        before = _unpacked(variant, tree, state, gradients, shared)
        inputs = _inputs(entry.manifest, variant, tree, extra)
        count = optax.safe_increment(state.count)
        results, after = variant.step(gradients, before, parameters, count, hyperparameters(state.count), inputs)
        return jax.tree.unflatten(tree, results), _packed(state_type, tree, count, after, names, shared)

    return optax.GradientTransformationExtraArgs(init, update)


@functools.cache
def _state_type_of(name: str, fields: tuple[str, ...], origins: tuple[str, ...]) -> Any:
    made = namedtuple(name, fields)  # type: ignore[misc]  # the fields are known only now
    made.__module__ = __name__
    made.__doc__ = "The state of a generated optimizer: the number of steps done, and a tree for each state."
    made._origins = origins  # type: ignore[attr-defined]  # the spec's names of the fields after the first
    # Such a type is no attribute of a module, so pickle is told how to make it again.
    made.__reduce__ = _reduced  # type: ignore[method-assign, assignment]
    return made


def _reduced(state: Any) -> tuple[Any, ...]:
    return _restored, (type(state).__name__, state._fields, state._origins, tuple(state))


def _restored(name: str, fields: tuple[str, ...], origins: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return _state_type_of(name, fields, origins)(*values)


def _state_type(class_name: str, dialect: Dialect, names: tuple[str, ...]) -> Any:
    spelled = dialect.states
    # `count` is the number of steps, as in optax; a state of that name gets another.
    fields = ("count", *(spelled.get(name, f"{name}_state" if name == "count" else name) for name in names))
    return _state_type_of(f"{class_name}State", fields, names)


def _packed(
    state_type: Any, tree: Any, count: jax.Array, state: ModelState, names: tuple[str, ...], shared: frozenset[str]
) -> Any:
    """The state as optax sees it: a tree like the parameters' for each name. A tensor without a state holds None."""
    fields = [
        state.shared.get(name)
        if name in shared
        else jax.tree.unflatten(tree, [tensor.get(name) for tensor in state.tensors])
        for name in names
    ]
    return state_type(count, *fields)


def _unpacked(
    variant: JaxVariant, tree: Any, state: Any, gradients: list[jax.Array], shared: frozenset[str]
) -> ModelState:
    expected = variant.state_names()
    if getattr(state, "_origins", None) != expected:
        raise TreeMismatch(
            f"{variant.optimizer}: this state is {type(state).__name__}, which is not one that this optimizer's "
            f"init makes; it keeps {', '.join(expected) or 'nothing'}"
        )
    columns: dict[str, list[Any]] = {}
    for name, value in zip(expected, state[1:], strict=True):
        if name in shared:
            continue
        try:
            columns[name] = tree.flatten_up_to(value)
        except ValueError as error:
            raise TreeMismatch(
                f"{variant.optimizer}: the gradients' tree is not the one that init was given: {error}"
            ) from None
    kept = []
    for index, gradient in enumerate(gradients):
        mine = {s.name for s in variant.case_of(gradient.shape).states}
        kept.append({name: column[index] for name, column in columns.items() if name in mine})
    return ModelState(
        tuple(kept), {name: value for name, value in zip(expected, state[1:], strict=True) if name in shared}
    )


def _parameters(variant: JaxVariant, tree: Any, params: Any) -> list[jax.Array] | None:
    if params is None:
        if variant.reads_parameters:
            raise ValueError(f"{variant.optimizer}: update needs the parameters: update(grads, state, params)")
        return None
    leaves, params_tree = jax.tree.flatten(params)
    if params_tree != tree:
        raise TreeMismatch(f"{variant.optimizer}: gradients have the tree {tree}, parameters {params_tree}")
    return [jnp.asarray(leaf) for leaf in leaves]


def _inputs(manifest: Manifest, variant: JaxVariant, tree: Any, extra: dict[str, Any]) -> dict[str, Any]:
    missing = [name for name in variant.info.inputs if name not in extra]
    if missing:
        raise ValueError(f"{variant.optimizer}: update also needs {', '.join(f'{name}=...' for name in missing)}")
    kinds = {declared.name: declared.kind for declared in manifest.inputs}
    return {
        name: tree.flatten_up_to(extra[name]) if kinds[name] in ("tensor", "element") else extra[name]
        for name in variant.info.inputs
    }
