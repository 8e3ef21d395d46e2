"""Where arithmetic of Python, jax and IEEE differ: constants at the ends of their range, empty tensors, large sizes."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.language.reader import parse_spec
from optgen.pipeline.optimizer import generate
from optgen.reference.compare import allowed_step, follow_float64, largest_fraction, random_tensors
from optgen.reference.functions import SMALLEST_NORMAL
from optgen.reference.interpret import Interpreter
from optgen.runtime.modules import module_from_text
from tests.targets.jax_target import JaxTarget, compile_target

SHAPES = ((), (0,), (1,), (7,), (5, 3), (3, 0), (0, 4), (2, 3, 4))


def defined(rule, **values):
    """A rule as a spec, with those of the values that it uses."""
    return define_spec("edge", rule, {name: v for name, v in values.items() if re.search(rf"\b{name}\b", rule)})


def follows(rule, shapes=SHAPES, steps=3, **values):
    """How far the jax target of a rule is from the equations, in float64."""
    spec = defined(rule, **values)
    compiled, target = compile_target(spec, "default", default_choice(spec), values)
    return follow_float64(compiled, values, target, shapes, steps)


#: A factor of the gradient, and the value of `k`.
CONSTANTS = [
    # `~False` is -1, which is true.
    ("where(not (k < 0.5), g, 2*g)", 0.9),
    ("where(not (k < 0.5), g, 2*g)", 0.1),
    ("where(not (k < 0.5 and k > 0.2) or not k > 0, g, 2*g)", 0.3),
    ("where(not (t > 1), g, 2*g)", 0.0),
    ("where(not (k < 0.5) and not (t > 2) and g > 0, g, 2*g)", 0.9),
    # Where Python's own functions raise.
    ("k**-2*g", 0.0),
    ("(-k)**-3*g", 0.0),
    ("where(k > 0, sqrt(k), 0.5)*g", -2.0),
    ("sqrt(k)*g", -2.0),
    ("k**0.5*g", -2.0),
    ("exp(k)*g", 1000.0),
    ("where(exp(k) > 1e308, g, 2*g)", 709.781),
    ("k**k*g", 1000.0),
    ("(-k)**(k + 1)*g", 1000.0),
    ("floor(1/k)*g", 0.0),
    ("ceil(-1/k)*g", 0.0),
    ("1/ceil(k)*g", -0.5),
    ("sin(1/k)*g", 0.0),
    ("cos(1/k)*g", 0.0),
    ("5 % k*g", 0.0),
    ("(1/k) % 5*g", 0.0),
    ("log(k)*g", -1.0),
    ("log(k)*g", 0.0),
    ("max(log(k), 1)*g", -1.0),
    ("max(1, log(k))*g", -1.0),
    ("min(1, log(k))*g", -1.0),
    ("sign(log(k))*g", -1.0),
    ("g/(norm(g)*k)", 0.0),
    ("g/k", 0.0),
    ("g*(1/k - 1/k)", 0.0),
    ("1/k/t*g", 0.0),
    # Names that Python, or the generated code, has a meaning for.
    ("max(1, k)*g + abs(k)*g + min(g, 2)", 3.0),
    ("max(1, k)*(max(2, k*t) + abs(k - 4))*g", 3.0),
    # Integers beyond 32 bits.
    ("3000000000*g", 1.0),
    ("g/10000000000 + 2**31*g", 1.0),
    ("1024*1024*4096*g + t*2147483648", 1.0),
    ("(g + 3000000000)/k", 2.0),
]


@pytest.mark.parametrize(("factor", "k"), CONSTANTS)
@pytest.mark.parametrize("wide", [True, False], ids=["float64", "float32"])
def test_constants_are_what_ieee_says(factor, k, wide):
    rule = f"theta[t] = theta[t-1] - lr*({factor})"
    values = {"lr": 0.1, "k": k}
    if wide:
        assert follows(rule, ((), (0,), (5, 3)), **values) <= 1e-12
        return
    with jax.enable_x64(False):
        spec = defined(rule, **values)
        compiled, target = compile_target(spec, "default", default_choice(spec), values)
        target.init(random_tensors(0, [(7,)], np.float32))
        gradients = random_tensors(1, [(7,)], np.float32)
        allowed = allowed_step(compiled, values, target.snapshot(), 0, gradients)
        target.step(gradients)
        assert largest_fraction(allowed, target.snapshot()) <= 1.0


@pytest.mark.parametrize(("factor", "k"), CONSTANTS)
def test_constants_given_as_arrays_are_traced(factor, k):
    spec = defined(f"theta[t] = theta[t-1] - lr*({factor})", lr=0.1, k=k)
    rule, target = compile_target(spec, "default", default_choice(spec), {"lr": jnp.asarray(0.1), "k": jnp.asarray(k)})
    assert follow_float64(rule, {"lr": 0.1, "k": k}, target, ((7,),), 3) <= 1e-12


VARYING = """
[optimizer]
name = "varying"
class = "Varying"
title = "Varying"
summary = "A rule with a number of the step that may be any Python number."

