"""The state of each parameter under torch's names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from optgen.contract.kinds import Kind
from optgen.contract.manifest import StateInfo
from optgen.contract.state_names import axis_entry
from optgen.errors import TreeMismatch
from optgen.frontends.groups.checks import seen
from optgen.frontends.groups.layout import Kept, StateLayout
from optgen.runtime.in_place import InPlaceRule
from optgen.runtime.torch.arrays import is_followed
from optgen.runtime.torch.memory import as_real, can_be_written
from optgen.runtime.torch.sharded import Sharding, as_placed, described, is_sharded

Tensor = torch.Tensor

#: The types in which numbers of the step are kept as they are given, and those for counts of steps.
_NUMBERS = (torch.float32, torch.float64)
_COUNTS = (*_NUMBERS, torch.int32, torch.int64)


class TorchLayout(StateLayout):
    """The state of a variant as torch keeps it: also the number of steps is a tensor.

    Args:
        triton: makes the variant as Triton kernels, or None where there are none; asked when a step could use them.
        sharding: what it asks of parameters whose parts processes hold.
        on_device: whether numbers of the step are kept where the parameter is, so that steps need not ask the host.
        *arguments: see `StateLayout`.
    """

    def __init__(
        self, triton: Callable[[], InPlaceRule | None], sharding: Sharding, on_device: bool, *arguments: Any
    ) -> None:
        super().__init__(*arguments)
        self.triton = functools.cache(triton)
        self.sharding = sharding
        self.on_device = on_device

    def why_not_captured(self) -> str:
        """Why no graph can capture a step; empty if one can."""
        if self.variant.info.inputs:
            return "it asks for values at every step"
        if self.of_model:
            return "it keeps numbers of the whole model"
        if any(info.depth > 1 for case in self.variant.info.cases for info in case.states):
            return "where it keeps its histories depends on the number of the step"
        return "there are no Triton kernels here" if self.triton() is None else ""

    def why_no_array(self, value: Any) -> str:
        if not isinstance(value, Tensor):
            return f"of type {type(value).__name__}"
        return "of dtype torch.bool" if value.dtype is torch.bool else ""

    def entry_names(self, parameter: Tensor, info: StateInfo) -> tuple[str, ...]:
        # torch's distributed checkpoints hold tensors and numbers, and no tuples of them.
        if info.kind is not Kind.AXIS:
            return super().entry_names(parameter, info)
        return tuple(axis_entry(self.names[info.name], axis) for axis in range(max(1, parameter.ndim)))

    def by_entries(self, parameter: Tensor, kept: Mapping[str, Any]) -> Kept:
        found = dict(kept)
        for info in self.infos(parameter):
            name = self.names[info.name]
            if info.kind is Kind.AXIS and isinstance(found.get(name), tuple | list):
                found |= {axis_entry(name, axis): value for axis, value in enumerate(found.pop(name))}
        return found

    def settle(self, parameter: Tensor, kept: Kept) -> None:
        found = self.by_entries(parameter, kept)
        for name in (self.count, *(self.names[n] for n in self.of_step)):
            if name in found and not isinstance(found[name], Tensor):
                found[name] = self.restored(parameter, name, found[name])
            elif name in found:
                found[name] = self._in_wide_type(name, found[name])
        for name in kept.keys() - found.keys():
            del kept[name]
        kept.update(found)

    def array(self, parameter: Tensor) -> Tensor:
        # What autograd saves of it must not be the memory that the step writes.
        return as_real(parameter.clone() if torch.is_grad_enabled() else parameter.detach())

    def form(self, parameter: Tensor) -> tuple[Any, ...]:
        return seen(parameter)

    def counted(self, parameter: Tensor, kept: Kept, t: int) -> Tensor:
        if self.count in kept:
            count: Tensor = kept[self.count].fill_(t)
            return count
        wide = torch.get_default_dtype() == torch.float64
        # Not `full`: memory estimators know the number of a tensor that is made of one.
        dtype = torch.float64 if wide else torch.float32
        return torch.tensor(float(t), dtype=dtype, device=self.place_of_numbers(parameter))

    def place_of_numbers(self, parameter: Tensor) -> torch.device | str:
        """Where numbers of the step are kept; never on the default device, which steps would have to ask for them."""
        return parameter.device if self.on_device else "cpu"

    def step_number(self, parameter: Tensor, kept: Kept, name: str, value: Any) -> Tensor:
        if is_followed(value):
            return value  # type: ignore[no-any-return]
        value = np.array(value.detach().cpu() if isinstance(value, Tensor) else value)
        if name in kept and kept[name].shape == value.shape and not kept[name].requires_grad:
            number: Tensor = kept[name].copy_(torch.as_tensor(value, device="cpu"))
            return number
        return torch.as_tensor(value, device=self.place_of_numbers(parameter))

    def on_host(self, value: Tensor) -> Any:
        if is_followed(value):
            return value
        # One by one: tensors of memory estimators know their numbers, and are no arrays.
        return np.array(value.detach().tolist(), np.float64)

    def inside(self, info: StateInfo, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(value)
        return as_real(value) if info.kind is Kind.ELEMENT else value

    def outside(self, parameter: Tensor, info: StateInfo, value: Any) -> Any:
        if parameter.is_complex() and info.kind is Kind.ELEMENT:
            return torch.view_as_complex(value.contiguous())
        return value

    def moved(self, parameter: Tensor, value: Tensor) -> Tensor:
        return value.detach().to(device=parameter.device, copy=True)

    def restored(self, parameter: Tensor, name: str, value: Any) -> Any:
        if name not in (self.count, *(self.names[n] for n in self.of_step)):
            return restored(parameter, value)
        if not isinstance(value, Tensor):
            # Older checkpoints of torch have plain numbers of steps.
            return torch.tensor(float(value), dtype=torch.float32, device=self.place_of_numbers(parameter))
        wide = self._in_wide_type(name, value)
        return wide.to(parameter.device, copy=True) if self.on_device else wide.clone()

    def _in_wide_type(self, name: str, value: Tensor) -> Tensor:
        """A count or a number of the step where the next ones can be written, in a type that holds them."""
        wide = _COUNTS if name == self.count else _NUMBERS
        if value.dtype in wide and can_be_written(value) and not (name == self.count and value.requires_grad):
            return value
        return value.detach().to(value.dtype if value.dtype in wide else torch.float32, copy=True)

    def check(self, label: str, parameter: Tensor, kept: Mapping[str, Any]) -> None:
        super().check(label, parameter, kept)
        for name in self.formattable(parameter).values():
            if name in kept and is_sharded(kept[name]) != is_sharded(parameter):
                raise TreeMismatch(
                    f"{label}: '{name}' is {described(kept[name])}, its parameter {described(parameter)}"
                )

    def turned(self, history: Any, places: int) -> Any:
        return self.written(history, torch.roll(history, places, 0))

    def written(self, old: Any, new: Any) -> Any:
        if isinstance(new, tuple):
            return tuple(self.written(a, b) for a, b in zip(old, new, strict=True))
        new = as_placed(new, old)
        # Autograd follows the new tensors; what it has saved of the old ones must not change.
        if torch.is_grad_enabled() or old.shape != new.shape or old.dtype != new.dtype:
            return new.clone()
        return old.copy_(new) if old is not new else old


def restored(parameter: Tensor, value: Any) -> Any:
    """A copy of what a checkpoint holds, in the precision of the parameter's arithmetic: the checkpoint stays."""
    if isinstance(value, tuple | list):
        return tuple(restored(parameter, part) for part in value)
    if not isinstance(value, Tensor):
        return value
    wide = parameter.dtype in (torch.float64, torch.complex128)
    if value.is_complex():
        dtype = torch.complex128 if wide else torch.complex64
    else:
        dtype = torch.float64 if wide else torch.float32
    return value.detach().to(device=parameter.device, dtype=dtype, copy=True)
