"""A step on torch's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from optgen.contract.dialects import Dialect
from optgen.contract.formats import scales_of
from optgen.frontends.groups.layout import Kept
from optgen.frontends.groups.step import GroupStep, Work
from optgen.runtime.backend import is_for_triton
from optgen.runtime.in_place import InPlaceRule, PreparedStep
from optgen.runtime.numpy.memory import Spans
from optgen.runtime.state import PARAMETER_FORM, ModelState
from optgen.runtime.threads import Team
from optgen.runtime.torch.memory import (
    as_real,
    can_be_written,
    is_plain,
    is_without_numbers,
    local_numbers,
    meet,
    numbers_of_gradient,
    overlapping,
)
from optgen.runtime.torch.sharded import as_placed, is_sharded
from optgen.runtime.torch.threads import torch_team
from optgen.torch._layout import TorchLayout
from optgen.torch._ready import Ready

Tensor = torch.Tensor


class TorchStep(GroupStep):
    """A step on torch's parameters, in place.

    Args:
        dialect: says how gradients are taken that are sparse.
        *arguments: see `GroupStep`.

    Attributes:
        ready: what the group's next step may go on from.
        gradients: as they are read, by the parameter's `id`; there from `take_gradients` on.
    """

    def __init__(self, dialect: Dialect, *arguments: Any, in_graph: bool = False) -> None:
        super().__init__(*arguments, in_graph=in_graph)
        self.by_entries = dialect.sparse == "entries" and not self.layout.formats
        self.ready: Ready | None = None
        self.overlapping = overlapping(self.work.parameters)
        self.gradients: dict[int, Tensor] = {}

    def take_gradients(self, spans: Spans) -> None:
        """Take the gradients as they are now.

        Args:
            spans: the memory that is written before the last gradient is read; what stands there is copied.
        """
        found = list(map(numbers_of_gradient, self.work.parameters))
        found = [g.clone() if met else g for g, met in zip(found, meet(spans, found), strict=True)]
        self.gradients = {id(p): g for p, g in zip(self.work.parameters, found, strict=True)}

    def in_place(self, parameters: list[Tensor]) -> InPlaceRule | None:
        layout = self.layout
        assert isinstance(layout, TorchLayout)
        given = self.work.hyperparameters.values()
        if torch.is_grad_enabled() or not all(
            isinstance(value, int | float) or (layout.on_device and not value.requires_grad) for value in given
        ):
            return None
        formatted = {layout.names[name] for name in layout.formats}
        formatted |= set(map(scales_of, formatted))
        beside = {layout.names[name] for name in layout.of_step} | formatted
        # Of a format that has just been chosen the count of steps may not be there yet.
        own = [(n, self.kept(p)[n]) for p in parameters for n in layout.kept_names(p) if n != layout.count]
        bytes_ = [value for name, value in own if name in formatted]
        if not all(type(value) is Tensor and value.is_contiguous() for value in bytes_):
            return None
        values = [value for name, value in own if name not in beside] + list(self.of_model.values())
        parts = [part for value in values for part in (value if isinstance(value, tuple | list) else (value,))]
        gradients = [self.gradients[id(p)] for p in parameters]
        tensors = [*parameters, *gradients, *(part for part in parts if isinstance(part, Tensor))]
        if not all(map(is_plain, tensors)) or not all(map(can_be_written, parameters)):
            return None
        devices = {tensor.device for tensor in (*tensors, *bytes_)}
        if len(devices) > 1:
            return None
        return layout.triton() if is_for_triton(devices.pop().type) else layout.native()

    def team(self) -> Team:
        return torch_team()

    def remember(
        self, prepared: PreparedStep, parameters: list[Tensor], kept: list[Kept], shared: Mapping[str, np.ndarray]
    ) -> None:
        torch.autograd.graph.increment_version(parameters)
        if len(parameters) == len(self.work.parameters) and all(self.gradients[id(p)] is p.grad for p in parameters):
            layout = self.layout
            assert isinstance(layout, TorchLayout)
            on_device = layout.on_device and is_for_triton(parameters[0].device.type)
            self.ready = Ready.after(layout, parameters, kept, prepared, shared, on_device)

    def gradient(self, parameter: Tensor) -> Tensor:
        gradient = self.gradients[id(parameter)]
        return as_real(gradient.to_dense() if gradient.is_sparse else gradient)

    def assign(self, parameter: Tensor, value: Tensor) -> None:
        if parameter.is_conj():
            # What is read of it is a copy.
            parameter.copy_(torch.view_as_complex(value.contiguous()))
        else:
            as_real(parameter).copy_(as_placed(value, parameter))

    def apart(self, parameter: Tensor) -> object:
        by_itself = (self.by_entries and self.gradients[id(parameter)].is_sparse) or id(parameter) in self.overlapping
        return parameter.device, by_itself and id(parameter)

    def step(self, parameters: list[Tensor], t: int) -> None:
        if self.by_entries and self.gradients[id(parameters[0])].is_sparse:
            self.step_entries(parameters[0], t)
        else:
            super().step(parameters, t)

    def step_entries(self, parameter: Tensor, t: int) -> None:
        """A step on the entries of a sparse gradient alone, as torch's Adagrad makes it."""
        layout = self.layout
        gradient = self.gradients[id(parameter)].coalesce()
        place = tuple(gradient.indices())
        kept = self.kept(parameter)
        whole = layout.tensors(parameter, kept)
        parts = {name: value[place] for name, value in whole.items()}
        (new,), after = layout.variant.step(
            [gradient.values()],
            ModelState((parts,), layout.step_numbers(kept)),
            [parameter[place]],
            t,
            self.work.hyperparameters,
            {},
            PARAMETER_FORM,
        )
        parameter.index_put_(place, new)
        for name, value in whole.items():
            value.index_put_(place, after.tensors[0][name])
        layout.write(parameter, kept, whole, after.shared, t)


def all_finite(work: Iterable[Work]) -> bool:
    """Whether all gradients of some groups are finite, in every process that holds a part of their parameters."""
    parts = list(work)
    gradients = [p.grad for part in parts for p in part.parameters if p.grad is not None]
    found = all(bool(torch.isfinite(local_numbers(g)).all()) for g in gradients if not is_without_numbers(g))
    # Parameters without a gradient as well: all processes have to ask as often.
    meshes = dict.fromkeys(p.device_mesh for part in parts for p in part.group["params"] if is_sharded(p))
    for mesh in meshes:
        answer = torch.full((), found, dtype=torch.int32, device=mesh.device_type)
        for group in mesh.get_all_groups():
            torch.distributed.all_reduce(answer, torch.distributed.ReduceOp.MIN, group=group)
        found = bool(answer.item())
    return found