[hyperparameters]
lr = { default = 0.0, symbol = 'lr', domain = "lr >= 0", meaning = "learning rate", varies = true }

[equations]
rule = '''
theta[t] = theta[t-1] - min(1/lr, 5)*g - g/(norm(g)*lr) - where(not (lr > 1), g, 2*g)/lr*0.1
'''
"""


@pytest.mark.parametrize("lr", [0.0, 0.5])
def test_numbers_of_the_step_may_be_python_numbers(lr):
    spec = parse_spec(VARYING, "varying.toml")
    rule, target = compile_target(spec, "default", default_choice(spec), {"lr": lr})
    assert follow_float64(rule, {"lr": lr}, target, ((7,),), 3) <= 1e-12


SHAPE_RULES = [
    "theta[t] = theta[t-1] - lr*where(not (rows > columns), g, 2*g)",
    "theta[t] = theta[t-1] - lr*sqrt(max(1, rows/columns))*g",
    "k[t] = 0.5*k[t-1] + sqrt(max(1, rows/columns)) + log(size)\ntheta[t] = theta[t-1] - lr*k[t]*g",
    "k[t] = 0.5*k[t-1] + (size*size % 7)**-2 + rank/rows\ntheta[t] = theta[t-1] - lr*k[t]*g",
    "k[t] = mean(g) + rms(g)\ntheta[t] = theta[t-1] - lr*k[t]*g",
    "r[t] = mean(g, over=rows)\nc[t] = mean(g, over=columns)\ntheta[t] = theta[t-1] - lr*(r[t] + c[t])*g",
    "r[t] = max(g, over=rows)\nc[t] = min(g, over=columns)\ntheta[t] = theta[t-1] - lr*(r[t] + c[t])*g",
    "V[t] = max(g, over=other_axes)\ntheta[t] = theta[t-1] - lr*g*sum(V[t-1], over=axes)",
    "V[t] = min(g, over=other_axes)\nW[t] = 2*V[t] + V[t-1]\ntheta[t] = theta[t-1] - lr*g*sum(W[t-1], over=axes)",
    "k[t] = max(g) + sum(max(g, over=rows))\ntheta[t] = theta[t-1] - lr*g*min(k[t], 1)",
    # A variable of the loop over axes was once named V_i.
    "V[t] = max(g, over=other_axes)\nV_i = lr*norm(g)\nW[t] = V_i*V[t]\n"
    "theta[t] = theta[t-1] - lr*g*sum(W[t-1], over=axes)",
    "largest = max(sqrt(rows), over=model)\ntheta[t] = theta[t-1] - lr*largest*g",
    "total = sum(size, over=model)\ntheta[t] = theta[t-1] - lr*g/total",
    # Conditions on the shape, with everything that they may hold.
    "if rows/columns > 1:\n    d = g\nelse:\n    d = 2*g\ntheta[t] = theta[t-1] - lr*d",
    "if not (rows > columns) and not rank == 1 or size % 4 == 3:\n    d = g\nelse:\n    d = 2*g\n"
    "theta[t] = theta[t-1] - lr*d",
    "if max(rows, columns)/min(rows, columns) >= 2 or rows**2 - columns*2 < -1:\n    d = g\nelse:\n    d = 2*g\n"
    "theta[t] = theta[t-1] - lr*d",
    # A number of the step in each case, of one name.
    "if rank >= 2:\n    d = (1 - 0.9**t)*g\nelse:\n    d = (1 - 0.5**t)*g\ntheta[t] = theta[t-1] - lr*d",
]


@pytest.mark.parametrize("rule", SHAPE_RULES)
def test_shapes_of_every_kind(rule):
    assert follows(rule, lr=0.1) <= 1e-12


def test_sizes_beyond_32_bits():
    rule = "theta[t] = theta[t-1] - lr*g*size/(rows + columns)*rank/sqrt(size)"
    spec = define_spec("large", rule, {"lr": 0.5})
    module = module_from_text("large", generate(spec).files["jax.py"], "<large>")
    manifest = generate(spec).manifest
    (function,) = [f for f in manifest.variants[0].cases[0].jax if f.level == "tensor"]
    with jax.enable_x64(False):
        given = {"g": jnp.float32(3.0), "lr": 0.5, "scale": -0.5}
        given |= {"size": 2**40, "rank": 2, "rows": 2**20, "columns": 2**20}
        (update,) = jax.jit(
            lambda g: getattr(module, function.name)(*({**given, "g": g}[a] for a in function.arguments))
        )(given["g"])
    assert float(update) == -1.5
    where = define_spec("where", "if size/3 > 2**33:\n    d = g\nelse:\n    d = 0*g\ntheta[t] = theta[t-1] - d", {})
    cases = module_from_text("where", generate(where).files["jax.py"], "<where>")
    assert [cases.default_case(size, 1, 1, size) for size in (2**40, 2**30)] == [0, 1]


#: A factor of the gradient whose rewriting must not leave the range of float32, `a`, and the gradient's size.
RANGES = [
    ("g/a/a", 1e-30, 1e-28),
    ("g/(a*a)", 1e-15, 1e-20),
    ("1e30*g*1e30", 1.0, 1e-35),
    ("1e-30*g*1e-30", 1.0, 1e35),
    ("g/a", 1.2e-38, 1e-10),
    ("a*g*1e20*1e-15", 1e18, 1e-30),
    ("lr*(a*(g/1e-30))", 1e-12, 1e-20),
    ("lr*g/max(abs(g))", 1.0, 3e-36),
    ("lr*(g/max(abs(g)))", 1.0, 2e-38),
    ("lr*(g/max(abs(g)))", 1e3, 3e37),
    ("lr*(g/(abs(g) + 1e-38))*a", 1e3, 3e37),
    ("lr*(g*(1/abs(g)))", 1.0, 2e-38),
    ("max(abs(theta[t-1]))*g/max(abs(g))", 1.0, 2e-38),
    ("g/max(abs(g))*max(abs(theta[t-1]))", 1.0, 5e37),
    ("g/norm(g)/a/a*lr", 1e-10, 1.0),
    ("g*a/(1 - 0.9**t)*a/(1 - a)", 0.01, 1e-30),
    ("lr*(max(abs(theta[t-1]))/max(abs(g)))*g", 1.0, 1e-10),
]


@pytest.mark.parametrize(("factor", "a", "size"), RANGES)
def test_no_rewriting_leaves_the_range_of_float32(factor, a, size):
    values = {"lr": 0.01, "a": a}
    spec = defined(f"theta[t] = {factor}", **values)
    gradient = np.float32(size) * np.array([1.0, -0.75, 0.625], np.float32)
    start = np.array([0.5, 1.0, -0.25], np.float32)
    rule, target = compile_target(spec, "default", default_choice(spec), values)
    interpreter = Interpreter(rule, values)
    model = interpreter.step(interpreter.init([start]), [gradient])
    expected = np.asarray(model.tensors[0].theta)
    assert (np.abs(expected) > SMALLEST_NORMAL).all()
    # Operation by operation: XLA makes 1e60*g of 1e30*g*1e30.
    with jax.enable_x64(False), jax.disable_jit():
        target.init([start])
        target.step([gradient])
        (actual,) = target.snapshot().parameters
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


CORRECTION = """
[optimizer]
name = "corrected"
class = "Corrected"
title = "Corrected"
summary = "A moving average with a correction."

