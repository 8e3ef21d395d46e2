"""Arrays as memory: which of them share it, and which have two numbers in one place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from optgen.runtime.native.library import address_of
from optgen.runtime.native.places import SIZES

_at: Callable[[Any], int] = ctypes.addressof
_as_byte: Callable[[Any], Any] = ctypes.c_char.from_buffer
_is_writable = attrgetter("flags.writeable")


def addresses_of(arrays: Sequence[np.ndarray], *, written: bool = False) -> list[int]:
    """Where arrays stand; nothing if they are to be written and one cannot be."""
    try:
        # Five times as fast as what numpy says of an array; only for what has no gaps and can be written.
        return list(map(_at, map(_as_byte, arrays)))
    except (TypeError, ValueError):
        if written and not all(map(_is_writable, arrays)):
            return []
        return list(map(address_of, arrays))


def reach(array: np.ndarray) -> tuple[int, int]:
    """The first address of an array's numbers and the one after the last."""
    first = address_of(array)
    if not array.size:
        return first, first
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    return first + sum(s for s in steps if s < 0), first + sum(s for s in steps if s > 0) + array.itemsize


#: How many pairs of arrays are looked at, and how many places of each pair, before they count as sharing.
_PAIRS, _PLACES = 10_000, 10_000


def sharing(arrays: Sequence[np.ndarray]) -> set[int]:
    """Which arrays share numbers with one before or after them, by their number.

    Arrays whose numbers stand between each other's share none. Where that would take too long to tell, they count as if
    they did.
    """
    found: set[int] = set()
    begun: list[tuple[int, int]] = []
    pairs = 0
    for first, end, number in sorted((*reach(array), number) for number, array in enumerate(arrays) if array.size):
        begun = [(last, other) for last, other in begun if last > first]
        for _, other in begun:
            if {number, other} <= found:
                continue
            pairs += 1
            if pairs > _PAIRS or _share(arrays[number], arrays[other]):
                found |= {number, other}
        begun.append((end, number))
    return found


def _share(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        return np.shares_memory(a, b, max_work=_PLACES)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


class _Image:
    """A stand-in that numpy takes for an array: an address, a shape and strides."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def image(address: int, itemsize: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """An array that stands where another one does, perhaps on a device: its numbers are not to be read.

    Args:
        address: of the first number.
        itemsize: bytes of each.
        shape: how many there are along each axis.
        strides: bytes from one to the next along each.
    """
    data = (address, False)
    given = {"data": data, "typestr": f"|V{itemsize}", "shape": shape, "strides": strides, "version": 3}
    return np.asarray(_Image(given))


def is_for_kernels(array: Any) -> bool:
    """Whether kernels know the numbers of an array; Python's own they take as well."""
    dtype = getattr(array, "dtype", None)
    return dtype is None or (dtype.isnative and dtype.name in SIZES)


def is_folded(array: np.ndarray) -> bool:
    """Whether two of an array's numbers may stand in one place."""
    size = array.itemsize
    if not array.size:
        return False
    for stride, n in sorted((abs(s), n) for n, s in zip(array.shape, array.strides, strict=True)):
        if n > 1 and stride < size:
            return True
        size += (n - 1) * stride
    return False


class Spans:
    """The memory of some arrays."""

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        joined: list[list[int]] = []
        for first, end in sorted(reach(array) for array in arrays if array.size):
            if joined and first <= joined[-1][1]:
                joined[-1][1] = max(end, joined[-1][1])
            else:
                joined.append([first, end])
        self._starts = np.array([first for first, _ in joined], np.uint64)
        self._ends = np.array([end for _, end in joined], np.uint64)

    def meet(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Which other arrays have a part of it.

        Args:
            starts: their first addresses, uint64.
            ends: those after their last, uint64.

        Returns:
            bool, one for each.
        """
        if not self._starts.size:
            return np.zeros(len(starts), bool)
        # Of the stretches that end behind an array's start, the first one also starts first.
        place = np.searchsorted(self._ends, starts, "right")
        begins = self._starts[np.minimum(place, len(self._starts) - 1)]
        found: np.ndarray = (place < len(self._starts)) & (begins < ends) & (starts < ends)
        return found
