"""Adafactor as the braintools documentation prints it, against a literal transcription."""

from __future__ import annotations

import numpy as np
import pytest

from tests.catalogue.test_libraries import spec_of
from tests.language.trajectories import Array, Trajectory, difference, distance, problem, rule_of, run_rule


def printed(
    parameters: list[Array], gradients: Trajectory, lr: float | None, beta1: float | None, eps: float, factored: bool
) -> Trajectory:
    """The printed equations.

    They leave open: the second moment of a tensor with less than two axes, taken here as V itself; beta2, for which
    the text gives 1 - (step + 1)^decay_rate; and alpha_t without lr, for which it names step count and RMS.
    """
    thetas = list(parameters)
    rows = [np.zeros(p.shape[:-1]) for p in parameters]
    columns = [np.zeros(p.shape[:-2] + p.shape[-1:]) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    moments = [np.zeros_like(p) for p in parameters]
    found: Trajectory = []
    for step, gradient in enumerate(gradients):
        beta2 = 1 - (step + 1) ** -0.8
        for i, g in enumerate(gradient):
            if factored and g.ndim >= 2:
                rows[i] = beta2 * rows[i] + (1 - beta2) * np.mean(g**2, axis=-1)
                columns[i] = beta2 * columns[i] + (1 - beta2) * np.mean(g**2, axis=-2)
                v = rows[i][..., None] * columns[i][..., None, :] / np.mean(rows[i], axis=-1)[..., None, None]
            else:
                squares[i] = beta2 * squares[i] + (1 - beta2) * g**2
                v = squares[i]
            moments[i] = g if beta1 is None else beta1 * moments[i] + (1 - beta1) * g
            if lr is None:
                alpha = max(1e-3, np.sqrt(np.mean(thetas[i] ** 2))) * min(1e-2, 1 / np.sqrt(step + 1))
            else:
                alpha = lr
            thetas[i] = thetas[i] - alpha * moments[i] / (np.sqrt(v) + eps)
        found.append(list(thetas))
    return found


@pytest.mark.parametrize("lr", [None, 0.1])
@pytest.mark.parametrize("beta1", [None, 0.9])
@pytest.mark.parametrize(("eps", "factored"), [(1e-30, True), (0.1, True), (1e-3, False)])
def test_adafactor_as_printed(lr: float | None, beta1: float | None, eps: float, factored: bool) -> None:
    parameters, gradients = problem()
    spec = spec_of("adafactor")
    options = {"as_printed": True, "factored": factored}
    rule, values = rule_of(spec, options, {"lr": lr, "beta1": beta1, "eps1": eps})
    expected = printed(parameters, gradients, lr, beta1, eps, factored)
    assert distance(expected, parameters) > 1e-3
    assert difference(run_rule(rule, values, parameters, gradients), expected) < 1e-12
    plain, values = rule_of(spec, options | {"as_printed": False}, {"lr": lr, "beta1": beta1, "eps1": eps})
    assert difference(run_rule(plain, values, parameters, gradients), expected) > 1e-3
