"""Formats of states: what is stored, and how it is rounded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from optgen.contract.formats import (
    BFLOAT16,
    BFLOAT16_NEAREST,
    BLOCK,
    EIGHT_BIT,
    EIGHT_BIT_STOCHASTIC,
    FORMATS,
    block_count,
)
from optgen.runtime.formats.bits import key_of
from optgen.runtime.formats.codes import Blocks, encoded
from tests.formats.libraries import LIBRARIES, is_alike, minute_numbers, neighbours, plain, shares, value_of

NUMPY = LIBRARIES["numpy"][0]

#: Numbers for which the mean of many roundings is looked at: in the middle, near a neighbour, large, small, negative.
VALUES = np.array([1.001, 1.0039, 3.1415927, 1e-3, 1e30, 1.7e-30, -2.71828, 65503.9, -1.0000001], np.float32)
REPEATS = 10_000

SPECIAL = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, 3.4e38], np.float32)


def sampled(count: int, seed: int = 0) -> np.ndarray:
    """Numbers over many orders of magnitude."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=count) * 10.0 ** rng.uniform(-9, 3, size=count)).astype(np.float32)


def rounded(x: np.ndarray, format: str, t: int | None, library: str = "numpy") -> Any:
    """An array as it is stored after step `t`."""
    arrays, made = LIBRARIES[library]
    return encoded(arrays, made(x), format, None if t is None else key_of(t, 2, 1))


def test_bfloat16_nearest_is_what_libraries_round_to() -> None:
    """The nearer neighbour, ties to even, in every step alike."""
    x = np.concatenate([sampled(4000), SPECIAL, np.float32([1 + 2**-8, 1 + 3 * 2**-8])])
    for t in (None, 1, 7):
        found = value_of("numpy", rounded(x, BFLOAT16_NEAREST, t))
        assert found.tobytes() == x.astype(ml_dtypes.bfloat16).astype(found.dtype).tobytes()


def ulp(x: np.ndarray) -> np.ndarray:
    """The distance between bfloat16 neighbours of float32 numbers."""
    return 2.0 ** (np.floor(np.log2(np.abs(x.astype(np.float64)))) - 7)


def test_bfloat16_is_one_of_the_two_neighbours_and_unbiased() -> None:
    """10,000 roundings of each number: |bias| ≤ 0.02 ulp, and nothing but the neighbours."""
    x = np.repeat(VALUES[:, None], REPEATS, axis=1)
    found = value_of("numpy", rounded(x, BFLOAT16, 1)).astype(np.float64)
    wide, step = x.astype(np.float64), ulp(VALUES)[:, None]
    below = np.floor(wide / step) * step
    assert np.isin((found - below) / step, (0.0, 1.0)).all()
    assert np.abs((found - wide).mean(axis=1) / step[:, 0]).max() <= 0.02
    # Both neighbours occur where the number is not one of them nearly.
    assert (np.abs(found - wide) > 0).all()


def test_bfloat16_is_unbiased_over_steps() -> None:
    """The same place of the same tensor, step after step."""
    x = np.array([1.001, -2.71828], np.float32)
    found = np.array([value_of("numpy", rounded(x, BFLOAT16, t)) for t in range(1, REPEATS + 1)], np.float64)
    assert np.abs((found - x.astype(np.float64)).mean(axis=0) / ulp(x)).max() <= 0.02


def test_random_bits_of_states_tensors_and_steps_differ() -> None:
    """No two of them repeat each other: half of the bits differ."""
    x = np.full(4096, 1.001, np.float32)
    keys = [key_of(t, tensor, state) for t in (1, 2) for tensor in (0, 1) for state in (0, 1)]
    drawn = [value_of("numpy", encoded(NUMPY, x, BFLOAT16, key)) > 1.001 for key in keys]
    share = drawn[0].mean()
    expected = 2 * share * (1 - share)
    for index, one in enumerate(drawn):
        for other in drawn[index + 1 :]:
            assert abs((one != other).mean() - expected) < 0.05
        assert abs((one[1:] != one[:-1]).mean() - expected) < 0.05


