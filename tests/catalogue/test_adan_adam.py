"""Adan: optax 0.2.8 weighs the change of the gradient by 1 - b2 instead of by b2 (its pull request 1715)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optax
import pytest

from optgen.compiler.specialise import specialise
from tests.catalogue.test_libraries import dialect_of, spec_of
from tests.language.trajectories import (
    Array,
    Trajectory,
    difference,
    in_dialect,
    problem,
    rule_of,
    run_optax,
    run_rule,
)

CASES: list[dict[str, Any]] = [
    {},
    {"eps_root": 0.0},
    {"weight_decay": 0.1},
    {"weight_decay": 0.5, "eps_root": 1e-3, "b1": 0.5, "b2": 0.6, "b3": 0.7, "eps": 0.1},
]


def adan(
    parameters: Sequence[Array],
    gradients: Trajectory,
    arguments: Mapping[str, float],
    look_ahead: float,
    proximal: bool = False,
) -> Trajectory:
    """The paper's Algorithm 1 with the weight of the gradient's change as an argument."""
    lr, decay = arguments["learning_rate"], arguments["weight_decay"]
    betas = [arguments[name] for name in ("b1", "b2", "b3")]
    theta = [np.array(p) for p in parameters]
    means = [[np.zeros_like(p) for _ in range(3)] for p in theta]
    found: Trajectory = []
    for step, current in enumerate(gradients, start=1):
        for i, g in enumerate(current):
            change = g - gradients[step - 2][i] if step > 1 else np.zeros_like(g)
            news = [g, change, (g + look_ahead * change) ** 2]
            means[i] = [b * old + (1 - b) * new for b, old, new in zip(betas, means[i], news, strict=True)]
            m, v, n = [mean / (1 - b**step) for b, mean in zip(betas, means[i], strict=True)]
            d = (m + look_ahead * v) / (np.sqrt(n + arguments["eps_root"]) + arguments["eps"])
            if proximal:
                theta[i] = (theta[i] - lr * d) / (1 + lr * decay)
            else:
                theta[i] = theta[i] - lr * (d + decay * theta[i])
        found.append(list(theta))
    return found


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_rule_is_the_papers_and_optax_has_the_other_weight(arguments: dict[str, Any]) -> None:
    spec, dialect = spec_of("adan"), dialect_of("adan", "optax", "adan")
    full = {a.name: a.default for a in dialect.arguments} | {"learning_rate": 0.1} | arguments
    parameters, gradients = problem()
    choice, values = in_dialect(spec, dialect, full)
    ours = run_rule(specialise(spec, choice), values, parameters, gradients)
    theirs = run_optax(optax.adan(**full), parameters, gradients)
    assert difference(ours, adan(parameters, gradients, full, full["b2"])) < 1e-12
    assert difference(theirs, adan(parameters, gradients, full, 1 - full["b2"])) < 1e-9
    assert difference(ours[:1], theirs[:1]) < 1e-9
    assert difference(ours, theirs) > 1e-3


def test_betas_may_be_the_weights_of_what_is_new_and_decay_proximal() -> None:
    parameters, gradients = problem()
    values = {"lr": 0.1, "beta1": 0.02, "beta2": 0.08, "beta3": 0.01, "weight_decay": 0.5}
    rule, numbers = rule_of(spec_of("adan"), {"betas_weigh": "new"}, values)
    ours = run_rule(rule, numbers, parameters, gradients)
    full = {"learning_rate": 0.1, "b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 1e-8, "eps_root": 0.0, "weight_decay": 0.5}
    assert difference(ours, adan(parameters, gradients, full, 0.92, proximal=True)) < 1e-12
    assert difference(ours, adan(parameters, gradients, full, 0.92)) > 1e-3
