"""The specs against the libraries whose spelling they hold: signatures, defaults and twenty steps in float64."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import optax
import pytest
import torch

from optgen.compiler.specialise import specialise
from optgen.spec.model import Spec
from optgen.spec.reader import read_spec
from tests.language.trajectories import difference, distance, in_dialect, problem, run_optax, run_rule, run_torch

SPECS = Path(__file__).parents[2] / "specs"
TOLERANCE = 1e-9
LIBRARIES = {"optax": optax, "torch": torch.optim}

#: What a library takes and a spec does not: how numbers are stored, which tensors take part, how the code runs.
#: What the front-ends add to every optimizer (`maximize`) is among them; torch's Adam with `decoupled_weight_decay` is
#: its AdamW.
NOT_OF_THE_RULE = {
    "optax": {"mu_dtype", "accumulator_dtype", "mask"},
    "torch": {"params", "maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"},
}

LR = {"optax": "learning_rate", "torch": "lr"}

#: Arguments beside a learning rate of 0.1: none, each option, each optional hyperparameter, and what goes together.
CASES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("sgd", "optax"): [
        {},
        {"nesterov": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
    ],
    ("sgd", "torch"): [
        {},
        {"weight_decay": 0.1},
        {"dampening": 0.3},
        {"momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "dampening": 1.0, "weight_decay": 0.1},
    ],
    ("adam", "optax"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"b1": 0.5, "b2": 0.6, "eps": 0.1},
        {"b1": 0.0, "eps_root": 1e-3, "nesterov": True},
    ],
    ("adam", "torch"): [
        {},
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"betas": (0.5, 0.6), "eps": 0.1},
        {"betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1},
    ],
    ("adamw", "optax"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "nesterov": True, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamw", "torch"): [
        {},
        {"amsgrad": True},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "amsgrad": True, "betas": (0.5, 0.6), "eps": 0.1},
    ],
    ("rmsprop", "optax"): [
        {},
        {"eps": 0.1},
        {"centered": True},
        {"eps_in_sqrt": False},
        {"eps_in_sqrt": False, "centered": True, "eps": 0.1},
        {"bias_correction": True},
        {"bias_correction": True, "centered": True, "eps": 0.1},
        {"initial_scale": 1.0},
        {"nesterov": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "centered": True, "eps": 0.1, "decay": 0.5},
    ],
    ("rmsprop", "torch"): [
        {},
        {"eps": 0.1},
        {"weight_decay": 0.1},
        {"centered": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.5},
    ],
    ("adagrad", "optax"): [
        {},
        {"initial_accumulator_value": 0.0},
        {"eps": 0.1},
    ],
    ("adagrad", "torch"): [
        {},
        {"lr_decay": 0.3},
        {"weight_decay": 0.1},
        {"initial_accumulator_value": 0.5, "eps": 0.1},
        {"lr_decay": 0.3, "weight_decay": 0.1},
    ],
    ("lion", "optax"): [
        {},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "b1": 0.5, "b2": 0.6},
    ],
    ("lamb", "optax"): [
        {},
        {"eps_root": 1e-3},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "eps_root": 1e-3, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
}
RUNS = [(name, library, arguments) for (name, library), cases in CASES.items() for arguments in cases]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "-".join(f"{name}={given}" for name, given in value.items()) or "defaults"
    return str(value)


@pytest.fixture(scope="module")
def specs() -> dict[str, Spec]:
    return {name: read_spec(SPECS / f"{name}.toml") for name, _ in CASES}


@pytest.mark.parametrize(("name", "library", "arguments"), RUNS, ids=_shown)
def test_twenty_steps_agree(specs: dict[str, Spec], name: str, library: str, arguments: dict[str, Any]) -> None:
    spec = specs[name]
    dialect = spec.dialects[library]
    given = {LR[library]: 0.1, **arguments}
    choice, values = in_dialect(spec, library, given)
    parameters, gradients = problem()
    ours = run_rule(specialise(spec, choice), values, parameters, gradients)
    make = getattr(LIBRARIES[library], dialect.name)
    if library == "optax":
        theirs = run_optax(make(**given), parameters, gradients)
    else:
        theirs = run_torch(lambda tensors: make(tensors, **given), parameters, gradients)
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours, theirs) < TOLERANCE


@pytest.mark.parametrize(("name", "library"), list(CASES))
def test_signature_is_the_librarys(specs: dict[str, Spec], name: str, library: str) -> None:
    dialect = specs[name].dialects[library]
    signature = inspect.signature(getattr(LIBRARIES[library], dialect.name)).parameters
    theirs = {n: p for n, p in signature.items() if n not in NOT_OF_THE_RULE[library]}
    assert [a.name for a in dialect.arguments] == list(theirs)
    for argument in dialect.arguments:
        default = theirs[argument.name].default
        if argument.required:
            assert default is inspect.Parameter.empty
        else:
            assert argument.default == default
    # An argument that the library takes by position after one that the spec leaves out cannot be given by position.
    order = list(signature)
    left_out = [order.index(n) for n in order if n in NOT_OF_THE_RULE[library] - {"params"}]
    for argument in dialect.arguments:
        parameter = signature[argument.name]
        shifted = any(position < order.index(argument.name) for position in left_out)
        assert argument.keyword_only == (parameter.kind is inspect.Parameter.KEYWORD_ONLY or shifted)


def test_every_switch_and_optional_hyperparameter_is_covered(specs: dict[str, Spec]) -> None:
    """Each argument that changes the rule itself occurs in a case, away from its default."""
    for (name, library), cases in CASES.items():
        spec = specs[name]
        optional = {h.name for h in spec.hyperparameters if h.optional}
        switches = {o.name for o in spec.options}
        for argument in spec.dialects[library].arguments:
            if set(argument.targets) & (optional | switches):
                assert any(case.get(argument.name, argument.default) != argument.default for case in cases), (
                    name,
                    library,
                    argument.name,
                )
