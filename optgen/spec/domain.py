"""The values a hyperparameter may take, written the way a paper does: `0 <= beta1 < 1`."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval of the reals; `text` is how it was written. Everything finite when nothing was."""

    text: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    lower_open: bool = False
    upper_open: bool = False

    def contains(self, value: float) -> bool:
        """Whether a value lies inside; NaN never does."""
        above = value > self.lower if self.lower_open else value >= self.lower
        below = value < self.upper if self.upper_open else value <= self.upper
        return above and below and math.isfinite(value)


def parse_domain(text: str, name: str) -> Domain:
    """Read `0 <= beta1 < 1`, `eps >= 0` and the like.

    Raises:
        ValueError: the text is not a chain of comparisons of `name` with numbers.
    """
    problem = ValueError(f"a domain compares '{name}' with numbers, as in '0 <= {name} < 1'")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise problem from None
    if not isinstance(tree, ast.Compare) or len(tree.ops) > 2:
        raise problem
    operands = [tree.left, *tree.comparators]
    if sum(isinstance(operand, ast.Name) and operand.id == name for operand in operands) != 1:
        raise problem
    lower, upper, lower_open, upper_open = -math.inf, math.inf, False, False
    for left, operator, right in zip(operands, tree.ops, operands[1:], strict=False):
        name_is_left = isinstance(left, ast.Name)
        bound = _number(right if name_is_left else left)
        if bound is None or not isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            raise problem
        is_open = isinstance(operator, ast.Lt | ast.Gt)
        if isinstance(operator, ast.Lt | ast.LtE) == name_is_left:
            upper, upper_open = bound, is_open
        else:
            lower, lower_open = bound, is_open
    return Domain(text, lower, upper, lower_open, upper_open)


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _number(operand)
            return None if inner is None else -inner
    return None
