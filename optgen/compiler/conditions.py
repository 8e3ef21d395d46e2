"""Conditions of an `if`: options are decided when the rule is specialised, shapes per case, steps by `where`."""

from __future__ import annotations

from collections.abc import Callable

from optgen.language.functions import SHAPE_NAMES
from optgen.language.syntax import (
    Binary,
    Call,
    Compare,
    Logical,
    Name,
    Node,
    Number,
    Unary,
    walk,
)


def combined(node: Node, decide: Callable[[Node], bool | Node]) -> bool | Node:
    """A `not`, `and` or `or` of what is decided of its parts, as far as that decides it; any other condition as is."""
    match node:
        case Unary(operator="not", operand=operand):
            inner = decide(operand)
            return not inner if isinstance(inner, bool) else Unary("not", inner, node.span)
        case Logical(operator=operator, left=left, right=right):
            first = decide(left)
            settled = operator == "or"
            if isinstance(first, bool):
                return settled if first is settled else decide(right)
            second = decide(right)
            if isinstance(second, bool):
                return settled if second is settled else first
            return Logical(operator, first, second, node.span)
    return node


def only_shape(node: Node) -> bool:
    """Whether a condition asks of nothing but a tensor's shape, so that Python can decide it for each tensor."""
    match node:
        case Unary(operator="not", operand=operand):
            return only_shape(operand)
        case Logical(left=left, right=right):
            return only_shape(left) and only_shape(right)
        case Compare(left=left, right=right):
            parts = [*walk(left), *walk(right)]
            return all(map(_of_shape, parts)) and any(isinstance(part, Name) for part in parts)
    return False


def _of_shape(part: Node) -> bool:
    match part:
        case Number() | Unary(operator="-") | Binary():
            return True
        case Name(name=name):
            return name in SHAPE_NAMES
        case Call(function="max" | "min", arguments=arguments):
            return len(arguments) > 1
    return False


def compare(operator: str, left: int, right: int) -> bool:
    """A comparison of two integers that are known ahead."""
    return {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "==": left == right,
        "!=": left != right,
    }[operator]
