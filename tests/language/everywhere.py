"""Steps of a rule through every way in which it can be run on this machine, against the interpreter, in float64."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import optgen
from optgen.optax import apply_gradients
from tests.language.trajectories import Array, Trajectory, rule_of, run_rule

#: Large enough for native kernels inside jit, with a vector, a number and a tensor of three axes beside it.
SHAPES: tuple[tuple[int, ...], ...] = ((70, 70), (7,), (), (2, 3, 4))
STEPS = 5


class Parameter:
    """A parameter as lucid's interface steps it."""

    def __init__(self, data: Array) -> None:
        self.data = data
        self.grad: Array | None = None


@contextmanager
def backend(name: str) -> Iterator[None]:
    before = os.environ.get("OPTGEN_BACKEND")
    os.environ["OPTGEN_BACKEND"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["OPTGEN_BACKEND"]
        else:
            os.environ["OPTGEN_BACKEND"] = before


def by_torch(rule: Any, parameters: Sequence[Array], gradients: Trajectory) -> Trajectory:
    current = [torch.nn.Parameter(torch.tensor(p)) for p in parameters]
    optimizer = rule.torch(current)
    found = []
    for step in gradients:
        for parameter, gradient in zip(current, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
        found.append([p.detach().numpy().copy() for p in current])
    return found


def by_lucid(rule: Any, parameters: Sequence[Array], gradients: Trajectory) -> Trajectory:
    current = [Parameter(p.copy()) for p in parameters]
    optimizer = rule.lucid(current)
    found = []
    for step in gradients:
        for parameter, gradient in zip(current, step, strict=True):
            parameter.grad = gradient.copy()
        optimizer.step()
        found.append([np.array(p.data) for p in current])
    return found


def by_optax_update(rule: Any, parameters: Sequence[Array], gradients: Trajectory) -> Trajectory:
    def both(transformation: Any, gradient: Any, state: Any, current: Any) -> Any:
        updates, state = transformation.update(gradient, state, current)
        return optax.apply_updates(current, updates), state

    return _by_optax(rule, parameters, gradients, both)


def by_apply_gradients(rule: Any, parameters: Sequence[Array], gradients: Trajectory) -> Trajectory:
    return _by_optax(rule, parameters, gradients, apply_gradients)


def _by_optax(rule: Any, parameters: Sequence[Array], gradients: Trajectory, change: Callable[..., Any]) -> Trajectory:
    with jax.enable_x64(True):
        transformation = rule.optax()
        current = [jnp.asarray(p) for p in parameters]
        state = transformation.init(current)
        step = jax.jit(lambda current, state, gradient: change(transformation, gradient, state, current))
        found = []
        for gradient in gradients:
            current, state = step(current, state, [jnp.asarray(g) for g in gradient])
            found.append([np.asarray(p) for p in current])
    return found


#: Way to run a rule → the backend and the function.
WAYS: Mapping[str, tuple[str, Callable[..., Trajectory]]] = {
    "torch, native": ("native", by_torch),
    "torch, arrays": ("arrays", by_torch),
    "numpy, native": ("native", by_lucid),
    "numpy, arrays": ("arrays", by_lucid),
    "jax, update": ("arrays", by_optax_update),
    "jax, native update": ("native", by_optax_update),
    "jax, native": ("native", by_apply_gradients),
    "jax, arrays": ("arrays", by_apply_gradients),
}


def normal(shapes: Sequence[tuple[int, ...]], seed: int) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.normal(size=shape) for shape in shapes]


def apart(
    equations: str,
    values: Mapping[str, Any] | None = None,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = STEPS,
    ways: Sequence[str] = tuple(WAYS),
    **declared: Any,
) -> dict[str, float]:
    """For each way the largest distance from the interpreter's parameters, relative to numbers above 1."""
    values = values if values is not None else {"lr": 0.1} if "lr" in equations else {}
    return apart_of(optgen.define("rule_of_cases", equations, **values, **declared), shapes, steps, ways)


def apart_of(
    rule: Any,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = STEPS,
    ways: Sequence[str] = tuple(WAYS),
) -> dict[str, float]:
    """See `apart`, of a rule that is compiled already."""
    reference, numbers = rule_of(rule.spec)
    parameters = normal(shapes, 0)
    gradients = [normal(shapes, step + 1) for step in range(steps)]
    expected = run_rule(reference, numbers, parameters, gradients)
    found = {}
    for way in ways:
        name, run = WAYS[way]
        with backend(name):
            found[way] = _largest(run(rule, parameters, gradients), expected)
    return found


def _largest(actual: Trajectory, expected: Trajectory) -> float:
    worst = 0.0
    for step, wanted in zip(actual, expected, strict=True):
        for a, b in zip(step, wanted, strict=True):
            assert a.shape == b.shape
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            with np.errstate(all="ignore"):
                distance = np.where(same, 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(b)))
            worst = max(worst, float(np.max(np.where(np.isnan(distance), np.inf, distance), initial=0.0)))
    return worst
