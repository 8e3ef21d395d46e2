"""Multiplying the single numbers of a product with each other first, once per step rather than for each element.

`lr*(m/(1-b**t))/d` becomes `(lr/(1-b**t))*m/d`, and `v/(1-b**t)` becomes `(1/(1-b**t))*v`, where `1-b**t` may be
anything that is taken from 1: it is 0, or not so small that its reciprocal overflows.

What is not so well known stays in its place, so that nothing overflows or underflows that does not as written. A factor
moves past other such factors of the same value, never past a number of the element, tensor or model. A division stays
one, unless it is by such a correction. Literals beyond `MODERATE`, hyperparameters whose default lies beyond it, and
numbers of the tensor or model are multiplied with nothing that the rule does not multiply them with.

What remains assumed: a number of the step that stands as a factor of its own is 0, or its size lies between 1/MODERATE
and MODERATE, and so does what a correction divides by. At most `MOST_GATHERED` are multiplied, which keeps their
product inside float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy
from sympy import Expr

from optgen.compiler.operations import (
    JUMPS,
    OneMinusExponential,
    is_reciprocal,
    multiply,
    names_in,
    negate,
    rebuild,
    taken_from_one,
)
from optgen.compiler.program import Program, expression_kind

#: How large a factor is taken to be at most, its reciprocal at least, and how many such factors may be multiplied.
MODERATE, MOST_GATHERED = 1e9, 4


def is_moderate_literal(expression: Expr) -> bool:
    """Whether an expression is a number that is neither too large nor too small to be moved."""
    return isinstance(expression, sympy.Number) and 1 / MODERATE <= abs(float(expression)) <= MODERATE


@dataclass(slots=True)
class _Chain:
    """A product in the order of its evaluation: a value, and by what it is multiplied one after the other.

    Attributes:
        start: a number that varies within the tensor.
        factors: each a list of factors of a number for the tensor, or one factor that varies, or a reciprocal.
        sign: 1 or -1.
    """

    start: Expr
    factors: list[list[Expr]]
    sign: int = 1


class Gatherer:
    """Rewrites the products of one program."""

    def __init__(self, program: Program) -> None:
        self.kinds = program.kinds
        self.values = {d.name: d.expression for d in program.definitions if d.kind.is_per_step}
        defaults = {h.name: h.default for h in program.hyperparameters if h.default}
        self.extreme = {name for name, value in defaults.items() if not 1 / MODERATE <= abs(value) <= MODERATE}

    def rewrite(self, expression: Expr) -> Expr:
        """An expression with the factors of its products gathered."""
        return _transform_continuous(expression, self.change)

    def change(self, node: Expr) -> Expr:
        """A product with its factors gathered; any other node as it is."""
        if not isinstance(node, sympy.Mul) or expression_kind(node, self.kinds).is_scalar:
            return node
        return self.written(self.chain(node))

    def chain(self, node: Expr) -> _Chain:
        """Split a product into the factor that is not a single number, and all others in order."""
        if not isinstance(node, sympy.Mul):
            return _Chain(node, [])
        position = next(i for i, a in enumerate(node.args) if not expression_kind(a, self.kinds).is_scalar)
        chain = self.chain(node.args[position])
        sign, scalars = _as_written(node.args[:position])
        chain.sign *= sign
        if scalars:
            self.append(chain, scalars)
        for factor in node.args[position + 1 :]:
            self.append(chain, [factor])
        return chain

    def append(self, chain: _Chain, factors: list[Expr]) -> None:
        """Multiply by one more factor, or one more product of single numbers."""
        last = chain.factors[-1] if chain.factors else []
        if last and all(self.moves(f) for f in (*last, *factors)) and len(last) + len(factors) <= MOST_GATHERED:
            last += factors
        else:
            chain.factors.append(factors)

    def moves(self, factor: Expr) -> bool:
        """Whether a factor may be multiplied with others like it before it is multiplied with a value."""
        if isinstance(factor, sympy.Number):
            return is_moderate_literal(factor)
        if not expression_kind(factor, self.kinds).is_per_step or names_in(factor) & self.extreme:
            return False
        return not is_reciprocal(factor) or self.is_correction(factor.base)

    def is_correction(self, expression: Expr) -> bool:
        """Whether a number of the step is taken from 1."""
        while isinstance(expression, sympy.Symbol):
            value = self.values.get(str(expression.name))
            if value is None:
                return False
            expression = value
        return isinstance(expression, OneMinusExponential) or taken_from_one(expression) is not None

    def written(self, chain: _Chain) -> Expr:
        """A product again."""
        product, sign = [chain.start], chain.sign
        for factors in chain.factors:
            if not all(expression_kind(f, self.kinds).is_scalar for f in factors) or not self.leads(factors):
                product += factors
                continue
            # Numerators first, so that no reciprocal is formed where a quotient does.
            scalar = sorted(factors, key=is_reciprocal) if all(map(self.moves, factors)) else factors
            if sign < 0 and len(scalar) > 1:
                # The scalar is computed once per step anyway; let it carry the sign.
                scalar, sign = [sympy.S.NegativeOne, *scalar], 1
            product = [multiply(*scalar), multiply(*product)]
        return multiply(*product) if sign > 0 else negate(multiply(*product))

    def leads(self, factors: list[Expr]) -> bool:
        """Whether a scalar can be written in front: all but a division that stays one."""
        return len(factors) > 1 or not is_reciprocal(factors[0]) or self.moves(factors[0])


def _as_written(factors: Iterable[Expr]) -> tuple[int, list[Expr]]:
    """Sign and factors of a product, without those of 1; what is nested in the first is evaluated in the same order."""
    sign, found = 1, list[Expr]()
    for factor in factors:
        if factor == sympy.S.NegativeOne:
            sign = -sign
        elif isinstance(factor, sympy.Mul) and not found:
            inner, found = _as_written(factor.args)
            sign *= inner
        elif factor != sympy.S.One:
            found.append(factor)
    return sign, found


def _transform_continuous(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Apply a rounding change to every node, innermost first, but to nothing that a function with jumps is asked of."""
    if not expression.args or isinstance(expression, JUMPS):
        return expression
    parts = tuple(_transform_continuous(argument, change) for argument in expression.args)
    return change(rebuild(expression, parts))
