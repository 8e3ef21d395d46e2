"""Folds of folds in float64: what targets differ by is the order of their sums, and no more than that allows."""

from __future__ import annotations

import pytest

from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.reference.compare import within_float64
from tests.targets import eager_target, jax_target, native_target

SHAPES = ((5, 3), (70,), (20, 30, 4), (300,))
RULES = (
    "b = norm(norm(g, over=columns))\nd = g*b/(1 + sum(norm(g, over=columns)*g))",
    "b = sum(sum(g, over=columns)**2)\nc = sum(g*b, over=model)\nd = g*c/(1 + abs(sum(g*c, over=rows)))",
    "b = mean(mean(g, over=columns) - mean(g))\nk[t] = 0.5*k[t-1] + b\nd = g*(k[t] - dot(g, theta[t-1], over=model))",
    # A sum that is 0 but for rounding: no two orders have a digit in common.
    "a = sum(g)\nb = sum(g - a/size)\nd = g*b*1e3",
)


@pytest.mark.parametrize("equations", RULES)
def test_float64_steps_are_within_what_any_order_allows(equations: str) -> None:
    spec = define_spec("folds", f"{equations}\ntheta[t] = theta[t-1] - lr*d", {"lr": 0.1})
    choice, values = default_choice(spec), {"lr": 0.1}
    rule = specialise(spec, choice)
    for target in (
        eager_target.compile_target(spec, "default", choice, values),
        eager_target.compile_target(spec, "default", choice, values, library="torch"),
        native_target.compile_target(spec, "default", choice, values),
    ):
        assert within_float64(rule, values, target, SHAPES, 3) <= 0.1
    with jax_target.jax.enable_x64(True):
        in_jax = jax_target.compile_target(spec, "default", choice, values)[1]
        assert within_float64(rule, values, in_jax, SHAPES, 3) <= 0.1
