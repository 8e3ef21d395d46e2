"""The libraries of arrays that formats are computed with, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

from optgen.contract.formats import BLOCK
from optgen.runtime.arrays import Arrays
from optgen.runtime.formats.codes import Blocks, decoded
from optgen.runtime.jax.arrays import JaxArrays
from optgen.runtime.numpy.arrays import NumpyArrays
from optgen.runtime.torch.arrays import TorchArrays

#: By name: a library, and how it makes an array of one of numpy.
LIBRARIES: dict[str, tuple[Arrays, Callable[[np.ndarray], Any]]] = {
    "numpy": (NumpyArrays(), np.array),
    "torch": (TorchArrays(np), torch.tensor),
    "jax": (JaxArrays(), jnp.asarray),
}


def plain(array: Any) -> np.ndarray:
    """An array of any library, float32."""
    return array.float().numpy() if isinstance(array, torch.Tensor) else np.asarray(array).astype(np.float32)


def value_of(library: str, stored: Any) -> np.ndarray:
    """What is stored, as an array of numpy."""
    return plain(decoded(LIBRARIES[library][0], stored))


def shares(is_signed: bool) -> np.ndarray:
    """All shares that a code can stand for, in order, float64: written down from the description of the format."""
    exponents = 15 if is_signed else 31
    found = [0.0]
    for exponent in range(-exponents, 1):
        found += [(1 + fraction / 8) * 2.0**exponent for fraction in range(8)]
    # Code 0 is zero, and nothing is larger than the scale.
    found.remove(2.0**-exponents)
    found = [share for share in found if share <= 1]
    return np.array(sorted({*found, *(-share for share in found)} if is_signed else found))


def neighbours(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What numbers of one block can become in 8 bits: the largest that are not above them, the smallest not below."""
    assert x.size <= BLOCK
    largest = np.float64(np.abs(x).max())
    known = shares(bool((x < 0).any())) * largest
    below = known[np.searchsorted(known, x, side="right") - 1]
    above = known[np.minimum(np.searchsorted(known, x, side="left"), len(known) - 1)]
    return below, above


def is_alike(a: Any, b: Any) -> bool:
    """Whether two stored arrays, of whatever library, have the same bits."""
    if isinstance(a, Blocks):
        return is_alike(a.codes, b.codes) and is_alike(a.scales, b.scales)
    return bool(np.array_equal(plain(a), plain(b), equal_nan=True))


def minute_numbers() -> dict[str, np.ndarray]:
    """Arrays of three blocks over many orders of magnitude, down to numbers that are no normal ones."""
    rng = np.random.default_rng(0)

    def over(low: float, high: float) -> np.ndarray:
        found = rng.normal(size=700) * 10.0 ** rng.uniform(low, high, size=700)
        found[::50] = 0
        return found.astype(np.float32)

    return {
        "squares": np.abs(over(-30, 0)),
        "far below the scale": np.abs(np.where(np.arange(700) % 256 == 7, np.float32(1e30), over(-44, -5))),
        "small squares": np.abs(over(-44, -25)),
        "smallest": np.abs(over(-44, -38)),
        "of both signs": over(-30, 0),
        "small, of both signs": over(-44, -25),
    }
