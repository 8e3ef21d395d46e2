"""Simplification keeps the numbers, and the traps of computer algebra stay shut."""

from __future__ import annotations

import builtins
import keyword
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead
from optgen.compiler.analyse import analyse
from optgen.compiler.operations import number, symbol
from optgen.compiler.passes import schedule
from optgen.compiler.program import Reduce
from optgen.compiler.simplify import EXACT, REWRITES, operations_per_element, simplify
from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.language.functions import GENERATED_WORDS, RESERVED
from optgen.language.reader import read_spec
from optgen.pipeline.optimizer import generate
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.compare import random_inputs, random_tensors, relative_difference, within_float32
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.modules import module_from_text
from optgen.targets.arrays.borrowed import borrowed
from optgen.targets.arrays.emit import emit_jax
from optgen.targets.arrays.printer import ArrayPrinter
from optgen.targets.code import CompiledCase, CompiledOptimizer, Variant
from tests.targets.jax_target import JaxTarget, compile_target, hyperparameters_of

ADAM = read_spec(specs_folder() / "adam.toml", "specs/adam.toml")


def program_of(spec):
    (program,) = analyse(specialise(spec, default_choice(spec)))
    return program


def lines_of(program):
    printer = ArrayPrinter("jnp")
    return [
        f"{d.name} = {d.value.operation} of {printer.text(d.expression)}"
        if isinstance(d.value, Reduce)
        else f"{d.name} = {printer.text(d.expression)}"
        for d in program.definitions
    ]


def run_once(spec, gradient, dtype=np.float32, theta=None, **values):
    """New parameters after one step of a defined rule, by interpreter and by the jax target."""
    hyperparameters = {h.name: values.get(h.name, h.default) for h in spec.own_hyperparameters}
    rule, target = compile_target(spec, "default", default_choice(spec), hyperparameters)
    gradient = np.asarray(gradient, dtype)
    start = np.zeros_like(gradient) if theta is None else np.asarray(theta, dtype)
    target.init([start])
    target.step([gradient])
    from optgen.reference.interpret import Interpreter

    interpreter = Interpreter(rule, hyperparameters)
    model = interpreter.step(interpreter.init([start]), [gradient])
    return np.asarray(model.tensors[0].theta), target.snapshot().parameters[0]


def test_adam_is_simplified_to_this():
    assert lines_of(simplify(program_of(ADAM))) == [
        "one_minus_beta1 = 1 - beta1",
        "m_new = beta1*m + one_minus_beta1*g",
        "one_minus_beta2 = 1 - beta2",
        "v_new = beta2*v + one_minus_beta2*jnp.square(g)",
        "log_beta1 = jnp.log(beta1)",
        "correction_beta1 = -jnp.expm1(t*log_beta1)",
        "scale = -lr/correction_beta1",
        "log_beta2 = jnp.log(beta2)",
        "correction_beta2 = -jnp.expm1(t*log_beta2)",
        "inverse_correction_beta2 = 1/correction_beta2",
        "theta_update = scale*m_new/(jnp.sqrt(inverse_correction_beta2*v_new) + eps)",
    ]


def test_adam_operation_counts():
    before = program_of(ADAM)
    assert (operations_per_element(before), operations_per_element(simplify(before))) == (20, 12)


def test_a_corrected_moment_keeps_one_root():
    # Trap: with a nonnegative moment sympy splits sqrt(v/(1 - b**t)) into two roots.
    program = simplify(program_of(ADAM))
    roots = [node for d in program.definitions for node in sympy.preorder_traversal(d.expression) if is_root(node)]
    assert len(roots) == 1
    assert all(not s.is_nonnegative and not s.is_positive for r in roots for s in r.free_symbols)


def is_root(node):
    return isinstance(node, sympy.Pow) and node.exp == sympy.Rational(1, 2)


def test_no_root_of_a_negative_quotient_appears():
    # Trap: sympy.simplify adds factors like sqrt(-1/(b**t - 1)).
    for line in lines_of(simplify(program_of(ADAM))):
        assert "sqrt(-" not in line


def test_a_moving_average_is_not_factored():
    # Trap: factor() turns b*m + (1 - b)*g into b*(m - g) + g, where an infinite m gives NaN instead of Inf.
    spec = define_spec("average", "m[t] = b*m[t-1] + (1 - b)*g\ntheta[t] = theta[t-1] - lr*m[t]", {"lr": 1.0, "b": 0.5})
    lines = lines_of(simplify(program_of(spec)))
    assert lines == ["one_minus_b = 1 - b", "m_new = b*m + one_minus_b*g", "theta_update = -lr*m_new"]


@settings(derandomize=True, max_examples=300)
# sympy's numbers have no zero below zero, and specs no literal for it.
@given(st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0))
def test_float_literals_round_trip(value):
    # Trap: str(Float) prints 15 digits.
    text = ArrayPrinter("jnp").text(number(value))
    assert np.float64(float(text)).tobytes() == np.float64(value).tobytes()


