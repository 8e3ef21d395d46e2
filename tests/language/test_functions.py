"""The table of functions, and functions that are written in the language itself."""

from __future__ import annotations

import re

import pytest

from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.errors import SpecError
from optgen.language.definition import define_spec
from optgen.language.derived import expanded
from optgen.language.equations import parse_equations
from optgen.language.functions import FUNCTIONS, RESERVED, LanguageFunction, primitives, reduces
from optgen.language.refused_names import name_problem
from optgen.language.source import Source
from optgen.language.syntax import Assign, Call, Name, Node, same, walk
from optgen.pipeline.optimizer import generate
from optgen.pipeline.stages import show_target

SOFTSIGN = LanguageFunction("softsign(x)", derived="x/(1 + abs(x))")
DERIVED = [row for row in FUNCTIONS.values() if row.derived]


@pytest.fixture
def softsign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "softsign", SOFTSIGN)


def tree(text: str) -> Node:
    (statement,) = parse_equations(Source("a test", text), f"value = {text}", 1, 0, "")
    assert isinstance(statement, Assign)
    return statement.value


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_is_about_one_function(name: str) -> None:
    row = FUNCTIONS[name]
    fewest, most = row.arity
    assert row.name == name
    assert name in RESERVED
    assert name_problem(name) is None
    assert 1 <= fewest <= most
    assert row.is_elementwise or row.reduces
    assert (name in primitives()) is (row.is_elementwise and not row.derived)
    for count in range(4):
        assert reduces(name, count) is (count > 0 and count == row.reduces)


@pytest.mark.parametrize("row", [*DERIVED, SOFTSIGN], ids=lambda row: row.name)
def test_a_derived_function_is_made_of_its_parameters_and_of_functions_above_it(row: LanguageFunction) -> None:
    above = list(FUNCTIONS)[: list(FUNCTIONS).index(row.name)] if row.name in FUNCTIONS else [*FUNCTIONS]
    parts = list(walk(tree(row.derived)))
    assert {part.name for part in parts if isinstance(part, Name)} == {*row.parameters}
    for part in parts:
        if isinstance(part, Call):
            assert part.function in above
            assert not reduces(part.function, len(part.arguments))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("clip(a, -1, b)", "min(max(a, -1), b)"),
        ("clip(a + 1, clip(b, 0, 1), 2)", "min(max(a + 1, min(max(b, 0), 1)), 2)"),
        ("softsign(a*b)", "a*b/(1 + abs(a*b))"),
        ("softsign(softsign(a))", "a/(1 + abs(a))/(1 + abs(a/(1 + abs(a))))"),
        ("1 + tanh(-a)", "1 + tanh(-a)"),
    ],
)
@pytest.mark.usefixtures("softsign")
def test_a_call_stands_for_its_expression(written: str, meant: str) -> None:
    assert same(expanded(tree(written), Source("a test", written)), tree(meant))


def rule_with(value: str, **arguments: object):
    text = f"theta[t] = theta[t-1] - lr*{value}"
    return define_spec("toy", text, {"lr": 0.1}, **arguments)


@pytest.mark.usefixtures("softsign")
def test_every_target_sees_primitives_alone() -> None:
    """A function with a derived form is one row: all files are those of the expression written out."""
    calls = ("softsign(g)", "g*softsign(lr)", "g*softsign(t)*softsign(norm(g, over=model))", "softsign(sum(g))*g")
    written = (
        "(g/(1 + abs(g)))",
        "g*(lr/(1 + abs(lr)))",
        "g*(t/(1 + abs(t)))*(norm(g, over=model)/(1 + abs(norm(g, over=model))))",
        "(sum(g)/(1 + abs(sum(g))))*g",
    )
    for call, expression in zip(calls, written, strict=True):
        ours, theirs = generate(rule_with(call)).files, generate(rule_with(expression)).files
        assert ours.keys() == theirs.keys() >= {"jax.py", "eager.py", "native.c", "triton.py", "manifest.json"}
        for name in ours.keys() - {"manifest.json"}:  # which has the equations as a paper prints them
            texts = (re.sub(r"\b[0-9a-f]{64}\b", "digest", files[name]) for files in (ours, theirs))
            assert next(texts).replace(call, expression) == next(texts), (name, call)


@pytest.mark.usefixtures("softsign")
def test_readers_see_the_function() -> None:
    assert r"\operatorname{softsign}(g)" in show_target(rule_with("softsign(g)"), "latex")
    with pytest.raises(SpecError, match=r"'softsign' takes 1 argument, not 2") as error:
        rule_with("softsign(g, 2)")
    assert error.value.hint == "write softsign(x)"
    with pytest.raises(SpecError, match=r"unknown function 'softsing'") as error:
        rule_with("softsing(g)")
    assert error.value.hint == "did you mean 'softsign'?"


@pytest.mark.usefixtures("softsign")
def test_an_argument_that_is_needed_twice_is_computed_once() -> None:
    base = define_spec("base", "theta[t] = theta[t-1] - lr*g", {"lr": 0.1})
    wrapped = specialise(base, default_choice(base))
    spec = define_spec("toy", "theta[t] = softsign(base(g))", {}, wraps="base")
    rule = specialise(spec, default_choice(spec), wrapped)
    assert [equation.name for equation in rule.cases[0].equations].count("base_theta_new") == 1


@pytest.mark.usefixtures("softsign")
def test_an_expression_that_grows_beyond_all_bounds_is_refused() -> None:
    value = "g"
    for _ in range(40):
        value = f"softsign({value})"
    with pytest.raises(SpecError, match="too large with this argument") as error:
        generate(rule_with(value))
    assert error.value.hint == "give the argument a name"
