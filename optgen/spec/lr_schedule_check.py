"""What must hold of a schedule's equations whatever its options are set to.

A schedule is one number per step: it knows the step and its hyperparameters, and neither parameters, gradients nor
what it was before. Conditions are of two sorts, and no condition is of both: those on options and on optional
hyperparameters are decided when the schedule is made, those on numbers at every step.
"""

from __future__ import annotations

from optgen.errors import SpecError
from optgen.spec.language import FUNCTIONS, LENGTH, REDUCTIONS, RESERVED
from optgen.spec.lr_schedule_model import LrSchedule
from optgen.spec.source import Span
from optgen.spec.syntax import (
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
    children,
    expressions,
    walk,
)
from optgen.suggestions import did_you_mean

#: What the rule assigns.
RESULT = "lr"
#: The names that a schedule's equations know besides those of all equations.
OWN_NAMES = frozenset({RESULT, "pi", LENGTH})

_KEPT = "a schedule keeps nothing from step to step"


def check_schedule(schedule: LrSchedule) -> None:
    """Refuse what no choice of options can make right.

    Raises:
        SpecError: on the first mistake found.
    """
    check = _Check(schedule)
    check.declarations()
    check.targets()
    check.block(schedule.body, frozenset(), frozenset(), under_step=False)
    check.result(check.defined_by(schedule.body, set()))
    check.everything_is_used()


def is_static(node: Node, schedule: LrSchedule) -> bool:
    """Whether a condition asks of options and optional hyperparameters only, so that it is decided ahead."""
    decided = {o.name for o in schedule.options} | {h.name for h in schedule.hyperparameters if h.optional}
    match node:
        case Name(name=name):
            return name in decided
        case Compare(left=Name(name=name), right=Text() | Number()):
            return name in {o.name for o in schedule.options}
        case Unary(operator="not", operand=operand):
            return is_static(operand, schedule)
        case Logical(left=left, right=right):
            return is_static(left, schedule) and is_static(right, schedule)
    return False


