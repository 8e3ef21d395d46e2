"""A generated optimizer as an optax gradient transformation: the factories of `optgen.optax`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.runtime.arguments import Settings, bind, dialect_of, settings
from optgen.runtime.docstrings import described
from optgen.runtime.entry import Entry
from optgen.runtime.optax_arguments import NOTHING, counted_as_given, extras, front_end_signature
from optgen.runtime.optax_transformation import Transformation
from optgen.runtime.optax_trees import all_finite
from optgen.spec.model import Dialect

Factory = Callable[..., optax.GradientTransformationExtraArgs]


def factory(entry: Entry, dialect: Dialect | None = None) -> Factory:
    """The factory of one optimizer, in optax's spelling; in the first where optax has several names for it."""
    manifest = entry.manifest
    dialect = dialect or dialect_of(manifest, "optax")
    call_signature = front_end_signature(dialect)

    def build(*args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        if dialect.instead:
            what = f"{dialect.name} is deprecated, use `{dialect.instead}` instead"
            warnings.warn(what, DeprecationWarning, stacklevel=2)
        given = bind(dialect.name, call_signature, args, kwargs)
        own = extras(dialect, call_signature, given)
        chosen = counted_as_given(manifest, dialect, settings(manifest, dialect, own.spelled), given)
        made = Transformation(entry, dialect, chosen, own)
        transformation = optax.GradientTransformationExtraArgs(made.init, made.update)
        if not own.skip_nonfinite:
            return transformation
        return _skipping(transformation)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = "optgen.optax"
    build.__doc__ = described(manifest, dialect)
    build.__signature__ = call_signature.replace(  # type: ignore[attr-defined]
        return_annotation=optax.GradientTransformationExtraArgs
    )
    return build


def _skipping(inner: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """A transformation that leaves out steps whose gradients are not finite, in optax.apply_if_finite's state."""

    def init(params: Any) -> optax.ApplyIfFiniteState:
        zero = jnp.zeros((), jnp.int32)
        return optax.ApplyIfFiniteState(zero, jnp.array(True), zero, inner.init(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, optax.ApplyIfFiniteState]:
        finite = all_finite(updates)

        def step(before: Any) -> tuple[Any, Any]:
            found: tuple[Any, Any] = inner.update(updates, before, params, **extra)
            return found

        # What the step gives may have another tree than the gradients.
        shapes, _ = jax.eval_shape(step, state.inner_state)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        found, after = jax.lax.cond(finite, step, lambda before: (nothing, before), state.inner_state)
        row = jnp.where(finite, 0, optax.safe_increment(state.notfinite_count))
        total = jnp.where(finite, state.total_notfinite, optax.safe_increment(state.total_notfinite))
        return found, optax.ApplyIfFiniteState(row, finite, total, after)

    return optax.GradientTransformationExtraArgs(init, update)


def apply_gradients(
    tx: optax.GradientTransformation, gradients: Any, state: Any, params: Any, **extra: Any
) -> tuple[Any, Any]:
    """One step of a gradient transformation and of the parameters: `update` and `optax.apply_updates` in one.

    A generated optimizer writes the new parameters in the pass over memory in which it computes them, where the two
    calls would write the updates and read them again. Any other transformation makes the two calls.

    Args:
        tx: the transformation.
        gradients: a tree of arrays like the parameters.
        state: from `tx.init`, or the step before.
        params: the parameters.
        **extra: what `tx.update` takes besides.

    Returns:
        the new parameters, and the state after the step.
    """
    made = getattr(tx.update, "__self__", None)
    if isinstance(made, Transformation):
        return made.apply(gradients, state, params, **extra)
    updates, after = optax.with_extra_args_support(tx).update(gradients, state, params, **extra)
    return optax.apply_updates(params, updates), after


def transformation(
    entry: Entry,
    chosen: Settings,
    dialect: Dialect,
    inputs: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The gradient transformation for checked settings, whose state has a field for each state of the spec.

    Args:
        entry: the optimizer.
        chosen: its settings.
        dialect: whose spelling errors use.
        inputs: inputs of the rule that other transformations give, made of the gradients.
    """
    own = replace(NOTHING, transformations=dict(inputs or {}), gives={name: (name, "") for name in inputs or {}})
    made = Transformation(entry, replace(dialect, layout=None), chosen, own)
    return optax.GradientTransformationExtraArgs(made.init, made.update)
