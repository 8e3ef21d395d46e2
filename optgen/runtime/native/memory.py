"""Arrays as memory of this process, whatever library they are of."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from optgen.runtime.native.library import address_of


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Where an array stands and how.

    Attributes:
        address: of its first number.
        dtype: by name, see `places.TYPES`.
        strides: bytes from one number to the next along each axis.
    """

    address: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def numpy_memory(array: np.ndarray) -> HostMemory:
    """The memory of a numpy array, which has to outlive what is done with it."""
    return HostMemory(address_of(array), _name(array.dtype), array.shape, array.strides)


@functools.cache
def _name(dtype: np.dtype) -> str:
    """Name of a dtype in `places.TYPES`; numpy makes the name anew whenever it is asked."""
    return dtype.name if dtype.isnative else f"{dtype.name} in the other byte order"
