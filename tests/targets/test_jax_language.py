"""The jax target on everything that the language has: folds of every extent, histories, cases, wrapped optimizers."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from optgen.compiler.choice import choices_ahead, default_choice
from optgen.compiler.specialise import specialise
from optgen.compiler.verify import follow_float64, within_float32
from optgen.spec.reader import read_spec
from tests.targets.jax_target import compile_target, hyperparameters_of

FOLDER = Path(__file__).parent.parent / "language" / "sketches"
SPECS = {path.stem: read_spec(path) for path in sorted(FOLDER.glob("*.toml"))}
VARIANTS = [(name, variant) for name, spec in SPECS.items() for variant in choices_ahead(spec)]
#: More than one axis, so that rows, columns and axes differ; and what has none.
SHAPES = ((), (0,), (1,), (7,), (5, 3), (2, 3, 4))


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda pair: "-".join(pair))
def compiled(request):
    name, variant = request.param
    spec = SPECS[name]
    choice = choices_ahead(spec)[variant]
    values = hyperparameters_of(spec, choice)
    wrapped = None
    if spec.wraps:
        base = read_spec(Path(__file__).parent.parent.parent / "specs" / "adam.toml")
        wrapped = specialise(base, default_choice(base))
        values |= {f"{spec.wraps}_{name}": v for name, v in hyperparameters_of(base, default_choice(base)).items()}
    rule, target = compile_target(spec, variant, choice, values, wrapped)
    return rule, values, target


def test_float64_follows_the_equations(compiled):
    rule, values, target = compiled
    assert follow_float64(rule, values, target, SHAPES, steps=12) <= 1e-12


def test_float32_loses_no_more_than_it_must(compiled):
    rule, values, target = compiled
    with jax.enable_x64(False):
        assert within_float32(rule, values, target, SHAPES, steps=8, start=0.0) <= 1.0
