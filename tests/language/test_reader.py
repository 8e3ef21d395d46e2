"""A spec read is what its file says: every field, every position, every default of every dialect."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optgen.compiler.ahead import MAX_AHEAD, choices_ahead
from optgen.contract.choice import Choice, default_choice, dialect_choice, dialect_defaults
from optgen.contract.declarations import Hyperparameter, Input, Option, Reference, StateEntry
from optgen.contract.dialects import Argument, Dialect
from optgen.contract.domain import Domain, parse_domain
from optgen.errors import SpecError
from optgen.language.equations import parse_equations
from optgen.language.reader import parse_spec, read_spec
from optgen.language.source import Source, Span
from optgen.language.syntax import (
    Assign,
    Binary,
    Call,
    Compare,
    For,
    If,
    Indexed,
    Logical,
    Name,
    Node,
    Number,
    Text,
    Unary,
)

SPECS = Path(__file__).parents[2] / "specs"

TOY = r"""
# A spec with one of everything.
[optimizer]
name = "toy_one"
class = "ToyOne"
title = 'Toy \(1\)'
summary = "A toy."
references = [
    { text = "Nobody, Nothing, 2000", url = "https://example.org" },
    { text = "Somebody" },
]

[hyperparameters]
lr = { default = 1 }
beta1 = { default = 0.9, symbol = 'b', domain = "0 <= beta1 < 1", meaning = "decay" }
weight_decay = { optional = true, meaning = "decay of the parameter" }
eps = { default = 0.0, absent = 0, varies = true }
long_name2 = { default = -2.5e-3 }

[options]
nesterov = { default = true, requires = "weight_decay", meaning = "look ahead" }
mode = { default = "b", choices = ["a", "b"] }
depth = { default = 2 }

[inputs]
loss = { kind = "step", meaning = "the loss" }

[states]
m = { symbol = 'm', meaning = "mean" }
rho = {}

[equations]
  rule = '''
  m[0] = theta[0]

  m[t] = beta1*m[t-1] + -g**2  # a comment
  rho[t] = m[t]*rho[t-1]
  if nesterov and not t > depth:
      g = max(g,
              loss)
  elif mode == "a":
      g = norm(g, over=rows)
  else:
      for i in range(1, depth):
          g = long_name2*g*i
  if weight_decay: g = g + weight_decay*theta[t-1]
  if eps: g = g + eps
  theta[t] = theta[t-1] - lr*g*rho[t]
  '''

[dialect.torch]
name = "Toy"
arguments = { lr = "lr", betas = ["beta1", "eps"], decay = "weight_decay", nesterov = "nesterov", depth = "depth" }
required = ["lr"]
keyword_only = ["nesterov", "depth"]
defaults = { beta1 = 0.5, eps = "none", long_name2 = 3, nesterov = false }
options = { mode = "a" }
states = { m = "buf" }
note = "Different."

