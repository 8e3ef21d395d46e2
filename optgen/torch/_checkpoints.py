"""Checkpoints for torch: checked and converted once the user's own hooks have had them, before torch takes them.

torch rounds every entry of a parameter's state to the parameter's dtype on its way; what the rule keeps passes hidden,
since bfloat16 parameters have float32 moments here. Entries of others, such as averages of a wrapper, torch takes as it
does in its own optimizers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from optgen.errors import TreeMismatch
from optgen.frontends.groups.checks import check_count
from optgen.torch._layout import TorchLayout

#: Gives the layout that a group's arguments stand for, refusing arguments that are wrong.
LayoutOf = Callable[[Mapping[str, Any]], TorchLayout]


#: What torch brings to a parameter's dtype and device.
_CAST = (torch.Tensor, dict, list, tuple)


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A value on its way past torch's cast to the parameter's dtype."""

    value: Any


def hidden(optimizer: torch.optim.Optimizer, state_dict: Mapping[str, Any], layout_of: LayoutOf) -> dict[str, Any]:
    """A checkpoint with the rule's own entries as they are to be kept, hidden from torch.

    Raises:
        TreeMismatch: it is of another rule, another option or other parameters.
    """
    name = type(optimizer).__name__
    if not {"state", "param_groups"} <= set(state_dict):
        raise TreeMismatch(f"{name}: a state dict has 'state' and 'param_groups', and this is {state_dict!r:.60}")
    groups = state_dict["param_groups"]
    if [len(g["params"]) for g in groups] != [len(g["params"]) for g in optimizer.param_groups]:
        return dict(state_dict)  # torch says what is wrong
    state = dict(state_dict["state"])
    for saved, group in zip(groups, optimizer.param_groups, strict=True):
        check_count(f"{name}: 'skipped_steps'", saved.get("skipped_steps", 0))
        layout = layout_of(saved)
        for index, parameter in zip(saved["params"], group["params"], strict=True):
            label = f"{name}: the state of parameter {index}"
            given = state.get(index, {})
            if not isinstance(given, Mapping):
                raise TreeMismatch(f"{label} is a mapping of names to tensors, not {type(given).__name__}")
            kept = layout.by_entries(parameter, given)
            layout.check(label, parameter, kept)
            if kept:
                own = layout.loaded(parameter, kept)
                others = {n: v for n, v in kept.items() if n not in layout.own_names(parameter)}
                # torch takes texts, as all that can be iterated over, for sequences of tensors.
                others = {n: v if isinstance(v, _CAST) else _Hidden(v) for n, v in others.items()}
                state[index] = others | {n: _Hidden(value) for n, value in own.items()}
    return {**state_dict, "state": state}


def show(optimizer: torch.optim.Optimizer) -> None:
    """Have what has been hidden as the state of its parameters."""
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter in optimizer.state:
            kept = optimizer.state[parameter]
            for name, value in kept.items():
                if isinstance(value, _Hidden):
                    kept[name] = value.value
