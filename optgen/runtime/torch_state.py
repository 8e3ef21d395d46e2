"""What torch keeps for each parameter, and a step on torch's parameters."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import torch

from optgen.compiler.kinds import Kind
from optgen.runtime.native.library import Team, address_of, driver
from optgen.runtime.native.rule import Memory, Prepared
from optgen.runtime.native.table import TYPES
from optgen.runtime.per_parameter import GroupStep, Kept, StateLayout
from optgen.runtime.variant import PARAMETER_FORM, ModelState
from optgen.spec.model import Dialect
from optgen.targets.manifest import StateInfo

Tensor = torch.Tensor


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor as a view with an axis of length 2 at its end; a real one as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


_grad, _dtype = attrgetter("grad"), attrgetter("dtype")
_shape, _layout = attrgetter("shape"), attrgetter("layout")

#: How types of torch are called elsewhere.
_TYPES = {
    dtype: str(dtype).rpartition(".")[2] for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
}


def torch_memory(tensor: Tensor) -> Memory:
    """The memory of a tensor on the CPU, which has to outlive what is done with it."""
    size = tensor.element_size()
    strides = tuple(size * stride for stride in tensor.stride())
    return Memory(tensor.data_ptr(), _TYPES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape), strides)


@functools.cache
def _parallel() -> int:
    """`GOMP_parallel` of the OpenMP library that torch runs on, 0 if it is none that has it.

    After a gradient has been computed these threads are awake, and look for work for a while: others would first have
    to take the processor from them.
    """
    found = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return ctypes.cast(found, ctypes.c_void_p).value or 0 if found and torch.backends.openmp.is_available() else 0  # type: ignore[no-untyped-call]


_PROCESS = os.getpid()


def torch_team() -> Team:
    """As many threads as torch uses, where possible the very threads."""
    # In a forked process one would wait for threads that do not exist.
    return Team(torch.get_num_threads(), _parallel() if os.getpid() == _PROCESS else 0)


class TorchLayout(StateLayout):
    """The state of a variant as torch keeps it: also the number of steps is a tensor."""

    def array(self, parameter: Tensor) -> Tensor:
        return as_real(parameter if torch.is_grad_enabled() else parameter.detach())

    def counted(self, kept: Kept, t: int) -> Tensor:
        if self.count in kept:
            count: Tensor = kept[self.count].fill_(t)
            return count
        wide = torch.get_default_dtype() == torch.float64
        return torch.full((), float(t), dtype=torch.float64 if wide else torch.float32)

    def step_number(self, parameter: Tensor, value: np.ndarray) -> Tensor:
        return torch.as_tensor(value)

    def on_host(self, value: Tensor) -> np.ndarray:
        return np.array(value.detach().cpu().double().numpy())

    def inside(self, info: StateInfo, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(value)
        return as_real(value) if info.kind == Kind.ELEMENT.value else value

    def outside(self, parameter: Tensor, info: StateInfo, value: Any) -> Any:
        if parameter.is_complex() and info.kind == Kind.ELEMENT.value:
            return torch.view_as_complex(value.contiguous())
        return value

    def written(self, old: Any, new: Any) -> Any:
        if isinstance(new, tuple):
            return tuple(self.written(a, b) for a, b in zip(old, new, strict=True))
        # Autograd follows the new tensors; what it has saved of the old ones must not change.
        if torch.is_grad_enabled() or old.shape != new.shape or old.dtype != new.dtype:
            return new.clone()
        return old.copy_(new) if old is not new else old


@dataclass(slots=True)
class _Number:
    """A number that every parameter keeps: a count of steps, or a number of the step.

    Attributes:
        addresses: where they stand.
        type: how they are stored, see `TYPES`.
        value: what all of them are.
    """

    addresses: np.ndarray
    type: int
    value: float

    @classmethod
    def of(cls, tensors: list[Tensor]) -> _Number | None:
        """The number that tensors hold; None if they are of several types, or not in this machine's memory."""
        if {(t.dtype, t.device.type) for t in tensors} - {(torch.float32, "cpu"), (torch.float64, "cpu")}:
            return None
        if len({t.dtype for t in tensors}) != 1:
            return None
        addresses = np.array([t.data_ptr() for t in tensors], np.uint64)
        return cls(addresses, TYPES[_TYPES[tensors[0].dtype]], float(tensors[0]))

    def replace(self, value: float) -> bool:
        """Give all of them another value; False if one is not what it should be, and nothing has been changed then."""
        failed = driver().optgen_replace(address_of(self.addresses), len(self.addresses), self.type, self.value, value)
        if not failed:
            self.value = value
        return not failed


