"""`define` takes what a script has, and says of a mistake what is wrong with the call or where in the equations."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optgen
from optgen.errors import SpecError
from optgen.spec.definition import define_spec
from optgen.spec.domain import Domain
from optgen.spec.model import Option

SGD = "theta[t] = theta[t-1] - lr*g"


def message_of(equations: str, values: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        define_spec("toy", equations, values, **more)
    return str(caught.value)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.float16(0.5)])
def test_a_numpy_number_is_a_number(number: Any) -> None:
    default = define_spec("toy", SGD, {"lr": number}).hyperparameter("lr").default
    assert (type(default), default) == (float, 0.5)


def test_a_numpy_integer_is_a_number() -> None:
    default = define_spec("toy", SGD, {"lr": np.int64(2)}).hyperparameter("lr").default
    assert (type(default), default) == (int, 2)


def test_a_numpy_bool_is_a_switch_and_a_numpy_integer_a_count() -> None:
    equations = f"if flip:\n    g = -g\nfor i in range(k):\n    g = 2*g\n{SGD}"
    spec = define_spec("toy", equations, {"lr": 0.1, "flip": np.bool_(True)}, counts={"k": np.int64(2)})
    assert spec.own_options == (Option("k", 2, (), ""), Option("flip", True, (), ""))
    assert [type(option.default) for option in spec.own_options] == [int, bool]


@pytest.mark.parametrize("value", ["0.1", np.complex64(1), np.zeros(2), np.str_("a")])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        define_spec("toy", SGD, {"lr": value})
    assert str(caught.value) == f"toy: lr = {value!r} is neither a number, a bool nor None"


@pytest.mark.parametrize("count", [2.0, True, None, "2", np.float64(2)])
def test_what_is_no_count(count: Any) -> None:
    with pytest.raises(TypeError) as caught:
        define_spec("toy", SGD, {"lr": 0.1}, counts={"k": count})
    assert str(caught.value) == f"toy: counts['k'] = {count!r} is no integer"


@pytest.mark.parametrize("count", [-1, 1001])
def test_a_count_out_of_range(count: int) -> None:
    assert message_of(SGD, {"lr": 0.1}, counts={"k": count}) == (
        f"<toy>:1:1: a count lies between 0 and 1000, and 'k' is {count}\n    1 | {SGD}\n      | ^"
    )


def test_a_name_given_twice() -> None:
    with pytest.raises(TypeError) as caught:
        define_spec("toy", SGD, {"lr": 0.1, "k": 1}, counts={"k": 1})
    assert str(caught.value) == "toy: k is given as a default and in counts"


@pytest.mark.parametrize(("values", "counts"), [({"k": 1.0}, {}), ({"k": False}, {}), ({}, {"k": 3})])
def test_an_argument_that_is_not_used(values: dict[str, Any], counts: dict[str, int]) -> None:
    assert message_of(SGD, {"lr": 0.1, **values}, counts=counts) == (
        f"<toy>:1:1: argument 'k' of define is never used\n    1 | {SGD}\n      | ^ use it or remove it"
    )


def test_an_unknown_name() -> None:
    assert message_of("theta[t] = theta[t-1] - lr*momentum*g", {"lr": 0.1}) == (
        "<toy>:1:28: unknown name 'momentum'\n"
        "    1 | theta[t] = theta[t-1] - lr*momentum*g\n"
        "      |                            ^^^^^^^^ write define(..., momentum=...) or give it a value"
    )


def test_a_default_outside_the_domain_that_the_equations_imply() -> None:
    equations = "theta[t] = theta[t-1] - lr*g/(1 - beta**t)"
    assert message_of(equations, {"lr": 0.1, "beta": -0.5}) == (
        "<toy>:1:35: -0.5 is outside the domain of 'beta'\n"
        f"    1 | {equations}\n"
        "      |                                   ^^^^^^^ a power of t needs beta >= 0"
    )
    assert define_spec("toy", equations, {"lr": 0.1, "beta": 0.0}).hyperparameter("beta").domain == Domain(
        "beta >= 0", 0.0
    )


@pytest.mark.parametrize(
    ("equations", "values", "place"),
    [
        ("theta[t] = base(g) - base_lr*g", {"base_lr": 0.1}, "1:1: 'base_lr'"),
        ("if base_on:\n    g = -g\ntheta[t] = base(g)", {"base_on": False}, "1:1: 'base_on'"),
        ("base_v = g\ntheta[t] = base(g) - base_v", {}, "1:1: 'base_v'"),
        ("v = g\nbase_v[t] = base_v[t-1] + v\ntheta[t] = base(g) - base_v[t]", {}, "2:1: 'base_v'"),
        ("for i in range(2):\n    base_a[i] = g\ntheta[t] = base(g) - base_a[0]", {}, "2:5: 'base_a'"),
    ],
)
def test_names_with_the_prefix_of_the_wrapped_optimizer(equations: str, values: dict[str, Any], place: str) -> None:
    message = message_of(equations, values, wraps="base").split("\n")
    assert message[0] == f"<toy>:{place} starts with 'base_', as names of the wrapped optimizer do"
    assert message[2].endswith("^ choose another name")


@pytest.mark.parametrize(
    "equations", ["lr = 0.1\ntheta[t] = base(lr*g)", "lr[t] = lr[t-1] + g\ntheta[t] = base(lr[t])"]
)
def test_the_learning_rate_is_the_wrapped_optimizers(equations: str) -> None:
    message = message_of(equations, {}, wraps="base").split("\n")
    assert message[0] == "<toy>:1:1: 'lr' is the learning rate of the wrapped optimizer"
    assert message[2].endswith("^ choose another name, or declare it as a hyperparameter of both")


def test_without_a_wrapped_optimizer_no_prefix_is_taken() -> None:
    define_spec("toy", "base_v = g\ntheta[t] = theta[t-1] - base_lr*base_v", {"base_lr": 0.1})


def test_a_wrapped_optimizer_by_a_name_that_is_none() -> None:
    assert message_of("theta[t] = base_(g)", {}, wraps="base_") == (
        "<toy>:1:1: 'base_' is not a name here\n"
        "    1 | theta[t] = base_(g)\n"
        "      | ^ names start and end with a letter or digit, without '__'"
    )


@pytest.mark.parametrize(
    ("wrong", "right", "end"),
    [
        ("m += g", "m[t] = m[t-1] + g", "theta[t] = theta[t-1] - lr*m[t]"),
        ("m[t] *= g", "m[t] = m[t-1] * g", "theta[t] = theta[t-1] - lr*m[t]"),
        ("theta -= lr*g", "theta[t] = theta[t-1] - lr*g", ""),
        ("g += theta[t-1]", "g = g + theta[t-1]", SGD),
        ("d = g\nd /= 2", "d = g\nd_2 = d / 2", "theta[t] = theta[t-1] - lr*d_2"),
        ("d = g\nif on:\n    d **= 2", "d = g\nif on:\n    d = d ** 2", "theta[t] = theta[t-1] - lr*d"),
        ("  if on: g -= 2", "  if on: g = g - 2", f"  {SGD}"),
    ],
)
def test_what_is_said_of_an_update_in_place_can_be_written(wrong: str, right: str, end: str) -> None:
    """The equation of the hint, with the value in the place of its dots."""
    values = {"lr": 0.1} | ({"on": True} if "on:" in wrong else {})
    message, _, caret = message_of(f"{wrong}\n{end}", values).split("\n")
    assert message.endswith("an update in place is not part of the equation language")
    hint, value = caret.partition(" write ")[2].partition(": only")[0], wrong.split("= ")[-1]
    assert right.endswith(hint.replace("...", value))
    define_spec("toy", f"{right}\n{end}", values)


@pytest.mark.parametrize("name", ["lambda", "is", "None"])
def test_a_keyword_as_a_name(name: str) -> None:
    for values, counts in (({name: 0.1}, {}), ({}, {name: 2})):
        message = message_of(SGD, {"lr": 0.1, **values}, counts=counts).split("\n")
        assert message[0] == f"<toy>:1:1: '{name}' is a Python keyword"
        assert message[2].endswith("^ choose another name" + (", such as weight_decay" if name == "lambda" else ""))


def test_a_branch_on_what_is_always_there() -> None:
    """With what to do in `define`, which works."""
    equations = "if weight_decay:\n    g = g + weight_decay*theta[t-1]\ntheta[t] = theta[t-1] - lr*g"
    with pytest.raises(SpecError) as caught:
        optgen.define("toy", equations, lr=0.1, weight_decay=0.1)
    assert str(caught.value) == (
        "<toy>:1:4: 'weight_decay' is always there\n"
        "    1 | if weight_decay:\n"
        "      |    ^^^^^^^^^^^^ leave the 'if' out, or declare it as weight_decay=None and give the value "
        "when building"
    )
    made = optgen.define("toy", equations, lr=0.1, weight_decay=None).optax(0.1, weight_decay=0.5)
    updates, _ = made.update({"w": jnp.ones(2)}, made.init({"w": jnp.full(2, 3.0)}), {"w": jnp.full(2, 3.0)})
    np.testing.assert_allclose(updates["w"], -0.1 * (1 + 0.5 * 3.0), rtol=1e-6)
