"""Between a rule's state and what torch keeps for each parameter under torch's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from optgen.compiler.kinds import Kind, kept_shapes
from optgen.errors import TreeMismatch
from optgen.runtime.torch import TorchVariant
from optgen.spec.model import Dialect
from optgen.targets.manifest import StateInfo

Tensor = torch.Tensor

#: A parameter's state as torch keeps it: name → tensor, or a tuple of them for one vector per axis.
Kept = dict[str, Any]


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor as a view with an axis of length 2 at its end; a real one as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


class StateLayout:
    """Reads and writes the state of one variant in torch's layout.

    Args:
        variant: the variant.
        dialect: the names.
    """

    def __init__(self, variant: TorchVariant, dialect: Dialect) -> None:
        self.variant = variant
        self.count = dialect.count
        infos = {info.name: info for case in variant.info.cases for info in case.states}
        self.names = {name: dialect.states.get(name, name) for name in infos}
        #: States of which there is one number for the model; they are kept with a group's first parameter.
        self.of_model = {name for name, info in infos.items() if info.kind == Kind.GLOBAL.value}
        #: States of the step, kept with every parameter as in torch.
        self.of_step = {name: info for name, info in infos.items() if info.kind == Kind.STEP.value}
        kinds = {info.kind for info in infos.values()}
        #: Whether all tensors have to make their steps together.
        self.is_joint = bool(self.of_model) or any(f.folds for case in variant.info.cases for f in case.jax)
        #: Whether a complex parameter is two real ones to it; rows and columns would be other ones.
        self.takes_complex = kinds <= {Kind.ELEMENT.value, Kind.TENSOR.value, Kind.STEP.value, Kind.GLOBAL.value}
        self.is_elementwise = kinds <= {Kind.ELEMENT.value, Kind.STEP.value} and not self.is_joint

    def infos(self, parameter: Tensor) -> list[StateInfo]:
        """The states that are kept with a parameter."""
        states = self.variant.case_of(tuple(as_real(parameter).shape)).states
        return [info for info in states if info.name not in self.of_model]

    def is_complete(self, parameter: Tensor, kept: Kept) -> bool:
        """Whether a parameter has made a step, and so has its state."""
        if self.count:
            return self.count in kept
        return all(kept.get(self.names[info.name]) is not None for info in self.infos(parameter))

    def start(self, parameter: Tensor, kept: Kept, first: Kept, hyperparameters: Mapping[str, Any]) -> None:
        """Write the state before the first step.

        Args:
            parameter: whose state it is.
            kept: its state, to which entries are added.
            first: the state of the group's first parameter, for numbers of the model.
            hyperparameters: of the group.
        """
        state = self.variant.init([as_real(parameter.detach())], hyperparameters)
        if self.count:
            kept[self.count] = torch.zeros((), dtype=_number_dtype())
        for info in self.infos(parameter):
            if info.name in self.of_step:
                kept[self.names[info.name]] = torch.as_tensor(np.array(state.shared[info.name]))
            else:
                kept[self.names[info.name]] = _outside(parameter, info, state.tensors[0][info.name])
        for name in self.of_model:
            if name in state.shared:
                first.setdefault(self.names[name], state.shared[name])

    def steps_done(self, parameter: Tensor, kept: Kept) -> int:
        """How many steps a parameter has made; where that is not kept, whether it has made one."""
        if self.count:
            return int(kept[self.count].item()) if self.count in kept else 0
        return int(bool(self.infos(parameter)) and self.is_complete(parameter, kept))

    def tensors(self, parameter: Tensor, kept: Kept) -> dict[str, Any]:
        """A parameter's state as the rule takes it."""
        return {
            info.name: _inside(parameter, info, kept[self.names[info.name]])
            for info in self.infos(parameter)
            if info.name not in self.of_step
        }

    def shared(self, kept: Kept, first: Kept) -> dict[str, Any]:
        """Numbers of the step and of the model as the rule takes them."""
        found: dict[str, Any] = {}
        for name, info in self.of_step.items():
            if self.names[name] in kept:
                found[name] = np.array(kept[self.names[name]].detach().cpu().double().numpy())
                assert found[name].shape == ((info.depth,) if info.depth > 1 else ())
        return found | {name: first[self.names[name]] for name in self.of_model if self.names[name] in first}

    def write(
        self,
        parameter: Tensor,
        kept: Kept,
        tensors: Mapping[str, Any],
        shared: Mapping[str, Any],
        t: int,
        *,
        in_place: bool,
    ) -> None:
        """Write a parameter's state after a step, into the tensors that are there unless autograd follows them."""
        if self.count:
            if self.count in kept:
                kept[self.count].fill_(t)
            else:
                kept[self.count] = torch.full((), float(t), dtype=_number_dtype())
        for info in self.infos(parameter):
            name = self.names[info.name]
            if info.name in self.of_step:
                kept[name] = torch.as_tensor(np.array(shared[info.name]), device=kept[name].device)
            else:
                kept[name] = _written(kept[name], _outside(parameter, info, tensors[info.name]), in_place)

    def check(self, label: str, parameter: Tensor, kept: Kept) -> None:
        """Refuse a state that is not one of this rule.

        Raises:
            TreeMismatch: an entry is missing, extra, or of another shape.
        """
        infos = {self.names[info.name]: info for info in self.infos(parameter)}
        wanted = {*infos, *([self.count] if self.count else ())}
        known = wanted | {self.names[name] for name in self.of_model}
        found = {name for name, value in kept.items() if value is not None}
        if found and (not wanted <= found or not found <= known):
            told = ", ".join(sorted(found)) or "nothing"
            raise TreeMismatch(
                f"{label} holds {told}, and this optimizer keeps {', '.join(sorted(known)) or 'nothing'}"
            )
        for name in found & set(infos):
            info = infos[name]
            history = (info.depth,) if info.depth > 1 else ()
            shapes = [history + s for s in kept_shapes(Kind(info.kind), tuple(as_real(parameter).shape))]
            parts = kept[name] if isinstance(kept[name], tuple | list) else [kept[name]]
            given = [tuple(as_real(part).shape) for part in parts]
            if given != shapes:
                raise TreeMismatch(f"{label}: '{name}' has shape {given}, and should have {shapes}")


