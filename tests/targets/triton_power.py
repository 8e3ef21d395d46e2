"""Raises numbers to powers in Triton's interpreter, in a process of its own, and prints how far off they are.

    python -m tests.targets.triton_power

Prints one JSON object: exponent → the largest error of float32 numbers, in units of the last place, infinite where a
special number is not IEEE's.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import json
import sys

import numpy as np

from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from tests.targets.triton_interpreted import splat_comparisons
from tests.targets.triton_target import compile_target

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0, -2.5]
EXPONENTS = (1.5, -1.5, 17.0, -17.0, 0.5, -0.3, 30.7, 3.0, -3.0)


def worst(exponent: float) -> float:
    """The largest error of powers with one exponent."""
    spec = define_spec("powers", "theta[t] = theta[t-1]**(p + 0*g)", {"p": 1.5})
    spread = np.exp(np.random.default_rng(0).normal(size=500) * 9 / abs(exponent))
    bases = np.concatenate([SPECIAL, spread]).astype(np.float32)
    target = compile_target(spec, "default", default_choice(spec), {"p": exponent})
    target.init([bases])
    target.step([np.ones_like(bases)])
    found = target.snapshot().parameters[0]
    # An array of exponents: for a single 0.5 numpy takes the root, which is none of -Inf.
    expected = np.power(bases.astype(np.float64), np.full(bases.shape, np.float32(exponent), np.float64))
    rounded = expected.astype(np.float32)
    normal = np.isfinite(rounded) & (np.abs(rounded) > 1e-37)
    same = np.array_equal(found[~normal], rounded[~normal], equal_nan=True)
    signs = np.array_equal(np.signbit(found[3:5]), np.signbit(rounded[3:5]))
    if not same or not signs:
        return float("inf")
    return float(np.max(np.abs(found[normal] - expected[normal]) / np.spacing(np.abs(rounded[normal]))))


if __name__ == "__main__":
    splat_comparisons()
    with np.errstate(all="ignore"):
        sys.stdout.write(json.dumps({exponent: worst(exponent) for exponent in EXPONENTS}))
