"""The option `matrix_axes`: which two axes of a tensor are its rows and columns, in the interpreter and the targets."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.compiler.specialise import specialise
from optgen.contract.choice import choose, variant_name
from optgen.contract.kinds import inverse_order, matrix_order
from optgen.language.reader import parse_spec
from optgen.reference.compare import follow_float64
from optgen.reference.interpret import Interpreter
from tests.targets.jax_target import compile_target

SPEC = parse_spec(
    """\
[optimizer]
name = "factored"
class = "Factored"
title = "Factored"
summary = "Second moments per row and column, a first moment and an old gradient per element."

[hyperparameters]
lr = { default = 0.1 }

[options]
matrix_axes = { default = "last", choices = ["last", "largest"], meaning = "rows and columns" }

[equations]
rule = '''
m[0] = theta[0]
m[t] = 0.5*m[t-1] + g_old[t-2]
g_old[t] = g
if rank >= 2 and min(rows, columns) >= 4:
    r[t] = 0.9*r[t-1] + mean(g**2, over=columns)
    c[t] = 0.8*c[t-1] + mean(g**2, over=rows)
    d = m[t]*r[t]/(1 + c[t])
else:
    d = m[t]
theta[t] = theta[t-1] - lr*d
'''
""",
    "factored.toml",
)
VALUES = {"lr": 0.1}
SHAPES = [(), (7,), (4, 5), (5, 3, 4), (4, 3, 5), (2, 6, 3, 4), (4, 4, 4), (2, 3, 2)]


def rule(matrix_axes: str):
    choice = choose(SPEC, {"matrix_axes": matrix_axes}, {})
    return choice, specialise(SPEC, choice)


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((), ()),
        ((3,), (0,)),
        ((9, 2), (1, 0)),
        ((5, 3, 4), (1, 2, 0)),
        ((4, 4, 4), (0, 1, 2)),
        ((6, 2, 5, 3), (1, 3, 2, 0)),
    ],
)
def test_the_largest_axes_go_to_the_end(shape, order):
    assert matrix_order("largest", shape) == order
    assert matrix_order("last", shape) == tuple(range(len(shape)))
    moved = np.zeros(shape).transpose(order)
    assert moved.transpose(inverse_order(order)).shape == shape


def test_largest_is_the_same_rule_on_transposed_tensors():
    random = np.random.default_rng(0)
    start = [random.normal(size=shape) for shape in SHAPES]
    orders = [matrix_order("largest", shape) for shape in SHAPES]
    assert sum(order != tuple(range(len(order))) for order in orders) >= 3
    largest, last = Interpreter(rule("largest")[1], VALUES), Interpreter(rule("last")[1], VALUES)
    a = largest.init(start)
    b = last.init([theta.transpose(order) for theta, order in zip(start, orders, strict=True)])
    for _ in range(4):
        gradients = [random.normal(size=shape) for shape in SHAPES]
        a = largest.step(a, gradients)
        b = last.step(b, [g.transpose(order) for g, order in zip(gradients, orders, strict=True)])
    for x, y, order, shape in zip(a.tensors, b.tensors, orders, SHAPES, strict=True):
        assert x.theta.shape == shape
        np.testing.assert_array_equal(np.transpose(x.theta, order), y.theta)
        np.testing.assert_array_equal(np.transpose(x.history["m"][0], order), y.history["m"][0])


@pytest.mark.parametrize("matrix_axes", ["last", "largest"])
def test_the_jax_target_follows(matrix_axes):
    choice, written = rule(matrix_axes)
    name = variant_name(SPEC, choice)
    compiled, target = compile_target(SPEC, name, choice, VALUES)
    assert compiled == written
    assert follow_float64(written, VALUES, target, SHAPES, steps=5) <= 1e-12