@pytest.mark.parametrize("library", LIBRARIES)
def test_bfloat16_keeps_what_is_not_finite_and_zeros(library: str) -> None:
    """Inf, NaN and zeros of both signs; the largest float32 numbers go to the largest bfloat16 or to Inf."""
    for t in range(1, 20):
        found = value_of(library, rounded(SPECIAL, BFLOAT16, t, library))
        assert np.array_equal(found[:5], SPECIAL[:5], equal_nan=True)
        assert (np.signbit(found[[3, 4]]) == [False, True]).all()
        assert found[6] in (np.float32(3.3895314e38), np.inf)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_libraries_store_the_same_bits(library: str, format: str) -> None:
    """Every library draws the same random bits and rounds alike."""
    for x in (sampled(3000).reshape(3, 1000), sampled(700) ** 2, np.zeros(5, np.float32), np.float32(3.0), SPECIAL):
        for t in (None, 1, 7):
            with np.errstate(invalid="ignore"):
                ours, theirs = rounded(np.asarray(x), format, t), rounded(np.asarray(x), format, t, library)
            assert is_alike(ours, theirs)


@pytest.mark.parametrize("is_signed", [False, True])
def test_eight_bits_are_the_nearest_share_of_the_scale(is_signed: bool) -> None:
    """Decoded, no number is farther from what it was than half a step: than from both of its neighbours.

    Without negative numbers, what is below the smallest share becomes that share.
    """
    for seed in range(20):
        x = sampled(BLOCK, seed)
        x = x if is_signed else np.abs(x)
        below, above = neighbours(x)
        found = value_of("numpy", rounded(x, EIGHT_BIT, 1)).astype(np.float64)
        step = above - below
        # A share is made of the scale by one rounding of float32.
        is_near = np.abs(found - x) <= step / 2 + 2.0**-23 * np.abs(x)
        is_smallest = (below == 0) & np.isclose(found, above, rtol=2.0**-22, atol=0) & (x > 0)
        assert (is_near if is_signed else is_near | is_smallest).all()
        assert found[np.abs(x).argmax()] == x[np.abs(x).argmax()]


def test_every_code_is_a_share() -> None:
    """All codes of both kinds of blocks, against the description of the format in float64."""
    for is_signed in (False, True):
        known = shares(is_signed)
        assert len(known) == (241 if is_signed else 249)
        x = np.zeros(BLOCK, np.float32)
        x[: len(known)] = known
        stored = rounded(x, EIGHT_BIT, None)
        assert np.array_equal(value_of("numpy", stored), x)
        assert len(np.unique(stored.codes[: len(known)])) == len(known)
        assert stored.scales[0] == (-1.0 if is_signed else 1.0)


@pytest.mark.parametrize("is_signed", [False, True])
def test_eight_bits_rounded_stochastically_are_unbiased(is_signed: bool) -> None:
    """One of the two neighbours, and on average the number itself; of both signs also below the smallest share."""
    x = np.array([0.77, 0.013, 3.3e-6, 1.0], np.float32) * 2
    if is_signed:
        x[:2] *= -1
    below, above = neighbours(x)
    found = np.array([value_of("numpy", rounded(x, EIGHT_BIT_STOCHASTIC, t)) for t in range(REPEATS)], np.float64)
    assert (np.isclose(found, below, rtol=2.0**-22, atol=0) | np.isclose(found, above, rtol=2.0**-22, atol=0)).all()
    step = np.where(above > below, above - below, 1)
    assert np.abs((found.mean(axis=0) - x) / step).max() <= 0.02


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("format", [EIGHT_BIT, EIGHT_BIT_STOCHASTIC])
def test_squares_are_zero_only_where_they_were(format: str, library: str) -> None:
    """In blocks without negative numbers; what is below the smallest share of the scale becomes that share."""
    for name, x in minute_numbers().items():
        if (x < 0).any():
            continue
        for t in (None, 1, 2, 3):
            stored = rounded(x, format, t, library)
            found, scales = value_of(library, stored), plain(stored.scales)
            assert np.array_equal(found > 0, x > 0), name
            smallest = np.repeat(scales, BLOCK)[: x.size] * np.float32(1.125 * 2.0**-31)
            is_below = (x > 0) & (x < smallest)
            assert np.array_equal(found[is_below], smallest[is_below])
            assert name == "squares" or is_below.any()
            # All shares of a scale are normal numbers.
            assert (scales >= 2.0**-95).all()
    zeros = rounded(np.zeros(BLOCK, np.float32), format, 1, library)
    assert not plain(zeros.scales).any()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_libraries_store_the_same_bits_of_minute_numbers(library: str, format: str) -> None:
    """Also where a library takes numbers that are no normal ones for zeros, as XLA does."""
    for name, x in minute_numbers().items():
        for t in (None, 1, 7):
            assert is_alike(rounded(x, format, t), rounded(x, format, t, library)), name


