"""A step that goes on from the one before: what torch's tensors are is compared, not looked up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import torch

from optgen.runtime.in_place import PreparedStep
from optgen.runtime.native.library import address_of, driver
from optgen.runtime.native.places import TYPES
from optgen.runtime.numpy_memory import Spans
from optgen.runtime.state_layout import Kept, StateLayout
from optgen.runtime.torch_memory import NAMES, gradient_of, guard_of, torch_team

Tensor = torch.Tensor

_grad, _dtype = attrgetter("grad"), attrgetter("dtype")
_shape, _layout = attrgetter("shape"), attrgetter("layout")
_version = attrgetter("_version")


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
    _at: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._at = address_of(self.addresses)

    @classmethod
    def of(cls, tensors: list[Tensor], place: int = 0) -> _Number | None:
        """The number at a place in some tensors; None if they are of several types, or not in this machine's memory."""
        if {(t.dtype, t.device.type) for t in tensors} - {(torch.float32, "cpu"), (torch.float64, "cpu")}:
            return None
        if len({(t.dtype, t.shape) for t in tensors}) != 1 or not all(t.is_contiguous() for t in tensors):
            return None
        addresses = np.array([t.data_ptr() + place * t.element_size() for t in tensors], np.uint64)
        return cls(addresses, TYPES[NAMES[tensors[0].dtype]], float(tensors[0].reshape(-1)[place]))

    def is_as_before(self) -> bool:
        """Whether all of them are what they should be."""
        return self.replace(self.value)

    def replace(self, value: float) -> bool:
        """Give all of them another value; False if one is not what it should be, and nothing has been changed then."""
        failed = driver().optgen_replace(self._at, len(self.addresses), self.type, self.value, value)
        if not failed:
            self.value = value
        return not failed


class Clock(Protocol):
    """Where a group's numbers of the step are kept, and how they go on."""

    def is_as_before(self) -> bool:
        """Whether they are what the last step has left."""

    def run(
        self, prepared: PreparedStep, hyperparameters: Mapping[str, Any], scale: Tensor | None, skip: Tensor | None
    ) -> None:
        """Make the next step."""


@dataclass(slots=True)
class HostClock:
    """Numbers of the step in this machine's memory.

    Attributes:
        t: the number of the step that comes next.
        count: the parameters' counts of steps, all of which are one less; None where none are kept.
        numbers: the numbers of the step, each with the place, an array of one, in which the call keeps it.
    """

    t: int
    count: _Number | None
    numbers: list[tuple[_Number, np.ndarray]]

    @classmethod
    def of(cls, layout: StateLayout, t: int, kept: list[Kept], shared: Mapping[str, np.ndarray]) -> HostClock | None:
        """That of some parameters; None where their numbers stand elsewhere, or are of several types."""
        count = _Number.of([k[layout.count] for k in kept]) if layout.count else None
        if layout.count and count is None:
            return None
        numbers = []
        for name, array in shared.items():
            flat = array.reshape(-1)  # of a history several numbers
            for place in range(flat.size):
                number = _Number.of([k[layout.names[name]] for k in kept], place)
                if number is None:
                    return None
                numbers.append((number, flat[place : place + 1]))
        return cls(t, count, numbers)

    def is_as_before(self) -> bool:
        """See `Clock`; whoever has changed one of them is noticed."""
        every = [*([self.count] if self.count else ()), *(number for number, _ in self.numbers)]
        return all(map(_Number.is_as_before, every))

    def run(
        self, prepared: PreparedStep, hyperparameters: Mapping[str, Any], scale: Tensor | None, skip: Tensor | None
    ) -> None:
        """See `Clock`; gradients come without a scale, and the step is not left out."""
        assert (scale, skip) == (None, None)
        prepared.run(self.t, hyperparameters, torch_team())
        if self.count:
            self.count.replace(float(self.t))
            self.t += 1
        for number, array in self.numbers:
            number.replace(float(array[0]))


