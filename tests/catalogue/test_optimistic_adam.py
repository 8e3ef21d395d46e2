"""Optimistic Adam under the name that optax gives up, whose learning rate does not multiply the change of the step."""

from __future__ import annotations

from typing import Any

import optax
import pytest

from optgen.compiler.specialise import specialise
from tests.catalogue.test_libraries import TOLERANCE, dialect_of, spec_of
from tests.language.trajectories import difference, in_dialect, problem, run_optax, run_rule


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({}, {}),
        ({"nesterov": False}, {"nesterov": False}),
        ({"optimism": 0.03}, {"beta": 0.3}),
        (
            {"optimism": 0.5, "b1": 0.5, "b2": 0.6, "eps_root": 1e-3},
            {"beta": 5.0, "b1": 0.5, "b2": 0.6, "eps_root": 1e-3},
        ),
    ],
    ids=str,
)
def test_optimism_is_the_learning_rate_times_beta(given: dict[str, Any], ours: dict[str, Any]) -> None:
    spec, dialect = spec_of("optimistic_adam"), dialect_of("optimistic_adam", "optax", "optimistic_adam_v2")
    parameters, gradients = problem()
    choice, values = in_dialect(spec, dialect, {"learning_rate": 0.1} | ours)
    with pytest.deprecated_call():
        deprecated = optax.optimistic_adam(0.1, **given)
    theirs = run_optax(deprecated, parameters, gradients)
    assert difference(run_rule(specialise(spec, choice), values, parameters, gradients), theirs) < TOLERANCE