def _number_dtype() -> torch.dtype:
    """What torch counts steps in."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def _inside(parameter: Tensor, info: StateInfo, value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(value)
    return as_real(value) if info.kind == Kind.ELEMENT.value else value


def _outside(parameter: Tensor, info: StateInfo, value: Any) -> Any:
    if parameter.is_complex() and info.kind == Kind.ELEMENT.value:
        return torch.view_as_complex(value.contiguous())
    return value


def _written(old: Any, new: Any, in_place: bool) -> Any:
    if isinstance(new, tuple):
        return tuple(_written(a, b, in_place) for a, b in zip(old, new, strict=True))
    if not in_place or old.shape != new.shape or old.dtype != new.dtype:
        return new.clone()  # it may be the gradient, or the parameter that is about to change
    return old.copy_(new) if old is not new else old


def restored(parameter: Tensor, value: Any, like: Sequence[str], name: str) -> Any:
    """An entry of a checkpoint as it is kept: on the parameter's device, in the precision of its arithmetic."""
    if isinstance(value, tuple | list):
        return tuple(restored(parameter, part, like, name) for part in value)
    if not isinstance(value, Tensor) or name in like:
        return value.clone() if isinstance(value, Tensor) else value
    wide = parameter.dtype in (torch.float64, torch.complex128)
    if value.is_complex():
        dtype = torch.complex128 if wide else torch.complex64
    else:
        dtype = torch.float64 if wide else torch.float32
    # A copy: the checkpoint stays what it is.
    return value.detach().to(device=parameter.device, dtype=dtype, copy=True)