@dataclass(slots=True)
class DeviceClock:
    """Numbers of the step on the parameters' device: no step asks for them, so that graphs can capture it.

    Attributes:
        counts: the parameters' counts of steps, all alike; empty if the library keeps none: then the rule asks no more
            than whether a step is the first.
        numbers: the numbers of the step, for each parameter.
        versions: of all of them, as torch counts changes in place.
    """

    counts: list[Tensor]
    numbers: dict[str, list[Tensor]]
    versions: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = self._versions()

    def _versions(self) -> list[int]:
        return list(map(_version, chain(self.counts, *self.numbers.values())))

    def is_as_before(self) -> bool:
        """See `Clock`; the numbers themselves are not asked for, which would take as long as the step."""
        return self.versions == self._versions()

    def run(
        self, prepared: PreparedStep, hyperparameters: Mapping[str, Any], scale: Tensor | None, skip: Tensor | None
    ) -> None:
        """See `Clock`."""
        if self.counts:
            torch._foreach_add_(self.counts, 1)
        if self.counts and skip is not None:
            # A list, since one tensor would be asked for its number.
            torch._foreach_sub_(self.counts, [skip.reshape(())] * len(self.counts))
        before = {name: tensors[0] for name, tensors in self.numbers.items()}
        t = self.counts[0] if self.counts else 2.0
        after = prepared.run_on_device(t, hyperparameters, before, scale, skip)
        for name, tensors in self.numbers.items():
            new = after[name] if skip is None else torch.where(skip.reshape(()) != 0, before[name], after[name])
            torch._foreach_copy_(tensors, [new.to(tensors[0].dtype)] * len(tensors))
        self.versions = self._versions()


