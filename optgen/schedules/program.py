"""Learning-rate schedule → program: conditions on numbers become choices between values, equations sympy trees.

What is decided when a schedule is made (its options, which optional hyperparameters are there, how long its lists are)
stays a branch or a loop of the program: those run in Python, outside anything that is traced.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from sympy import Expr

from optgen.compiler.analyse import applied, arithmetic
from optgen.compiler.operations import (
    COMPARISON_NODES,
    Both,
    Either,
    Negation,
    Where,
    names_in,
    negate,
    number,
    substitute,
    symbol,
)
from optgen.language.derived import expanded_statements
from optgen.language.syntax import (
    Assign,
    Binary,
    Call,
    Compare,
    For,
    If,
    Indexed,
    Logical,
    Name,
    Node,
    Number,
    Statement,
    Text,
    Unary,
    assignments,
    expressions,
    walk,
)
from optgen.schedules.check import RESULT, is_static
from optgen.schedules.model import LrSchedule


@dataclass(frozen=True, slots=True)
class Let:
    """`name = value`; a name may be given a new value later."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Branch:
    """Decided when the schedule is made: `test` asks of options and of optional hyperparameters."""

    test: Node
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """Over the entries of a list, `variable` counting them from `start`."""

    variable: str
    start: int
    over: str
    body: tuple[Step, ...]


Step = Let | Branch | Loop


@dataclass(frozen=True, slots=True)
class LrScheduleProgram:
    """A schedule as targets emit it; after the last step, `lr` is its value."""

    schedule: LrSchedule
    steps: tuple[Step, ...]


def schedule_program(schedule: LrSchedule) -> LrScheduleProgram:
    """The program of a schedule whose equations were checked."""
    body = expanded_statements(schedule.body, schedule.source)
    return LrScheduleProgram(schedule, _Builder(replace(schedule, body=body)).block(body, set()))


def expression(node: Node) -> Expr:
    """The sympy tree of a value or of a condition on values."""
    match node:
        case Number(value=value):
            return number(value)
        case Name(name=name):
            return symbol(name)
        case Indexed(name=name, index=index):
            return symbol(f"{name}[{_index(index)}]")
        case Unary(operator="-", operand=operand):
            return negate(expression(operand))
        case Unary(operand=operand):
            return Negation(expression(operand))
        case Binary(operator=operator, left=left, right=right):
            return arithmetic(operator, expression(left), expression(right))
        case Compare(operator=operator, left=left, right=right):
            return COMPARISON_NODES[operator](expression(left), expression(right))
        case Logical(operator=operator, left=left, right=right):
            return (Both if operator == "and" else Either)(expression(left), expression(right))
        case Call(function="len", arguments=(Name(name=name),)):
            return symbol(f"len({name})")
        case Call(function=function, arguments=arguments):
            return applied(function, [expression(argument) for argument in arguments])
    raise TypeError(f"no expression for {type(node).__name__}")


def static_test(node: Node, optional: frozenset[str]) -> str:
    """A condition that is decided ahead, in Python."""
    match node:
        case Name(name=name):
            return f"{name} is not None" if name in optional else name
        case Compare(operator=operator, left=Name(name=name), right=Text(value=word)):
            return f'{name} {operator} "{word}"'
        case Compare(operator=operator, left=Name(name=name), right=Number(value=value)):
            return f"{name} {operator} {value}"
        case Unary(operator="not", operand=Name(name=name)) if name in optional:
            return f"{name} is None"
        case Unary(operator="not", operand=operand):
            return f"not ({static_test(operand, optional)})"
        case Logical(operator=operator, left=left, right=right):
            return f"({static_test(left, optional)}) {operator} ({static_test(right, optional)})"
    raise TypeError(f"{type(node).__name__} is not decided ahead")


def _index(node: Node) -> str:
    match node:
        case Number(value=value):
            return str(value)
        case Name(name=name):
            return name
        case Binary(operator=operator, left=left, right=right):
            return f"{_index(left)} {operator} {_index(right)}"
    raise TypeError(f"{type(node).__name__} in an index")


def _reads(statements: tuple[Statement, ...]) -> Counter[str]:
    """How often each name is read."""
    return Counter(part.name for e in expressions(statements) for part in walk(e) if isinstance(part, Name))


