"""Expressions in functions of arrays: those of jax.numpy, or of the same names elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sympy
from sympy import Expr

from optgen.compiler.operations import CONDITIONS, Negation, Operation, is_reciprocal, multiply, names_in
from optgen.targets.host import HostPrinter
from optgen.targets.printer import ExpressionPrinter, without_brackets

#: Integers of this size and above are spelled as floats: without float64, jax's are of 32 bits.
_LARGE = 2**31


#: Operation → the function of arrays, in the namespace.
ARRAY_FUNCTIONS: Mapping[str, str] = {
    "abs": "abs",
    "sign": "sign",
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "sin": "sin",
    "cos": "cos",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "erf": "erf",
    "atan2": "arctan2",
    "floor": "floor",
    "ceil": "ceil",
    "max": "maximum",
    "min": "minimum",
    "mod": "mod",
    "where": "where",
    "sqrt": "sqrt",
    "pow": "power",
}
#: What jax.numpy lacks, and where jax has it.
_OUTSIDE_JNP: Mapping[str, str] = {"sigmoid": "jax.nn.sigmoid", "erf": "jax.lax.erf"}


def array_functions(namespace: str) -> dict[str, str]:
    """Operation → the function of arrays, as modules call it that find functions under a namespace."""
    functions = {name: f"{namespace}.{function}" for name, function in ARRAY_FUNCTIONS.items()}
    return {**functions, **_OUTSIDE_JNP} if namespace == "jnp" else functions


class ArrayPrinter(ExpressionPrinter):
    """Values that are arrays, and the numbers of a step, which may be traced.

    Args:
        namespace: what the functions of arrays are found under, as `jnp`.
        arrays: the names that stand for arrays at run time, None for all. Parts that hold none of them may be Python
            numbers, on which Python's own arithmetic raises where jax's does not; `ConstantPrinter` spells those.
        tensors: those of them that are arrays for certain, None for all.

    Attributes:
        root: what to call for the square root of an array, empty for the namespace's own.
    """

    def __init__(
        self, namespace: str, arrays: Collection[str] | None = None, tensors: Collection[str] | None = None
    ) -> None:
        super().__init__()
        self.namespace = namespace
        self.tensors = tensors if arrays is None or tensors is None else {*arrays} & {*tensors}
        self.functions = array_functions(namespace)
        self.arrays = arrays
        self.root = ""
        self.constants = ConstantPrinter(namespace)

    def is_array(self, expression: Expr) -> bool:
        """Whether a value is an array for certain."""
        return self.arrays is None or not names_in(expression).isdisjoint(self.arrays)

    def is_tensor(self, expression: Expr) -> bool:
        """Whether a value cannot be a Python number."""
        return self.is_array(expression) and (self.tensors is None or not names_in(expression).isdisjoint(self.tensors))

    def text(self, expression: Expr) -> str:
        is_known = not self.is_array(expression)
        if expression.args and (is_known or not (isinstance(expression, CONDITIONS) or self.is_tensor(expression))):
            return self.constants.text(expression)
        return super().text(expression)

    def literal(self, value: int | float) -> str:
        return repr(value if abs(value) < _LARGE else float(value))

    def _print_Pow(self, expr: sympy.Pow) -> str:
        return self.square(expr.base) if expr.exp == 2 else super()._print_Pow(expr)

    def square_root(self, value: Expr) -> str:
        return f"{self.root}({self.text(value)})" if self.root and self.is_array(value) else super().square_root(value)

    def bracketed(self, expression: Expr, binding: int) -> str:
        is_call = _is_square(expression) and self.is_array(expression)
        return self.text(expression) if is_call else super().bracketed(expression, binding)

    def square(self, base: Expr) -> str:
        """A function, not x*x: of a complex number the square in a rule is that of its absolute value."""
        return f"{self.namespace}.square({self.text(base)})"

    def _print_Mul(self, expr: sympy.Mul) -> str:
        if _is_square(expr):
            return self.square(expr.args[0])
        known = 0
        while not self.is_tensor(expr.args[known]):
            known += 1
        if any(is_reciprocal(factor) for factor in expr.args[:known]) and expr.args[0] != sympy.S.NegativeOne:
            expr = multiply(multiply(*expr.args[:known]), *expr.args[known:])
        return super()._print_Mul(expr)

    def _print_Negation(self, expr: Negation) -> str:
        return f"{self.namespace}.logical_not({self.text(expr.args[0])})"


def _is_square(expression: Expr) -> bool:
    """x*x or x**2."""
    args = expression.args
    return len(args) == 2 and (args[0] == args[1] if expression.is_Mul else expression.is_Pow and args[1] == 2)


class ConstantPrinter(HostPrinter):
    """Values known when the optimizer is built: Python floats, so float64, unless the caller passes arrays.

    Functions go through the generated module's `_constant`, which picks the host's or those of arrays.
    """

    # Of Python's truth values and of arrays.
    logical: Mapping[str, str] = {"and": "&", "or": "|"}

    def __init__(self, namespace: str) -> None:
        super().__init__()
        self.namespace = namespace
        self.traced = array_functions(namespace)

    def call(self, function: str, *arguments: str) -> str:
        if function not in self.functions:
            raise TypeError(f"{type(self).__name__} has no spelling for the function '{function}'")
        return self.choice(self.functions[function], self.traced[function], *arguments)

    def choice(self, host: str, traced: str, *arguments: str) -> str:
        """A call of one of two functions."""
        return f"_constant({', '.join([host, traced, *arguments])})"

    def quotient(self, numerator: str, denominator: str) -> str:
        return self.choice(
            "_host_quotient", f"{self.namespace}.divide", without_brackets(numerator), without_brackets(denominator)
        )

    def _print_Where(self, expr: Operation) -> str:
        return self.choice("_host_where", self.traced["where"], *(self.text(argument) for argument in expr.args))

    def _print_Negation(self, expr: Negation) -> str:
        return self.choice("_host_not", f"{self.namespace}.logical_not", self.text(expr.args[0]))
