"""The generated jax functions compute what the equations say."""

from __future__ import annotations

import math
from dataclasses import replace

import jax
import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead, every_choice
from optgen.compiler.infer import is_reduction
from optgen.language.reader import read_spec
from optgen.language.syntax import Call, walk
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.compare import (
    SHAPES,
    STEPS,
    allowed_step,
    follow_float64,
    largest_fraction,
    parameter_ulps,
    random_inputs,
    random_tensors,
    relative_difference,
    within_float32,
)
from optgen.reference.functions import SMALLEST_NORMAL
from optgen.reference.interpret import Interpreter
from tests.targets.jax_target import JaxTarget, compile_target, hyperparameters_of

SPECS = {path.stem: read_spec(path) for path in sorted(specs_folder().glob("*.toml"))}
VARIANTS = [(name, variant) for name, spec in SPECS.items() for variant in choices_ahead(spec)]

#: NaN, infinities, zeros of both signs, large numbers, one whose square underflows, subnormals of float32.
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e18, -1e18, 1e-30, 1e-40, -1e-45, 1.0], np.float32)


#: L-BFGS multiplies differences of sums, and rounding grows: 7e-13 after 12 steps, 1.3e-12 after 14. Summed in another
#: order, the interpreter itself is 1.7e-12 apart after 25.
STEPS_FLOAT64 = {"lbfgs": 12}


#: Every option in every library's spelling, but for those above.
OTHERS = [
    (name, variant)
    for name, spec in SPECS.items()
    for variant in every_choice(spec)
    if (name, variant) not in set(VARIANTS)
]


def without_subnormals(snapshot):
    """A snapshot with zeros in place of subnormal numbers, which a state that is only copied may keep."""

    def flushed(value):
        array = np.asarray(value)
        return np.where(np.abs(array) < SMALLEST_NORMAL, np.copysign(array.dtype.type(0), array), array)

    states = tuple(jax.tree.map(flushed, dict(tensor)) for tensor in snapshot.states)
    return replace(
        snapshot,
        parameters=tuple(map(flushed, snapshot.parameters)),
        states=states,
        shared=jax.tree.map(flushed, dict(snapshot.shared)),
    )


def compiled_variant(name, variant):
    """A rule, its hyperparameters, and its target."""
    choice = every_choice(SPECS[name])[variant]
    values = hyperparameters_of(SPECS[name], choice)
    wrapped = wrapped_rule(SPECS[name], specs_folder())
    rule, target = compile_target(SPECS[name], variant, choice, values, wrapped)
    # Those of a wrapped optimizer are known to the rule only.
    values.update({h.name: h.default for h in rule.hyperparameters if h.name not in values})
    return rule, values, target


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda pair: "-".join(pair))
def compiled(request):
    """Compiled once for all tests of the variant."""
    return compiled_variant(*request.param)


@pytest.mark.slow
@pytest.mark.parametrize("pair", OTHERS, ids=lambda pair: "-".join(pair))
def test_every_other_choice_follows_the_equations(pair):
    rule, values, target = compiled_variant(*pair)
    # Without a learning rate, Adafactor's first step takes a number by itself to zero: what remains is its rounding.
    shapes = [s for s in SHAPES if math.prod(s) != 1] if rule.name == "adafactor" else SHAPES
    assert follow_float64(rule, values, target, shapes, STEPS_FLOAT64.get(rule.name, STEPS)) <= 1e-12
    with jax.enable_x64(False):
        assert within_float32(rule, values, target, start=1.0) <= 1.0


def test_float64_follows_the_equations(compiled):
    rule, values, target = compiled
    assert follow_float64(rule, values, target, steps=STEPS_FLOAT64.get(rule.name, STEPS)) <= 1e-12


@pytest.mark.parametrize("start", [1.0, 0.0])
def test_float32_loses_no_more_than_it_must(compiled, start):
    rule, values, target = compiled
    with jax.enable_x64(False):
        assert within_float32(rule, values, target, start=start) <= 1.0


def test_float32_parameters_are_right_to_a_few_last_places(compiled):
    rule, values, target = compiled
    # A fold adds up many roundings, and what it is multiplied with has them all.
    folds = any(is_reduction(n) for c in rule.cases for e in c.equations for n in walk(e.value) if isinstance(n, Call))
    with jax.enable_x64(False):
        assert parameter_ulps(rule, values, target, steps=10) <= (12.0 if folds else 5.0)


def test_the_update_form_is_the_same_step(compiled):
    rule, values, target = compiled
    updating = JaxTarget(target.variant, values, form="update")
    shapes = [(), (7,), (5, 3)]
    assert follow_float64(rule, values, updating, shapes, steps=5) <= 1e-12


def test_special_gradients(compiled):
    """NaN and Inf travel as the equations say; XLA on CPU flushes subnormal numbers to zero, and that is allowed."""
    rule, values, target = compiled
    with jax.enable_x64(False):
        target.init(random_tensors(0, [SPECIAL.shape], np.float32))
        # Each special value first, and then others in the same place.
        for step, shift in enumerate((0, 1, 3, 4)):
            gradient = np.roll(SPECIAL, shift)
            flushed = np.where(np.abs(gradient) < SMALLEST_NORMAL, np.copysign(np.float32(0), gradient), gradient)
            inputs = random_inputs(rule, step, [SPECIAL.shape], np.float32)
            allowed = allowed_step(rule, values, without_subnormals(target.snapshot()), step, [flushed], inputs)
            target.step([gradient], inputs)
            assert largest_fraction(allowed, without_subnormals(target.snapshot())) <= 1.0


def test_special_gradients_in_float64(compiled):
    rule, values, target = compiled
    gradients = [np.roll(SPECIAL[:8].astype(np.float64), shift) for shift in range(3)]
    interpreter = Interpreter(rule, values)
    start = random_tensors(0, [(8,)], np.float64)
    model = interpreter.init(start)
    target.init(start)
    for step, gradient in enumerate(gradients):
        inputs = random_inputs(rule, step, [gradient.shape], np.float64)
        model = interpreter.step(model, [gradient], inputs)
        target.step([gradient], inputs)
        expected, actual = np.asarray(model.tensors[0].theta), target.snapshot().parameters[0]
        assert relative_difference(expected, actual) <= 1e-12, (gradient, expected, actual)
