"""Folds along rows and down columns of matrices of all shapes, against the same functions on numpy arrays."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.runtime.native.chunks import BAND, SHORT, WIDEST
from optgen.runtime.state import ModelState
from optgen.runtime.threads import Team
from tests.native.sweep import changeable, laid_out, rule_of

#: Several bands and blocks; short lines, several in a stretch, of one matrix and of many; nothing to fold.
SHAPES = [
    (2 * BAND + 3, WIDEST + 5),
    (2, 2 * BAND + 1, 7),
    (40_000, 3),
    (3, 40_000),
    (700, 3, 3),
    (2, 900, SHORT),
    (5, SHORT + 1),
    (0, 3),
    (3, 0),
    (2, 0, 3),
]


@pytest.mark.parametrize("way", ["plain", "gaps", "turned"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_and_columns(shape, dtype, way):
    """Adafactor's second moments and steps; any number of threads computes the same bits."""
    rule, hyperparameters = rule_of("adafactor")
    random = np.random.default_rng(0)
    theta = random.standard_normal(shape).astype(dtype)
    gradients = [random.standard_normal(shape).astype(dtype) for _ in range(2)]

    expected, state = [theta.astype(np.float64)], rule.variant.init([theta.astype(np.float64)], hyperparameters)
    found, ours = [], []
    for threads in (1, 3):
        kept = rule.variant.init([theta], hyperparameters)
        ours.append(ModelState(tuple({n: changeable(v) for n, v in one.items()} for one in kept.tensors), {}))
        found.append([laid_out(theta, way)])
        for t, gradient in enumerate(gradients, 1):
            rule.step(found[-1], [laid_out(gradient, way)], ours[-1], t, hyperparameters, team=Team(threads))
    for t, gradient in enumerate(gradients, 1):
        updates, state = rule.variant.step([gradient.astype(np.float64)], state, expected, t, hyperparameters)
        expected = [expected[0] + updates[0]]

    results = [[one[0], *kept.tensors[0].values()] for one, kept in zip(found, ours, strict=True)]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*results, strict=True))
    wanted = [expected[0], *state.tensors[0].values()]
    # Sums of any length are within some roundings of what they should be: 64 are added up before they join a double.
    tolerance = 2e-6 if dtype == "float32" else 1e-14
    for a, b in zip(results[0], wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), b, rtol=tolerance, atol=tolerance)
