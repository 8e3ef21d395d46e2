"""The expressions that the compiler works on: sympy trees that never change on their own.

sympy evaluates as it builds: `g - g` becomes 0 and `g/g` becomes 1, which deletes NaN; `g != 0` becomes `True`, which
deletes a guard. Floats are not reals, so every node here is built unevaluated, functions are plain nodes without
rules of their own, and all rewriting is done by the compiler's own list of rewrites.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
from sympy import Expr

from optgen.language.functions import FUNCTIONS, primitives

ONE_HALF = sympy.Rational(1, 2)

#: How high trees grow: parts of higher ones are named, so that whatever goes through a tree may call itself.
MAX_HEIGHT = 40


class Operation(Expr):  # type: ignore[misc]
    """A function or comparison that sympy knows nothing of and so leaves alone."""

    is_commutative = True
    name = ""

    def __new__(cls, *arguments: Expr) -> Operation:
        """Build the node; nothing is evaluated."""
        node: Operation = Expr.__new__(cls, *arguments)
        return node


class OneMinusExponential(Operation):
    """`1 - exp(x)`, accurate where x is small. Made by rewriting only."""

    name = "one_minus_exp"


class Logarithm(Operation):
    name = "log"


class Floor(Operation):
    name = "floor"


class Modulo(Operation):
    """Sign of the divisor, as in Python."""

    name = "mod"


class Where(Operation):
    """The second argument where the first holds, else the third."""

    name = "where"


class Less(Operation):
    name = "<"


class LessEqual(Operation):
    name = "<="


class Greater(Operation):
    name = ">"


class GreaterEqual(Operation):
    name = ">="


class Equal(Operation):
    name = "=="


class NotEqual(Operation):
    name = "!="


class Both(Operation):
    name = "and"


class Either(Operation):
    name = "or"


class Negation(Operation):
    name = "not"


#: Functions that trees hold as something else: a root as a power, `every` as a comparison.
_OTHER_NODES = ("sqrt", "every")
_NAMED_NODES: dict[str, type[Operation]] = {node.name: node for node in (Logarithm, Floor, Where)}
#: Primitive functions of the language that are one node each. `max` and `min` are of two, and NaN if either is.
FUNCTION_NODES: dict[str, type[Operation]] = {
    name: _NAMED_NODES.get(name) or type(name.capitalize(), (Operation,), {"name": name})
    for name in primitives()
    if name not in _OTHER_NODES
}
COMPARISON_NODES: dict[str, type[Operation]] = {
    node.name: node for node in (Less, LessEqual, Greater, GreaterEqual, Equal, NotEqual)
}
#: Nodes whose value is true or false.
CONDITIONS = (*COMPARISON_NODES.values(), Both, Either, Negation)
#: Nodes that jump, so that a last bit of what they are asked of decides.
JUMPS = (*(node for name, node in FUNCTION_NODES.items() if FUNCTIONS[name].jumps), Modulo, *CONDITIONS)


def symbol(name: str) -> sympy.Symbol:
    """A named value; no assumptions, since those make sympy rewrite (a nonnegative moment splits a root)."""
    return sympy.Symbol(name)


def number(value: int | float) -> Expr:
    """A literal; floats keep all 53 bits, so that they print as they were written."""
    return sympy.Integer(value) if isinstance(value, int) else sympy.Float(repr(value), precision=53)


def add(*terms: Expr) -> Expr:
    """A sum, in this order."""
    return terms[0] if len(terms) == 1 else sympy.Add(*terms, evaluate=False)


def multiply(*factors: Expr) -> Expr:
    """A product, in this order."""
    return factors[0] if len(factors) == 1 else sympy.Mul(*factors, evaluate=False)


def power(base: Expr, exponent: Expr) -> Expr:
    """A power."""
    return sympy.Pow(base, exponent, evaluate=False)


def negate(value: Expr) -> Expr:
    """`-value`."""
    return multiply(sympy.S.NegativeOne, value)


def divide(numerator: Expr, denominator: Expr) -> Expr:
    """A quotient."""
    return multiply(numerator, power(denominator, sympy.S.NegativeOne))


def square_root(value: Expr) -> Expr:
    """A square root."""
    return power(value, ONE_HALF)


def rebuild(expression: Expr, arguments: tuple[Expr, ...]) -> Expr:
    """Replace a node's arguments, without evaluating it."""
    if arguments == expression.args:
        return expression
    if isinstance(expression, sympy.Add):
        return add(*arguments)
    if isinstance(expression, sympy.Mul):
        return multiply(*arguments)
    if isinstance(expression, sympy.Pow):
        return power(*arguments)
    if isinstance(expression, Operation):
        return type(expression)(*arguments)
    raise TypeError(f"the compiler has no rule for a {type(expression).__name__} node")


def transform(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Apply a change to every node, innermost first."""
    if not expression.args:
        return change(expression)
    return change(rebuild(expression, tuple(transform(a, change) for a in expression.args)))


def substitute(expression: Expr, values: dict[Any, Expr]) -> Expr:
    """Replace whole subexpressions, outermost first."""
    if expression in values:
        return values[expression]
    if not expression.args:
        return expression
    return rebuild(expression, tuple(substitute(a, values) for a in expression.args))


def height(expression: Expr) -> int:
    """How many nodes lie below one another, the leaves not counted."""
    return 1 + max(map(height, expression.args)) if expression.args else 0


def names_in(expression: Expr) -> set[str]:
    """The names of all symbols in an expression."""
    if isinstance(expression, sympy.Symbol):
        return {str(expression.name)}
    found: set[str] = set()
    for argument in expression.args:
        found |= names_in(argument)
    return found


def terms(expression: Expr) -> list[Expr]:
    """The terms of a sum, through nested and negated sums; the expression itself if it is no sum."""
    if isinstance(expression, sympy.Add):
        return [term for argument in expression.args for term in terms(argument)]
    if isinstance(expression, sympy.Mul) and len(expression.args) == 2:
        first, second = expression.args
        if first == sympy.S.NegativeOne and isinstance(second, sympy.Add):
            return [negate(term) for term in terms(second)]
    return [expression]


def is_reciprocal(expression: Expr) -> bool:
    """`1/x`, as it stands in quotients."""
    return isinstance(expression, sympy.Pow) and expression.exp == sympy.S.NegativeOne


def is_plain_negation(expression: Expr) -> bool:
    """`-x` of a single factor."""
    return isinstance(expression, sympy.Mul) and len(expression.args) == 2 and expression.args[0] == sympy.S.NegativeOne


def taken_from_one(expression: Expr) -> Expr | None:
    """`x` for `1 - x`, else None."""
    if isinstance(expression, sympy.Add) and len(expression.args) == 2 and expression.args[0] == sympy.S.One:
        if is_plain_negation(expression.args[1]):
            return expression.args[1].args[1]
    return None