@dataclass(slots=True)
class Ready:
    """A group's step by native kernels as it was made last: where nothing has moved, only the gradients are looked up.

    What is compared is compared list by list: a loop over a few hundred parameters would take longer than the step.

    Attributes:
        layout: the variant that the group asked for.
        prepared: the call.
        t: the number of the step that comes next.
        count: the parameters' counts of steps, all of which are one less; None where none are kept.
        numbers: the numbers of the step, each with the array in which the call keeps it.
        parameters: by `id`.
        addresses, dtypes, shapes: of the parameters.
        kept: what is kept for each.
        states: everything that is kept, by `id`.
        memory: addresses of everything that is kept.
        held: keeps parameters and states, and their memory, from being given to others.
    """

    layout: StateLayout
    prepared: Prepared
    t: int
    count: _Number | None
    numbers: list[tuple[_Number, np.ndarray]]
    parameters: list[int]
    addresses: list[int]
    dtypes: list[torch.dtype]
    shapes: list[torch.Size]
    kept: list[Kept]
    states: list[int]
    memory: list[int]
    held: list[Any]

    @classmethod
    def after(
        cls,
        layout: StateLayout,
        parameters: list[Tensor],
        kept: list[Kept],
        prepared: Prepared,
        shared: Mapping[str, np.ndarray],
    ) -> Ready | None:
        """What the next step can go on from; None where it has to look at everything again."""
        values = [value for k in kept for value in k.values()]
        if layout.of_model or layout.variant.info.inputs:
            return None
        if not all(isinstance(value, Tensor) for value in values) or any(p.is_complex() for p in parameters):
            return None
        count = _Number.of([k[layout.count] for k in kept]) if layout.count else None
        numbers = [_Number.of([k[layout.names[name]] for k in kept]) for name in shared]
        if (layout.count and count is None) or any(number is None for number in numbers):
            return None
        gradients = list(map(gradient_of, parameters))
        # The call knows how the gradients of this step are laid out; the next ones will be like the parameters.
        if not all(map(Tensor.is_contiguous, (*parameters, *gradients))):
            return None
        if list(map(_dtype, parameters)) != list(map(_dtype, gradients)):
            return None
        return cls(
            layout,
            prepared,
            1 + layout.steps_done(parameters[0], kept[0]),
            count,
            [(number, array) for number, array in zip(numbers, shared.values(), strict=True) if number is not None],
            list(map(id, parameters)),
            list(map(Tensor.data_ptr, parameters)),
            list(map(_dtype, parameters)),
            list(map(_shape, parameters)),
            kept,
            list(map(id, values)),
            list(map(Tensor.data_ptr, values)),
            [parameters, values, [tensor.detach() for tensor in (*parameters, *values)]],
        )

    def is_as_before(self, parameters: list[Tensor], state: Mapping[Tensor, Kept]) -> bool:
        """Whether parameters and states are the same, in the same memory, and the gradients laid out like them."""
        if list(map(id, parameters)) != self.parameters:
            return False
        gradients = list(map(_grad, parameters))
        if set(map(type, gradients)) != {Tensor} or set(map(_layout, gradients)) != {torch.strided}:
            return False
        if self.layout.has_state:
            kept = list(map(state.__getitem__, parameters))
            if list(map(id, kept)) != list(map(id, self.kept)):
                return False
            values = list(chain.from_iterable(map(dict.values, kept)))
            if list(map(id, values)) != self.states or list(map(Tensor.data_ptr, values)) != self.memory:
                return False
        return (
            list(map(Tensor.data_ptr, parameters)) == self.addresses
            and list(map(_dtype, parameters)) == self.dtypes == list(map(_dtype, gradients))
            and list(map(_shape, parameters)) == self.shapes == list(map(_shape, gradients))
            and all(map(Tensor.is_contiguous, parameters))
            and all(map(Tensor.is_contiguous, gradients))
            and not any(map(Tensor.is_neg, gradients))
            and all(number.replace(number.value) for number in self._all_numbers())
        )

    def _all_numbers(self) -> list[_Number]:
        return [*([self.count] if self.count else ()), *(number for number, _ in self.numbers)]

    def run(self, parameters: list[Tensor], hyperparameters: Mapping[str, Any]) -> None:
        """Make the step, on parameters for which `is_as_before` is true."""
        self.prepared.addresses[self.prepared.gradients] = list(map(Tensor.data_ptr, map(_grad, parameters)))
        self.prepared.run(self.t, hyperparameters, torch_team())
        if self.count:
            self.count.replace(float(self.t))
            self.t += 1
        for number, array in self.numbers:
            number.replace(float(array))
        torch.autograd.graph.increment_version(parameters)


