"""The formats in which states may be kept, and how many numbers an array in each of them has."""

from __future__ import annotations

import math
from collections.abc import Sequence

BFLOAT16, BFLOAT16_NEAREST = "bfloat16", "bfloat16_nearest"
EIGHT_BIT, EIGHT_BIT_STOCHASTIC = "8bit", "8bit_stochastic"
FORMATS = (BFLOAT16, BFLOAT16_NEAREST, EIGHT_BIT, EIGHT_BIT_STOCHASTIC)

#: Numbers that share a scale.
BLOCK = 256


def is_eight_bit(format: str | None) -> bool:
    """Whether arrays of a format are `Blocks`."""
    return format in (EIGHT_BIT, EIGHT_BIT_STOCHASTIC)


def is_stochastic(format: str) -> bool:
    """Whether a format is rounded by random bits, which have to be others in every step."""
    return format in (BFLOAT16, EIGHT_BIT_STOCHASTIC)


_SCALES = "_scales"


def scales_of(name: str) -> str:
    """Under which name the scales of a state in 8 bits are kept, where arrays are kept by name."""
    return f"{name}{_SCALES}"


def without_scales(name: str) -> str:
    """The name of a state from that of its scales; any other name as it is."""
    return name.removesuffix(_SCALES)


def block_count(shape: Sequence[int]) -> int:
    """How many scales an array of a shape has."""
    return -(-math.prod(shape) // BLOCK)
