"""Arrays that are shorter than what C would do with them are refused where its table is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import optgen
from optgen.contract.choice import default_choice
from optgen.errors import TreeMismatch
from optgen.pipeline.optimizer import compile_optimizer
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.places import Place, dense_place, state_place
from optgen.runtime.native.table import make_table
from optgen.runtime.native.tensors import Tensor
from optgen.targets.native.emit import emit_native

SHAPE = (70, 9)

EQUATIONS = """
R[t] = mean(g, over=columns)
C[t] = mean(g, over=rows)
V[t] = max(abs(g), over=other_axes)
m[t] = g
n[t] = norm(g)
theta[t] = theta[t-1] - lr*(R[t-1]*C[t-1] + min(V[t-1], over=axes) + m[t-2] + n[t-1])
"""

COUNTS = {"theta": 630, "g": 630, "_result": 630, "R": 70, "C": 9, "n": 1, "m": 630}


def kernels() -> tuple[Kernels, str]:
    spec = optgen.define("extents", EQUATIONS, lr=0.1).spec
    native = emit_native(compile_optimizer(spec, {"default": default_choice(spec)}))
    return Kernels(spec.name, native.text, native.plan), "default"


def places() -> dict[str, tuple[Place, ...]]:
    """Where everything stands that a step takes."""
    found: dict[str, tuple[Place, ...]] = {}
    shapes: dict[str, Any] = {"theta": SHAPE, "g": SHAPE, "R": (70, 1), "C": (1, 9), "n": ()}
    for at, (name, shape) in enumerate(shapes.items()):
        found[name] = (dense_place(at, "float32", shape),)
    found["m"] = (dense_place(len(shapes), "float32", (2, *SHAPE), is_ring=True),)
    found["V"] = (dense_place(6, "float32", (70, 1)), dense_place(7, "float32", (1, 9)))
    return found | {"_result": found["theta"]}


def table(arrays: dict[str, tuple[Place, ...]]) -> np.ndarray:
    compiled, name = kernels()
    return make_table(compiled, name, [Tensor(0, SHAPE, 32, arrays)], {}, is_update=False)


def test_arrays_that_fit_are_taken() -> None:
    assert {name: one[0].count for name, one in places().items() if name != "V"} == COUNTS
    assert len(table(places()))


@pytest.mark.parametrize("name", ["theta", "g", "_result", "R", "C", "m"])
def test_shorter_arrays_are_refused(name: str) -> None:
    arrays = places()
    arrays[name] = (replace(arrays[name][0], count=COUNTS[name] - 1),)
    with pytest.raises(TreeMismatch, match=f"goes through {COUNTS[name]} numbers of an array that has"):
        table(arrays)


@pytest.mark.parametrize("axis", [0, 1])
def test_shorter_vectors_of_axes_are_refused(axis: int) -> None:
    arrays = places()
    vectors = list(arrays["V"])
    vectors[axis] = replace(vectors[axis], count=SHAPE[axis] - 1)
    arrays["V"] = tuple(vectors)
    with pytest.raises(TreeMismatch, match="goes through"):
        table(arrays)


def test_fewer_vectors_of_axes_are_refused() -> None:
    arrays = places()
    with pytest.raises(TreeMismatch, match="2 axes, and there are vectors for 1"):
        table(arrays | {"V": arrays["V"][:1]})


def test_a_history_that_is_too_short_is_refused() -> None:
    arrays = places()
    with pytest.raises(TreeMismatch, match="reads a state 2 steps back, and 1 are kept"):
        table(arrays | {"m": (dense_place(5, "float32", SHAPE),)})


def test_states_in_formats_are_as_long_as_their_codes_and_scales() -> None:
    arrays = places() | {"R": (state_place(2, "8bit", 69, 0, 9),)}
    with pytest.raises(TreeMismatch, match="goes through 70 numbers of an array that has 69"):
        table(arrays)
