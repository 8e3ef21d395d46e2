"""A step that goes on from the one before: what torch's tensors are is compared, not looked up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import torch

from optgen.runtime.in_place import PreparedStep
from optgen.runtime.native.library import address_of, driver
from optgen.runtime.native.places import TYPES
from optgen.runtime.per_parameter import Kept, StateLayout
from optgen.runtime.torch_memory import NAMES, gradient_of, torch_team

Tensor = torch.Tensor

_grad, _dtype = attrgetter("grad"), attrgetter("dtype")
_shape, _layout = attrgetter("shape"), attrgetter("layout")


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
        return cls(addresses, TYPES[NAMES[tensors[0].dtype]], float(tensors[0]))

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
    prepared: PreparedStep
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
        prepared: PreparedStep,
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
        if not prepared.move_gradients(list(map(Tensor.data_ptr, gradients))):
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
            and self.prepared.move_gradients(list(map(Tensor.data_ptr, gradients)))
        )

    def _all_numbers(self) -> list[_Number]:
        return [*([self.count] if self.count else ()), *(number for number, _ in self.numbers)]

    def run(self, parameters: list[Tensor], hyperparameters: Mapping[str, Any]) -> None:
        """Make the step, on parameters for which `is_as_before` is true."""
        self.prepared.run(self.t, hyperparameters, torch_team())
        if self.count:
            self.count.replace(float(self.t))
            self.t += 1
        for number, array in self.numbers:
            number.replace(float(array))
        torch.autograd.graph.increment_version(parameters)
