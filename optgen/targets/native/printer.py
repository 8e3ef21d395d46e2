"""Expressions in C, in the arithmetic of the function they stand in: `number` is float or double there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import sympy
from sympy import Expr

from optgen.compiler.operations import Operation
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.printer import ExpressionPrinter, without_brackets

#: Integer powers up to this one are products; above, the error of as many roundings exceeds that of `pow`.
_LARGEST_PRODUCT = 16

#: Words of C that an equation may use as names.
_WORDS = frozenset(
    (
        "auto break case char const continue default do double else enum extern float for goto if inline int long "
        "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
        "number stored kept asm typeof bool true false nullptr constexpr alignas alignof static_assert thread_local "
        "typeof_unqual complex imaginary noreturn bitand bitor compl xor and_eq or_eq not_eq xor_eq linux unix errno "
        "stdin stdout stderr math_errhandling near far"
    ).split()
)


#: Types, and names that are macros by their letters, of headers and of compilers (`i386`); names that are optgen's own
#: there, and names of the kind that kernels make of others.
_TAKEN = re.compile(
    r"u?int\w*_t|(size|ptrdiff|max_align|wchar)_t|[A-Z][A-Z0-9_]+|I|(PRI|SCN)\w+|i\d86|arm|mips|sparc|vax|sun|hpux|"
    r"(from|to)_b?float(16|32)|\w+_(part|values)|\w+(?<!_over)(?<!_over_other)_axes"
)


def c_name(name: str) -> str:
    """Spell a name of the equations in C: one that means something there gets one more letter."""
    plain = name.rstrip("_")
    return f"{name}_" if plain in _WORDS or _TAKEN.fullmatch(plain) else name


class NativePrinter(ExpressionPrinter):
    """Numbers of C; the functions stand in optgen_number.h."""

    functions: Mapping[str, str] = {
        "abs": "_absolute",
        "sign": "_sign",
        "exp": "_exp",
        "expm1": "_expm1",
        "log": "_log",
        "sin": "_sin",
        "cos": "_cos",
        "tanh": "_tanh",
        "sigmoid": "_sigmoid",
        "erf": "_erf",
        "atan2": "_atan2",
        "floor": "_floor",
        "ceil": "_ceil",
        "max": "_maximum",
        "min": "_minimum",
        "mod": "_modulo",
        "sqrt": "_root",
        "pow": "_power",
    }
    # On truth values, which are 0 or 1: these do not branch.
    logical: Mapping[str, str] = {"and": "&", "or": "|", "not": "!"}

    def literal(self, value: int | float) -> str:
        value = float(value)
        if math.isnan(value):
            return "_NAN"
        if math.isinf(value):
            return "_INFINITY" if value > 0 else "-_INFINITY"
        return f"(number){value!r}"

    def call(self, function: str, *arguments: str) -> str:
        if function not in self.functions:
            raise UnsupportedByTarget(f"a native kernel has no form of the function '{function}'")
        return super().call(function, *arguments)

    def square_root(self, value: Expr) -> str:
        return self.call("sqrt", self.text(value))

    def power(self, base: Expr, exponent: Expr) -> str:
        if isinstance(exponent, sympy.Integer) and 1 <= abs(int(exponent)) <= _LARGEST_PRODUCT:
            product = f"_product({self.text(base)}, {abs(int(exponent))})"
            return product if int(exponent) > 0 else self.quotient(self.literal(1), product)
        return super().power(base, exponent)

    def _print_Symbol(self, expr: sympy.Symbol) -> str:
        return c_name(str(expr.name))

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return self.literal(float(expr))

    def _print_Where(self, expr: Operation) -> str:
        condition, first, second = (self.text(argument) for argument in expr.args)
        return f"({without_brackets(condition)} ? {first} : {second})"
