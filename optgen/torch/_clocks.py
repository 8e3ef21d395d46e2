"""Counts of steps: read once from the state, then counted on the host or on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import torch

from optgen.frontends.groups.layout import Kept, StateLayout
from optgen.runtime.in_place import PreparedStep
from optgen.runtime.native.library import address_of, driver
from optgen.runtime.native.places import TYPES
from optgen.runtime.torch.memory import NAMES
from optgen.runtime.torch.threads import torch_team

Tensor = torch.Tensor

version_of = attrgetter("_version")


@dataclass(slots=True)
class _ScalarEntries:
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
    def of(cls, tensors: list[Tensor], place: int = 0) -> _ScalarEntries | None:
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
    count: _ScalarEntries | None
    numbers: list[tuple[_ScalarEntries, np.ndarray]]

    @classmethod
    def of(cls, layout: StateLayout, t: int, kept: list[Kept], shared: Mapping[str, np.ndarray]) -> HostClock | None:
        """That of some parameters; None where their numbers stand elsewhere, or are of several types."""
        count = _ScalarEntries.of([k[layout.count] for k in kept]) if layout.count else None
        if layout.count and count is None:
            return None
        numbers = []
        for name, array in shared.items():
            flat = array.reshape(-1)  # of a history several numbers
            for place in range(flat.size):
                number = _ScalarEntries.of([k[layout.names[name]] for k in kept], place)
                if number is None:
                    return None
                numbers.append((number, flat[place : place + 1]))
        return cls(t, count, numbers)

    def is_as_before(self) -> bool:
        """See `Clock`; whoever has changed one of them is noticed."""
        every = [*([self.count] if self.count else ()), *(number for number, _ in self.numbers)]
        return all(map(_ScalarEntries.is_as_before, every))

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
        return list(map(version_of, chain(self.counts, *self.numbers.values())))

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
