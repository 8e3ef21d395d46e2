"""A step that changes parameters itself, for any gradient transformation."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import optax

from optgen.errors import TreeMismatch
from optgen.optax._skipping import Skipping
from optgen.optax._transformation import Transformation


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
    if isinstance(made, Transformation | Skipping):
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
            "apply_gradients: axis_name is given, and this transformation's update takes none: what it reduces over a "
            "tensor or the model would be that of parts"
        )
    return {name: value for name, value in extra.items() if name in parameters}
