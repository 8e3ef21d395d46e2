"""The state of each parameter under lucid's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from optgen.contract.manifest import StateInfo
from optgen.frontends.groups.checks import seen
from optgen.frontends.groups.layout import Kept, StateLayout
from optgen.runtime.numpy.arrays import arithmetic_of


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
        return int(value) if name == self.count else restored(parameter, value)

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


def restored(parameter: Any, value: Any) -> Any:
    """A copy of what a checkpoint holds, in the precision of the parameter's arithmetic."""
    if isinstance(value, tuple | list):
        return tuple(restored(parameter, part) for part in value)
    if not isinstance(value, np.ndarray | np.generic) or value.ndim == 0:
        return np.array(value) if isinstance(value, np.ndarray | np.generic) else value
    return value.astype(arithmetic_of(parameter.data.dtype))
