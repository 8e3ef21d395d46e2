"""Random bits for stochastic rounding, which every target draws alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optgen.runtime.arrays import Array, Places

#: Streams of random bits of one tensor, one for each of its states.
STREAMS = 64


def scrambled(x: Any) -> Any:
    """A bijection of int32 arrays that leaves no pattern (`lowbias32` of Wellons' hash-prospector)."""
    x = x ^ (x >> 16 & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15 & 0x1FFFF)
    x = x * -0x7B935975
    return x ^ (x >> 16 & 0xFFFF)


def seed_of(t: Any) -> Any:
    """The seed of a step's random bits: 24 bits of the step number, which a float32 holds; an array of one number."""
    one = np.array([t], np.int32) if isinstance(t, int) else t.reshape(1).astype(np.int32)
    return scrambled(one) & 0xFFFFFF


def key_of(t: Any, tensor: int, state: int) -> Any:
    """The key of the random bits of one array in one step; an array of one number.

    Args:
        t: the number of the step, an int or an array of jax.
        tensor: which of the model's.
        state: which of the tensor's, see `STREAMS`.
    """
    return scrambled(seed_of(t) ^ scrambled(np.array([stream_of(tensor, state)], np.int32)))


def stream_of(tensor: int, state: int) -> int:
    """Which stream of random bits a state of a tensor takes; more than 0."""
    return 1 + tensor * STREAMS + state


def random_bits(like: Array, key: Any, places: Places) -> Array:
    """Random bits for each number of an array, int32: a function of the key and of the number's place."""
    numbers = places(math.prod(like.shape), like)
    return scrambled(numbers ^ (int(key[0]) if isinstance(key, np.ndarray) else key)).reshape(like.shape)