def test_a_guard_survives():
    # Trap: Python's `g != 0` on symbols compares structure, is True, and the guard vanishes.
    spec = define_spec("guard", "theta[t] = theta[t-1] - lr*where(g != 0, abs(g)/g, 0)", {"lr": 1.0})
    assert lines_of(simplify(program_of(spec))) == ["theta_update = -lr*jnp.where(g != 0, jnp.abs(g)/g, 0)"]
    expected, actual = run_once(spec, [0.0, 2.0, -3.0])
    np.testing.assert_array_equal(actual, [0.0, -1.0, 1.0])
    np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize(
    "expression",
    ["g - g", "0*g", "g/g", "g**0 + g - g", "(g - g)*g", "g*(1/g)", "max(g, g) - g", "where(g > 0, g - g, g - g)"],
)
def test_nothing_deletes_nan_or_infinity(expression):
    spec = define_spec("degenerate", f"theta[t] = theta[t-1] - lr*({expression})", {"lr": 1.0})
    expected, actual = run_once(spec, [np.nan, np.inf, -np.inf, 1.0, 0.0])
    np.testing.assert_array_equal(actual, expected)
    assert np.isnan(actual[1]) or expression == "g**0 + g - g"


def test_eps_stays_outside_the_correction():
    # Merging 1 - b**t into eps would give sqrt(v) + eps*sqrt(1 - b**t): TensorFlow's eps-hat, another rule.
    spec, values = ADAM, {h.name: h.default for h in ADAM.own_hyperparameters} | {"eps": 0.1}
    expected, actual = run_once(spec, [0.01, -0.02], np.float64, lr=1.0, **{"eps": values["eps"]})
    m_hat, v_hat = np.array([0.01, -0.02]), np.array([0.01, 0.02])
    np.testing.assert_allclose(actual, -m_hat / (v_hat + 0.1), rtol=1e-12)
    np.testing.assert_allclose(expected, actual, rtol=1e-12)


def test_the_plain_bias_correction_would_not_do():
    # Without the accurate form, 1 - beta2**t is off by far more than the arithmetic of the rest allows.
    choice, values = default_choice(ADAM), hyperparameters_of(ADAM, default_choice(ADAM))
    rule, target = compile_target(ADAM, "default", choice, values)
    assert within_float32(rule, values, target, steps=3, start=0.0) <= 1.0
    text = generate(ADAM, {"default": choice}).files["jax.py"]
    plain = text.replace("-jnp.expm1(t*log_beta2)", "1 - jnp.float32(beta2)**t")
    assert plain != text
    module = module_from_text("plain", plain, "<plain>")
    plain_target = JaxTarget(JaxVariant("adam", target.variant.info, module), values)
    assert within_float32(rule, values, plain_target, steps=3, start=0.0) > 2.0


def variant_of(spec, choice, programs, wrapped=None):
    """The jax variant of programs that were rewritten by hand."""
    cases = tuple(CompiledCase(p, p, schedule(p)) for p in programs)
    emitted = emit_jax(CompiledOptimizer(spec, (Variant("default", choice, cases, "last"),)))
    info = generate(spec, {"default": choice}, wrapped).manifest.variants[0]
    cases_info = tuple(
        replace(case, result=program.result, jax=calls, borrowed=borrowed(program))
        for case, program, calls in zip(info.cases, programs, emitted.calls["default"], strict=True)
    )
    info = type(info)(
        "default",
        info.options,
        info.present,
        info.hyperparameters,
        info.inputs,
        info.matrix_axes,
        info.case_function,
        cases_info,
    )
    return JaxVariant(spec.name, info, module_from_text("rewritten", emitted.text, "<rewritten>"))


SPECS = {path.stem: read_spec(path) for path in sorted(specs_folder().glob("*.toml"))}

#: What the catalogue's rules have not: names used once, squares of sums, repeated parts, folds, branches on the shape.
CUSTOM = {
    "used_once": """
        unused = norm(g)
        a = beta*g
        b = a - theta[t-1]
        c = b*lr
        theta[t] = theta[t-1] - c/(2 + abs(b))
        """,
    "squares": """
        s[t] = beta*s[t-1] + (g - s[t-1])**2 + (lr*t)**2
        theta[t] = theta[t-1] - lr*(g + theta[t-1])**2*s[t]**2/(1 + norm(g - theta[t-1])**2)
        """,
    "repeated": """
        m[t] = beta*m[t-1] + sqrt(abs(g) + 1)*g
        k[t] = sqrt(abs(beta - t)) + max(sqrt(abs(g) + 1))
        theta[t] = theta[t-1] - lr*m[t]/sqrt(abs(g) + 1) - sqrt(abs(beta - t))*-g + where(g > m[t], g*g, -(g*g))
        """,
    "long": """
        V[t] = max(min(V[t-1], over=axes) + g**2, over=other_axes)
        p[t] = g*beta + g*p[t-2] - sin(g)*cos(g) - exp(-abs(g))*tanh(g) + g % 3 + floor(5*g)/ceil(5*g) + sign(g)*beta**t
        theta[t] = theta[t-1] - lr*(p[t] + max(g, over=rows)*min(g, over=columns) + 0.1*max(beta, t)*abs(p[t-1]))
        """,
    "cases": """
        if rows > columns:
            d = g**2 - lr*t
        else:
            d = g/(beta + t)*sum(g)
        total = sum(abs(d), over=model)
        theta[t] = theta[t-1] - lr*d/(1 + total*total)
        """,
}