[hyperparameters]
beta = {{ default = 0.0, symbol = 'b', domain = "0 <= beta < 1", meaning = "decay" }}

[equations]
rule = '''
theta[t] = theta[t-1] - g/(1 + (1 - beta**({exponent})))
'''
"""


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("exponent", ["t", "t + 1", "2*t", "t/3", "0.5*(t + 2)", "t - 1", "2 - t", "0*t", "t*(-1)"])
def test_a_correction_with_any_exponent(exponent, beta):
    spec = parse_spec(CORRECTION.format(exponent=exponent), "corrected.toml")
    rule, target = compile_target(spec, "default", default_choice(spec), {"beta": beta})
    assert follow_float64(rule, {"beta": beta}, target, ((7,),), 4) <= 1e-12
    accurate = exponent in ("t", "t + 1", "2*t", "t/3", "0.5*(t + 2)")
    assert ("expm1" in generate(spec).files["jax.py"]) is accurate


def test_constants_operation_by_operation():
    """The same numbers operation by operation: nothing depends on what XLA makes of a constant."""
    for factor, k in CONSTANTS:
        values = {"lr": 0.1, "k": k}
        spec = defined(f"theta[t] = theta[t-1] - lr*({factor})", **values)
        rule, target = compile_target(spec, "default", default_choice(spec), values)
        with jax.disable_jit():
            assert follow_float64(rule, values, JaxTarget(target.variant, values), ((3,),), 2) <= 1e-12, factor
