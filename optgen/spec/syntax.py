"""The syntax tree of the equation language: what the parser makes and what every later stage reads.

A node knows where it stands (`span`), so that a mistake found late is still shown in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeVar

from optgen.spec.source import Span


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; an `int` stays exact."""

    value: int | float
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted word, allowed only where a choice option is compared with it."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Name:
    """A name without an index: hyperparameter, option, input, intermediate, or `t`."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Indexed:
    """`m[t]`, `m[t-1]`, `m[0]`, or inside a loop `a[i]`."""

    name: str
    index: Node
    span: Span


@dataclass(frozen=True, slots=True)
class Timed:
    """A value at a step: `lag` 0 is `[t]`, 1 is `[t-1]`; made from `Indexed` once loops are unrolled."""

    name: str
    lag: int
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x` or `not x`."""

    operator: str
    operand: Node
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """`+ - * / ** %`."""

    operator: str
    left: Node
    right: Node
    span: Span


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison; the parser splits `a < b < c` into two."""

    operator: str
    left: Node
    right: Node
    span: Span


@dataclass(frozen=True, slots=True)
class Logical:
    """`and` / `or` of two conditions."""

    operator: str
    left: Node
    right: Node
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """`f(x, y)`; `over` is the keyword of reductions, empty when not given."""

    function: str
    arguments: tuple[Node, ...]
    over: str
    span: Span


Node = Number | Text | Name | Indexed | Timed | Unary | Binary | Compare | Logical | Call


@dataclass(frozen=True, slots=True)
class Assign:
    """`target = value`."""

    target: Name | Indexed
    value: Node
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    """`if condition: then else: otherwise`."""

    condition: Node
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    """`for variable in range(start, stop, step):`, unrolled when the rule is specialised."""

    variable: str
    start: Node
    stop: Node
    step: Node
    body: tuple[Statement, ...]
    span: Span


Statement = Assign | If | For

#: What an expression is folded to.
Folded = TypeVar("Folded")


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below one."""
    match node:
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right) | Compare(left=left, right=right) | Logical(left=left, right=right):
            return (left, right)
        case Call(arguments=arguments):
            return arguments
        case Indexed(index=index):
            return (index,)
        case _:
            return ()


# Sums of many terms are deep trees: what goes through a tree does so without calling itself.


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, depth first."""
    pending = [node]
    while pending:
        here = pending.pop()
        yield here
        pending.extend(reversed(children(here)))


def folded(
    node: Node,
    combine: Callable[[Node, tuple[Folded, ...]], Folded],
    below: Callable[[Node], tuple[Node, ...]] = children,
) -> Folded:
    """Make one value of an expression, from the leaves up and from left to right.

    Args:
        node: the expression.
        combine: makes a node's value from the node and from the values of what is below it.
        below: what that is.
    """
    done: list[Folded] = []
    pending = [(node, False)]
    while pending:
        here, is_ready = pending.pop()
        parts = below(here)
        if is_ready or not parts:
            first = len(done) - len(parts)
            done[first:] = [combine(here, tuple(done[first:]))]
        else:
            pending.append((here, True))
            pending.extend((part, False) for part in reversed(parts))
    return done[0]


def height(node: Node) -> int:
    """How many nodes lie below one another."""
    return folded(node, lambda _, heights: 1 + max(heights, default=0))


def expressions(statements: tuple[Statement, ...]) -> Iterator[Node]:
    """Every expression that statements read, conditions and loop bounds included."""
    for statement in statements:
        match statement:
            case Assign(value=value):
                yield value
            case If(condition=condition, then=then, otherwise=otherwise):
                yield condition
                yield from expressions(then)
                yield from expressions(otherwise)
            case For(start=start, stop=stop, step=step, body=body):
                yield from (start, stop, step)
                yield from expressions(body)


def assignments(statements: tuple[Statement, ...]) -> Iterator[Assign]:
    """Every assignment, in the order written, whatever branch it stands in."""
    for statement in statements:
        match statement:
            case Assign():
                yield statement
            case If(then=then, otherwise=otherwise):
                yield from assignments(then)
                yield from assignments(otherwise)
            case For(body=body):
                yield from assignments(body)


def is_initial(target: Name | Indexed) -> bool:
    """Whether a target is `name[0]`."""
    return isinstance(target, Indexed) and isinstance(target.index, Number) and target.index.value == 0


def as_written(node: Node) -> str:
    """A node as equations write it, on one line; for messages, so brackets may stand where none are needed."""

    def written(part: Node, parts: tuple[str, ...]) -> str:
        pairs = zip(children(part), parts, strict=True)
        bracketed = Logical if isinstance(part, Compare) else Binary | Logical
        inside = [f"({text})" if isinstance(below, bracketed) else text for below, text in pairs]
        match part:
            case Number(value=value):
                return str(value)
            case Text(value=value):
                return f'"{value}"'
            case Name(name=name):
                return name
            case Indexed(name=name):
                return f"{name}[{parts[0]}]"
            case Timed(name=name, lag=lag):
                return f"{name}[t-{lag}]"
            case Unary(operator=operator):
                return f"{operator} {inside[0]}" if operator == "not" else f"{operator}{inside[0]}"
            case Binary(operator=operator) | Compare(operator=operator) | Logical(operator=operator):
                return f"{inside[0]} {operator} {inside[1]}"
            case Call(function=function, over=over):
                return f"{function}({', '.join([*parts, *([f'over={over}'] if over else [])])})"

    return folded(node, written)


def same(a: Node, b: Node) -> bool:
    """Whether two expressions say the same, wherever they stand."""
    return all(x and y and _own(x) == _own(y) for x, y in zip_longest(walk(a), walk(b)))


def _own(node: Node) -> tuple[object, ...]:
    """Content of a node itself, without what is below it."""
    match node:
        case Number(value=value) | Text(value=value):
            return type(node), value
        case Name(name=name) | Indexed(name=name):
            return type(node), name
        case Timed(name=name, lag=lag):
            return Timed, name, lag
        case Call(function=function, arguments=arguments, over=over):
            return Call, function, len(arguments), over
    return type(node), node.operator


def rebuild(node: Node, parts: tuple[Node, ...]) -> Node:
    """A node over others in place of its children."""
    match node:
        case Unary():
            return replace(node, operand=parts[0])
        case Binary() | Compare() | Logical():
            return replace(node, left=parts[0], right=parts[1])
        case Call():
            return replace(node, arguments=parts)
        case Indexed():
            return replace(node, index=parts[0])
    return node


def renamed(node: Node, rename: Callable[[str], str]) -> Node:
    """The same expression under other names; the parameter keeps its own."""

    def combine(here: Node, parts: tuple[Node, ...]) -> Node:
        if isinstance(here, Name) or (isinstance(here, Timed) and here.name != "theta"):
            return replace(here, name=rename(here.name))
        return rebuild(here, parts)

    return folded(node, combine)
