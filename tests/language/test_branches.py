"""Calls of a wrapped optimizer, and branches on shape and step at once, against loops written out in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import choose, default_choice
from optgen.custom import CustomOptimizer, define
from optgen.errors import SpecError
from optgen.language.definition import define_spec
from optgen.language.reader import parse_spec
from optgen.reference.interpret import Interpreter
from tests.language.trajectories import Array, Trajectory, difference, problem, rule_of, run_optax, run_rule

HEAVY = "v[t] = mu*v[t-1] + g\ntheta[t] = theta[t-1] - lr*v[t]"
NUMBERS = {"lr": 0.1, "inner_mu": 0.9}
TOLERANCE = 1e-12


def heavy() -> Rule:
    spec = define_spec("heavy", HEAVY, {"lr": 0.1, "mu": 0.9})
    return specialise(spec, default_choice(spec))


def wrapping(equations: str, values: Mapping[str, Any] | None = None, counts: Mapping[str, int] | None = None) -> Rule:
    """The rule of equations that call heavy ball `inner`, with the defaults of their options."""
    spec = define_spec("outer", equations, values or {}, "inner", counts)
    return specialise(spec, default_choice(spec), heavy())


def compiled(equations: str, **values: Any) -> CustomOptimizer:
    return define("outer", equations, wraps={"inner": define("heavy", HEAVY, lr=0.1, mu=0.9)}, **values)


TWICE = "its state would be updated twice; give its result a name"
BOTH = "both branches are computed; call it before the 'if'"


@pytest.mark.parametrize(
    ("equations", "place", "hint"),
    [
        ("theta[t] = inner(g) + inner(2*g) - theta[t-1]", (1, 23, 10), TWICE),
        ("theta[t] = inner(inner(g))", (1, 12, 15), TWICE),
        ("q = inner(g)\ntheta[t] = q + 0*inner(q)", (2, 18, 8), TWICE),
        ("q = g\nfor i in range(k):\n    q = inner(q)\ntheta[t] = q", (3, 9, 8), TWICE),
        ("if t == 1:\n    q = inner(-g)\nelse:\n    q = inner(g)\ntheta[t] = q", (4, 9, 8), BOTH),
        (
            "q = g\nif t == 1:\n    q = inner(g)\nelif t > 3:\n    q = 2*g\nelse:\n    q = inner(q)\ntheta[t] = q",
            (7, 9, 8),
            BOTH,
        ),
        ("if t == 1:\n    q = inner(-g)\nelse:\n    q = g\ntheta[t] = q + inner(g)", (5, 16, 8), TWICE),
        ("q = inner(g)\nif t == 1:\n    q = g\nelse:\n    q = inner(g)\ntheta[t] = q", (5, 9, 8), TWICE),
    ],
)
def test_a_second_call_is_refused(equations: str, place: tuple[int, int, int], hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        wrapping(equations, counts={"k": 2} if "range(k)" in equations else {})
    error = caught.value
    assert (error.message, error.hint) == ("'inner' is called twice", hint)
    assert (error.location.line, error.location.column, error.location.width) == place


def test_an_initial_value_calls_nothing() -> None:
    with pytest.raises(SpecError) as caught:
        wrapping("m[0] = inner(theta[0])\nm[t] = m[t-1]\ntheta[t] = inner(g) - m[t]")
    assert caught.value.message == "'inner' has not run before the first step"


def heavy_ball(gradient: Callable[[int, Array], Array | None]) -> Trajectory:
    """Heavy ball on what is made of the gradient at each step; None stands for a step that is left out."""
    parameters, gradients = problem()
    theta, v = [p.copy() for p in parameters], [np.zeros_like(p) for p in parameters]
    found: Trajectory = []
    for t, step in enumerate(gradients, start=1):
        for i, g in enumerate(step):
            given = gradient(t, g)
            if given is not None:
                v[i] = 0.9 * v[i] + given
                theta[i] = theta[i] - 0.1 * v[i]
        found.append([x.copy() for x in theta])
    return found


def one_flip(flip: bool) -> Callable[[int, Array], Array | None]:
    return lambda t, g: -2 * g if flip else g


@pytest.mark.parametrize("flip", [False, True])
def test_each_branch_on_an_option_may_call(flip: bool) -> None:
    equations = "if flip:\n    q = inner(-2*g)\nelse:\n    q = inner(g)\ntheta[t] = q"
    parameters, gradients = problem()
    expected = heavy_ball(one_flip(flip))
    spec = define_spec("outer", equations, {"flip": False}, "inner")
    rule = specialise(spec, choose(spec, {"flip": flip}, {}), heavy())
    assert difference(run_rule(rule, NUMBERS, parameters, gradients), expected) < TOLERANCE
    optimizer = compiled(equations, flip=False).optax(flip=flip)
    assert difference(run_optax(optimizer, parameters, gradients), expected) < TOLERANCE


def test_each_branch_on_the_shape_may_call() -> None:
    equations = "if rank >= 2:\n    q = inner(-2*g)\nelse:\n    q = inner(g)\ntheta[t] = q"
    parameters, gradients = problem()
    expected = heavy_ball(lambda t, g: -2 * g if g.ndim >= 2 else g)
    assert difference(run_rule(wrapping(equations), NUMBERS, parameters, gradients), expected) < TOLERANCE
    assert difference(run_optax(compiled(equations).optax(), parameters, gradients), expected) < TOLERANCE


def test_a_call_in_one_branch_on_the_step_keeps_its_state_in_the_other() -> None:
    equations = "if every(3):\n    q = inner(g)\nelse:\n    q = theta[t-1]\ntheta[t] = q"
    parameters, gradients = problem()
    expected = heavy_ball(lambda t, g: g if t % 3 == 0 else None)
    assert difference(run_rule(wrapping(equations), NUMBERS, parameters, gradients), expected) < TOLERANCE
    assert difference(run_optax(compiled(equations).optax(), parameters, gradients), expected) < TOLERANCE


def test_every_equation_has_a_name_of_its_own() -> None:
    """Also where names of the wrapped optimizer, made longer, are those that the compiler would make next."""
    spec = define_spec("many", "if t > 1:\n    g = 2*g\ng_2 = g\ntheta[t] = theta[t-1] - lr*g_2", {"lr": 0.1})
    inner = specialise(spec, default_choice(spec))
    outer = define_spec("outer", "if t > 1:\n    g = 3*g\ntheta[t] = inner(g)", {}, "inner")
    rule = specialise(outer, default_choice(outer), inner)
    names = [equation.name for equation in rule.cases[0].equations]
    assert len(names) == len(set(names))
    parameters, gradients = problem()
    expected = [p.copy() for p in parameters]
    for t, step in enumerate(gradients, start=1):
        expected = [p - 0.1 * g * (6 if t > 1 else 1) for p, g in zip(expected, step, strict=True)]
    found = run_rule(rule, {"lr": 0.1}, parameters, gradients)
    assert difference(found[-1:], [expected]) < TOLERANCE


def test_equations_of_a_wrapped_optimizer_count() -> None:
    long = define_spec("long", "for i in range(k):\n    g = 2*g\ntheta[t] = theta[t-1] - g", {}, counts={"k": 1000})
    inner = specialise(long, default_choice(long))
    equations = "for i in range(k):\n    g = 2*g\ntheta[t] = inner(g)"
    outer = define_spec("outer", equations, {}, "inner", {"k": 999})
    with pytest.raises(SpecError) as caught:
        specialise(outer, default_choice(outer), inner)
    assert str(caught.value) == (
        "<long>:3:12: this rule has more than 2000 equations\n"
        "    3 | theta[t] = theta[t-1] - g\n"
        "      |            ^^^^^^^^^^^^^^ shorten its loops"
    )
    specialise(outer, choose(outer, {"k": 997}, {}), inner)


def test_the_inputs_of_a_wrapped_optimizer_take_its_prefix() -> None:
    text = """
