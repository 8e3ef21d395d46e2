"""The syntax tree of the equation language: what the parser makes and what every later stage reads.

A node knows where it stands (`span`), so that a mistake found late is still shown in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, depth first."""
    yield node
    for child in children(node):
        yield from walk(child)


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


def same(a: Node, b: Node) -> bool:
    """Whether two expressions say the same, wherever they stand."""
    nowhere = Span(0, 0, 0)

    def plain(node: Node) -> Node:
        return rebuild(replace(node, span=nowhere), plain)

    return plain(a) == plain(b)


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node over changed children."""
    match node:
        case Unary(operand=operand):
            return replace(node, operand=change(operand))
        case Binary(left=left, right=right) | Compare(left=left, right=right) | Logical(left=left, right=right):
            return replace(node, left=change(left), right=change(right))
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(change(argument) for argument in arguments))
    return node


def renamed(node: Node, rename: Callable[[str], str]) -> Node:
    """The same expression under other names; the parameter keeps its own."""
    if isinstance(node, Name):
        return replace(node, name=rename(node.name))
    if isinstance(node, Timed) and node.name != "theta":
        return replace(node, name=rename(node.name))
    return rebuild(node, lambda child: renamed(child, rename))
