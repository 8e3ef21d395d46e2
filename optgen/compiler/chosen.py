"""The statements of a spec that one choice of its options leaves, as a reader of that choice would write them."""

from __future__ import annotations

from dataclasses import replace

from optgen.compiler.conditions import combined
from optgen.contract.choice import Choice
from optgen.language.model import Spec
from optgen.language.syntax import (
    Assign,
    Compare,
    For,
    If,
    Indexed,
    Name,
    Node,
    Number,
    Statement,
    Text,
    assignments,
)


def chosen_body(spec: Spec, choice: Choice) -> tuple[Statement, ...]:
    """A spec's statements without the branches that a choice rules out; branches on the shape and the step stay.

    Initial values of states that no branch assigns are left out as well.
    """
    body = _Chooser(spec, choice).block(spec.body)
    states = {assign.target.name for assign in assignments(body) if not _is_initial(assign)}
    return tuple(s for s in body if not (isinstance(s, Assign) and _is_initial(s) and s.target.name not in states))


def _is_initial(assign: Assign) -> bool:
    target = assign.target
    return isinstance(target, Indexed) and isinstance(target.index, Number) and target.index.value == 0


class _Chooser:
    """Decides conditions by one choice."""

    def __init__(self, spec: Spec, choice: Choice) -> None:
        self.options = dict(choice.options)
        self.optional = {h.name for h in spec.hyperparameters if h.optional}
        self.present = choice.present

    def block(self, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        kept: list[Statement] = []
        for statement in statements:
            match statement:
                case If(condition=condition, then=then, otherwise=otherwise):
                    decided = self.decide(condition)
                    if isinstance(decided, bool):
                        kept += self.block(then if decided else otherwise)
                    else:
                        kept.append(
                            replace(
                                statement, condition=decided, then=self.block(then), otherwise=self.block(otherwise)
                            )
                        )
                case For(body=body):
                    kept.append(replace(statement, body=self.block(body)))
                case _:
                    kept.append(statement)
        return tuple(kept)

    def decide(self, node: Node) -> bool | Node:
        match node:
            case Name(name=name) if name in self.options:
                return bool(self.options[name])
            case Name(name=name) if name in self.optional:
                return name in self.present
            case Compare(operator=operator, left=Name(name=name), right=Text(value=word)):
                return (self.options[name] == word) is (operator == "==")
        return combined(node, self.decide)
