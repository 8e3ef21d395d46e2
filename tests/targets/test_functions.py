"""Every function of the language in every target: rows that are there, accuracy, special values and derivatives."""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from optgen.compiler.analyse import applied
from optgen.compiler.operations import symbol
from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.language.functions import FUNCTIONS, LanguageFunction, primitives
from optgen.language.model import Spec
from optgen.language.syntax import Call, expressions, walk
from optgen.pipeline.optimizer import generate
from optgen.reference.compare import follow_float64, within_float32
from optgen.reference.functions import REFERENCE_FUNCTIONS
from optgen.runtime.modules import module_from_text
from optgen.runtime.numpy.arrays import namespace as numpy_namespace
from optgen.runtime.torch.arrays import namespace as torch_namespace
from optgen.targets.arrays.printer import ARRAY_FUNCTIONS, array_functions
from optgen.targets.host import HostPrinter
from optgen.targets.native.printer import NativePrinter
from optgen.targets.printer import ExpressionPrinter
from optgen.targets.triton.printer import KernelPrinter, StepPrinter
from tests.targets import eager_target, jax_target, native_target
from tests.targets.triton_rules import small_rules

#: The language's primitives that reach a target as functions; `every` is a comparison by then.
REACHING = {*primitives()} - {"every"}
#: Operators that targets spell as functions.
OPERATORS = {"mod", "pow"}
#: A choice is an operator in Python and in C.
NO_CHOICE = REACHING - {"where"}

