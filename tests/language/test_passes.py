"""Every rule of the catalogue, carried out pass by pass as scheduled, against the interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from optgen.compiler.ahead import choices_ahead
from optgen.compiler.specialise import specialise
from optgen.language.model import Spec
from optgen.language.reader import read_spec
from tests.language.passes import largest_difference
from tests.language.trajectories import problem, rule_of

SPECS = Path(__file__).parents[2] / "specs"
TOLERANCE = 1e-10


def values_of(spec: Spec) -> dict[str, float]:
    """The defaults, and for what may be absent a number that shows when it is used."""
    found = {}
    for hyperparameter in spec.hyperparameters:
        default = hyperparameter.default
        found[hyperparameter.name] = 0.1 if default is None or default == hyperparameter.absent else default
    return found


@pytest.mark.parametrize("reads_back", [True, False])
@pytest.mark.parametrize("path", sorted(SPECS.glob("*.toml")), ids=lambda p: p.stem)
def test_passes_compute_what_the_equations_say(path: Path, reads_back: bool) -> None:
    """Also where no pass may read a state that another has stored."""
    spec = read_spec(path)
    values, wrapped = values_of(spec), None
    if spec.wraps:
        wrapped, inner = rule_of(read_spec(SPECS / "adam.toml"))
        values |= {spec.wrapped_name(name): value for name, value in inner.items()}
    parameters, gradients = problem()
    steps = gradients[:12] if spec.name == "lbfgs" else gradients[:3]
    for variant, choice in choices_ahead(spec).items():
        apart = largest_difference(specialise(spec, choice, wrapped), values, parameters, steps, reads_back=reads_back)
        assert apart < TOLERANCE, variant