class _Check:
    """The checks of one schedule; a class only so that what they all look up is gathered once."""

    def __init__(self, schedule: LrSchedule) -> None:
        self.schedule = schedule
        self.options = {o.name: o for o in schedule.options}
        self.lists = {found.name for found in schedule.lists}
        self.numbers = {h.name for h in schedule.hyperparameters}
        self.optional = {h.name for h in schedule.hyperparameters if h.optional}
        self.assigned = {assign.target.name for assign in assignments(schedule.body)}
        self.known = self.numbers | self.lists | set(self.options) | self.assigned | {"t", "pi"}
        self.seen: set[str] = set()  # names that lines above give a value on every path

    def fail(self, span: Span, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.schedule.source.location(span), hint)

    def declarations(self) -> None:
        source = self.schedule.source
        for name in self.options:
            if name in self.numbers | self.lists:
                raise self.fail(
                    source.find("options", name),
                    f"'{name}' is declared in [hyperparameters] and in [options]",
                    "rename one of them",
                )
        for option in self.schedule.options:
            if option.requires:
                span = source.value("options", option.name, "requires")
                raise self.fail(span, "an option of a schedule requires nothing", "leave it out")
        for h in self.schedule.hyperparameters:
            if h.varies:
                raise self.fail(source.find("hyperparameters", h.name), f"'{h.name}' cannot vary: the schedule does")
        for dialect in self.schedule.dialects:
            if dialect.states:
                raise self.fail(source.find(f"dialect.{dialect.library}", "states"), _KEPT, "leave it out")

    def targets(self) -> None:
        declared = dict.fromkeys(self.numbers | self.lists, "a hyperparameter")
        declared |= dict.fromkeys(self.options, "an option") | dict.fromkeys(RESERVED, "a word of the language")
        declared |= {"t": "the step", "pi": "a number", LENGTH: "a word of the language"}
        for assign in assignments(self.schedule.body):
            target = assign.target
            if isinstance(target, Indexed):
                raise self.fail(target.span, _KEPT, f"write {target.name} = ...")
            if target.name in declared:
                message = f"'{target.name}' is {declared[target.name]} and cannot be assigned"
                raise self.fail(target.span, message, "use another name")

    def result(self, defined: set[str]) -> None:
        if RESULT not in self.assigned:
            table = self.schedule.source.find("equations", "rule")
            raise self.fail(table, f"the rule never assigns '{RESULT}'", f"end with {RESULT} = ...")
        if RESULT not in defined:
            (first, *_) = [a for a in assignments(self.schedule.body) if a.target.name == RESULT]
            raise self.fail(first.target.span, f"'{RESULT}' has a value only under a condition", "give it one before")

    def defined_by(self, block: tuple[Statement, ...], before: set[str]) -> set[str]:
        """The names that have a value after a block, whatever its conditions say; a loop may run no turn."""
        defined = set(before)
        for statement in block:
            match statement:
                case Assign(target=target):
                    defined.add(target.name)
                case If(then=then, otherwise=otherwise):
                    defined |= self.defined_by(then, defined) & self.defined_by(otherwise, defined)
        return defined

    def block(
        self, block: tuple[Statement, ...], loops: frozenset[str], present: frozenset[str], under_step: bool
    ) -> None:
        """Check statements.

        Args:
            block: the statements.
            loops: the variables of the loops around them.
            present: the optional hyperparameters that are there for certain.
            under_step: whether they stand under a condition that is asked at every step.
        """
        given: dict[str, int] = {}
        for statement in block:
            match statement:
                case Assign(target=target, value=value):
                    self.value(value, loops, present)
                    if target.name in loops:
                        raise self.fail(target.span, f"'{target.name}' counts the turns of a loop", "use another name")
                    if target.name in given:
                        raise self.fail(
                            target.span,
                            f"'{target.name}' is given a second value; the first stands on line {given[target.name]}",
                            "only 'if' and 'for' change a value; use another name",
                        )
                    given[target.name] = target.span.line
                    self.seen.add(target.name)
                case If():
                    self.branches(statement, loops, present, under_step)
                case For(variable=variable, span=span):
                    if under_step:
                        raise self.fail(span, "a loop under a condition on numbers", "put the 'if' into the loop")
                    self.loop(statement, loops)
                    before = set(self.seen)
                    self.block(statement.body, loops | {variable}, present, under_step=False)
                    self.seen = before

    def branches(self, statement: If, loops: frozenset[str], present: frozenset[str], under_step: bool) -> None:
        condition = statement.condition
        static = is_static(condition, self.schedule)
        if static and under_step:
            raise self.fail(condition.span, "an option under a condition on numbers", "put it around the other 'if'")
        if static:
            self.static(condition)
        else:
            self.condition(condition, loops, present)
        yes, no = self.there(condition) if static else (frozenset(), frozenset())
        before = set(self.seen)
        self.block(statement.then, loops, present | yes, under_step or not static)
        first, self.seen = self.seen, set(before)
        self.block(statement.otherwise, loops, present | no, under_step or not static)
        self.seen &= first

    def there(self, condition: Node) -> tuple[frozenset[str], frozenset[str]]:
        """The optional hyperparameters that are there if a condition holds, and if it does not."""
        none: frozenset[str] = frozenset()
        match condition:
            case Name(name=name) if name in self.optional:
                return frozenset({name}), none
            case Unary(operator="not", operand=operand):
                yes, no = self.there(operand)
                return no, yes
            case Logical(operator=operator, left=left, right=right):
                (yes, no), (yes_too, no_too) = self.there(left), self.there(right)
                return (yes | yes_too, none) if operator == "and" else (none, no | no_too)
        return none, none

    def static(self, node: Node) -> None:
        match node:
            case Name(name=name, span=span) if name in self.options:
                option = self.options[name]
                if option.choices:
                    hint = f'write {name} == "{option.choices[0]}"'
                    raise self.fail(span, f"option '{name}' is one of {', '.join(option.choices)}", hint)
            case Compare(left=Name(name=name, span=span), right=Text(value=word, span=quoted)):
                choices = self.options[name].choices
                if not choices:
                    raise self.fail(span, f"option '{name}' has no choices", f"write 'if {name}:'")
                if word not in choices:
                    raise self.fail(quoted, f"'{word}' is no choice of '{name}'", f"known: {', '.join(choices)}")
                if node.operator not in ("==", "!="):
                    raise self.fail(node.span, "choices have no order", "compare them with == or !=")
            case Unary() | Logical():
                for child in children(node):
                    self.static(child)

    def loop(self, statement: For, loops: frozenset[str]) -> None:
        if statement.variable in self.known | RESERVED | loops:
            hint = "rename the loop variable"
            raise self.fail(statement.span, f"'{statement.variable}' has another meaning already", hint)
        match statement:
            case For(
                start=Number(value=int()), stop=Call(function="len", arguments=(Name() as over,)), step=Number(value=1)
            ):
                if over.name not in self.lists:
                    raise self.fail(over.span, f"'{over.name}' is no list", self.nearest(over.name, self.lists))
            case _:
                hint = "write 'for i in range(len(milestones)):'"
                raise self.fail(statement.stop.span, "a loop of a schedule runs over a list", hint)

    def condition(self, node: Node, loops: frozenset[str], present: frozenset[str]) -> None:
        match node:
            case Compare(left=left, right=right):
                self.value(left, loops, present)
                self.value(right, loops, present)
            case Logical(left=left, right=right):
                self.condition(left, loops, present)
                self.condition(right, loops, present)
            case Unary(operator="not", operand=operand):
                self.condition(operand, loops, present)
            case Name(name=name, span=span) if name in self.optional or name in self.options:
                raise self.fail(
                    span, f"'{name}' is decided ahead, the rest at every step", "put one 'if' into the other"
                )
            case _:
                raise self.fail(node.span, "this is a number, not a condition", "compare it: x > 0")

    def value(self, node: Node, loops: frozenset[str], present: frozenset[str]) -> None:
        match node:
            case Number():
                return
            case Name():
                self.name(node, loops, present)
            case Indexed():
                self.entry(node, loops)
            case Unary(operator="-") | Binary():
                for child in children(node):
                    self.value(child, loops, present)
            case Call():
                self.call(node, loops, present)
            case Text(span=span):
                raise self.fail(span, "only an option is compared with a quoted word", 'write option == "word"')
            case _:
                raise self.fail(node.span, "this is a condition, not a number", "write where(condition, 1, 0)")

    def call(self, node: Call, loops: frozenset[str], present: frozenset[str]) -> None:
        if node.function == LENGTH:
            (over,) = node.arguments
            if not isinstance(over, Name) or over.name not in self.lists:
                raise self.fail(over.span, f"'{LENGTH}' is asked of no list", f"known: {', '.join(sorted(self.lists))}")
            return
        if node.function == "every":
            raise self.fail(node.span, "'every' counts from 1, the step of a schedule from 0", "write t % n == 0")
        if node.function not in FUNCTIONS or REDUCTIONS.get(node.function) == len(node.arguments):
            raise self.fail(node.span, "a schedule is one number per step: there is nothing to fold")
        for position, argument in enumerate(node.arguments):
            if node.function == "where" and position == 0:
                self.condition(argument, loops, present)
            else:
                self.value(argument, loops, present)

    def name(self, node: Name, loops: frozenset[str], present: frozenset[str]) -> None:
        name, span = node.name, node.span
        if name in loops or name in ("t", "pi") or name in self.seen:
            return
        if name in self.options:
            option = self.options[name]
            if option.choices or isinstance(option.default, bool):
                raise self.fail(span, f"option '{name}' is not a number", "ask for it by 'if'")
            return
        if name in self.lists:
            raise self.fail(span, f"'{name}' is a list", f"write {name}[i] in a loop over it, or {LENGTH}({name})")
        if name in self.optional and name not in present:
            raise self.fail(span, f"'{name}' may be absent here", f"use it under 'if {name}:'")
        if name in self.numbers:
            return
        if name in self.assigned:
            raise self.fail(span, f"'{name}' has no value here, or only under a condition", "give it one before")
        if name in ("theta", "g"):
            raise self.fail(span, "a schedule knows neither parameters nor gradients", "it is a function of t")
        raise self.fail(span, f"unknown name '{name}'", self.nearest(name, self.known | loops))

    def nearest(self, name: str, known: set[str] | frozenset[str]) -> str:
        hint = "declare it in [hyperparameters] or give it a value"
        if name in ("step", "steps", "iteration", "epoch"):
            hint = "the number of steps done is t"
        return did_you_mean(name, sorted(known), hint, 0.7)

    def entry(self, node: Indexed, loops: frozenset[str]) -> None:
        if node.name not in self.lists:
            known = node.name in self.known
            hint = f"write {node.name}" if known else self.nearest(node.name, self.lists)
            message = f"'{node.name}' is no list" if known else f"unknown name '{node.name}'"
            if node.name in self.assigned:
                message = _KEPT
            raise self.fail(node.span, message, hint)
        for part in walk(node.index):
            match part:
                case Name(name=name) if name in loops:
                    pass
                case Number(value=int()) | Binary(operator="+" | "-"):
                    pass
                case _:
                    raise self.fail(part.span, "an index is a whole number", "write the variable of a loop: [i], [i+1]")

    def everything_is_used(self) -> None:
        source = self.schedule.source
        parts = [part for expression in expressions(self.schedule.body) for part in walk(expression)]
        used = {part.name for part in parts if isinstance(part, Name | Indexed)}
        for table, names in (("hyperparameters", self.schedule.order), ("options", tuple(self.options))):
            for name in names:
                if name not in used:
                    message = f"{table[:-1]} '{name}' is never used"
                    raise self.fail(source.find(table, name), message, "use it or remove it")
