"""Expressions in Triton's language."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import sympy
from sympy import Expr

from optgen.compiler.operations import Operation
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.printer import ExpressionPrinter, without_brackets

#: Integer powers up to this one are products; above, the error of as many roundings exceeds that of `exp(y*log(x))`.
_LARGEST_PRODUCT = 16


class KernelPrinter(ExpressionPrinter):
    """Blocks of numbers and single numbers inside a kernel, in the kernel's arithmetic.

    Literals are spelled as floats: beside a block they take its type without a detour through float32. As arguments
    of functions they are given that type at once where float32 does not hold them exactly.
    """

    functions: Mapping[str, str] = {
        "abs": "tl.abs",
        "sign": "_sign",
        "exp": "tl.exp",
        "log": "tl.log",
        "sin": "tl.sin",
        "cos": "tl.cos",
        "tanh": "_tanh",
        "sigmoid": "_sigmoid",
        "erf": "tl.erf",
        "atan2": "_atan2",
        "floor": "tl.floor",
        "ceil": "tl.ceil",
        "max": "_maximum",
        "min": "_minimum",
        "mod": "_modulo",
        "where": "tl.where",
        "sqrt": "_root",
        "pow": "_power",
    }

    def literal(self, value: int | float) -> str:
        return repr(float(value))

    def call(self, function: str, *arguments: str) -> str:
        if function not in self.functions:
            raise UnsupportedByTarget(f"a Triton kernel has no form of the function '{function}'")
        return super().call(function, *arguments)

    def argument(self, expression: Expr) -> str:
        """An expression as an argument of a function."""
        if isinstance(expression, sympy.Number) and not _fits_float32(float(expression)):
            return self.typed_literal(float(expression))
        return self.text(expression)

    def typed(self, expression: Expr) -> str:
        """An expression as an argument of a function that asks it for its type."""
        is_literal = isinstance(expression, sympy.Number)
        return self.typed_literal(float(expression)) if is_literal else self.text(expression)

    def typed_literal(self, value: float) -> str:
        """A literal that has the arithmetic's type by itself."""
        return f"tl.full((), {self.literal(value)}, _number)"

    def quotient(self, numerator: str, denominator: str) -> str:
        # Both are bracketed for an infix operator; a call needs no brackets around a whole argument.
        above, below = without_brackets(numerator), without_brackets(denominator)
        if (value := _literal_value(above)) is not None and not _fits_float32(value):
            above = self.typed_literal(value)
        if (value := _literal_value(below)) is not None:
            below = self.typed_literal(value)  # `_quotient` asks it for its type
        return f"_quotient({above}, {below})"

    def square_root(self, value: Expr) -> str:
        return self.call("sqrt", self.argument(value))

    def power(self, base: Expr, exponent: Expr) -> str:
        if isinstance(exponent, sympy.Integer) and 1 <= abs(int(exponent)) <= _LARGEST_PRODUCT:
            product = f"_product({self.argument(base)}, {abs(int(exponent))})"
            return product if int(exponent) > 0 else self.quotient("1.0", product)
        return self.call("pow", self.typed(base), self.typed(exponent))

    def _print_Operation(self, expr: Operation) -> str:
        spelled = self.typed if expr.name == "atan2" else self.argument
        return self.call(expr.name, *(spelled(argument) for argument in expr.args))

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return self.literal(float(expr))

    def _print_Where(self, expr: Operation) -> str:
        condition, first, second = expr.args
        # Two literals have no block beside them to take a type from.
        untyped = isinstance(first, sympy.Number) and isinstance(second, sympy.Number)
        chosen = self.typed_literal(float(first)) if untyped else self.argument(first)
        return self.call("where", self.text(condition), chosen, self.argument(second))


class StepPrinter(KernelPrinter):
    """Numbers of the step inside a kernel, in float64."""

    functions: Mapping[str, str] = {**KernelPrinter.functions, "expm1": "_expm1"}


def _fits_float32(value: float) -> bool:
    return abs(value) < 3e38 and struct.unpack("f", struct.pack("f", value))[0] == value


def _literal_value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