@pytest.mark.parametrize("name", [*SPECS, *CUSTOM])
def test_exact_rewrites_change_no_bit(name):
    """Run operation by operation, so that XLA does not rewrite either, before and after each exact rewrite."""
    spec = SPECS[name] if name in SPECS else define_spec(name, CUSTOM[name], {"lr": 0.1, "beta": 0.7})
    compared = 0
    wrapped = wrapped_rule(spec, specs_folder())
    for choice in choices_ahead(spec).values():
        rule = specialise(spec, choice, wrapped)
        values = {h.name: h.default for h in rule.hyperparameters} | hyperparameters_of(spec, choice)
        programs = analyse(rule)
        for rewrite in REWRITES:
            after = tuple(rewrite.apply(program) for program in programs)
            if rewrite.effect == EXACT and after != programs:
                compared += 1
                with jax.disable_jit():
                    before_run = three_steps(variant_of(spec, choice, programs, wrapped), values, rule)
                    after_run = three_steps(variant_of(spec, choice, after, wrapped), values, rule)
                assert jax.tree.structure(before_run) == jax.tree.structure(after_run)
                for a, b in zip(jax.tree.leaves(before_run), jax.tree.leaves(after_run), strict=True):
                    assert bits(a) == bits(b), rewrite.name
            programs = after
    # Some rules are so short that there is nothing to rewrite.
    assert compared or name in ("noisy_sgd", "polyak_sgd", "rprop", "sgd", "sign_sgd")


def bits(array):
    """The bytes of an array; NaN is NaN, whatever its sign and payload."""
    plain = np.asarray(array)
    return np.where(np.isnan(plain), np.array(np.nan, plain.dtype), plain).tobytes()


def three_steps(variant, values, rule):
    """Parameters and states after each of three steps, NaN, Inf and -0 among the gradients."""
    parameters = tuple(jnp.asarray(p) for p in random_tensors(0, [(7,), (2, 3)], np.float32))
    state = variant.init(parameters, values)
    seen = []
    for t in range(1, 4):
        gradients = [jnp.asarray(g) for g in random_tensors(t, [(7,), (2, 3)], np.float32)]
        gradients[0] = gradients[0].at[0].set(jnp.inf).at[1].set(jnp.nan).at[2].set(-0.0)
        inputs = random_inputs(rule, t, [(7,), (2, 3)], np.float32)
        parameters, state = variant.step(gradients, state, parameters, t, values, inputs, form="theta_new")
        seen.append((parameters, state.tensors, state.shared))
    return seen


def test_no_part_has_a_name_that_generated_code_uses():
    rule = (
        "theta[t] = theta[t-1] - lr*max(1, k)*min(2, k)*abs(k - 3)*g*floor(k)*log(k + 1)*(1 - k)*where(k > 1, k, 2*k)"
    )
    spec = define_spec("named", rule, {"lr": 0.1, "k": 2.5})
    names = {d.name for d in simplify(program_of(spec)).definitions}
    assert names & {"max_value", "min_value", "abs_value", "one_minus_k", "chosen"}
    assert not names & {*dir(builtins), *keyword.kwlist, *RESERVED, *GENERATED_WORDS}


#: What chooses between two values, and is no arithmetic.
COMPARISONS = {"Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual", "Both", "Either", "Negation"}


def test_a_step_scalar_is_not_computed_per_element():
    for spec in SPECS.values():
        for choice in choices_ahead(spec).values():
            for program in analyse(specialise(spec, choice, wrapped_rule(spec, specs_folder()))):
                kinds = simplify(program).kinds
                for definition in simplify(program).definitions:
                    for node in sympy.preorder_traversal(definition.expression):
                        names = {str(s) for s in node.free_symbols}
                        if node.args and names and definition.kind.value == "element":
                            per_step = all(kinds[n].is_per_step for n in names)
                            # A comparison that chooses between two values is no arithmetic.
                            chooses = type(node).__name__ in COMPARISONS
                            # A quotient is more accurate than a product with the inverse.
                            chooses = chooses or (node.is_Pow and node.exp == -1 and node.base.is_Symbol)
                            assert not per_step or is_sign(node) or chooses, (spec.name, definition.name, node)


def is_sign(node):
    """`-lr` inside a product is the sign of the product."""
    return isinstance(node, sympy.Mul) and node.args[0] == -1 and len(node.args) == 2


def test_relative_difference_sees_specials():
    a = np.array([1.0, np.nan, np.inf])
    assert relative_difference(a, a.copy()) == 0.0
    assert relative_difference(a, np.array([1.0, np.nan, -np.inf])) == np.inf
    assert relative_difference(a, np.array([np.nan, np.nan, np.inf])) == np.inf
    assert relative_difference(np.zeros(3), np.zeros((3, 1))) == np.inf


def test_symbols_make_no_assumptions():
    assert symbol("v").assumptions0 == {"commutative": True}
