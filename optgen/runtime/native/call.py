"""One prepared call of the native driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optgen.contract.manifest import StateInfo
from optgen.errors import TreeMismatch
from optgen.runtime.formats.codes import Blocks, stored_count
from optgen.runtime.native.memory import HostMemory, numpy_memory
from optgen.runtime.native.places import SIZES, Place, place_of, state_place

#: An array of some library.
Array = Any


class CallBuffers:
    """The buffers of one call, in the order in which the table counts them."""

    def __init__(self, memory: Callable[[Array], HostMemory]) -> None:
        self.memory = memory
        self.addresses: list[int] = []
        self.gradients: list[int] = []
        self.kept: list[np.ndarray] = []

    def found(self, array: Array) -> HostMemory:
        """Where an array stands; arrays of numpy are known beside those of the library."""
        if isinstance(array, HostMemory):
            return array
        if isinstance(array, np.ndarray):
            self.kept.append(array)  # it has to outlive the call
            return numpy_memory(array)
        return self.memory(array)

    def changed(self, array: Array, info: StateInfo | None, order: tuple[int, ...] = ()) -> Place:
        """The place of an array that the step writes."""
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            raise TreeMismatch(
                f"the native target changes arrays in place, and one of shape {array.shape} is read-only"
            )
        return self.place(array, info, order)

    def formatted(self, value: Array | Blocks, format: str, stream: int) -> Place:
        """A state in a format of states, which has no gaps."""
        first = len(self.addresses)
        parts = (value.codes, value.scales) if isinstance(value, Blocks) else (value,)
        found = [self.found(part) for part in parts]
        self.addresses += [memory.address for memory in found]
        count = stored_count(*(memory.shape for memory in found))
        return state_place(first, format, count, stream, *range(first + 1, first + len(parts)))

    def place(
        self,
        array: Array,
        info: StateInfo | None,
        order: tuple[int, ...] = (),
    ) -> Place:
        """An array as a buffer.

        Args:
            array: it, or its memory.
            info: what state it is; of a history the leading axis is taken apart.
            order: of its axes, as the rule wants to see them.
        """
        if isinstance(array, int | float | np.generic):
            array = np.array(array, np.float64)
        found = self.found(array)
        if found.dtype not in SIZES:
            raise TreeMismatch(f"the native target has no arrays of {found.dtype}")
        self.addresses.append(found.address)
        is_ring = info is not None and info.depth > 1
        return place_of(len(self.addresses) - 1, found.dtype, found.shape, found.strides, order, is_ring=is_ring)
