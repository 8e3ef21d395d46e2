"""Rules whose equations differ with the shape: folds over the model of what a branch has changed, numbers of cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optgen.compiler.analyse import analyse
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.errors import SpecError
from optgen.language.definition import define_spec
from optgen.reference.compare import follow_float64, random_tensors
from optgen.reference.interpret import Interpreter
from tests.targets import eager_target, jax_target, native_target

SHAPES = ((5, 3), (7,), (2, 3, 4), (), (40,), (4, 6))
STEP = "theta[t] = theta[t-1] - lr*d"

#: Each folds over the model outside of branches, or has numbers of the model that differ between cases.
RULES = {
    "one branch": f"d = g\nif rank >= 2:\n    d = g + 0.01*theta[t-1]\nn = norm(d, over=model)\nd2 = d/n\n{STEP}2",
    "nested branches": (
        "d = g\nif rank >= 2:\n    d = 2*d\n    if rows > 4:\n        d = d + theta[t-1]\n    else:\n        d = d*3\n"
        f"else:\n    d = d/(norm(d) + 1)\n    if size > 8:\n        d = d + 1\n{STEP}*dot(d, theta[t-1], over=model)"
    ),
    "several branches": (
        "d = g\nif rank >= 2:\n    d = 2*d\nif size > 20:\n    d = d + theta[t-1]\nn = norm(d, over=model)\n"
        f"if rank >= 2:\n    d = d/n\nif size > 20:\n    d = d*n\n{STEP}*mean(d, over=model)"
    ),
    "a loop": (
        "d = g\nif rank >= 2:\n    for i in range(3):\n        d = d + 0.1*theta[t-1]\n"
        "c = 1\nfor i in range(2):\n    c = c/(1 + norm(c*d, over=model))\ntheta[t] = theta[t-1] - lr*c*d"
    ),
    "states": (
        "d = g\nif rank >= 2:\n    r[t] = 0.9*r[t-1] + mean(g**2, over=columns)\n    d = d/sqrt(r[t] + 1)\n"
        "n[t] = 0.5*n[t-1] + norm(d, over=model)\ntheta[t] = theta[t-1] - lr*d/n[t]"
    ),
    "the step": (
        "d = g\nif rank >= 2:\n    d = 2*d\nif t > 1:\n    d = d + 0.1\n"
        "s[t] = norm(d, over=model) + s[t-1]\ntheta[t] = theta[t-1] - lr*d/s[t]"
    ),
    "numbers of tensors": (
        "n = 1\nif rank >= 2:\n    n = norm(g)\ntheta[t] = theta[t-1] - lr*g/sum(n*norm(g), over=model)"
    ),
    "equal folds in one case": (
        "a = norm(g, over=model)\nif rank >= 2:\n    g = g + theta[t-1]\nb = norm(g, over=model)\n"
        "theta[t] = theta[t-1] - lr*g*a/(b*b + norm(g/b, over=model))"
    ),
    "numbers of the step": (
        "c = t\nif rank >= 2:\n    c = 2*c\nif every(2):\n    c = c + 1\ntheta[t] = theta[t-1] - lr*g/c"
    ),
    "numbers of the model": (
        "c = norm(g, over=model)\nif rank >= 2:\n    c = 2*c\nelse:\n    c = 3*c\ntheta[t] = theta[t-1] - lr*g/c"
    ),
    "parts of one name": (
        "n = norm(g, over=model)\nif rank >= 2:\n    d = g/(2*n + 1)/(2*n + 1)\nelse:\n    d = g/(3*n + 1)/(3*n + 1)\n"
        f"{STEP}"
    ),
}  # fmt: skip


def rule_of(equations: str, wrapped: Rule | None = None) -> tuple[Any, Any, Rule]:
    spec = define_spec("cases", equations, {} if wrapped else {"lr": 0.1}, "inner" if wrapped else "")
    choice = default_choice(spec)
    return spec, choice, specialise(spec, choice, wrapped)


@pytest.mark.parametrize("name", RULES)
def test_every_target_computes_what_the_equations_say(name: str) -> None:
    spec, choice, rule = rule_of(RULES[name])
    for target in (
        eager_target.compile_target(spec, "default", choice, {"lr": 0.1}),
        native_target.compile_target(spec, "default", choice, {"lr": 0.1}),
    ):
        assert follow_float64(rule, {"lr": 0.1}, target, SHAPES, 3) < 1e-12
    with jax_target.jax.enable_x64(True):
        target = jax_target.compile_target(spec, "default", choice, {"lr": 0.1})[1]
        assert follow_float64(rule, {"lr": 0.1}, target, SHAPES, 3) < 1e-12


def test_the_reference_folds_all_tensors() -> None:
    _, _, rule = rule_of(RULES["one branch"])
    parameters, gradients = random_tensors(0, SHAPES, np.float64), random_tensors(1, SHAPES, np.float64)
    interpreter = Interpreter(rule, {"lr": 0.1})
    after = interpreter.step(interpreter.init(parameters), gradients)
    changed = [g + 0.01 * p if g.ndim >= 2 else g for g, p in zip(gradients, parameters, strict=True)]
    norm = np.sqrt(sum(np.sum(d**2) for d in changed))
    for tensor, p, d in zip(after.tensors, parameters, changed, strict=True):
        np.testing.assert_allclose(tensor.theta, p - 0.1 * d / norm, rtol=1e-13)


def test_a_wrapped_optimizer_called_in_both_branches_folds_all_tensors() -> None:
    inner = define_spec("inner", "theta[t] = theta[t-1] - lr*g/norm(g, over=model)", {"lr": 0.1})
    wrapped = specialise(inner, default_choice(inner))
    text = "if rank >= 2:\n    q = inner(g)\nelse:\n    q = inner(3*g)\ntheta[t] = q"
    spec, choice, rule = rule_of(text, wrapped)
    target = eager_target.compile_target(spec, "default", choice, {"lr": 0.1}, wrapped)
    assert follow_float64(rule, {"lr": 0.1}, target, SHAPES, 2) < 1e-12
    parameters, gradients = random_tensors(0, SHAPES, np.float64), random_tensors(1, SHAPES, np.float64)
    interpreter = Interpreter(rule, {"lr": 0.1})
    after = interpreter.step(interpreter.init(parameters), gradients)
    scaled = [g if g.ndim >= 2 else 3 * g for g in gradients]
    norm = np.sqrt(sum(np.sum(d**2) for d in scaled))
    for tensor, p, d in zip(after.tensors, parameters, scaled, strict=True):
        np.testing.assert_allclose(tensor.theta, p - 0.1 * d / norm, rtol=1e-13)


UNDER = "is a reduction over the model, but under a condition on the shape"


@pytest.mark.parametrize(
    ("equations", "message", "line"),
    [
        (f"if rank >= 2:\n    d = g/norm(g, over=model)\nelse:\n    d = g\n{STEP}", f"'norm' {UNDER}", 2),
        (
            f"if rank >= 2:\n    d = g/norm(g, over=model)\nelse:\n    d = 2*g/norm(g, over=model)\n{STEP}",
            f"'norm' {UNDER}",
            2,
        ),
        (
            "n = norm(g)\nif rank >= 2:\n    n = g\ntheta[t] = theta[t-1] - lr*g*mean(n, over=model)",
            "'mean' is of elements or of tensors, depending on the shape",
            4,
        ),
    ],
)
def test_what_would_differ_between_shapes_is_refused(equations: str, message: str, line: int) -> None:
    with pytest.raises(SpecError) as caught:
        analyse(rule_of(equations)[2])
    assert (caught.value.message, caught.value.location.line) == (message, line)


def test_folds_in_another_order_are_refused() -> None:
    inner = define_spec("inner", "theta[t] = theta[t-1] - lr*g/norm(g, over=model)", {"lr": 0.1})
    wrapped = specialise(inner, default_choice(inner))
    text = (
        "if rank >= 2:\n    q = inner(g)\nn = norm(g, over=model)\n"
        "if rank >= 2:\n    n = 2*n\nelse:\n    q = inner(3*g)\ntheta[t] = q*n"
    )
    with pytest.raises(SpecError) as caught:
        analyse(rule_of(text, wrapped)[2])
    assert caught.value.message == "reductions over the model come in another order, depending on the shape"
