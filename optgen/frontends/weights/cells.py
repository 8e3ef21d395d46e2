"""Cells for values that change: an optimizer's state, a learning rate, a count of steps."""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable
from typing import Any, Protocol


class HasValue(Protocol):
    """Anything that holds an array, or a tree of arrays, under a settable `.value`."""

    value: Any


class PlainCell:
    """Holds one value; what stands in for a brainstate State where that library is not loaded."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Cell({self.value!r})"


def cell(value: Any) -> HasValue:
    """A cell for a value: brainstate's State where that library is loaded, so that its transformations see changes."""
    brainstate = sys.modules.get("brainstate")
    if brainstate is not None:
        return _state_type(brainstate.LongTermState)(value)
    return PlainCell(value)


@functools.cache
def _state_type(base: type[Any]) -> Callable[[Any], HasValue]:
    """A State of brainstate's that can be copied and pickled; as it is, it cannot: it holds where it was made."""

    def copied(self: Any, memo: dict[int, Any]) -> Any:
        return type(self)(copy.deepcopy(self.value, memo))

    def reduced(self: Any, _: Any) -> Any:
        return cell, (self.value,)

    return type("Cell", (base,), {"__deepcopy__": copied, "__reduce_ex__": reduced, "__module__": __name__})


def refreshed(held: HasValue) -> HasValue:
    """The cell itself, or one that brainstate sees if that library was loaded after the cell was made."""
    return cell(held.value) if isinstance(held, PlainCell) else held


class View:
    """A value that is kept elsewhere: read and set as `.value`, and compared like the value itself."""

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._read = read
        self._write = write

    @property
    def value(self) -> Any:
        """The value: a Python number, or an array, traced within jit."""
        return self._read()

    @value.setter
    def value(self, value: Any) -> None:
        self._write(value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __eq__(self, other: object) -> Any:
        return self.value == _plain(other)

    def __lt__(self, other: object) -> Any:
        return self.value < _plain(other)

    def __le__(self, other: object) -> Any:
        return self.value <= _plain(other)

    def __gt__(self, other: object) -> Any:
        return self.value > _plain(other)

    def __ge__(self, other: object) -> Any:
        return self.value >= _plain(other)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"View({self.value!r})"


def _plain(other: Any) -> Any:
    return other.value if isinstance(other, View) else other