[optimizer]
name = "scaled"
class = "Scaled"
title = "Scaled"
summary = "SGD scaled by an input."
[inputs]
loss = { kind = "step" }
[equations]
rule = "theta[t] = theta[t-1] - loss*g"
"""
    spec = parse_spec(text, "scaled.toml")
    outer = define_spec("outer", "theta[t] = inner(g)", {}, "inner")
    rule = specialise(outer, default_choice(outer), specialise(spec, default_choice(spec)))
    interpreter = Interpreter(rule, {})
    after = interpreter.step(interpreter.init([np.ones(2)]), [np.ones(2)], {"inner_loss": 0.25})
    np.testing.assert_array_equal(after.tensors[0].theta, [0.75, 0.75])


# Branches on shape and step at once.

Condition = Callable[[tuple[int, ...], int], bool]

CONDITIONS: list[tuple[str, Condition]] = [
    ("rank >= 2 and t > 2", lambda s, t: len(s) >= 2 and t > 2),
    ("t > 2 and rank >= 2", lambda s, t: t > 2 and len(s) >= 2),
    ("rank >= 2 or t > 2", lambda s, t: len(s) >= 2 or t > 2),
    ("not (rank < 2 or t <= 2)", lambda s, t: not (len(s) < 2 or t <= 2)),
    ("every(2) and (rank == 1 or not t < 5)", lambda s, t: t % 2 == 0 and (len(s) == 1 or t >= 5)),
    (
        "rank == 1 and every(2) or rank == 3 and t > 4",
        lambda s, t: (len(s) == 1 and t % 2 == 0) or (len(s) == 3 and t > 4),
    ),
    ("on and rank >= 2 and t > 2", lambda s, t: len(s) >= 2 and t > 2),
    ("not on or rank >= 2 and t > 2", lambda s, t: len(s) >= 2 and t > 2),
    ("max(rank, 2) > 2 and t > 1", lambda s, t: len(s) > 2 and t > 1),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_a_branch_on_shape_and_step(condition: str, holds: Condition) -> None:
    equations = f"if {condition}:\n    m[t] = 0.5*m[t-1] + g\n    g = m[t] - 3*g\n"
    equations += "if on:\n    g = 3*g\ntheta[t] = theta[t-1] - lr*g"
    parameters, gradients = problem()
    theta, m = [p.copy() for p in parameters], [np.zeros_like(p) for p in parameters]
    expected: Trajectory = []
    for t, step in enumerate(gradients, start=1):
        for i, g in enumerate(step):
            if holds(g.shape, t):
                m[i] = 0.5 * m[i] + g
                g = m[i] - 3 * g
            theta[i] = theta[i] - 0.1 * 3 * g
        expected.append([x.copy() for x in theta])
    values: dict[str, Any] = {"lr": 0.1, "on": True}
    rule, numbers = rule_of(define_spec("both", equations, values))
    assert difference(run_rule(rule, numbers, parameters, gradients), expected) < TOLERANCE
    assert (
        difference(run_optax(define("both", equations, **values).optax(), parameters, gradients), expected) < TOLERANCE
    )


def test_a_branch_on_shape_and_step_keeps_state_only_where_the_shape_is_met() -> None:
    equations = "if rank >= 2 and t > 2:\n    m[t] = m[t-1] + g\n    g = m[t]\ntheta[t] = theta[t-1] - lr*g"
    rule, _ = rule_of(define_spec("both", equations, {"lr": 0.1}))
    assert [("m" in case.final, [holds for _, holds in case.conditions]) for case in rule.cases] == [
        (True, [True]),
        (False, [False]),
    ]


SHAPE_CONDITIONS: list[tuple[str, Callable[[tuple[int, ...]], bool]]] = [
    ("size % 2 == 0", lambda s: prod(s) % 2 == 0),
    ("(rows + 1)**2 > columns", lambda s: ((s[-2] if len(s) > 1 else 1) + 1) ** 2 > (s[-1] if s else 1)),
    (
        "-size/2 + 3*rank < min(rows, 4) - max(columns, 2)",
        lambda s: -prod(s) / 2 + 3 * len(s) < min(s[-2] if len(s) > 1 else 1, 4) - max(s[-1] if s else 1, 2),
    ),
    ("not rank == 1 and (size >= 20 or size != 24)", lambda s: len(s) != 1 and (prod(s) >= 20 or prod(s) != 24)),
]


@pytest.mark.parametrize(("condition", "holds"), SHAPE_CONDITIONS)
def test_what_a_condition_on_the_shape_may_hold(condition: str, holds: Callable[[tuple[int, ...]], bool]) -> None:
    equations = f"if {condition}:\n    g = 3*g\ntheta[t] = theta[t-1] - lr*g"
    rule, numbers = rule_of(define_spec("shapes", equations, {"lr": 0.1}))
    assert len(rule.cases) == 2
    parameters, gradients = problem(((), (3,), (4, 5), (2, 3, 4), (4,), (1, 9)))
    expected = [p - 0.1 * (3 if holds(p.shape) else 1) * g for p, g in zip(parameters, gradients[0], strict=True)]
    assert difference(run_rule(rule, numbers, parameters, gradients[:1]), [expected]) < TOLERANCE


# Initial values of states that some options do without.


def test_an_initial_value_of_a_state_that_is_not_there() -> None:
    equations = "m[0] = k\nif k:\n    m[t] = m[t-1] + g\n    g = m[t]\ntheta[t] = theta[t-1] - lr*g"
    made = define("starts", equations, lr=0.1, k=None)
    for arguments, expected in [({}, 1 - 0.1 * 2), ({"k": 5.0}, 1 - 0.1 * (5 + 2))]:
        optimizer = made.optax(**arguments)
        with jax.enable_x64(True):
            one = jnp.ones(1)
            updates, _ = optimizer.update(2 * one, optimizer.init(one), one)
        np.testing.assert_allclose(one + updates, [expected], rtol=1e-12)


def test_an_initial_value_is_checked_whether_its_state_is_there_or_not() -> None:
    equations = "m[0] = g\nif k:\n    m[t] = m[t-1] + k*g\n    g = m[t]\ntheta[t] = theta[t-1] - lr*g"
    with pytest.raises(SpecError) as caught:
        rule_of(define_spec("starts", equations, {"lr": 0.1, "k": None}))
    assert caught.value.message == "an initial value is made of hyperparameters and theta[0]"
