"""Formats for states that take less memory than the arithmetic's numbers, and the way into and out of them.

`bfloat16` is rounded stochastically: to one of the two neighbours, each as probable as the number is near to it, so
that the mean is the number itself. Rounded to the nearest (`bfloat16_nearest`), an average that changes by less than
half a step stands still.

`8bit` has one byte for each number, and a float32 scale for each block of 256 numbers in the order of the array: their
largest absolute value. A byte is the share of the scale that a number is: an exponent, and three bits of fraction. In a
block without negative numbers the exponent has five bits, down to 2**-31; in the others one bit is the sign and the
exponent has four, down to 2**-15, and the scale is stored with a minus sign. A block with NaN or Inf has no finite
number left. `8bit` rounds to the nearest, `8bit_stochastic` as bfloat16 does.

In a block without negative numbers nothing above zero becomes zero: what is below the smallest share becomes that
share. Such blocks are those of second moments, which steps divide by, and a zero under a root would make the step of
that parameter as large as its epsilon allows. So that no share of the scale is lost below float32's normal numbers, the
scale of such a block is 0 or at least 2**-95.

Random bits follow from the number of the step, the tensor, the state and the place in it, so that every target draws
the same ones. All is arithmetic of 32-bit integers that wraps around, which numpy, torch, jax, C and GPUs have alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optgen.contract.formats import BLOCK, EIGHT_BIT_STOCHASTIC, is_eight_bit, is_stochastic
from optgen.runtime.arrays import Array, Arrays, Places
from optgen.runtime.formats.bits import key_of, random_bits

#: Shares are float32 numbers cut off after three bits of fraction; a code is such a number's bits, from these on.
_FRACTION = 20
_UNSIGNED, _SIGNED = 96 << 23, 112 << 23
#: The code of the share 1, and the smallest share of blocks with negative numbers.
_TOP_UNSIGNED, _TOP_SIGNED = 31 << 3, 15 << 3
_LEAST_SIGNED = 1.125 * 2.0**-15
#: The bits of 2**-95: this times 2**-31 is the smallest normal number.
_LEAST_SCALE = 127 - 95 << 23

_SIGN, _FINITE, _INFINITY, _QUIET = -(1 << 31), 0x7FFFFFFF, 0x7F800000, 0x00400000


class Blocks(NamedTuple):
    """An array in 8 bits; a named tuple, since every library of checkpoints stores those.

    Attributes:
        codes: uint8, of the array's shape.
        scales: float32, of one axis: one for each block of the array's numbers.
    """

    codes: Array
    scales: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return tuple(self.codes.shape)


def stored_count(codes: Sequence[int], scales: Sequence[int] | None = None) -> int:
    """How many numbers an array of a shape holds, of one in 8 bits together with its scales."""
    count = math.prod(codes)
    return count if scales is None else min(count, BLOCK * math.prod(scales))


def decoded(arrays: Arrays, stored: Array | Blocks) -> Array:
    """Decode a stored state into a float32 array."""
    if not isinstance(stored, Blocks):
        return arrays.to(stored, "float32")
    count = math.prod(stored.shape)
    if not count:
        return arrays.to(stored.codes, "float32")
    codes = arrays.rows(arrays.to(stored.codes, "int32"), BLOCK)
    scale = arrays.bits(stored.scales).reshape(-1, 1)
    is_signed = scale < 0
    size = arrays.where(is_signed, codes & 0x7F, codes)
    share = arrays.floats((size << _FRACTION) + arrays.where(is_signed, _SIGNED, _UNSIGNED))
    value = arrays.where(size == 0, 0.0, share) * arrays.floats(scale & _FINITE)
    value = arrays.where(is_signed & (codes > 0x7F), -value, value)
    return value.reshape(-1)[:count].reshape(stored.shape)


def encoded(arrays: Arrays, value: Array, format: str, key: Any, places: Places | None = None) -> Array | Blocks:
    """A floating-point array as it is stored.

    Args:
        arrays: the library.
        value: the array.
        format: one of `FORMATS`.
        key: of its random bits, see `key_of`; None rounds to the nearest.
        places: of an array that is part of a larger one, gives the places of its numbers in that.
    """
    value = arrays.to(value, "float32")
    places = places or arrays.places
    if not is_eight_bit(format):
        return arrays.to(_rounded(arrays, value, key if is_stochastic(format) else None, places), "bfloat16")
    shape, count = tuple(value.shape), math.prod(value.shape)
    if not count:
        return Blocks(arrays.to(value, "uint8"), arrays.to(value.reshape(-1), "float32"))
    value = arrays.rows(value, BLOCK)
    # Asked of the bits, like all that counts of numbers that are no normal ones: XLA takes these for zeros.
    bits = arrays.bits(value)
    is_negative, sizes = (bits > _SIGN) & (bits <= _SIGN + _INFINITY), bits & _FINITE
    largest = arrays.largest(sizes)
    is_signed = arrays.largest(arrays.where(is_negative, 1, 0)) > 0
    is_minute = (largest > 0) & (largest < _LEAST_SCALE) & ~is_signed
    largest = arrays.where(is_minute, _LEAST_SCALE, largest)
    scale = arrays.floats(largest)
    share = arrays.floats(sizes) / arrays.where(largest == 0, 1.0, scale)
    above = arrays.bits(share) - arrays.where(is_signed, _SIGNED, _UNSIGNED)
    if format == EIGHT_BIT_STOCHASTIC and key is not None:
        rest = random_bits(value, key, places) & ((1 << _FRACTION) - 1)
    else:
        rest = arrays.where(is_negative, 1 << _FRACTION - 1, 1 << _FRACTION - 1)
    # The product is exact: 20 bits by 4.
    is_more = share > arrays.to(rest, "float32") * (_LEAST_SIGNED * 2.0**-_FRACTION)
    # A share may underflow where the number does not.
    least = arrays.where(is_signed & is_more | ~is_signed & (sizes > 0), 1, 0)
    size = arrays.where(above < 1 << _FRACTION, least, above + rest >> _FRACTION)
    top = arrays.where(is_signed, _TOP_SIGNED, _TOP_UNSIGNED)
    # A share that is NaN has bits beyond those of 1.
    size = arrays.where(size > top, top, size)
    codes = arrays.to(size | arrays.where(is_negative, 0x80, 0), "uint8")
    scales = arrays.floats(largest | arrays.where(is_signed, _SIGN, 0))
    return Blocks(codes.reshape(-1)[:count].reshape(shape), scales.reshape(-1))


def _rounded(arrays: Arrays, value: Array, key: Any, places: Places) -> Array:
    """A float32 array with the last 16 bits rounded away; without a key as it is, in the order of its axes."""
    bits = arrays.bits(value)
    if key is None:
        return arrays.floats(bits)
    up = bits + (random_bits(value, key, places) & 0xFFFF)
    kept = arrays.where((bits & _FINITE) > _INFINITY, bits | _QUIET, bits)
    is_finite = (bits & _FINITE) < _INFINITY
    return arrays.floats(arrays.where(is_finite, up, kept) & -0x10000)


def opened(arrays: Arrays, tensors: Sequence[Mapping[str, Any]], formats: Mapping[str, str]) -> tuple[Any, ...]:
    """The states of a model as a rule computes with them."""
    return tuple({n: decoded(arrays, v) if n in formats else v for n, v in kept.items()} for kept in tensors)


def closed(
    arrays: Arrays,
    tensors: Sequence[Mapping[str, Any]],
    formats: Mapping[str, str],
    names: Sequence[str],
    t: Any,
    numbers: Sequence[int] = (),
    places: Sequence[Places | None] = (),
) -> tuple[Any, ...]:
    """The states of a model as they are stored.

    Args:
        arrays: the library.
        tensors: for each tensor its states.
        formats: by state; those that are not named stay as they are.
        names: all states of the rule, in order.
        t: the number of the step that has made them; None before the first, when all are rounded to the nearest.
        numbers: of the tensors, from which random bits follow.
        places: see `encoded`, for each tensor.
    """

    def stored(index: int, name: str, value: Array) -> Array | Blocks:
        if name not in formats:
            return value
        number = numbers[index] if numbers else index
        key = None if t is None else key_of(t, number, names.index(name))
        return encoded(arrays, value, formats[name], key, places[index] if places else None)

    return tuple({n: stored(index, n, v) for n, v in kept.items()} for index, kept in enumerate(tensors))
