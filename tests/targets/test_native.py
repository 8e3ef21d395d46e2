"""The compiled C kernels compute what the equations say, whatever memory the arrays are in."""

from __future__ import annotations

import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.compiler.ahead import every_choice
from optgen.compiler.specialise import specialise
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.compare import (
    SHAPES,
    STEPS,
    allowed_step,
    follow_float64,
    largest_fraction,
    random_inputs,
    random_tensors,
    relative_difference,
    within_float32,
)
from optgen.reference.interpret import Interpreter
from tests.targets.jax_target import hyperparameters_of
from tests.targets.native_target import compile_target
from tests.targets.test_eager import AHEAD, NAMES, OTHERS, SPECIAL
from tests.targets.triton_rules import spec_named


def compiled(name, variant, threads=2):
    """A rule, its hyperparameters, and its target."""
    spec = spec_named(name)
    choice = every_choice(spec)[variant]
    wrapped = wrapped_rule(spec, specs_folder())
    rule = specialise(spec, choice, wrapped)
    values = {h.name: h.default for h in rule.hyperparameters} | hyperparameters_of(spec, choice)
    return rule, values, compile_target(spec, variant, choice, values, wrapped, threads)


def check_float64(name, variant):
    rule, values, target = compiled(name, variant)
    # See test_eager.py for both exceptions.
    alone = name == "adafactor" and "lr" not in {h.name for h in rule.hyperparameters}
    shapes = [s for s in SHAPES if not alone or np.prod(s) != 1]
    assert follow_float64(rule, values, target, shapes, 12 if name == "lbfgs" else STEPS) <= 1e-12


@pytest.mark.parametrize(("name", "variant"), AHEAD, ids=str)
def test_follows_the_equations(name, variant):
    check_float64(name, variant)
    rule, values, target = compiled(name, variant)
    assert within_float32(rule, values, target, steps=8) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), OTHERS, ids=str)
def test_every_other_choice_follows_the_equations(name, variant):
    check_float64(name, variant)


@pytest.mark.parametrize("name", NAMES)
def test_special_gradients(name):
    """NaN and Inf travel as the equations say, in both precisions."""
    rule, values, target = compiled(name, "default")
    target.init(random_tensors(0, [SPECIAL.shape], np.float32))
    for step, shift in enumerate((0, 1, 3, 4)):
        gradients = [np.roll(SPECIAL, shift)]
        inputs = random_inputs(rule, step, [SPECIAL.shape], np.float32)
        allowed = allowed_step(rule, values, target.snapshot(), step, gradients, inputs)
        target.step(gradients, inputs)
        assert largest_fraction(allowed, target.snapshot()) <= 1.0
    interpreter = Interpreter(rule, values)
    start = random_tensors(0, [SPECIAL.shape], np.float64)
    model = interpreter.init(start)
    target.init(start)
    for step in range(3):
        gradients = [np.roll(SPECIAL, step).astype(np.float64)]
        inputs = random_inputs(rule, step, [SPECIAL.shape], np.float64)
        model = interpreter.step(model, gradients, inputs)
        target.step(gradients, inputs)
        assert relative_difference(np.asarray(model.tensors[0].theta), target.snapshot().parameters[0]) <= 1e-12
