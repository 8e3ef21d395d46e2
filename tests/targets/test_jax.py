"""The generated jax functions compute what the equations say."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.compiler.choice import choices_ahead
from optgen.compiler.verify import follow_float64, within_float32
from optgen.spec.reader import read_spec
from tests.targets.jax_target import compile_target

jax.config.update("jax_enable_x64", True)

SPECS = {path.stem: read_spec(path) for path in sorted(specs_folder().glob("*.toml"))}
VARIANTS = [(name, variant) for name, spec in SPECS.items() for variant in choices_ahead(spec)]


def hyperparameters_of(spec, choice):
    """Defaults, with something for each optional hyperparameter that the choice has."""
    values = {h.name: h.default if h.default is not None else 0.1 for h in spec.hyperparameters}
    for h in spec.hyperparameters:
        if h.name in choice.present and not h.present(values[h.name]):
            values[h.name] = 0.1
    return values


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_float64(name, variant):
    spec, choice = SPECS[name], choices_ahead(SPECS[name])[variant]
    values = hyperparameters_of(spec, choice)
    rule, target = compile_target(spec, variant, choice, values)
    d=follow_float64(rule, values, target)
    print(d)
    assert d <= 1e-12


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_float32(name, variant):
    spec, choice = SPECS[name], choices_ahead(SPECS[name])[variant]
    values = hyperparameters_of(spec, choice)
    rule, target = compile_target(spec, variant, choice, values)
    d=within_float32(rule, values, target)
    print(d)
    assert d <= 1.0