@dataclass(slots=True, eq=False)
class Ready:
    """A group's step by kernels as it was made last: where nothing has moved, only the gradients are looked up.

    What is compared is compared list by list: a loop over a few hundred parameters would take longer than the step.

    Attributes:
        layout: the variant that the group asked for.
        prepared: the call.
        clock: the numbers of the step.
        parameters: by `id`.
        addresses, dtypes, shapes: of the parameters.
        kept: what is kept for each.
        names: under which the rule keeps its own of that; other entries, those of a subclass, may be replaced at will.
        has_others: whether there are other entries.
        states: everything that the rule keeps, by `id`.
        memory: and its addresses.
        kept_shapes: and their shapes, which may change in place.
        held: keeps parameters and states, and their memory, from being given to others.
        looks_alike: whether parameters, gradients and states, one after the other, have the types, dtypes, shapes and
            strides that they had, as torch's own guards tell in one call; also false where it cannot tell.
        gradients: the addresses of those that come next.
        sizes: bytes of each.
        apart_from: memory that these are known to have no part of.
    """

    layout: StateLayout
    prepared: PreparedStep
    clock: Clock
    parameters: list[int]
    addresses: list[int]
    dtypes: list[torch.dtype]
    shapes: list[torch.Size]
    kept: list[Kept]
    names: list[list[str]]
    has_others: bool
    states: list[int]
    memory: list[int]
    kept_shapes: list[torch.Size]
    held: list[Any]
    looks_alike: Callable[..., bool]
    gradients: list[int]
    sizes: np.ndarray
    apart_from: Spans | None = None

    @classmethod
    def after(
        cls,
        layout: StateLayout,
        parameters: list[Tensor],
        kept: list[Kept],
        prepared: PreparedStep,
        shared: Mapping[str, np.ndarray],
        on_device: bool,
    ) -> Ready | None:
        """What the next step can go on from; None where it has to look at everything again.

        Args:
            layout: the variant.
            parameters: all that have made the step.
            kept: what is kept for each.
            prepared: the step that has been made.
            shared: the numbers of the step after it.
            on_device: whether the device is to know these alone.
        """
        names = list(map(layout.kept_names, parameters))
        has_others = sum(map(len, kept)) > sum(map(len, names))
        values = _values(kept, names, has_others)
        if layout.of_model or layout.variant.info.inputs:
            return None
        if not all(isinstance(value, Tensor) for value in values) or any(p.is_complex() for p in parameters):
            return None
        clock: Clock | None = None
        if not on_device:
            clock = HostClock.of(layout, 1 + layout.steps_done(parameters[0], kept[0]), kept, shared)
        elif prepared.prepare_for_device():
            numbers = {name: [k[layout.names[name]] for k in kept] for name in shared}
            clock = DeviceClock([k[layout.count] for k in kept] if layout.count else [], numbers)
        if clock is None:
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
            clock,
            list(map(id, parameters)),
            list(map(Tensor.data_ptr, parameters)),
            list(map(_dtype, parameters)),
            list(map(_shape, parameters)),
            kept,
            names,
            has_others,
            list(map(id, values)),
            list(map(Tensor.data_ptr, values)),
            list(map(_shape, values)),
            [parameters, values, [tensor.detach() for tensor in (*parameters, *values)]],
            guard_of([*parameters, *gradients, *values]),
            [],
            np.array([gradient.nbytes for gradient in gradients], np.uint64),
        )

    @property
    def can_skip(self) -> bool:
        """Whether a step can take the scale out of gradients, and be left out, by what is on the device."""
        return isinstance(self.clock, DeviceClock) and self.prepared.can_skip

    def is_as_before(self, parameters: list[Tensor], state: Mapping[Tensor, Kept]) -> bool:
        """Whether parameters and states are the same, in the same memory, and the gradients laid out like them."""
        if list(map(id, parameters)) != self.parameters:
            return False
        gradients = list(map(_grad, parameters))
        values: list[Tensor] = []
        if self.layout.has_state:
            kept = list(map(state.__getitem__, parameters))
            if list(map(id, kept)) != list(map(id, self.kept)):
                return False
            values = _values(kept, self.names, self.has_others)
            if list(map(id, values)) != self.states or list(map(Tensor.data_ptr, values)) != self.memory:
                return False
        # The states as well: they may have been resized where they are.
        if not self.looks_alike(*parameters, *gradients, *values) and not (
            self._are_alike(parameters, gradients) and list(map(_shape, values)) == self.kept_shapes
        ):
            return False
        return (
            list(map(Tensor.data_ptr, parameters)) == self.addresses
            and self.clock.is_as_before()
            and self._move_gradients(list(map(Tensor.data_ptr, gradients)))
        )

    def _move_gradients(self, places: list[int]) -> bool:
        if places != self.gradients:
            self.gradients, self.apart_from = places, None
        return self.prepared.move_gradients(places)

    def is_apart(self, spans: Spans) -> bool:
        """Whether the gradients that come next have no part of some memory, which is about to be written."""
        if self.apart_from is not spans:
            starts = np.array(self.gradients, np.uint64)
            if spans.meet(starts, starts + self.sizes).any():
                return False
            self.apart_from = spans
        return True

    def _are_alike(self, parameters: list[Tensor], gradients: list[Tensor]) -> bool:
        """The same as `looks_alike` by what torch makes public; strides of axes of length 1 may be others here."""
        return (
            set(map(type, gradients)) == {Tensor}
            and set(map(_layout, gradients)) == {torch.strided}
            and list(map(_dtype, parameters)) == self.dtypes == list(map(_dtype, gradients))
            and list(map(_shape, parameters)) == self.shapes == list(map(_shape, gradients))
            and all(map(Tensor.is_contiguous, parameters))
            and all(map(Tensor.is_contiguous, gradients))
            and not any(map(Tensor.is_neg, gradients))
        )

    def is_in_memory(self, parameters: list[Tensor], gradients: list[Tensor], states: list[Tensor]) -> bool:
        """Whether tensors are those of the last step by where they stand; states as `Steps.step_on` is given them."""
        values = _values(self.kept, self.names, True)
        return (
            list(map(Tensor.data_ptr, parameters)) == self.addresses
            and list(map(Tensor.data_ptr, states)) == list(map(Tensor.data_ptr, values))
            and list(map(_shape, states)) == list(map(_shape, values))
            and list(map(_dtype, parameters)) == self.dtypes == list(map(_dtype, gradients))
            and list(map(_shape, parameters)) == self.shapes == list(map(_shape, gradients))
            and all(map(Tensor.is_contiguous, (*parameters, *gradients)))
            and self.clock.is_as_before()
            and self._move_gradients(list(map(Tensor.data_ptr, gradients)))
        )

    def run(
        self,
        parameters: list[Tensor],
        hyperparameters: Mapping[str, Any],
        scale: Tensor | None = None,
        skip: Tensor | None = None,
    ) -> None:
        """Make the step, on parameters for which `is_as_before` is true.

        Args:
            parameters: the group's.
            hyperparameters: a value for each that the variant uses.
            scale: what gradients have been multiplied by; only where `can_skip`.
            skip: not 0 if the step is to leave everything as it is; only where `can_skip`.
        """
        self.clock.run(self.prepared, hyperparameters, scale, skip)
        torch.autograd.graph.increment_version(parameters)


def _values(kept: list[Kept], names: list[list[str]], has_others: bool) -> list[Any]:
    """What is kept under the names of each parameter, None for what is missing; without other entries in any order."""
    if has_others:
        return [k.get(name) for k, own in zip(kept, names, strict=True) for name in own]
    return list(chain.from_iterable(map(dict.values, kept)))
