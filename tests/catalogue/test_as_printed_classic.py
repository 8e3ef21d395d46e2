"""The equations that braintools' documentation prints for Rprop, NovoGrad, SM3 and Fromage, transcribed literally."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.language.reader import read_spec
from tests.language.trajectories import Array, Trajectory, difference, distance, problem, rule_of, run_rule

Printed = Callable[[Sequence[Array], Trajectory], Iterator[list[Array]]]


def rprop(theta: Sequence[Array], gradients: Trajectory) -> Iterator[list[Array]]:
    """Step sizes grow and shrink by the sign of the product of two gradients; every gradient counts."""
    w = [t.copy() for t in theta]
    step = [np.full(t.shape, 1e-2) for t in theta]
    last = [np.zeros(t.shape) for t in theta]
    for grads in gradients:
        for i, g in enumerate(grads):
            product = g * last[i]
            step[i] = np.where(product > 0, 1.2 * step[i], np.where(product < 0, 0.5 * step[i], step[i]))
            step[i] = np.clip(step[i], 1e-6, 50.0)
            w[i] = w[i] - np.sign(g) * step[i]
            last[i] = g
        yield list(w)


def novograd(theta: Sequence[Array], gradients: Trajectory) -> Iterator[list[Array]]:
    """The gradient is divided by its own norm, and the sum of those by the root of the mean squared norm."""
    w = [t.copy() for t in theta]
    v = [0.0 for _ in theta]
    m = [np.zeros(t.shape) for t in theta]
    for grads in gradients:
        for i, g in enumerate(grads):
            norm = np.sqrt(np.sum(g**2))
            scaled = g / (norm + 1e-8)
            v[i] = 0.98 * v[i] + (1 - 0.98) * norm**2
            m[i] = 0.95 * m[i] + scaled + 0.1 * w[i]
            w[i] = w[i] - 1e-3 * m[i] / (np.sqrt(v[i]) + 1e-8)
        yield list(w)


def sm3(theta: Sequence[Array], gradients: Trajectory) -> Iterator[list[Array]]:
    """A running maximum of the squared gradient for each index of each axis, and momentum on the gradient itself."""
    w = [t.copy() for t in theta]
    axes = [max(t.ndim, 1) for t in theta]
    v = [[np.zeros(1) for _ in range(n)] for n in axes]
    m = [np.zeros(t.shape) for t in theta]
    for grads in gradients:
        for i, g in enumerate(grads):
            for axis in range(axes[i]):
                others = tuple(a for a in range(g.ndim) if a != axis)
                largest = np.max(g**2, axis=others, keepdims=True) if g.ndim else g**2
                v[i][axis] = np.maximum(v[i][axis], largest)
            least = v[i][0]
            for other in v[i][1:]:
                least = np.minimum(least, other)
            m[i] = 0.9 * m[i] + (1 - 0.9) * g
            w[i] = w[i] - 1.0 * m[i] / np.sqrt(np.reshape(least, g.shape) + 1e-8 if not g.ndim else least + 1e-8)
        yield list(w)


def fromage(theta: Sequence[Array], gradients: Trajectory) -> Iterator[list[Array]]:
    """A step size for the whole model, from the norms of the gradient and of its change."""
    w = [t.copy() for t in theta]
    last = [np.zeros(t.shape) for t in theta]
    m = [np.zeros(t.shape) for t in theta]
    for grads in gradients:
        norm = np.sqrt(sum(np.sum(g**2) for g in grads))
        change = np.sqrt(sum(np.sum((g - before) ** 2) for g, before in zip(grads, last, strict=True)))
        for i, g in enumerate(grads):
            m[i] = 0.9 * m[i] + (1 - 0.9) * g
            w[i] = w[i] - 1e-2 * norm / (change + 1e-6) * m[i]
        last = list(grads)
        yield list(w)


@pytest.mark.parametrize(
    ("printed", "values"),
    [(rprop, {}), (novograd, {"weight_decay": 0.1}), (sm3, {}), (fromage, {"momentum": 0.9})],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_as_printed_is_the_printed_equation(printed: Printed, values: dict[str, float]) -> None:
    parameters, gradients = problem(zeros=False)
    spec = read_spec(specs_folder() / f"{printed.__name__}.toml")
    rule, numbers = rule_of(spec, {"as_printed": True}, values)
    ours = run_rule(rule, numbers, parameters, gradients)
    theirs = list(printed(parameters, gradients))
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours, theirs) < 1e-12
    default = run_rule(*rule_of(spec, {}, values), parameters, gradients)
    assert difference(default, theirs) > 1e-3