TABLES: dict[str, tuple[Any, set[str]]] = {
    "jax": (array_functions("jnp"), REACHING | OPERATORS | {"expm1"}),
    "eager": (array_functions("xp"), REACHING | OPERATORS | {"expm1"}),
    "host": (HostPrinter.functions, NO_CHOICE | OPERATORS | {"expm1"}),
    "native": (NativePrinter.functions, NO_CHOICE | OPERATORS | {"expm1"}),
    "triton": (KernelPrinter.functions, REACHING | OPERATORS),
    "numbers in triton": (StepPrinter.functions, REACHING | OPERATORS | {"expm1"}),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_target_has_a_row_for_every_primitive_and_no_other(table: str) -> None:
    rows, expected = TABLES[table]
    assert rows.keys() == expected


def test_the_reference_has_a_row_for_every_primitive_and_no_other() -> None:
    operators = {*"+ - * / ** % neg < <= > >= == != and or not".split()}
    assert REFERENCE_FUNCTIONS.keys() == REACHING | operators


@pytest.mark.parametrize("namespace", [numpy_namespace, torch_namespace])
def test_libraries_have_every_function_of_arrays(namespace: Any) -> None:
    assert {*ARRAY_FUNCTIONS.values()} <= vars(namespace()).keys()


@pytest.mark.parametrize("name", primitives())
def test_the_compiler_makes_a_tree_of_every_primitive(name: str) -> None:
    tree = applied(name, [symbol(parameter) for parameter in FUNCTIONS[name].parameters])
    assert tree.args
    for printer in (HostPrinter(), NativePrinter(), KernelPrinter()):
        assert isinstance(printer, ExpressionPrinter)
        assert printer.text(tree)


def test_the_rule_of_all_functions_has_them_all() -> None:
    body = small_rules()["functions"].body
    called = {part.function for e in expressions(body) for part in walk(e) if isinstance(part, Call)}
    assert called == {name for name, row in FUNCTIONS.items() if row.is_elementwise}


def spec_of(value: str) -> Spec:
    return define_spec("toy", f"theta[t] = {value}", {})


def targets(spec: Spec) -> dict[str, Any]:
    choice = default_choice(spec)
    return {
        "jax": jax_target.compile_target(spec, "default", choice, {})[1],
        "numpy": eager_target.compile_target(spec, "default", choice, {}),
        "torch": eager_target.compile_target(spec, "default", choice, {}, library="torch"),
        "native": native_target.compile_target(spec, "default", choice, {}),
    }


def computed(target: Any, theta: np.ndarray, g: np.ndarray) -> np.ndarray:
    target.init([theta])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.step([g])
    return np.asarray(target.snapshot().parameters[0])


NEW = {"sigmoid": "sigmoid(g)", "erf": "erf(g)", "atan2": "atan2(g, theta[t-1])"}
#: Units of the roundoff by which a target may be off: those of the reference's rows.
UNITS = {"sigmoid": 6, "erf": 6, "atan2": 4}
LIBRARIES = ("jax", "numpy", "torch", "native")


def exact(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The values of a function, in more than the precision of float64 where that is to be had."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            small = np.exp(-np.abs(x))
            return np.where(x < 0, small, 1) / (1 + small)
        return np.arctan2(x, y) if name == "atan2" else np.vectorize(math.erf)(x.astype(np.float64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", NEW)
def test_values_are_off_by_a_few_units(name: str, library: str, dtype: type) -> None:
    random = np.random.default_rng(0)
    sizes = np.repeat([1.0, 4.0, 30.0, 0.01, 1e-5], 4000)
    g, theta = ((random.permutation(sizes) * random.normal(size=sizes.size)).astype(dtype) for _ in range(2))
    actual, expected = computed(targets(spec_of(NEW[name]))[library], theta, g), exact(name, g, theta)
    assert actual.dtype == dtype
    info = np.finfo(dtype)
    # What is subnormal may be taken as zero.
    error = np.maximum(np.abs(actual - expected) - info.tiny, 0) / np.abs(expected)
    assert error.max() <= UNITS[name] * info.eps / 2


def test_a_derived_function_is_computed_by_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row is all it takes: see tests/language/test_functions.py for the text of every target, Triton's too."""
    monkeypatch.setitem(FUNCTIONS, "softsign", LanguageFunction("softsign(x)", derived="x/(1 + abs(x))"))
    m = "m[t] = 0.9*m[t-1] + softsign(g)*softsign(t)\nm[0] = softsign(theta[0])\n"
    spec = define_spec("toy", f"{m}theta[t] = theta[t-1] - lr*m[t]*softsign(lr)*softsign(norm(g))", {"lr": 0.1})
    choice, values = default_choice(spec), {"lr": 0.1}
    rule = specialise(spec, choice)
    for target in (
        jax_target.compile_target(spec, "default", choice, values)[1],
        eager_target.compile_target(spec, "default", choice, values),
        eager_target.compile_target(spec, "default", choice, values, library="torch"),
        native_target.compile_target(spec, "default", choice, values),
    ):
        assert follow_float64(rule, values, target, steps=4) < 1e-12
        assert within_float32(rule, values, target, steps=4) <= 1
    g = np.array([0.5, -3.0, 0.0])
    expected = g / (1 + abs(g))
    assert (computed(targets(spec_of("softsign(g)"))["native"], g, g) == expected).all()


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -3.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1000, -1000, 90, -90])
PAIRS = [pair.ravel() for pair in np.meshgrid(SPECIAL, SPECIAL)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", NEW)
def test_special_values(name: str, library: str, dtype: type) -> None:
    """Infinities, NaN, large numbers, zeros of both signs in all quadrants; zeros keep their sign."""
    g, theta = (part.astype(dtype) for part in PAIRS)
    actual, expected = computed(targets(spec_of(NEW[name]))[library], theta, g), exact(name, g, theta)
    small = 2 * float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(actual, expected.astype(np.float64), rtol=8 * np.finfo(dtype).eps, atol=small)
    is_told = ~np.isnan(expected)
    assert (np.signbit(actual) == np.signbit(expected))[is_told].all()


@pytest.mark.parametrize("name", NEW)
def test_numbers_of_the_step_and_constants(name: str) -> None:
    """On the host, and of ints: t counts in int32 in jax."""
    two = ", 2 - t" if name == "atan2" else ""
    one = ", lr" if name == "atan2" else ""
    spec = define_spec(
        "toy", f"theta[t] = theta[t-1] + {name}(t{two}) + {name}(lr{one}) + {name}(size{one})", {"lr": 2}
    )
    choice, values = default_choice(spec), {"lr": 2.0}
    expected = np.zeros(())
    for t in (1.0, 2.0, 3.0):
        for x, y in ((t, 2 - t), (2.0, 2.0), (4.0, 2.0)):
            expected = expected + exact(name, np.asarray(x), np.asarray(y))
    for target in (
        jax_target.compile_target(spec, "default", choice, values)[1],
        jax_target.compile_target(spec, "default", choice, {"lr": jnp.asarray(2)})[1],
        eager_target.compile_target(spec, "default", choice, values),
        eager_target.compile_target(spec, "default", choice, values, library="torch"),
        native_target.compile_target(spec, "default", choice, values),
    ):
        target.init([np.zeros(4)])
        for _ in range(3):
            target.step([np.zeros(4)])
        np.testing.assert_allclose(target.snapshot().parameters[0], expected, rtol=1e-14)


SLOPES = {
    "sigmoid": lambda x, y: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2,
    "erf": lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-(x**2)),
    "atan2": lambda x, y: y / (x**2 + y**2),
}


@pytest.mark.parametrize("name", NEW)
def test_derivatives(name: str) -> None:
    """At 0 too, where a form by the absolute value would have none, and where exponentials overflow."""
    x, y = np.array([0.0, -0.3, 2.0, -30.0, 800.0, -800.0]), np.array([0.5, -1.0, 2.0, 3.0, 0.1, -5.0])
    files = generate(spec_of(NEW[name])).files
    module = module_from_text("toy", files["jax.py"], "<toy>")
    expected = SLOPES[name](x, y)
    arguments = (lambda g, theta: (theta, g)) if name == "atan2" else (lambda g, theta: (g,))

    def total(g: Any, theta: Any) -> Any:
        return jnp.sum(module.default_tensor(*arguments(g, theta))[0])

    np.testing.assert_allclose(jax.grad(total)(jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-12, atol=1e-300)
    g, theta = torch.tensor(x, requires_grad=True), torch.tensor(y)
    eager = module_from_text("toy", files["eager.py"], "<toy>")
    eager.xp = torch_namespace()
    eager.default_tensor(*arguments(g, theta))[0].sum().backward()
    assert g.grad is not None
    np.testing.assert_allclose(g.grad.numpy(), expected, rtol=1e-12, atol=1e-300)
