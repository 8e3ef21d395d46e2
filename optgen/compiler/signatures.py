"""Telling whether equations of several cases have the same value, however these are reached."""

from __future__ import annotations

from collections.abc import Hashable

from optgen.compiler.cases import place_of
from optgen.compiler.rule import Case
from optgen.language.syntax import (
    Binary,
    Call,
    Compare,
    Logical,
    Name,
    Node,
    Number,
    Timed,
    Unary,
    children,
    folded,
)


class Signatures:
    """Numbers for values: those of two equations are equal if both compute the same from the same.

    States, hyperparameters, inputs and the like are told apart by their names, reductions over the model by where they
    are written: they are of all tensors, whatever case each of them takes.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def of(self, case: Case) -> dict[str, int]:
        """The number of every equation of a case, by name."""
        values: dict[str, int] = {}

        def number(node: Node, parts: tuple[int, ...]) -> int:
            match node:
                case Number(value=value):
                    return self._number(("number", value, isinstance(value, int)))
                case Name(name=name):
                    return values[name] if name in values else self._number(("name", name))
                case Timed(name=name, lag=lag):
                    return self._number(("timed", name, lag))
                case Call(over="model"):
                    return self._number(("model", place_of(node, equation)))
                case Call(function=function, over=over):
                    return self._number((function, over, *parts))
                case Unary() | Binary() | Compare() | Logical():
                    return self._number((node.operator, *parts))
            raise TypeError(f"no signature for {type(node).__name__}")

        for equation in case.equations:
            values[equation.name] = folded(equation.value, number, _below)
        return values

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def _below(node: Node) -> tuple[Node, ...]:
    return () if isinstance(node, Call) and node.over == "model" else children(node)
