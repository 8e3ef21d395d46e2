"""Expressions in jax.numpy."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.targets.printer import ExpressionPrinter


class JaxPrinter(ExpressionPrinter):
    """Values that are traced: arrays, and the numbers of a step."""

    functions: Mapping[str, str] = {
        "abs": "jnp.abs",
        "sign": "jnp.sign",
        "exp": "jnp.exp",
        "expm1": "jnp.expm1",
        "log": "jnp.log",
        "sin": "jnp.sin",
        "cos": "jnp.cos",
        "tanh": "jnp.tanh",
        "floor": "jnp.floor",
        "ceil": "jnp.ceil",
        "max": "jnp.maximum",
        "min": "jnp.minimum",
        "mod": "jnp.mod",
        "where": "jnp.where",
        "sqrt": "jnp.sqrt",
        "pow": "jnp.power",
    }


class ConstantPrinter(ExpressionPrinter):
    """Values known when the optimizer is built: Python floats, so float64, unless the caller passes arrays.

    Functions go through the generated module's `_constant`, which picks `math` or `jax.numpy`.
    """

    functions: Mapping[str, str] = {
        "abs": "_constant(abs, jnp.abs, ",
        "exp": "_constant(math.exp, jnp.exp, ",
        "log": "_constant(_log, jnp.log, ",
        "sin": "_constant(math.sin, jnp.sin, ",
        "cos": "_constant(math.cos, jnp.cos, ",
        "tanh": "_constant(math.tanh, jnp.tanh, ",
        "floor": "_constant(math.floor, jnp.floor, ",
        "ceil": "_constant(math.ceil, jnp.ceil, ",
        "max": "_constant(max, jnp.maximum, ",
        "min": "_constant(min, jnp.minimum, ",
        "mod": "_constant(_mod, jnp.mod, ",
        "sqrt": "_constant(math.sqrt, jnp.sqrt, ",
        "pow": "_constant(math.pow, jnp.power, ",
        "where": "_constant(_where, jnp.where, ",
        "sign": "_constant(_sign, jnp.sign, ",
    }

    def call(self, function: str, *arguments: str) -> str:
        if function not in self.functions:
            raise TypeError(f"{type(self).__name__} has no spelling for the function '{function}'")
        return f"{self.functions[function]}{', '.join(arguments)})"

    def quotient(self, numerator: str, denominator: str) -> str:
        return f"_constant(_divide, jnp.divide, {numerator}, {denominator})"


class ShapePrinter(ExpressionPrinter):
    """Conditions on a shape: Python integers, known while tracing."""

    functions: Mapping[str, str] = {"max": "max", "min": "min"}
    logical: Mapping[str, str] = {"and": "and", "or": "or", "not": "not "}
