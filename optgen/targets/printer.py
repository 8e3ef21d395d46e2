"""Spelling expressions: what the printers of all targets share.

A printer writes one expression in one language. It raises on a node it has no spelling for; it never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy
from sympy import Expr
from sympy.printing.printer import Printer

from optgen.compiler.operations import CONDITIONS, Both, Either, Negation, Operation, is_reciprocal

#: How tightly an expression binds, loosest first.
_CONDITION, _SUM, _PRODUCT, _ATOM = range(4)


class ExpressionPrinter(Printer):  # type: ignore[misc]
    """Writes expressions with `+ - * /`, calls and comparisons, keeping the order in which they were built.

    A target names its functions in `functions` (node name → callee) and may override any `_print_X`.
    """

    printmethod = "_optgen"
    functions: Mapping[str, str] = {}
    logical: Mapping[str, str] = {"and": "&", "or": "|", "not": "~"}

    def text(self, expression: Expr) -> str:
        """The expression as source text."""
        return str(self.doprint(expression))

    def emptyPrinter(self, expr: Expr) -> str:
        raise TypeError(f"{type(self).__name__} has no spelling for a {type(expr).__name__} node")

    def literal(self, value: int | float) -> str:
        """A number, such that reading it back gives the same float64."""
        return repr(value)

    def call(self, function: str, *arguments: str) -> str:
        """A call of one of the target's functions."""
        if function not in self.functions:
            raise TypeError(f"{type(self).__name__} has no spelling for the function '{function}'")
        return f"{self.functions[function]}({', '.join(arguments)})"

    def square_root(self, value: Expr) -> str:
        """A square root."""
        return self.call("sqrt", self.text(value))

    def quotient(self, numerator: str, denominator: str) -> str:
        """A division; both sides are already bracketed as needed."""
        return f"{numerator}/{denominator}"

    def power(self, base: Expr, exponent: Expr) -> str:
        """A power that is neither root, square nor reciprocal."""
        return self.call("pow", self.text(base), self.text(exponent))

    def bracketed(self, expression: Expr, binding: int) -> str:
        """The expression, in brackets where its surroundings bind as tightly or tighter."""
        text = self.text(expression)
        return f"({text})" if _binding(expression) <= binding else text

    def _print_Symbol(self, expr: sympy.Symbol) -> str:
        return str(expr.name)

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return self.literal(int(expr))

    def _print_Float(self, expr: sympy.Float) -> str:
        return self.literal(float(expr))

    def _print_Add(self, expr: sympy.Add) -> str:
        text = self.bracketed(expr.args[0], _CONDITION)
        for term in expr.args[1:]:
            positive = without_sign(term)
            if positive is None:
                text += f" + {self.bracketed(term, _SUM)}"
            else:
                text += f" - {self.bracketed(positive, _SUM)}"
        return text

    def _print_Mul(self, expr: sympy.Mul) -> str:
        positive = without_sign(expr)
        if positive is not None:
            return f"-{self.bracketed(positive, _SUM)}"
        text = ""
        for position, factor in enumerate(expr.args):
            if position == 0:
                text = self.bracketed(factor, _SUM)
            elif is_reciprocal(factor):
                text = self.quotient(text, self.bracketed(factor.base, _PRODUCT))
            else:
                text = f"{text}*{self.bracketed(factor, _PRODUCT)}"
        return text

    def _print_Pow(self, expr: sympy.Pow) -> str:
        if is_reciprocal(expr):
            return self.quotient(self.literal(1), self.bracketed(expr.base, _PRODUCT))
        if expr.exp == sympy.Rational(1, 2):
            return self.square_root(expr.base)
        if isinstance(expr.exp, sympy.Integer) and 2 <= int(expr.exp) <= 4 and not expr.base.args:
            return "*".join([self.text(expr.base)] * int(expr.exp))
        return self.power(expr.base, expr.exp)

    def _print_Operation(self, expr: Operation) -> str:
        return self.call(expr.name, *(self.text(argument) for argument in expr.args))

    def _print_OneMinusExponential(self, expr: Operation) -> str:
        return f"-{self.call('expm1', self.text(expr.args[0]))}"

    def comparison(self, expr: Operation) -> str:
        """`a < b`."""
        left, right = (self.bracketed(argument, _CONDITION) for argument in expr.args)
        return f"{left} {expr.name} {right}"

    _print_Less = comparison
    _print_LessEqual = comparison
    _print_Greater = comparison
    _print_GreaterEqual = comparison
    _print_Equal = comparison
    _print_NotEqual = comparison

    def _print_Both(self, expr: Both) -> str:
        return f" {self.logical['and']} ".join(self.bracketed(a, _CONDITION) for a in expr.args)

    def _print_Either(self, expr: Either) -> str:
        return f" {self.logical['or']} ".join(self.bracketed(a, _CONDITION) for a in expr.args)

    def _print_Negation(self, expr: Negation) -> str:
        return f"{self.logical['not']}({self.text(expr.args[0])})"


def without_sign(expression: Expr) -> Expr | None:
    """`x` for `-x`, else None."""
    if isinstance(expression, sympy.Mul) and expression.args[0] == sympy.S.NegativeOne:
        rest = expression.args[1:]
        return rest[0] if len(rest) == 1 else sympy.Mul(*rest, evaluate=False)
    return None


def without_brackets(text: str) -> str:
    """`a + b` for `(a + b)`; a text whose brackets do not belong together, `(a)*(b)`, stays."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1]


def _binding(expression: Expr) -> int:
    if isinstance(expression, CONDITIONS):
        return _CONDITION
    if isinstance(expression, sympy.Add):
        return _SUM
    if without_sign(expression) is not None or type(expression).__name__ == "OneMinusExponential":
        return _SUM
    if isinstance(expression, sympy.Number) and expression < 0:
        return _SUM
    if isinstance(expression, sympy.Mul) or is_reciprocal(expression):
        return _PRODUCT
    if isinstance(expression, sympy.Pow) and isinstance(expression.exp, sympy.Integer):
        return _PRODUCT
    return _ATOM
