"""What lucid keeps for each parameter, and a step on its parameters: numpy arrays and a Python integer."""

from __future__ import annotations

from typing import Any

import numpy as np

from optgen.runtime.in_place import InPlaceRule
from optgen.runtime.native.library import Team, thread_count
from optgen.runtime.per_parameter import GroupStep
from optgen.runtime.state_layout import Kept, StateLayout
from optgen.targets.manifest import StateInfo


class NumpyLayout(StateLayout):
    """The state of a variant in numpy arrays."""

    def array(self, parameter: Any) -> np.ndarray:
        found: np.ndarray = parameter.data
        return found

    def counted(self, parameter: Any, kept: Kept, t: int) -> int:
        return t

    def step_number(self, parameter: Any, kept: Kept, name: str, value: np.ndarray) -> np.ndarray:
        return value

    def on_host(self, value: Any) -> np.ndarray:
        return np.array(value, np.float64)

    def inside(self, info: StateInfo, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def outside(self, parameter: Any, info: StateInfo, value: Any) -> Any:
        return value

    def moved(self, parameter: Any, value: np.ndarray) -> np.ndarray:
        return value.copy()

    def restored(self, parameter: Any, name: str, value: Any) -> Any:
        return _restored(parameter, value)

    def written(self, old: Any, new: Any) -> Any:
        if isinstance(new, tuple):
            return tuple(self.written(a, b) for a, b in zip(old, new, strict=True))
        if old.shape != new.shape or old.dtype != new.dtype:
            return new.copy()
        if old is not new:
            old[...] = new
        return old


class NumpyStep(GroupStep):
    """A step on parameters that hold numpy arrays, in place."""

    def in_place(self, parameters: list[Any]) -> InPlaceRule | None:
        return self.layout.native()

    def team(self) -> Team:
        return Team(thread_count())

    def gradient(self, parameter: Any) -> np.ndarray:
        found: np.ndarray = parameter.grad
        return found

    def assign(self, parameter: Any, value: np.ndarray) -> None:
        parameter.data[...] = value


def _restored(parameter: Any, value: Any) -> Any:
    """A copy of what a checkpoint holds, in the precision of the parameter's arithmetic."""
    if isinstance(value, tuple | list):
        return tuple(_restored(parameter, part) for part in value)
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value.copy() if isinstance(value, np.ndarray) else value
    return value.astype(np.float64 if parameter.data.dtype == np.float64 else np.float32)
