"""States that differ between the cases of a shape branch, histories of every kind, results that are arguments."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import optgen
from optgen.compiler.infer import infer_kinds
from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.contract.kinds import Kind
from optgen.language.definition import define_spec
from tests.language.everywhere import apart, apart_of

TOLERANCE = 1e-12

RULES = {
    "depth of elements": """
        if rank >= 2:
            d = s[t-1]
        else:
            d = s[t-2]
        s[t] = g
        theta[t] = theta[t-1] - lr*d
    """,
    "depth of a number of the step": """
        p[t] = p[t-1] + t
        if rank >= 2:
            d = g*p[t-2]
        else:
            d = g
        theta[t] = theta[t-1] - lr*d
    """,
    "kind": """
        if rank >= 2:
            s[t] = t
        else:
            s[t] = size
        theta[t] = theta[t-1] - lr*g*s[t-1]
    """,
    "kind within a tensor": """
        if rank >= 2:
            s[t] = mean(g, over=columns)
        else:
            s[t] = g
        theta[t] = theta[t-1] - lr*(g + s[t-2])
    """,
    "in one case only": """
        if rank >= 2:
            s[t] = s[t-1] + t
            d = g*s[t]
        else:
            d = g
        theta[t] = theta[t-1] - lr*d
    """,
    "in one case only, beside a reduction over the model": """
        if rank >= 2:
            s[t] = s[t-1] + t
            d = g*s[t]
        else:
            d = g + 0
        theta[t] = theta[t-1] - lr*d/norm(d, over=model)
    """,
    "read in one case only": """
        s[t] = t
        if rank >= 2:
            d = g*s[t-1]
        else:
            d = g*s[t]
        theta[t] = theta[t-1] - lr*d
    """,
    "equation": """
        if rank >= 2:
            s[t] = s[t-1] + t
        else:
            s[t] = s[t-1] + 2*t
        theta[t] = theta[t-1] - lr*g*s[t]
    """,
    "equation, by way of a name": """
        if rank >= 2:
            a = 2*t
        else:
            a = 3*t
        s[t] = s[t-1] + a
        theta[t] = theta[t-1] - lr*g*s[t]
    """,
    "equation, and branches that depend on it": """
        if rank >= 2:
            s[t] = s[t-1] + t
        else:
            s[t] = s[t-1] + 2*t
        if s[t] > 5:
            d = g
        else:
            d = 2*g
        if every(s[t]):
            d = 3*d
        theta[t] = theta[t-1] - lr*d
    """,
    "equation, of the model": """
        n = norm(g, over=model)
        if rank >= 2:
            s[t] = s[t-1] + n
        else:
            s[t] = 2*n
        theta[t] = theta[t-1] - lr*g*s[t-1]
    """,
    "history of vectors per axis": """
        V[t] = max(abs(g), over=other_axes)
        d = min(V[t-2], over=axes)
        theta[t] = theta[t-1] - lr*g*d
    """,
    "history of vectors per axis that reads itself": """
        V[t] = max(abs(g), over=other_axes) + 0.5*V[t-2]
        d = min(V[t-1], over=axes) + sum(V[t-3], over=axes)
        theta[t] = theta[t-1] - lr*g*d
    """,
    "history of numbers of the step": """
        p[t] = p[t-1] + t
        theta[t] = theta[t-1] - lr*g*p[t-2]
    """,
    "history of a shape's number": """
        p[t] = size
        theta[t] = theta[t-1] - lr*g*p[t-2]
    """,
    "history of numbers of the model": """
        p[t] = norm(g, over=model)
        theta[t] = theta[t-1] - lr*g*p[t-2]
    """,
    "history of numbers of tensors": """
        p[t] = norm(g)
        theta[t] = theta[t-1] - lr*g*p[t-3]
    """,
    "history of rows": """
        p[t] = mean(g, over=columns)
        theta[t] = theta[t-1] - lr*g*p[t-3]
    """,
    "the parameter is a state": """
        s[t] = g
        theta[t] = s[t-1]
    """,
    "the parameter is an old state": """
        s[t] = theta[t-1] + g
        theta[t] = 1*s[t-2]
    """,
    "states that change places": """
        a[0] = theta[0]
        a[t] = b[t-1]
        b[t] = a[t-1]
        theta[t] = theta[t-1] - lr*a[t-1]*g
    """,
    "numbers of the model that change places": """
        a[0] = 1
        a[t] = b[t-1]
        b[t] = a[t-1] + 0*norm(g, over=model)
        theta[t] = theta[t-1] - lr*a[t-1]*g
    """,
    "numbers of the step among tensors": """
        p[t] = p[t-1] + 0.3
        d = where(p[t-1] != 0, g*p[t-1], p[t-1]**2) + max(p[t-1], g) + g % (p[t-1] + 1)
        theta[t] = theta[t-1] - lr*d**2*p[t-1]
    """,
    "a condition that is known on the host": """
        d = where(t > 2, g, 1)
        theta[t] = theta[t-1] - lr*norm(d)*g
    """,
    "one number is added": "theta[t] = theta[t-1] + lr",
    "one number of the tensor is added": "theta[t] = theta[t-1] + lr*norm(g)",
    "one number of the model is added": "theta[t] = theta[t-1] + lr*norm(g, over=model)",
    "one number of each row is added": "theta[t] = theta[t-1] + lr*mean(g, over=columns)",
    "a vector is the parameter": """
        V[t] = sum(abs(g), over=other_axes)
        theta[t] = max(V[t-1], over=axes)
    """,
}

WAYS = ("torch, native", "torch, arrays", "numpy, native", "numpy, arrays", "jax, native", "jax, arrays")


@pytest.mark.parametrize("name", RULES)
def test_every_way_follows_the_interpreter(name: str) -> None:
    found = apart(textwrap.dedent(RULES[name]).strip(), ways=WAYS)
    assert max(found.values()) <= TOLERANCE, found


SPEC = """
[optimizer]
name = "largest"
class = "Largest"
title = "t"
summary = "s"