[dialect.optax]
name = "toy"
arguments = { learning_rate = "lr" }
defaults = { weight_decay = 0.25 }
"""


def test_what_a_spec_declares() -> None:
    spec = parse_spec(TOY, "toy.toml")
    assert (spec.name, spec.class_name, spec.title, spec.summary) == ("toy_one", "ToyOne", r"Toy \(1\)", "A toy.")
    assert spec.references == (
        Reference("Nobody, Nothing, 2000", "https://example.org"),
        Reference("Somebody", ""),
    )
    assert spec.own_hyperparameters == (
        Hyperparameter("lr", 1, r"\alpha", Domain(), "", optional=False, absent=None, varies=True),
        Hyperparameter("beta1", 0.9, "b", Domain("0 <= beta1 < 1", 0.0, 1.0, False, True), "decay"),
        Hyperparameter("weight_decay", None, r"\mathrm{weight\_decay}", Domain(), "decay of the parameter", True),
        Hyperparameter("eps", 0.0, r"\varepsilon", Domain(), "", optional=True, absent=0, varies=True),
        Hyperparameter("long_name2", -2.5e-3, r"\mathrm{long\_name}_{2}", Domain(), ""),
    )
    assert spec.own_options == (
        Option("nesterov", True, (), "look ahead", "weight_decay"),
        Option("mode", "b", ("a", "b"), "", ""),
        Option("depth", 2, (), "", ""),
    )
    assert spec.inputs == (Input("loss", "step", "the loss"),)
    assert spec.states == (StateEntry("m", "m", "mean"), StateEntry("rho", r"\rho", ""))
    assert spec.wraps == ""
    assert spec.source == Source("toy.toml", TOY)
    assert spec.equations.split("\n")[0] == "  m[0] = theta[0]"


#: What precedes every rule, absent by default.
CLIPPING = {"grad_clip_norm": None, "grad_clip_value": None}


def test_dialects() -> None:
    spec = parse_spec(TOY, "toy.toml")
    assert [dialect.library for dialect in spec.dialects] == ["torch", "optax"]
    in_torch, in_optax = spec.dialects
    assert in_torch == Dialect(
        library="torch",
        name="Toy",
        arguments=(
            Argument("lr", ("lr",), (1,), required=True),
            Argument("betas", ("beta1", "eps"), (0.5, None), packed=True),
            Argument("decay", ("weight_decay",), (None,)),
            Argument("nesterov", ("nesterov",), (False,), keyword_only=True),
            Argument("depth", ("depth",), (2,), keyword_only=True),
        ),
        options={"mode": "a"},
        hyperparameters={"long_name2": 3},
        states={"m": "buf"},
        note="Different.",
    )
    assert [argument.default for argument in in_torch.arguments] == [1, (0.5, None), None, False, 2]
    assert in_optax == Dialect(
        "optax", "toy", (Argument("learning_rate", ("lr",), (1,)),), hyperparameters={"weight_decay": 0.25}
    )
    assert dialect_defaults(spec, in_torch) == (
        {"nesterov": False, "mode": "a", "depth": 2, "maximize": False},
        {"lr": 1, "beta1": 0.5, "weight_decay": None, "eps": None, "long_name2": 3} | CLIPPING,
    )
    assert dialect_defaults(spec, in_optax) == (
        {"nesterov": True, "mode": "b", "depth": 2, "maximize": False},
        {"lr": 1, "beta1": 0.9, "weight_decay": 0.25, "eps": 0.0, "long_name2": -2.5e-3} | CLIPPING,
    )


def test_choices() -> None:
    """What requires an absent hyperparameter counts as switched off."""
    spec = parse_spec(TOY, "toy.toml")
    in_torch, in_optax = spec.dialects

    def choice(mode: str, nesterov: bool, *present: str) -> Choice:
        return Choice((("depth", 2), ("maximize", False), ("mode", mode), ("nesterov", nesterov)), present)

    assert default_choice(spec) == choice("b", False)
    assert dialect_choice(spec, in_torch) == choice("a", False)
    assert dialect_choice(spec, in_optax) == choice("b", True, "weight_decay")


def at(line: int, column: int, width: int) -> Span:
    """Where a node stands."""
    return Span(line, column, width)


def test_the_syntax_tree_and_its_positions() -> None:
    lines = TOY.split("\n")
    body = parse_spec(TOY, "toy.toml").body
    start = lines.index("  m[0] = theta[0]") + 1
    assert body[0] == Assign(
        Indexed("m", Number(0, at(start, 5, 1)), at(start, 3, 4)),
        Indexed("theta", Number(0, at(start, 16, 1)), at(start, 10, 8)),
        at(start, 3, 15),
    )
    line = start + 2
    assert body[1] == Assign(
        Indexed("m", Name("t", at(line, 5, 1)), at(line, 3, 4)),
        Binary(
            "+",
            Binary(
                "*",
                Name("beta1", at(line, 10, 5)),
                Indexed(
                    "m",
                    Binary("-", Name("t", at(line, 18, 1)), Number(1, at(line, 20, 1)), at(line, 18, 3)),
                    at(line, 16, 6),
                ),
                at(line, 10, 12),
            ),
            Unary(
                "-",
                Binary("**", Name("g", at(line, 26, 1)), Number(2, at(line, 29, 1)), at(line, 26, 4)),
                at(line, 25, 5),
            ),
            at(line, 10, 20),
        ),
        at(line, 3, 27),
    )
    line = start + 4
    choice = body[3]
    assert isinstance(choice, If)
    assert choice.condition == Logical(
        "and",
        Name("nesterov", at(line, 6, 8)),
        Unary(
            "not",
            Compare(">", Name("t", at(line, 23, 1)), Name("depth", at(line, 27, 5)), at(line, 23, 9)),
            at(line, 19, 13),
        ),
        at(line, 6, 26),
    )
    # A call over two lines is shown by the first.
    assert choice.then == (
        Assign(
            Name("g", at(line + 1, 7, 1)),
            Call("max", (Name("g", at(line + 1, 15, 1)), Name("loss", at(line + 2, 15, 4))), "", at(line + 1, 11, 6)),
            at(line + 1, 7, 10),
        ),
    )
    (other,) = choice.otherwise
    assert isinstance(other, If)
    assert other.condition == Compare(
        "==", Name("mode", at(line + 3, 8, 4)), Text("a", at(line + 3, 16, 3)), at(line + 3, 8, 11)
    )
    assert other.then == (
        Assign(
            Name("g", at(line + 4, 7, 1)),
            Call("norm", (Name("g", at(line + 4, 16, 1)),), "rows", at(line + 4, 11, 18)),
            at(line + 4, 7, 22),
        ),
    )
    (loop,) = other.otherwise
    assert isinstance(loop, For)
    assert (loop.variable, loop.span) == ("i", at(line + 6, 11, 1))
    assert (loop.start, loop.stop, loop.step) == (
        Number(1, at(line + 6, 22, 1)),
        Name("depth", at(line + 6, 25, 5)),
        Number(1, at(line + 6, 16, 15)),
    )
    assert [type(statement) for statement in body] == [Assign, Assign, Assign, If, If, If, Assign]


@pytest.mark.parametrize(
    ("keys", "line", "text"),
    [
        (("optimizer",), 3, "optimizer"),
        (("optimizer", "references"), 8, "references"),
        (("optimizer", "references", 1, "text"), 10, "text"),
        (("hyperparameters", "beta1"), 15, "beta1"),
        (("hyperparameters", "beta1", "domain"), 15, "domain"),
        (("hyperparameters", "beta1", "nothing"), 15, "beta1"),
        (("hyperparameters", "nothing"), 13, "hyperparameters"),
        (("dialect.torch",), 51, "dialect.torch"),
        (("dialect.torch", "arguments", "betas"), 53, "betas"),
        (("nothing",), 1, ""),
    ],
)
def test_where_keys_stand(keys: tuple[str, ...], line: int, text: str) -> None:
    source = Source("toy.toml", TOY)
    span = source.find(*keys)
    assert (span.line, source.line(span.line)[span.column - 1 :][: span.width]) == (line, text)


@pytest.mark.parametrize(
    ("keys", "line", "text"),
    [
        (("optimizer", "title"), 6, r"'Toy \(1\)'"),
        (("optimizer", "references", 0, "url"), 9, '"https://example.org"'),
        (("hyperparameters", "beta1", "domain"), 15, '"0 <= beta1 < 1"'),
        (("hyperparameters", "long_name2", "default"), 18, "-2.5e-3"),
        (("options", "mode", "choices"), 22, '["a", "b"]'),
        (("options", "mode", "choices", 1), 22, '"b"'),
        (("states", "rho"), 30, "{}"),
        (("equations", "rule"), 33, "'''"),
        (("dialect.torch", "arguments", "betas", 1), 53, '"eps"'),
        (("options", "mode", "meaning"), 22, "mode"),
    ],
)
def test_where_values_stand(keys: tuple[str, ...], line: int, text: str) -> None:
    source = Source("toy.toml", TOY)
    span = source.value(*keys)
    assert (span.line, source.line(span.line)[span.column - 1 :][: span.width]) == (line, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x >= 0", Domain("x >= 0", 0.0, None, False, False)),
        ("x > 0", Domain("x > 0", 0.0, None, True, False)),
        ("x <= 1", Domain("x <= 1", None, 1.0, False, False)),
        ("x < 1e3", Domain("x < 1e3", None, 1000.0, False, True)),
        ("0 <= x", Domain("0 <= x", 0.0, None, False, False)),
        ("1 > x", Domain("1 > x", None, 1.0, False, True)),
        ("0 <= x < 1", Domain("0 <= x < 1", 0.0, 1.0, False, True)),
        ("-1 < x <= .5", Domain("-1 < x <= .5", -1.0, 0.5, True, False)),
        ("1 >= x > -2.5", Domain("1 >= x > -2.5", -2.5, 1.0, True, False)),
        ("2 <= x <= 2", Domain("2 <= x <= 2", 2.0, 2.0, False, False)),
        ("0<=x<1", Domain("0<=x<1", 0.0, 1.0, False, True)),
    ],
)
def test_a_domain(text: str, expected: Domain) -> None:
    assert parse_domain(text, "x") == expected


FORM = ("a domain compares 'x' with numbers", 'write "0 <= x < 1" or "x >= 0"')
EMPTY = ("no number lies in this domain", "write the lower bound first")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            (text, FORM)
            for text in ("", "x", "0", "0 < 1", "x > y", "xx > 0", "x == 0", "x != 0", "0 < x > 0", "x > 1e999")
        ],
        *[
            (text, FORM)
            for text in ("x > 0 > 1", "x > 0 < 1", "0 < x and x < 1", "x >= 0x10", "x >= inf", "x > 1_0", "x > ²")
        ],
        *[(text, EMPTY) for text in ("1 < x < 0", "1 < x <= 1", "0 <= x < 0", "0 > x > 1")],
    ],
)
def test_no_domain(text: str, expected: tuple[str, str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole of its arguments is compared
        parse_domain(text, "x")
    assert caught.value.args == expected


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Domain("0 <= x < 1", 0.0, 1.0, False, True), [0, 0.0, -0.0, 0.5], [1, 1.0, -1e-300, 2]),
        (Domain("x > 0", 0.0, None, True, False), [5e-324, 1e308], [0.0, -1.0]),
        (Domain(), [0.0, -1e308, 10**20], []),
    ],
)
def test_what_lies_in_a_domain(domain: Domain, inside: list[float], outside: list[float]) -> None:
    assert [domain.contains(value) for value in inside] == [True] * len(inside)
    never = [float("nan"), float("inf"), -float("inf"), 10**400]
    assert [domain.contains(value) for value in [*outside, *never]] == [False] * (len(outside) + 4)


def test_adam() -> None:
    spec = read_spec(SPECS / "adam.toml", "specs/adam.toml")
    assert spec.hyperparameter("beta2") == Hyperparameter(
        "beta2", 0.999, r"\beta_2", Domain("0 <= beta2 < 1", 0.0, 1.0, False, True), "decay of the second moment"
    )
    assert [h.name for h in spec.own_hyperparameters if h.optional] == ["eps_root", "weight_decay"]
    assert [h.name for h in spec.hyperparameters if h.varies] == ["lr"]
    # The spec's own defaults, then what libraries choose, then single switches.
    ahead = list(choices_ahead(spec))
    assert ahead[:2] == ["default", "amsgrad"]
    assert {"eps_root", "weight_decay"} < {*ahead}
    assert len(ahead) == MAX_AHEAD
    assert choices_ahead(spec)["weight_decay"].present == ("weight_decay",)
    assert choices_ahead(spec)["weight_decay"].options == choices_ahead(spec)["default"].options
    assert choices_ahead(spec)["amsgrad"].option("amsgrad") is True


def test_a_requirement_is_met_with_what_requires_it() -> None:
    """The spec's default, the dialects' two, then single switches until there are enough."""
    assert list(choices_ahead(parse_spec(TOY, "toy.toml"))) == [
        "default",
        "mode_a",
        "nesterov__weight_decay",
        "eps",
        "weight_decay",
    ]


def test_a_domain_that_a_power_of_the_step_implies() -> None:
    """Without a bound of its own, a hyperparameter raised to a power of the step is not negative."""
    spec = parse_spec(TOY.replace("= -2.5e-3", "= 2.5e-3").replace("long_name2*g*i", "long_name2**t*g*i"), "toy.toml")
    assert spec.hyperparameter("long_name2").domain == Domain("long_name2 >= 0", 0.0, None, False, False)
    assert spec.hyperparameter("beta1").domain == Domain("0 <= beta1 < 1", 0.0, 1.0, False, True)


# Python's own parser is the reference for precedence; it reads the same text and is compared node by node.
OPERATORS = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "Pow": "**", "Mod": "%"}
COMPARISONS = {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}


def ours(node: Node) -> object:
    """A tree without positions."""
    match node:
        case Number(value=value):
            return value
        case Name(name=name):
            return name
        case Indexed(name=name, index=index):
            return (name, "[]", ours(index))
        case Unary(operator=operator, operand=operand):
            return (operator, ours(operand))
        case Binary(operator=operator, left=left, right=right) | Compare(operator=operator, left=left, right=right):
            return (ours(left), operator, ours(right))
        case Logical(operator=operator, left=left, right=right):
            return (ours(left), operator, ours(right))
        case Call(function=function, arguments=arguments, over=over):
            return (function, *map(ours, arguments), over)
    raise TypeError(node)


def pythons(node: ast.expr) -> object:
    """The same of Python's tree."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return name
        case ast.Subscript(value=ast.Name(id=name), slice=index):
            return (name, "[]", pythons(index))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return pythons(operand)
        case ast.UnaryOp(op=operator, operand=operand):
            return ("-" if isinstance(operator, ast.USub) else "not", pythons(operand))
        case ast.BinOp(left=left, op=operator, right=right):
            return (pythons(left), OPERATORS[type(operator).__name__], pythons(right))
        case ast.BoolOp(op=operator, values=[first, *others]):
            joined = pythons(first)
            for other in others:
                joined = (joined, "and" if isinstance(operator, ast.And) else "or", pythons(other))
            return joined
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return (pythons(left), COMPARISONS[type(operator).__name__], pythons(right))
        case ast.Compare(left=left, ops=[one, two], comparators=[middle, right]):
            return (
                (pythons(left), COMPARISONS[type(one).__name__], pythons(middle)),
                "and",
                (pythons(middle), COMPARISONS[type(two).__name__], pythons(right)),
            )
        case ast.Call(func=ast.Name(id=function), args=arguments):
            return (function, *map(pythons, arguments), "")
    raise TypeError(node)


EXPRESSIONS = st.recursive(
    st.sampled_from(["g", "lr", "2", "0.5", "1e-8", "m[t-1]", "theta[t - 2]"]),
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from([" + ", "-", "*", " / ", "**", "%", " < ", " == ", " and ", " or "]), inner
        ).map("".join),
        st.tuples(st.sampled_from(["-", "+", "- -"]), inner).map("".join),
        inner.map("({})".format),
        inner.map("(not {})".format),
        inner.map("sqrt({})".format),
        st.tuples(inner, inner).map("max({0[0]},\n  {0[1]})".format),
    ),
    max_leaves=12,
)


@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(EXPRESSIONS)
def test_precedence_is_pythons(text: str) -> None:
    tree = ast.parse(f"({text})", mode="eval").body
    chains = [len(node.ops) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    source = Source("toy", f"d = {text}")
    if max(chains, default=0) > 2:
        with pytest.raises(SpecError, match="a chain of more than two comparisons"):
            parse_equations(source, source.text, 1, 0, "")
        return
    (equation,) = parse_equations(source, source.text, 1, 0, "")
    assert isinstance(equation, Assign)
    assert ours(equation.value) == pythons(tree)
