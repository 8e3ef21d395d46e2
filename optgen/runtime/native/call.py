"""The buffers of one prepared call of the native driver."""

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
    """The buffers of one call, in the order in which the table counts them.

    Args:
        memory: says where the arrays of a library stand.

    Attributes:
        addresses: of the buffers.
        gradients: which of them are gradients.
        owners: arrays of numpy that have to outlive the call.
    """

    def __init__(self, memory: Callable[[Array], HostMemory]) -> None:
        self.memory = memory
        self.addresses: list[int] = []
        self.gradients: list[int] = []
        self.owners: list[np.ndarray] = []

    def memory_of(self, array: Array) -> HostMemory:
        """Where an array stands: one of the library, one of numpy, or memory itself."""
        if isinstance(array, HostMemory):
            return array
        if isinstance(array, np.ndarray):
            self.owners.append(array)
            return numpy_memory(array)
        return self.memory(array)

    def add_writable(self, array: Array, info: StateInfo | None, order: tuple[int, ...] = ()) -> Place:
        """Add an array that the step writes; for the arguments see `add`.

        Raises:
            TreeMismatch: it is read-only, or of a dtype that kernels do not have.
        """
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            raise TreeMismatch(
                f"the native target changes arrays in place, and one of shape {array.shape} is read-only"
            )
        return self.add(array, info, order)

    def add_formatted(self, value: Array | Blocks, format: str, stream: int) -> Place:
        """Add a state in a format of states, which has no gaps.

        Args:
            value: codes in 8 bits with their scales, or an array.
            format: see `optgen.contract.formats`.
            stream: of its random bits, see `optgen.runtime.formats.bits`.
        """
        first = len(self.addresses)
        parts = (value.codes, value.scales) if isinstance(value, Blocks) else (value,)
        memories = [self.memory_of(part) for part in parts]
        self.addresses += [memory.address for memory in memories]
        count = stored_count(*(memory.shape for memory in memories))
        return state_place(first, format, count, stream, *range(first + 1, first + len(parts)))

    def add(self, array: Array, info: StateInfo | None, order: tuple[int, ...] = ()) -> Place:
        """Add an array.

        Args:
            array: it, its memory, or a number.
            info: the state that it is, None for other arrays; of a history the leading axis is taken apart.
            order: of its axes, as the rule wants to see them.

        Raises:
            TreeMismatch: it is of a dtype that kernels do not have.
        """
        if isinstance(array, int | float | np.generic):
            array = np.array(array, np.float64)
        memory = self.memory_of(array)
        if memory.dtype not in SIZES:
            raise TreeMismatch(f"the native target has no arrays of {memory.dtype}")
        self.addresses.append(memory.address)
        is_ring = info is not None and info.depth > 1
        return place_of(len(self.addresses) - 1, memory.dtype, memory.shape, memory.strides, order, is_ring=is_ring)
