"""Tensors and groups that a step cannot be made of: refused by name before any parameter has moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from optgen.contract.dialects import Dialect
from optgen.errors import TreeMismatch
from optgen.runtime.backend import is_for_triton
from optgen.runtime.torch.host_values import is_capturing
from optgen.torch._layout import TorchLayout

Tensor = torch.Tensor


_CAPTURE_CHECKS = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
#: What torch checks of its own optimizers where a graph is captured; it has had two names.
check_capture: Callable[[torch.optim.Optimizer], None] = next(
    (getattr(torch.optim.Optimizer, name) for name in _CAPTURE_CHECKS if hasattr(torch.optim.Optimizer, name)),
    lambda _: None,
)


def check_tensors(
    label: str, dialect: Dialect, layout: TorchLayout, group: Mapping[str, Any], parameters: Sequence[Tensor]
) -> None:
    """Refuse gradients and parameters that a step could not be made of.

    Args:
        label: what messages call the optimizer.
        dialect: says how sparse gradients are taken.
        layout: the variant.
        group: whose step it is.
        parameters: those of the group that make it.

    Raises:
        RuntimeError: gradients are sparse, or parameters complex, where the rule takes no such; or a graph captures a
            step that is not like the one before it.
        TreeMismatch: a gradient has another shape than its parameter, or one holds no floating-point numbers.
        AssertionError: the group is capturable, and a parameter is not on an accelerator.
        NotImplementedError: the group is capturable, and no graph can capture a step of the rule.
    """
    for place, p in enumerate(parameters):
        gradient = p if p.grad is None else p.grad  # zeros of its shape
        if gradient.is_sparse and not (
            dialect.sparse == "dense" or (dialect.sparse == "entries" and layout.is_elementwise)
        ):
            raise RuntimeError(f"{label} does not support sparse gradients")
        if gradient.shape != p.shape:
            raise TreeMismatch(
                f"{label}: gradient {place} has shape {tuple(gradient.shape)}, its parameter {tuple(p.shape)}"
            )
        if not p.is_complex():
            try:
                layout.variant.arrays.arithmetic_dtype(p)
            except TreeMismatch as error:
                raise TreeMismatch(f"{label}: {error}") from None
        if p.is_complex() and not layout.takes_complex:
            raise RuntimeError(f"{label} does not support complex parameters")
        if group.get("capturable") and not is_for_triton(p.device.type):
            raise AssertionError(f"{label}: capturable=True takes parameters on an accelerator, not on {p.device}")
    if group.get("capturable") and parameters and (why := layout.why_not_captured()):
        raise NotImplementedError(f"{label}: no graph can capture a step of this rule, since {why}")
    if is_capturing():
        raise RuntimeError(f"{label}: a graph captures a step like the one before it: make one before capturing")
