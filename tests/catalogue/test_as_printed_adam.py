"""The equations of Nadam and RAdam as the braintools documentation prints them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.catalogue.test_libraries import spec_of
from tests.language.trajectories import Array, Trajectory, difference, problem, rule_of, run_rule

#: beta1, beta2 and eps.
Constants = tuple[float, float, float]


def nadam(g: Array, m: Array, v: Array, t: int, constants: Constants) -> tuple[Array, Array, Array]:
    """The printed direction, and both moments."""
    beta1, beta2, eps = constants
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return m_hat / (np.sqrt(v_hat) + eps), m, v


def radam(g: Array, m: Array, v: Array, t: int, constants: Constants) -> tuple[Array, Array, Array]:
    """The printed direction, and both moments. How m and v come about is not printed: Adam's means are meant."""
    beta1, beta2, eps = constants
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    if rho > 4:
        r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        return r * m / (np.sqrt(v) + eps), m, v
    return m, m, v


def printed(
    rule: Callable[[Array, Array, Array, int, Constants], tuple[Array, Array, Array]],
    parameters: list[Array],
    gradients: Trajectory,
    lr: float,
    constants: Constants,
    weight_decay: float,
) -> Trajectory:
    theta = [np.array(p) for p in parameters]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in theta]
    found: Trajectory = []
    for t, current in enumerate(gradients, start=1):
        for i, g in enumerate(current):
            direction, *after = rule(g + weight_decay * theta[i], *moments[i], t, constants)
            moments[i] = (after[0], after[1])
            theta[i] = theta[i] - lr * direction
        found.append(list(theta))
    return found


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("constants", [(0.9, 0.999, 1e-8), (0.5, 0.95, 0.1)], ids=str)
@pytest.mark.parametrize(("name", "rule"), [("nadam", nadam), ("radam", radam)])
def test_as_printed_is_the_printed_equation(
    name: str,
    rule: Callable[[Array, Array, Array, int, Constants], tuple[Array, Array, Array]],
    constants: Constants,
    weight_decay: float,
) -> None:
    spec = spec_of(name)
    parameters, gradients = problem()
    values = {"lr": 0.1, "weight_decay": weight_decay} | dict(zip(("beta1", "beta2", "eps"), constants, strict=True))
    ours, default = (
        run_rule(*rule_of(spec, {"as_printed": as_printed}, values), parameters, gradients)
        for as_printed in (True, False)
    )
    theirs = printed(rule, parameters, gradients, 0.1, constants, weight_decay)
    assert difference(ours, theirs) < 1e-12
    assert difference(default, theirs) > 1e-3
