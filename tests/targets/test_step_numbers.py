"""Numbers that no tensor's values go into: computed on the host, where Python's own arithmetic raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.language.model import Spec
from optgen.language.reader import parse_spec
from optgen.reference.compare import follow_float64, random_tensors, within_float32
from optgen.reference.interpret import Interpreter
from tests.targets import eager_target, jax_target, native_target

LAST = "theta[t] = theta[t-1] - lr*d"
SHAPES = ((5, 3), (7,), (2, 4), ())
VALUES = {"lr": 0.1}

#: Numbers of the step, of a shape and of both, where IEEE arithmetic gives Inf, NaN or 0: columns are 3, 7, 4 and 1.
RULES = {
    "quotient": "d = g*min(9, (lr + t)/(columns - 3))",
    "quotient of the step": "d = g*min(9, t/(columns - 3)) + g*min(9, 1/(t - 2))",
    "quotient of a state": "k[t] = k[t-1] + t\nd = g*min(3, 1/(k[t-1]*(columns - 3)))",
    "product with a quotient": "d = t/(rank - 3)*0.1*g",
    "remainder": "d = g*where(t % (columns - 3) > 3, 1, 2) + g*where((t*1e300*1e300) % 3 > 3, 1, 2)",
    "power": "d = g*min(9, (t*1e200)**2) + g*max(-9, (0 - columns*1e200)**3) + g*min(9, (columns - 3)**(0 - t))",
    "broken power": "d = g*where((0 - t)**0.5 > 1, 2, 3) + g*where((0 - columns)**0.5 > 1, 2, 3)",
    "logarithm": "d = g*max(-4, log(t - t)) + g*max(-4, log(columns - 3)) + g*where(log(0 - columns) > 1, 2, 3)",
    "root": "d = g*where(sqrt(0 - columns) > 1, 2, 3) + g*where(sqrt(2 - t) > 1, 2, 3)",
    "whole numbers": "d = g*min(3, floor(1/(columns - 3))) + g*where(ceil(log(0 - t)) > 1, 1, 2)",
    "exponential": "d = g*min(3, exp(columns*1000)) + g*min(2, exp(t*1000))",
    "large": "d = g*min(3, size**300) + g*min(9, (columns*1e308)*10)",
    "waves": "d = g*where(sin(1/(0*t)) > 1, 2, 3) + g*tanh(1/(0*columns))*sign(columns - 3)",
    "largest": "d = g*where(max(log(0 - t), 1) > 0, 2, 3) + g*where(min(log(0 - columns), 1) > 0, 2, 3)",
    "constants": "d = g*min(2, lr/(lr - lr)) + g*where((0 - lr)**0.5 > 1, 4, 5) + g*min(3, exp(lr*1e9))",
}


def spec_of(equations: str) -> Spec:
    return define_spec("numbers", f"{equations}\n{LAST}", VALUES)


def targets(spec: Spec) -> list[Any]:
    choice = default_choice(spec)
    return [
        eager_target.compile_target(spec, "default", choice, VALUES),
        eager_target.compile_target(spec, "default", choice, VALUES, library="torch"),
        native_target.compile_target(spec, "default", choice, VALUES),
    ]


@pytest.mark.parametrize("name", RULES)
def test_what_python_refuses_is_infinite_or_no_number(name: str) -> None:
    spec = spec_of(RULES[name])
    choice = default_choice(spec)
    rule = specialise(spec, choice)
    for target in targets(spec):
        assert follow_float64(rule, VALUES, target, SHAPES, 3) < 1e-12
    in_jax = jax_target.compile_target(spec, "default", choice, VALUES)[1]
    assert within_float32(rule, VALUES, in_jax, SHAPES, 3) <= 1


def test_kept_numbers_of_the_step_keep_their_precision_beside_float32() -> None:
    spec = spec_of("k[t] = 0.3*k[t-1] + t/3\nq[t] = k[t-1] - 1/3*t\nd = g*k[t] + g*q[t]")
    rule = specialise(spec, default_choice(spec))
    interpreter = Interpreter(rule, VALUES)
    for target in targets(spec):
        parameters = random_tensors(0, SHAPES, np.float32)
        model = interpreter.init(parameters)
        target.init(parameters)
        for step in range(1, 5):
            gradients = random_tensors(step, SHAPES, np.float32)
            model = interpreter.step(model, gradients)
            target.step(gradients)
            for name, (expected,) in model.shared.items():
                np.testing.assert_allclose(target.snapshot().shared[name][0], expected, rtol=1e-15, atol=1e-16)
            assert all(p.dtype == np.float32 for p in target.snapshot().parameters)


INPUT = """
[optimizer]
name = "numbers"
class = "Numbers"
title = "t"
summary = "s"

[hyperparameters]
lr = { default = 0.1, symbol = 'l', domain = "lr >= 0", meaning = "rate" }

[inputs]
loss = { kind = "step", meaning = "the loss" }

[equations]
rule = '''
k[t] = k[t-1] + loss/3
theta[t] = theta[t-1] - lr*g*(k[t] + min(2, 1/(loss - 2)))
'''
"""


@pytest.mark.parametrize("loss", [np.float64(1 / 3), np.asarray(2), 2])
def test_inputs_of_the_step_keep_their_precision_beside_float32(loss: Any) -> None:
    spec = parse_spec(INPUT, "numbers.toml")
    for target in targets(spec):
        target.init(random_tensors(0, SHAPES, np.float32))
        target.step(random_tensors(1, SHAPES, np.float32), {"loss": loss})
        assert float(target.snapshot().shared["k"][0]) == float(loss) / 3
        assert all(np.isfinite(p).all() for p in target.snapshot().parameters)
