"""Expressions in plain Python: numbers known without any tensor's values, computed in float64 where the model is run.

The functions stand in `templates/host.py.jinja`. They give what IEEE arithmetic gives, where Python's own raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy

from optgen.compiler.operations import Negation, Operation
from optgen.targets.code import Variant
from optgen.targets.printer import ExpressionPrinter, without_brackets


class HostPrinter(ExpressionPrinter):
    """Python floats."""

    functions: Mapping[str, str] = {
        "abs": "abs",
        "sign": "_host_sign",
        "exp": "_host_exp",
        "expm1": "_host_expm1",
        "log": "_host_log",
        "sin": "_host_sin",
        "cos": "_host_cos",
        "tanh": "math.tanh",
        "sigmoid": "_host_sigmoid",
        "erf": "math.erf",
        "atan2": "math.atan2",
        "floor": "_host_floor",
        "ceil": "_host_ceil",
        "max": "_host_max",
        "min": "_host_min",
        "mod": "_host_modulo",
        "sqrt": "_host_root",
        "pow": "_host_power",
    }
    logical: Mapping[str, str] = {"and": "and", "or": "or", "not": "not "}

    def literal(self, value: int | float) -> str:
        return repr(float(value))

    def quotient(self, numerator: str, denominator: str) -> str:
        return f"_host_quotient({without_brackets(numerator)}, {without_brackets(denominator)})"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return self.literal(float(expr))

    def _print_Where(self, expr: Operation) -> str:
        condition, first, second = (self.text(argument) for argument in expr.args)
        return f"({first} if {condition} else {second})"


class ShapePrinter(HostPrinter):
    """Conditions on a shape, whose numbers are Python integers of any size."""

    def literal(self, value: int | float) -> str:
        return repr(value)


@dataclass(frozen=True, slots=True)
class CaseFunction:
    """The function that says which case a shape takes: the first of `tests` that holds, else the last case."""

    name: str
    tests: tuple[str, ...]


def case_function(variant: Variant) -> CaseFunction:
    """The choice between a variant's cases; they cover every shape, so the last one needs no test."""
    printer = ShapePrinter()
    tests = []
    for case in variant.cases[:-1]:
        parts = [printer.text(c if holds else Negation(c)) for c, holds in case.program.conditions]
        tests.append(parts[0] if len(parts) == 1 else " and ".join(f"({part})" for part in parts))
    return CaseFunction(f"{variant.name}_case", tuple(tests))
