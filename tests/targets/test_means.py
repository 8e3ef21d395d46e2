"""Means count the values that they are of, also where those are folds over nothing."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.reference.compare import follow_float64, random_tensors, within_float32
from optgen.reference.interpret import Interpreter
from tests.targets import eager_target, jax_target, native_target

VALUES = {"lr": 0.1}
LAST = "k = sum(where(size > 0, n, 0.5), over=model)\ntheta[t] = theta[t-1] - lr*g*(n + k)"
SHAPES = ((5, 3), (7,), (2, 3, 4), (), (4, 0), (0, 4), (2, 0, 3), (0,), (2, 3, 0), (0, 2, 3))


@pytest.mark.parametrize(
    "mean",
    [
        "mean(norm(g, over=columns) + 1)",
        "mean(norm(g, over=rows) + 1)",
        "rms(norm(g, over=columns) + 1)",
        "mean(norm(norm(g, over=columns) + 1, over=rows))",
    ],
)
def test_means_of_rows_columns_and_matrices(mean: str) -> None:
    spec = define_spec("means", f"n = {mean}\n{LAST}", VALUES)
    choice = default_choice(spec)
    rule = specialise(spec, choice)
    for target in (
        eager_target.compile_target(spec, "default", choice, VALUES),
        eager_target.compile_target(spec, "default", choice, VALUES, library="torch"),
        native_target.compile_target(spec, "default", choice, VALUES),
    ):
        assert follow_float64(rule, VALUES, target, SHAPES, 2) < 1e-12
    in_jax = jax_target.compile_target(spec, "default", choice, VALUES)[1]
    assert within_float32(rule, VALUES, in_jax, SHAPES, 2) <= 1


def test_a_tensor_without_columns_has_rows_and_does_not_spoil_the_model() -> None:
    spec = define_spec(
        "means", "n = mean(norm(g, over=columns) + 1)\ntheta[t] = theta[t-1] - lr*g*sum(n, over=model)", VALUES
    )
    choice = default_choice(spec)
    parameters, gradients = random_tensors(0, ((2, 3), (4, 0)), np.float64), [np.ones((2, 3)), np.ones((4, 0))]
    expected = parameters[0] - 0.1 * ((np.sqrt(3) + 1) + 1)
    interpreter = Interpreter(specialise(spec, choice), VALUES)
    after = interpreter.step(interpreter.init(parameters), gradients)
    np.testing.assert_allclose(after.tensors[0].theta, expected, rtol=1e-14)
    for compiled in (eager_target.compile_target, native_target.compile_target):
        target = compiled(spec, "default", choice, VALUES)
        target.init(parameters)
        target.step(gradients)
        np.testing.assert_allclose(target.snapshot().parameters[0], expected, rtol=1e-14)
