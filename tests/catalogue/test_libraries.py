"""The specs against the libraries whose spelling they hold: signatures, defaults and twenty steps in float64."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import optax
import optax.contrib
import pytest
import torch

from optgen._paths import specs_folder
from optgen.compiler.specialise import specialise
from optgen.contract.dialects import Dialect, spelling
from optgen.language.model import Spec
from optgen.language.reader import read_spec
from tests.catalogue import adam_cases, classic_cases, matrix_cases
from tests.catalogue.cases import Cases
from tests.language.trajectories import difference, distance, in_dialect, problem, run_optax, run_rule, run_torch

TOLERANCE = 1e-9
CASES: Cases = adam_cases.CASES | classic_cases.CASES | matrix_cases.CASES
RUNS = [(*key, arguments) for key, cases in CASES.items() for arguments in cases]

#: What a library takes and a dialect does not: the parameters, and what calls for more than a rule.
NOT_OF_THE_RULE = {
    "torch": {
        "params",
        *("line_search_fn", "max_iter", "max_eval", "tolerance_grad", "tolerance_change"),
    },
}


def library_function(library: str, name: str) -> Any:
    """The library's own optimizer."""
    if library == "torch":
        return getattr(torch.optim, name)
    return getattr(optax, name) if hasattr(optax, name) else getattr(optax.contrib, name)


@functools.cache
def spec_of(name: str) -> Spec:
    return read_spec(specs_folder() / f"{name}.toml")


def dialect_of(name: str, library: str, spelled: str) -> Dialect:
    dialect = spelling(spec_of(name).dialects, library, spelled)
    assert dialect is not None, f"specs/{name}.toml has no {library} entry '{spelled}'"
    return dialect


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "-".join(f"{name}={given}" for name, given in value.items()) or "defaults"
    return str(value)


@pytest.mark.parametrize(("name", "library", "spelled", "arguments"), RUNS, ids=_shown)
def test_twenty_steps_agree(name: str, library: str, spelled: str, arguments: dict[str, Any]) -> None:
    spec, dialect = spec_of(name), dialect_of(name, library, spelled)
    learning_rate = [a.name for a in dialect.arguments if "lr" in a.targets]
    given = dict.fromkeys(learning_rate, 0.1) | arguments
    choice, values = in_dialect(spec, dialect, given)
    parameters, gradients = problem()
    ours = run_rule(specialise(spec, choice), values, parameters, gradients)
    make = library_function(library, spelled)
    if library == "optax":
        theirs = run_optax(make(**(matrix_cases.FLOAT64.get((name, library), {}) | given)), parameters, gradients)
    else:
        theirs = run_torch(lambda tensors: make(tensors, **given), parameters, gradients)
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours, theirs) < TOLERANCE


@pytest.mark.parametrize(("name", "library", "spelled"), [case for case in CASES if case[1] == "torch"], ids=_shown)
def test_signature_is_the_librarys(name: str, library: str, spelled: str) -> None:
    """torch's; those of optax's factories are tested where the factories are."""
    dialect = dialect_of(name, library, spelled)
    signature = inspect.signature(library_function(library, spelled)).parameters
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


@pytest.mark.parametrize(("name", "library", "spelled"), list(CASES), ids=_shown)
def test_every_switch_and_optional_hyperparameter_is_covered(name: str, library: str, spelled: str) -> None:
    """Each argument that changes the rule itself occurs in a case, away from its default."""
    spec = spec_of(name)
    switches = {h.name for h in spec.hyperparameters if h.optional} | {o.name for o in spec.options}
    for argument in dialect_of(name, library, spelled).arguments:
        if set(argument.targets) & switches:
            cases = CASES[name, library, spelled]
            assert any(case.get(argument.name, argument.default) != argument.default for case in cases), argument.name
