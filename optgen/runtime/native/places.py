"""Where arrays stand in memory, and in which order of axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from optgen.contract import formats
from optgen.contract.kernel_plan import CasePlan
from optgen.contract.kinds import Kind
from optgen.runtime.native.rows import StorageType

#: Storage types, by the name that numpy, jax and torch give them.
TYPES = {
    "float32": StorageType.FLOAT32,
    "float64": StorageType.FLOAT64,
    "bfloat16": StorageType.BFLOAT16,
    "float16": StorageType.FLOAT16,
    "int32": StorageType.INT32,
    "int64": StorageType.INT64,
}
#: Bytes of a number, by the same names.
SIZES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2, "int32": 4, "int64": 8}
#: Storage types of the formats of states, see `optgen.runtime.formats`.
STATE_TYPES = {
    formats.BFLOAT16: StorageType.BFLOAT16_STOCHASTIC,
    formats.BFLOAT16_NEAREST: StorageType.BFLOAT16,
    formats.EIGHT_BIT: StorageType.EIGHT_BIT,
    formats.EIGHT_BIT_STOCHASTIC: StorageType.EIGHT_BIT_STOCHASTIC,
}
_BYTES = {TYPES[name]: size for name, size in SIZES.items()} | {
    type: 1 if formats.is_eight_bit(format) else 2 for format, type in STATE_TYPES.items()
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array stands, and how its numbers are stored.

    Attributes:
        buffer: which of the caller's buffers; -1 is the driver's own memory.
        type: of the stored numbers.
        count: how many numbers there are; of a ring, in each of its values.
        at: bytes into the buffer.
        lengths, strides: of an array with gaps, its shape and the bytes from one number to the next along each axis.
        depth, slot: of a ring of values, how many there are and the bytes from one to the next.
        lag: how many steps back the value is that is meant.
        stream: of random bits, where it is rounded by such.
        scales: which of the caller's buffers holds the scales of an array in 8 bits.
    """

    buffer: int
    type: StorageType
    count: int
    at: int = 0
    lengths: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    depth: int = 1
    slot: int = 0
    lag: int = 0
    stream: int = 0
    scales: int = -1


#: Which of the two `Formats` of a kernel an array is in.
FormatRole = Literal["stored", "kept"]


@dataclass(frozen=True, slots=True)
class Formats:
    """The types in which a kernel takes arrays, by the names of `TYPES`, where some are not the arithmetic's.

    Attributes:
        stored: of parameters, gradients and inputs.
        kept: of states.
    """

    stored: str
    kept: str

    def type_of(self, role: FormatRole) -> StorageType:
        """The type of the arrays in one of the two formats."""
        return TYPES[self.stored if role == "stored" else self.kept]


#: Those that kernels are compiled for when they are needed, with arithmetic in float32.
FORMATS = tuple(
    Formats(stored, kept)
    for stored in ("float32", "bfloat16", "float16")
    for kept in ("float32", "bfloat16", "float16")
    if (stored, kept) != ("float32", "float32")
)


def size_of(type: StorageType) -> int:
    """Bytes of a number of a storage type."""
    return _BYTES[type]


def number_type(bits: int) -> StorageType:
    """The storage type of the arithmetic."""
    return StorageType.FLOAT32 if bits == 32 else StorageType.FLOAT64


def place_of(
    buffer: int,
    dtype: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    order: tuple[int, ...] = (),
    *,
    is_ring: bool = False,
) -> Place:
    """An array as the driver sees it.

    Args:
        buffer: which of the caller's it is.
        dtype: see `TYPES`.
        shape: as it is kept.
        strides: in bytes.
        order: of its axes, as the rule wants to see them.
        is_ring: whether the first axis counts the values of a history.
    """
    depth, slot = 1, 0
    if is_ring:
        depth, slot, shape, strides = shape[0], strides[0], shape[1:], strides[1:]
    if order:
        shape, strides = tuple(shape[a] for a in order), tuple(strides[a] for a in order)
    gaps = not _is_dense(shape, strides, SIZES[dtype], range(len(shape)))
    return Place(
        buffer,
        TYPES[dtype],
        math.prod(shape),
        lengths=shape if gaps else (),
        strides=strides if gaps else (),
        depth=depth,
        slot=slot,
    )


def dense_place(
    buffer: int, dtype: str, shape: tuple[int, ...], order: tuple[int, ...] = (), *, is_ring: bool = False
) -> Place:
    """The place of an array without gaps."""
    strides = tuple(SIZES[dtype] * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return place_of(buffer, dtype, shape, strides, order, is_ring=is_ring)


def state_place(buffer: int, format: str, count: int, stream: int, scales: int = -1) -> Place:
    """A state that is stored in a format of states.

    Args:
        buffer: which of the caller's it is.
        format: see `STATE_TYPES`.
        count: how many numbers it has, and scales to go with them.
        stream: of its random bits, see `optgen.runtime.formats.codes.bits.key_of`.
        scales: the buffer of the scales of an array in 8 bits.
    """
    return Place(buffer, STATE_TYPES[format], count, stream=stream, scales=scales)


def in_memory_order(
    case: CasePlan, kinds: Mapping[str, Kind], shape: tuple[int, ...], arrays: dict[str, tuple[Place, ...]]
) -> tuple[dict[str, tuple[Place, ...]], bool]:
    """Arrays whose elements all stand in one other order of axes, without gaps, as if it were the tensor's order.

    Args:
        case: the kernels.
        kinds: of the arrays that are not of elements, by name.
        shape: the tensor's.
        arrays: by name.

    Returns:
        The arrays, and whether rows and columns have changed places; the arrays as they are where the rule would see
        the difference.
    """
    elements = {name: own for name, own in arrays.items() if kinds.get(name, Kind.ELEMENT) is Kind.ELEMENT}
    places = [place for own in elements.values() for place in own]
    if not places or not all(place.strides for place in places):
        return arrays, False
    axes = [axis for axis in range(len(shape)) if shape[axis] != 1]
    order = sorted(axes, key=lambda axis: -places[0].strides[axis])
    if not all(_is_dense(place.lengths, place.strides, size_of(place.type), order) for place in places):
        return arrays, False
    seen = {*kinds.values(), *(launch.domain for launch in case.launches)}
    is_turned = bool(seen & {Kind.ROW, Kind.COLUMN, Kind.MATRIX})
    last = [len(shape) - 1, len(shape) - 2]
    if Kind.AXIS in seen or (is_turned and (order[-2:] != last or order[:-2] != sorted(order[:-2]))):
        return arrays, False
    dense = {name: tuple(replace(place, lengths=(), strides=()) for place in own) for name, own in elements.items()}
    return arrays | dense, is_turned


def _is_dense(lengths: Sequence[int], strides: Sequence[int], size: int, order: Sequence[int]) -> bool:
    """Whether numbers stand side by side, with axes in this order from the outermost on; an empty array has no gaps."""
    for axis in reversed(order):
        if lengths[axis] != 1 and strides[axis] != size:
            return 0 in lengths
        size *= lengths[axis]
    return True
