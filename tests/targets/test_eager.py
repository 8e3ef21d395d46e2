"""The generated eager functions compute what the equations say, on numpy arrays and on torch tensors."""

from __future__ import annotations

import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead, every_choice
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
from tests.targets.eager_target import compile_target
from tests.targets.jax_target import hyperparameters_of
from tests.targets.triton_rules import catalogue_names, small_rules, spec_named

#: NaN, infinities, zeros of both signs, large numbers, one whose square underflows, subnormals of float32.
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e18, -1e18, 1e-30, 1e-40, -1e-45, 1.0], np.float32)

NAMES = [*catalogue_names(), *small_rules()]
AHEAD = [(name, variant) for name in NAMES for variant in choices_ahead(spec_named(name))]
OTHERS = [(n, v) for n in NAMES for v in every_choice(spec_named(n)) if (n, v) not in set(AHEAD)]


def compiled(name, variant, library):
    """A rule, its hyperparameters, and its target."""
    spec = spec_named(name)
    choice = every_choice(spec)[variant]
    wrapped = wrapped_rule(spec, specs_folder())
    rule = specialise(spec, choice, wrapped)
    values = {h.name: h.default for h in rule.hyperparameters} | hyperparameters_of(spec, choice)
    return rule, values, compile_target(spec, variant, choice, values, wrapped, library)


def check_float64(name, variant, library):
    rule, values, target = compiled(name, variant, library)
    # Without a learning rate, Adafactor's first step takes a number by itself to zero: what remains is its rounding.
    alone = name == "adafactor" and "lr" not in {h.name for h in rule.hyperparameters}
    shapes = [s for s in SHAPES if not alone or np.prod(s) != 1]
    # For L-BFGS's see STEPS_FLOAT64 in test_jax.py.
    assert follow_float64(rule, values, target, shapes, 12 if name == "lbfgs" else STEPS) <= 1e-12


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("name", "variant"), AHEAD, ids=str)
def test_follows_the_equations(name, variant, library):
    check_float64(name, variant, library)
    rule, values, target = compiled(name, variant, library)
    assert within_float32(rule, values, target, steps=8) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("name", "variant"), OTHERS, ids=str)
def test_every_other_choice_follows_the_equations(name, variant, library):
    check_float64(name, variant, library)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_special_gradients(name, library):
    """NaN and Inf travel as the equations say, in both precisions."""
    rule, values, target = compiled(name, "default", library)
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