class _Builder:
    """Turns statements into steps; knows the names that are taken, so that new ones differ."""

    def __init__(self, schedule: LrSchedule) -> None:
        self.schedule = schedule
        self.taken = {*schedule.order, *(o.name for o in schedule.options), "t", "pi"}
        self.taken |= {assign.target.name for assign in assignments(schedule.body)}
        self.local: set[str] = set()  # names that branches keep to themselves, and that are used as they are
        self.reads = _reads(schedule.body)

    def block(self, statements: tuple[Statement, ...], given: set[str]) -> tuple[Step, ...]:
        """The steps of statements; `given` are the names that have a value already, and grows."""
        steps: list[Step] = []
        for statement in statements:
            match statement:
                case Assign(target=target, value=value):
                    steps.append(Let(target.name, expression(value)))
                    given.add(target.name)
                case If(condition=condition, then=then, otherwise=otherwise) if is_static(condition, self.schedule):
                    first, second = set(given), set(given)
                    steps.append(Branch(condition, self.block(then, first), self.block(otherwise, second)))
                    given |= first & second
                case If():
                    values = self.choice(statement, {}, given, steps)
                    steps += self.assigned_together(values)
                    given |= set(values)
                case For(
                    variable=variable, start=Number(value=int() as start), stop=Call(arguments=(Name(name=over),))
                ):
                    steps.append(Loop(variable, start, over, self.block(statement.body, set(given))))
                case _:
                    raise TypeError(f"no step for {type(statement).__name__}")
        return tuple(steps)

    def assigned_together(self, values: dict[str, Expr]) -> list[Step]:
        """Names that change at once: none may be changed before the others' new values are known."""
        read = {name for value in values.values() for name in names_in(value)}
        if len(values) == 1 or read.isdisjoint(values):
            return [Let(name, value) for name, value in values.items()]
        fresh = {name: self.fresh(name) for name in values}
        kept = [Let(fresh[name], value) for name, value in values.items()]
        return [*kept, *(Let(name, symbol(fresh[name])) for name in values)]

    def choice(self, statement: If, renamed: dict[str, Expr], given: set[str], steps: list[Step]) -> dict[str, Expr]:
        """The values that names have after a condition on numbers; what only one branch names is computed ahead.

        Args:
            statement: the condition and its branches.
            renamed: what names stand for in here.
            given: the names that have a value before.
            steps: where what is computed ahead is added.
        """
        condition = substitute(expression(statement.condition), {symbol(n): e for n, e in renamed.items()})
        first = self.branch(statement.then, renamed, given, steps)
        second = self.branch(statement.otherwise, renamed, given, steps)
        read = self.read_outside(statement)
        merged = [n for n in {**first, **second} if n in given or (n in first and n in second and n in read)]
        before = {name: renamed.get(name, symbol(name)) for name in merged}
        return {n: Where(condition, first.get(n, before[n]), second.get(n, before[n])) for n in merged}

    def read_outside(self, statement: If) -> set[str]:
        """The names that are read elsewhere, the schedule's value among them."""
        inside = _reads((statement,))
        return {name for name, count in self.reads.items() if count > inside[name]} | {RESULT}

    def branch(
        self, statements: tuple[Statement, ...], renamed: dict[str, Expr], given: set[str], steps: list[Step]
    ) -> dict[str, Expr]:
        """The values that one branch gives to names."""
        inside = dict(renamed)
        values: dict[str, Expr] = {}
        here = set(given)
        for position, statement in enumerate(statements):
            match statement:
                case Assign(target=target, value=value):
                    new = {target.name: substitute(expression(value), {symbol(n): e for n, e in inside.items()})}
                case If():
                    new = self.choice(statement, inside, here, steps)
                case _:
                    raise TypeError(f"no value for {type(statement).__name__}")
            for name, tree in new.items():
                if tree.args and position + 1 < len(statements):
                    # It may be read below more than once.
                    fresh = self.fresh(name) if name in given | self.local else name
                    self.local.add(name)
                    steps.append(Let(fresh, tree))
                    tree = symbol(fresh)
                values[name] = inside[name] = tree
                here.add(name)
        return values

    def fresh(self, name: str) -> str:
        """A name like another, that nothing else has."""
        count = 2
        while f"{name}_{count}" in self.taken:
            count += 1
        self.taken.add(f"{name}_{count}")
        return f"{name}_{count}"
