"""A generated optimizer as an optax gradient transformation: the factories of `optgen.optax`."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.arguments.binding import bind
from optgen.arguments.docstrings import described
from optgen.arguments.settings import Settings, settings
from optgen.arguments.spelling import dialect_of
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.errors import TreeMismatch
from optgen.runtime.jax.mesh import axes_named, split_along
from optgen.runtime.jax.trees import all_finite, no_change
from optgen.runtime.optax_arguments import NOTHING, counted_as_given, extras, front_end_signature
from optgen.runtime.optax_transformation import Transformation

Factory = Callable[..., optax.GradientTransformationExtraArgs]


class DefinedFactory:
    """The factory of an optimizer that a user defined; functions are pickled by names, which it has none of.

    Args:
        owner: what was defined, which has this under `optax`.
        build: the function.
    """

    def __init__(self, owner: Any, build: Factory) -> None:
        functools.update_wrapper(self, build)
        self._owner = owner
        self._build = build

    def __call__(self, /, *args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        """The transformation for some arguments."""
        return self._build(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return getattr, (self._owner, "optax")


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
        whole = _Skipping(made) if own.skip_nonfinite else made
        return optax.GradientTransformationExtraArgs(whole.init, whole.update)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = "optgen.optax"
    build.__doc__ = described(manifest, dialect)
    build.__signature__ = call_signature.replace(  # type: ignore[attr-defined]
        return_annotation=optax.GradientTransformationExtraArgs
    )
    return build if entry.owner is None else DefinedFactory(entry.owner, build)


class _Skipping:
    """A transformation that leaves out steps whose gradients are not finite, in optax.apply_if_finite's state.

    Args:
        inner: what makes the other steps.
    """

    def __init__(self, inner: Transformation) -> None:
        self._inner = inner

    def init(self, params: Any) -> optax.ApplyIfFiniteState:
        """The state before the first step."""
        # Two arrays, since both may be donated.
        row, total = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return optax.ApplyIfFiniteState(row, jnp.array(True), total, self._inner.init(params))

    def update(
        self, updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, optax.ApplyIfFiniteState]:
        """One step: what is to be added to the parameters, and the state after it."""

        def step(before: Any) -> tuple[Any, Any]:
            return self._inner.update(updates, before, params, **extra)

        # What the step gives may have another tree than the gradients.
        shapes, _ = jax.eval_shape(step, state.inner_state)
        return self._unless(updates, state, extra, step, jax.tree.map(no_change, shapes))

    def apply(self, gradients: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, optax.ApplyIfFiniteState]:
        """One step: the new parameters, and the state after it."""

        def step(before: Any) -> tuple[Any, Any]:
            return self._inner.apply(gradients, before, params, **extra)

        return self._unless(gradients, state, extra, step, params)

    def _unless(
        self, gradients: Any, state: Any, extra: Mapping[str, Any], step: Callable[[Any], Any], otherwise: Any
    ) -> tuple[Any, optax.ApplyIfFiniteState]:
        """What a step gives if all gradients are finite."""
        finite = all_finite(gradients)
        axes = split_along(finite, axes_named(self._inner.name, extra.get("axis_name")))
        if axes:
            finite = jax.lax.pmin(finite.astype(jnp.int32), axes) > 0  # type: ignore[no-untyped-call]
        found, after = jax.lax.cond(finite, step, lambda before: (otherwise, before), state.inner_state)
        row = jnp.where(finite, 0, optax.safe_increment(state.notfinite_count))
        total = jnp.where(finite, state.total_notfinite, optax.safe_increment(state.total_notfinite))
        return found, optax.ApplyIfFiniteState(row, finite, total, after)


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
        **extra: what `tx.update` takes besides: inputs of the rule, and `axis_name`, the axes of the mesh of a
            `shard_map` around this over which tensors are split, and `specs`, how they are.

    Returns:
        the new parameters, and the state after the step.

    Raises:
        TreeMismatch: the transformation's `update` takes no `axis_name`, and would compute with parts of tensors as if
            they were whole.
    """
    made = getattr(tx.update, "__self__", None)
    if isinstance(made, Transformation | _Skipping):
        return made.apply(gradients, state, params, **extra)
    updates, after = tx.update(gradients, state, params, **_taken(tx, extra))
    return optax.apply_updates(params, updates), after


def _taken(tx: optax.GradientTransformation, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some arguments that a transformation takes; others are left out, as optax does."""
    if isinstance(tx, optax.GradientTransformationExtraArgs):
        return dict(extra)
    # `optax.MultiSteps` makes a plain transformation that takes them all the same.
    parameters = inspect.signature(tx.update).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(extra)
    if extra.get("axis_name") is not None and "axis_name" not in parameters:
        raise TreeMismatch(
            "apply_gradients: axis_name is given, and this transformation's update takes none: what it folds over a "
            "tensor or the model would be that of parts"
        )
    return {name: value for name, value in extra.items() if name in parameters}


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