@pytest.mark.parametrize("backend", ["native", "triton"])
def test_kernels_store_the_same_bits(backend: str) -> None:
    """C's and, in its interpreter, Triton's."""
    if backend == "triton":
        pytest.importorskip("triton", reason="Triton has wheels for Linux only")
    command = [sys.executable, "-m", "tests.formats.kernels", backend]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for state_dtype, found in json.loads(done.stdout).items():
        assert found == dict.fromkeys(minute_numbers(), 0), state_dtype


@pytest.mark.parametrize("library", LIBRARIES)
def test_bfloat16_keeps_all_normal_numbers_above_zero(library: str) -> None:
    """Its exponents are those of float32."""
    x = np.float32([2.0**-126, 1.2e-38, 1e-30])
    for format in (BFLOAT16, BFLOAT16_NEAREST):
        for t in range(1, 20):
            assert (value_of(library, rounded(x, format, t, library)) > 0).all()


def test_blocks_do_not_see_each_other() -> None:
    """A large number, or one that is not finite, spoils its own block alone."""
    x = np.abs(sampled(3 * BLOCK + 7))
    x[5], x[BLOCK + 5] = 1e30, np.nan
    with np.errstate(invalid="ignore"):
        stored = rounded(x, EIGHT_BIT, None)
    found = value_of("numpy", stored)
    assert stored.scales.shape == (4,) == (block_count(x.shape),)
    alone = value_of("numpy", rounded(x[2 * BLOCK : 3 * BLOCK], EIGHT_BIT, None))
    assert np.array_equal(found[2 * BLOCK : 3 * BLOCK], alone)
    assert np.isnan(found[BLOCK : 2 * BLOCK]).all()
    assert np.isfinite(found[:BLOCK]).all()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (255,), (256,), (257,), (3, 100), (2, 3, 4)])
@pytest.mark.parametrize("library", LIBRARIES)
def test_shapes(library: str, shape: tuple[int, ...]) -> None:
    """Codes have the array's shape; there are scales for a last block that is not full."""
    x = np.ones(shape, np.float32)
    stored = rounded(x, EIGHT_BIT, 1, library)
    assert isinstance(stored, Blocks)
    assert tuple(stored.codes.shape) == shape == stored.shape
    assert plain(stored.scales).shape == (block_count(shape),)
    assert np.array_equal(value_of(library, stored), x)


def test_an_average_follows_where_rounding_to_the_nearest_stands_still() -> None:
    """From 1 to 0.25 with b2 = 0.999: the change of a step is less than half a step of bfloat16."""
    stochastic = np.ones(2000, np.float32)
    nearest = np.ones(1, np.float32)
    exact = 1.0
    for t in range(1, 1500):
        exact = 0.999 * exact + 0.001 * 0.25
        stochastic = value_of("numpy", rounded(np.float32(0.999) * stochastic + np.float32(0.00025), BFLOAT16, t))
        nearest = value_of("numpy", rounded(np.float32(0.999) * nearest + np.float32(0.00025), BFLOAT16, None))
    assert nearest[0] == 1.0
    assert abs(stochastic.mean() - exact) < 0.005
