"""A step on lucid's parameters: numpy arrays, and a Python integer as the step count."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import Any

import numpy as np

from optgen.frontends.groups.layout import Kept
from optgen.frontends.groups.step import GroupStep, Work
from optgen.lucid._ready import NumpyReady
from optgen.runtime.in_place import InPlaceRule, PreparedStep
from optgen.runtime.numpy.memory import Spans, is_folded, reach, sharing
from optgen.runtime.threads import Team, thread_count


class NumpyStep(GroupStep):
    """A step on parameters that hold numpy arrays, in place.

    Attributes:
        ready: what the group's next step may go on from.
    """

    def __init__(self, work: Work, *arguments: Any) -> None:
        super().__init__(work, *arguments)
        arrays = list(map(self.layout.array, work.parameters))
        self.ready: NumpyReady | None = None
        self.overlapping = {id(work.parameters[number]) for number in sharing(arrays)}
        #: Copies of gradients that stand where a parameter is written, by the parameter's `id`.
        self.copies = self._copied(Spans(arrays))

    def _copied(self, spans: Spans) -> dict[int, np.ndarray]:
        starts, ends = np.array([reach(p.grad) for p in self.work.parameters], np.uint64).T
        met = compress(self.work.parameters, spans.meet(starts, ends))
        return {id(p): p.grad.copy() for p in met}

    def in_place(self, parameters: list[Any]) -> InPlaceRule | None:
        return None if any(is_folded(p.data) for p in parameters) else self.layout.native()

    def team(self) -> Team:
        return Team(thread_count())

    def gradient(self, parameter: Any) -> np.ndarray:
        found: np.ndarray = self.copies.get(id(parameter), parameter.grad)
        return found

    def apart(self, parameter: Any) -> object:
        return id(parameter) in self.overlapping and id(parameter)

    def assign(self, parameter: Any, value: np.ndarray) -> None:
        parameter.data[...] = value

    def remember(
        self, prepared: PreparedStep, parameters: list[Any], kept: list[Kept], shared: Mapping[str, np.ndarray]
    ) -> None:
        if len(parameters) == len(self.work.parameters) and not self.copies:
            self.ready = NumpyReady.after(self.layout, parameters, kept, prepared, shared)
