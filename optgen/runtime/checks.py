"""Arrays and states that a step cannot be made of: refused by the optimizer's name before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.contract.kinds import kept_shapes
from optgen.contract.manifest import CaseInfo
from optgen.errors import TreeMismatch
from optgen.runtime.arrays import Array
from optgen.runtime.formats.codes import Blocks
from optgen.runtime.state import ModelState


def check_arrays(
    optimizer: str,
    cases: Sequence[CaseInfo],
    gradients: Sequence[Array],
    state: ModelState,
    parameters: Sequence[Array] | None,
) -> None:
    """Refuse arrays that would broadcast, or belong to another model.

    Args:
        optimizer: what messages call it.
        cases: the case that each gradient takes.
        gradients: as the rule sees them, the matrix axes last; parameters and states as well.
        state: of the model.
        parameters: if they are given.

    Raises:
        TreeMismatch: shapes do not fit, or the state is another rule's.
    """
    if len(state.tensors) != len(gradients):
        raise TreeMismatch(
            f"{optimizer}: {len(gradients)} gradients, and the state is one of {len(state.tensors)} tensors"
        )
    if parameters is not None:
        check_shapes(optimizer, gradients, parameters)
    for index, (gradient, kept, case) in enumerate(zip(gradients, state.tensors, cases, strict=True)):
        for info in case.states:
            stored = kept.get(info.name, state.shared.get(info.name))
            is_several = isinstance(stored, tuple) and not isinstance(stored, Blocks)
            found = [tuple(getattr(a, "shape", ())) for a in (stored if is_several else (stored,))]
            # A history may be longer than what the rule reads of it.
            history = (info.depth,) if info.depth > 1 else ()
            if history and all(shape and shape[0] >= info.depth for shape in found):
                found = [shape[1:] for shape in found]
                history = ()
            wanted = [history + shape for shape in kept_shapes(info.kind, tuple(gradient.shape))]
            if stored is None or found != wanted:
                raise TreeMismatch(
                    f"{optimizer}: gradient {index} has shape {tuple(gradient.shape)}, and state "
                    f"'{info.name}' was made for a parameter of another shape"
                )


def check_shapes(optimizer: str, gradients: Sequence[Array], parameters: Sequence[Array]) -> None:
    """Refuse gradients of other shapes than their parameters.

    Raises:
        TreeMismatch: one has another.
    """
    for index, (gradient, theta) in enumerate(zip(gradients, parameters, strict=True)):
        if tuple(theta.shape) != tuple(gradient.shape):
            raise TreeMismatch(
                f"{optimizer}: gradient {index} has shape {tuple(gradient.shape)}, its parameter {tuple(theta.shape)}"
            )
