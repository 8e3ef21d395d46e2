"""What lucid keeps for each parameter, and a step on its parameters: numpy arrays and a Python integer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import Any

import numpy as np

from optgen.runtime.in_place import InPlaceRule, PreparedStep
from optgen.runtime.native.library import Team, thread_count
from optgen.runtime.numpy import arithmetic_of
from optgen.runtime.numpy_memory import Spans, is_folded, is_for_kernels, reach, sharing
from optgen.runtime.numpy_ready import NumpyReady
from optgen.runtime.per_parameter import GroupStep, Work
from optgen.runtime.state_checks import seen
from optgen.runtime.state_layout import Kept, StateLayout
from optgen.targets.manifest import StateInfo


class NumpyLayout(StateLayout):
    """The state of a variant in numpy arrays."""

    def why_no_array(self, value: Any) -> str:
        if not isinstance(value, np.ndarray | np.generic):
            return f"of type {type(value).__name__}"
        is_number = np.issubdtype(value.dtype, np.number) or value.dtype.name == "bfloat16"
        return "" if is_number else f"of dtype {value.dtype}"

    def array(self, parameter: Any) -> np.ndarray:
        found: np.ndarray = parameter.data
        return found

    def form(self, parameter: Any) -> tuple[Any, ...]:
        return seen(parameter.data)

    def counted(self, parameter: Any, kept: Kept, t: int) -> int:
        return t

    def step_number(self, parameter: Any, kept: Kept, name: str, value: Any) -> np.ndarray:
        return np.array(value)

    def on_host(self, value: Any) -> np.ndarray:
        return np.array(value, np.float64)

    def inside(self, info: StateInfo, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def outside(self, parameter: Any, info: StateInfo, value: Any) -> Any:
        return value

    def moved(self, parameter: Any, value: np.ndarray) -> np.ndarray:
        return value.copy()

    def restored(self, parameter: Any, name: str, value: Any) -> Any:
        return int(value) if name == self.count else _restored(parameter, value)

    def turned(self, history: Any, places: int) -> Any:
        if isinstance(history, tuple):
            return tuple(self.turned(part, places) for part in history)
        history[...] = np.roll(history, places, 0)
        return history

    def written(self, old: Any, new: Any) -> Any:
        if isinstance(new, tuple):
            return tuple(self.written(a, b) for a, b in zip(old, new, strict=True))
        if old.shape != new.shape or old.dtype != new.dtype:
            return new.copy()
        if old is not new:
            old[...] = new
        return old


class NumpyStep(GroupStep):
    """A step on parameters that hold numpy arrays, in place.

    Args:
        spans: the memory that is written before the last gradient is read.
        work: see `GroupStep`, as for the others.

    Attributes:
        ready: what the group's next step may go on from.
    """

    def __init__(self, spans: Spans, work: Work, *arguments: Any) -> None:
        super().__init__(work, *arguments)
        arrays = list(map(self.layout.array, work.parameters))
        self.ready: NumpyReady | None = None
        self.overlapping = {id(work.parameters[number]) for number in sharing(arrays)}
        #: Copies of gradients that stand where a parameter is written, by the parameter's `id`.
        self.copies = self._copied(spans)

    def _copied(self, spans: Spans) -> dict[int, np.ndarray]:
        given = [p for p in self.work.parameters if p.grad is not None]
        starts, ends = np.array([reach(p.grad) for p in given], np.uint64).T
        copies = {id(p): p.grad.copy() for p in compress(given, spans.meet(starts, ends))}
        return copies | {id(p): np.zeros_like(p.data) for p in self.work.parameters if p.grad is None}

    def in_place(self, parameters: list[Any]) -> InPlaceRule | None:
        arrays = [array for p in parameters for array in (p.data, self.gradient(p), *self._states(p))]
        arrays += [v[p] for v in self.inputs.values() if isinstance(v, Mapping) for p in parameters]
        takes = all(map(is_for_kernels, arrays)) and not any(is_folded(p.data) for p in parameters)
        return self.layout.native() if takes else None

    def _states(self, parameter: Any) -> list[np.ndarray]:
        """The arrays that are kept for a parameter in no format of states."""
        layout, kept = self.layout, self.kept(parameter)
        infos = [i for i in layout.infos(parameter) if i.name not in layout.of_step and i.name not in layout.formats]
        values = [kept[name] for info in infos for name in layout.entry_names(parameter, info)]
        return [part for value in values for part in (value if isinstance(value, tuple | list) else (value,))]

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
        if len(parameters) == len(self.work.parameters) and not self.copies and not self.left_out:
            self.ready = NumpyReady.after(self.layout, parameters, kept, prepared, shared)


def _restored(parameter: Any, value: Any) -> Any:
    """A copy of what a checkpoint holds, in the precision of the parameter's arithmetic."""
    if isinstance(value, tuple | list):
        return tuple(_restored(parameter, part) for part in value)
    if not isinstance(value, np.ndarray | np.generic) or value.ndim == 0:
        return np.array(value) if isinstance(value, np.ndarray | np.generic) else value
    return value.astype(arithmetic_of(parameter.data.dtype))