[hyperparameters]
lr = { default = 0.1, symbol = 'l', domain = "lr >= 0", meaning = "rate" }

[options]
matrix_axes = { default = "largest", choices = ["last", "largest"], meaning = "m" }

[equations]
rule = '''
if rank >= 2:
    s[t] = mean(g, over=columns)
else:
    s[t] = g
theta[t] = theta[t-1] - lr*(norm(g) + s[t-1] + s[t-2])
'''
"""


def test_kinds_of_cases_where_the_largest_axes_come_last(tmp_path: Path) -> None:
    (tmp_path / "largest.toml").write_text(SPEC)
    rule = optgen.load(tmp_path / "largest.toml")
    found = apart_of(rule, shapes=((70, 60), (4, 3, 2), (7,), (300, 2, 20)), ways=WAYS)
    assert max(found.values()) <= TOLERANCE, found


def test_the_number_that_is_added_where_the_largest_axes_come_last(tmp_path: Path) -> None:
    (tmp_path / "largest.toml").write_text(
        SPEC.replace("(norm(g) + s[t-1] + s[t-2])", "s[t-1]*0 + lr").replace("s[t] = g", "s[t] = t")
    )
    rule = optgen.load(tmp_path / "largest.toml")
    found = apart_of(rule, shapes=((70, 60), (4, 3, 2), (7,)), ways=WAYS)
    assert max(found.values()) <= TOLERANCE, found


def kinds(equations: str) -> list[tuple[Kind, int]]:
    spec = define_spec("toy", equations, {"lr": 0.1})
    cases = infer_kinds(specialise(spec, default_choice(spec)))
    return [(case.kinds["s"], case.depths["s"]) for case in cases if "s" in case.depths]


def test_what_all_cases_agree_on_is_kept_once() -> None:
    rest = "if rank >= 2:\n    d = g*s[t-1]\nelse:\n    d = s[t-2]*g\ntheta[t] = theta[t-1] - lr*d"
    assert kinds(f"s[t] = s[t-1] + t\n{rest}") == [(Kind.STEP, 2), (Kind.STEP, 2)]
    assert kinds(f"s[t] = norm(g, over=model)\n{rest}") == [(Kind.GLOBAL, 2), (Kind.GLOBAL, 2)]


def test_what_cases_do_not_agree_on_is_kept_for_each_tensor() -> None:
    equations = (
        "if rank >= 2:\n    s[t] = s[t-1] + t\nelse:\n    s[t] = s[t-1] + 2*t\ntheta[t] = theta[t-1] - lr*g*s[t]"
    )
    assert kinds(equations) == [(Kind.TENSOR, 1), (Kind.TENSOR, 1)]
    assert kinds(equations.replace("s[t-1] + 2*t", "t")) == [(Kind.TENSOR, 1)]


def test_arithmetic_on_vectors_of_axes_is_left_as_it_is_written() -> None:
    """Neither is `V - V` zero where there is NaN, nor a quotient of roots one power."""
    equations = """
V[t] = (0.9*V[t-1]/sqrt(V[t-2]**2 + 0.1))/sqrt(0.44**2 + 0.1) + (V[t-1] - V[t-1]) + max(abs(g), over=other_axes)
theta[t] = theta[t-1] - lr*min(V[t], over=axes)
"""
    found = apart(equations.strip(), ways=WAYS)
    assert max(found.values()) <= TOLERANCE, found
