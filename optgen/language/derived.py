"""Functions that are written in the language itself: what a call of one stands for."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import islice

from optgen.errors import SpecError
from optgen.language.equations import MAX_NODES, parse_equations
from optgen.language.functions import FUNCTIONS
from optgen.language.source import Source
from optgen.language.syntax import Assign, Call, For, If, Name, Node, Statement, folded, rebuild, walk


def is_derived(function: str) -> bool:
    """Whether a call of a function stands for an expression."""
    return function in FUNCTIONS and bool(FUNCTIONS[function].derived)


def expanded_call(call: Call, source: Source) -> Node:
    """The expression that a call of a derived function stands for; all that is new in it stands where the call does.

    Args:
        call: the call; no other derived function is called in its arguments.
        source: the file it stands in, for messages.

    Raises:
        SpecError: the expression is too large, since a function may need an argument more than once.
    """
    row = FUNCTIONS[call.function]
    arguments = dict(zip(row.parameters, call.arguments, strict=True))

    def placed(node: Node, parts: tuple[Node, ...]) -> Node:
        if isinstance(node, Name):
            return arguments[node.name]
        here = replace(rebuild(node, parts), span=call.span)
        return expanded_call(here, source) if isinstance(here, Call) and is_derived(here.function) else here

    value = folded(_form(row.derived), placed)
    if sum(1 for _ in islice(walk(value), MAX_NODES + 1)) > MAX_NODES:
        message = f"'{call.function}' is too large with this argument, which it needs more than once"
        raise SpecError(message, source.location(call.span), "give the argument a name")
    return value


def expanded(node: Node, source: Source) -> Node:
    """An expression in primitive functions only."""

    def combine(here: Node, parts: tuple[Node, ...]) -> Node:
        here = rebuild(here, parts)
        return expanded_call(here, source) if isinstance(here, Call) and is_derived(here.function) else here

    return folded(node, combine)


def expanded_statements(statements: tuple[Statement, ...], source: Source) -> tuple[Statement, ...]:
    """Statements in primitive functions only."""
    return tuple(_expanded_statement(statement, source) for statement in statements)


def _expanded_statement(statement: Statement, source: Source) -> Statement:
    match statement:
        case Assign(value=value):
            return replace(statement, value=expanded(value, source))
        case If(condition=condition, then=then, otherwise=otherwise):
            return replace(
                statement,
                condition=expanded(condition, source),
                then=expanded_statements(then, source),
                otherwise=expanded_statements(otherwise, source),
            )
        case For(body=body):
            return replace(statement, body=expanded_statements(body, source))


@functools.cache
def _form(text: str) -> Node:
    """The tree of a derived function's value."""
    (statement,) = parse_equations(Source("functions.py", text), f"value = {text}", 1, 0, "")
    assert isinstance(statement, Assign)
    return statement.value