class TorchStep(GroupStep):
    """A step on torch's parameters, in place.

    Args:
        dialect: says how sparse gradients are taken.
        *arguments: see `GroupStep`.

    Attributes:
        ready: what the group's next step may go on from.
        overlapping: parameters, by `id`, that share memory with others: they make their steps one after the other.
    """

    def __init__(self, dialect: Dialect, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.by_entries = dialect.sparse == "entries"
        self.ready: Ready | None = None
        self.overlapping = _overlapping(self.work.parameters)

    def is_memory(self, parameters: list[Tensor]) -> bool:
        if torch.is_grad_enabled() or not all(isinstance(v, int | float) for v in self.work.hyperparameters.values()):
            return False
        values = [value for p in parameters for value in self.kept(p).values()]
        parts = [part for value in values for part in (value if isinstance(value, tuple | list) else (value,))]
        kept = (part for part in parts if isinstance(part, Tensor))
        gradients = map(gradient_of, parameters)
        return all(map(_is_plain, (*parameters, *gradients, *kept))) and all(map(_can_be_written, parameters))

    def team(self) -> Team:
        return torch_team()

    def remember(
        self, prepared: Prepared, parameters: list[Tensor], kept: list[Kept], shared: Mapping[str, np.ndarray]
    ) -> None:
        torch.autograd.graph.increment_version(parameters)
        if len(parameters) == len(self.work.parameters):
            self.ready = Ready.after(self.layout, parameters, kept, prepared, shared)

    def gradient(self, parameter: Tensor) -> Tensor:
        gradient = gradient_of(parameter)
        return as_real(gradient.to_dense() if gradient.is_sparse else gradient)

    def assign(self, parameter: Tensor, value: Tensor) -> None:
        as_real(parameter).copy_(value)

    def apart(self, parameter: Tensor) -> object:
        by_itself = (self.by_entries and gradient_of(parameter).is_sparse) or id(parameter) in self.overlapping
        return parameter.device, by_itself and id(parameter)

    def step(self, parameters: list[Tensor], t: int) -> None:
        if self.by_entries and gradient_of(parameters[0]).is_sparse:
            self.step_entries(parameters[0], t)
        else:
            super().step(parameters, t)

    def step_entries(self, parameter: Tensor, t: int) -> None:
        """A step on the entries of a sparse gradient alone, as torch's Adagrad makes it."""
        layout = self.layout
        gradient = gradient_of(parameter).coalesce()
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


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in this machine's memory, in a type that kernels know."""
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not tensor.is_neg()
        and not tensor.is_conj()
        and (tensor.dtype in _TYPES or tensor.is_complex())
    )


def _overlapping(parameters: list[Tensor]) -> set[int]:
    """Those that share memory with one before or after them, by `id`."""
    known = (Tensor, torch.nn.Parameter)
    plain = [p for p in parameters if type(p) in known and p.layout is torch.strided and p.device.type != "meta"]
    plain = [p for p in plain if p.numel()]
    reach = {id(p): sum((n - 1) * stride for n, stride in zip(p.shape, p.stride(), strict=True)) + 1 for p in plain}
    plain.sort(key=lambda p: (str(p.device), p.data_ptr()))
    found: set[int] = set()
    for index, p in enumerate(plain):
        end = p.data_ptr() + reach[id(p)] * p.element_size()
        for q in plain[index + 1 :]:
            if q.device != p.device or q.data_ptr() >= end:
                break
            found |= {id(p), id(q)}
    return found


def _can_be_written(parameter: Tensor) -> bool:
    """Whether torch would write to it: no two numbers in one place, and made where it may be changed."""
    overlaps = any(stride == 0 and n > 1 for n, stride in zip(parameter.shape, parameter.stride(), strict=True))
    return not overlaps and (torch.is_inference_mode_enabled() or not parameter.is_inference())


def gradient_of(parameter: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


def restored(parameter: Tensor, value: Any, as_it_is: Collection[str], name: str) -> Any:
    """An entry of a checkpoint as it is kept: on the parameter's device, in the precision of its arithmetic.

    Args:
        parameter: whose state it is.
        value: a tensor, a tuple of them, or anything else, which stays.
        as_it_is: the names of entries that keep their dtype and device.
        name: the entry's.
    """
    if isinstance(value, tuple | list):
        return tuple(restored(parameter, part, as_it_is, name) for part in value)
    if name in as_it_is and isinstance(value, int | float):
        # Older checkpoints of torch have plain numbers of steps.
        return torch.tensor(float(value), dtype=torch.float32)
    if not isinstance(value, Tensor) or name in as_it_is:
        return value.clone() if isinstance(value, Tensor) else value
    wide = parameter.dtype in (torch.float64, torch.complex128)
    if value.is_complex():
        dtype = torch.complex128 if wide else torch.complex64
    else:
        dtype = torch.float64 if wide else torch.float32
    # A copy: the checkpoint stays what it is.
    return value.detach().to(device=parameter.device, dtype=dtype, copy=True)
