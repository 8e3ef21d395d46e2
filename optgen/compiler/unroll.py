"""Running through a spec's statements once, for one choice of options, and writing its equations down."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.compiler.choice import Choice
from optgen.compiler.conditions import combined, compare, only_shape
from optgen.compiler.hints import Hints
from optgen.compiler.rule import Case, Equation, Rule
from optgen.errors import SpecError
from optgen.spec.language import REDUCTIONS, SHAPE_NAMES
from optgen.spec.model import Spec
from optgen.spec.source import Source, Span
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
    Timed,
    Unary,
    assignments,
    children,
    folded,
    is_initial,
    rebuild,
    renamed,
    same,
    walk,
)

MAX_EQUATIONS = 2000
MAX_TURNS = 2000
MAX_HISTORY = 1000


class UndecidedShape(Exception):
    """A branch depends on a tensor's shape, and nothing is assumed of it yet."""

    def __init__(self, condition: Node) -> None:
        self.condition = condition


class Unroller:
    """Runs through the statements of one case, in order, and writes the equations down."""

    def __init__(
        self, spec: Spec, choice: Choice, wrapped: Rule | None, assumed: tuple[tuple[Node, bool], ...]
    ) -> None:
        self.spec = spec
        self.source = spec.source  # of the statements that are being read
        self.choice = choice
        self.wrapped = wrapped
        self.assumed = assumed
        self.options = dict(choice.options)
        self.optional = {h.name for h in spec.hyperparameters if h.optional}
        self.declared = {h.name for h in spec.hyperparameters} | {i.name for i in spec.inputs}
        targets = list(assignments(spec.body))
        self.states = {a.target.name for a in targets if _is_state(a.target)}
        # Names that equations may not take: declared ones, and those of the states' older values.
        self.taken = self.declared | self.states | set(self.options) | {"t", "g", "theta"}
        self.plain = {a.target.name for a in targets if isinstance(a.target, Name)}
        self.hints = Hints(spec, choice)
        self.equations: list[Equation] = []
        self.current: dict[str, str] = {}  # what is written → the equation that holds it now
        self.loops: dict[str, int] = {}
        self.starting = False  # an initial value is being read, in which theta[0] is known
        self.turns = 0
        self.counts: dict[str, int] = {}  # how often a name was wanted for an equation
        self.target, self.line = "", 0  # what is being given a value, and where
        self.called = False  # the wrapped optimizer has been called
        self.call_once = "its state would be updated twice; give its result a name"  # what to say of a second call

    def case(self) -> Case:
        self.source = self.spec.preamble.source
        self.block(self.spec.preamble.body)
        self.source = self.spec.source
        self.block(self.spec.body)
        final = {name[:-3]: equation for name, equation in self.current.items() if name.endswith("[t]")}
        for equation in self.equations:
            for part in walk(equation.value):
                if isinstance(part, Timed) and part.name not in final:
                    raise SpecError(
                        f"'{part.name}' is read at an earlier step, but '{part.name}[t]' is not assigned",
                        equation.source.location(part.span),
                        self.hints.in_case(part.name),
                    )
        if "theta" not in final:
            last = [a for a in assignments(self.spec.body) if a.target.name == "theta"][-1]
            raise self.fail(last.target.span, "'theta[t]' is assigned in some cases only", self.hints.in_case("theta"))
        return Case(self.assumed, tuple(self.equations), final)

    def fail(self, span: Span, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(span), hint)

    def block(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            match statement:
                case Assign(target=target) if is_initial(target):
                    continue
                case Assign(target=target, value=value):
                    self.target, self.line = self.key(target), target.span.line
                    self.define(self.target, self.resolve(value))
                case If(condition=condition, then=then, otherwise=otherwise):
                    self.branch(condition, then, otherwise)
                case For():
                    self.loop(statement)

    def key(self, target: Name | Indexed) -> str:
        if isinstance(target, Name):
            return target.name
        if _is_state(target):
            return f"{target.name}[t]"
        return f"{target.name}[{self.whole(target.index)}]"

    def define(self, key: str, value: Node, branch: bool = False) -> str:
        self.current[key] = self.write(key, value, self.source, branch)
        return self.current[key]

    def write(
        self, key: str, value: Node, source: Source, branch: bool = False, turns: tuple[str | int, ...] = ()
    ) -> str:
        """Write an equation down, under a name that no other has."""
        if len(self.equations) >= MAX_EQUATIONS:
            where = source.location(value.span)
            raise SpecError(f"this rule has more than {MAX_EQUATIONS} equations", where, "shorten its loops")
        base = key.replace("[t]", "_new").replace("[", "_").replace("]", "").replace("-", "m")
        count = self.counts.get(base, 1)
        name = base if count == 1 else f"{base}_{count}"
        while name in self.taken or (name in self.plain and name != key):
            count += 1
            name = f"{base}_{count}"
        self.counts[base] = count
        self.taken.add(name)
        self.equations.append(Equation(name, value, source, branch, (*self.loops.values(), *turns)))
        return name

    def loop(self, loop: For) -> None:
        start, stop, step = self.whole(loop.start), self.whole(loop.stop), self.whole(loop.step)
        if step == 0:
            raise self.fail(loop.step.span, "a loop's step is not 0", "write range(n) or range(n - 1, -1, -1)")
        for value in range(start, stop, step):
            self.turns += 1
            if self.turns > MAX_TURNS:
                raise self.fail(
                    loop.stop.span, f"the loops of this rule have more than {MAX_TURNS} turns", "they are written out"
                )
            self.loops[loop.variable] = value
            self.block(loop.body)
        self.loops.pop(loop.variable, None)

    def whole(self, node: Node) -> int:
        """The integer that a loop bound or a loop's index stands for."""
        match node:
            case Number(value=int() as value):
                return value
            case Name(name=name) if name in self.loops:
                return self.loops[name]
            case Name(name=name) if isinstance(self.options.get(name), int):
                return int(self.options[name])
            case Unary(operator="-", operand=operand):
                return -self.whole(operand)
            case Binary(operator="+", left=left, right=right):
                return self.whole(left) + self.whole(right)
            case Binary(operator="-", left=left, right=right):
                return self.whole(left) - self.whole(right)
            case Binary(operator="*", left=left, right=right):
                return self.whole(left) * self.whole(right)
        raise self.fail(
            node.span,
            "this must be an integer known ahead",
            "use a number, a count option (in define, counts={...}) or a loop's name",
        )

    def branch(self, condition: Node, then: tuple[Statement, ...], otherwise: tuple[Statement, ...]) -> None:
        decided = self.decide(condition)
        if isinstance(decided, bool):
            self.block(then if decided else otherwise)
            return
        settled = self.settle(decided)
        if isinstance(settled, bool):
            self.hints.leave_out(condition, settled, otherwise if settled else then)
            self.block(then if settled else otherwise)
        else:
            self.merge(settled, condition, then, otherwise)

    def merge(
        self, condition: Node, written: Node, then: tuple[Statement, ...], otherwise: tuple[Statement, ...]
    ) -> None:
        """An `if` on the step, as it is written and as it is resolved: both branches are computed, `where` picks."""
        before = dict(self.current)
        called, call_once = self.called, self.call_once
        self.block(then)
        after_then = self.current
        self.current = dict(before)
        if self.called and not called:
            self.call_once = "both branches are computed; call it before the 'if'"
        self.block(otherwise)
        self.call_once = call_once
        after_otherwise = self.current
        self.current = dict(before)
        for key in dict.fromkeys((*after_then, *after_otherwise)):
            if after_then.get(key) == after_otherwise.get(key) == before.get(key):
                continue
            sides = [self.value_after(key, side, condition.span) for side in (after_then, after_otherwise)]
            if sides[0] is None or sides[1] is None:
                self.hints.leave_unset(written, sides[0] is None, key.partition("[")[0])
                continue  # has a value in one branch only, so it has none after the branches
            picked = Call("where", (condition, sides[0], sides[1]), "", condition.span)
            self.define(key, picked, branch=True)

    def value_after(self, key: str, names: Mapping[str, str], span: Span) -> Node | None:
        if key in names:
            return Name(names[key], span)
        if key.endswith("[t]"):
            return Timed(key[:-3], 1, span)
        return Name("g", span) if key == "g" else None

    def decide(self, node: Node) -> bool | Node:
        """A condition decided as far as options go; what is left depends on the step or a shape."""
        match node:
            case Name(name=name) if name in self.options:
                return bool(self.options[name])
            case Name(name=name) if name in self.optional:
                return name in self.choice.present
            case Name(name=name, span=span) if name in self.declared:
                raise self.fail(span, f"'{name}' is always there", self.hints.for_always_there(name))
            case Unary(operator="not") | Logical():
                return combined(node, self.decide)
            case Compare(operator=operator, left=Name(name=name), right=Text(value=word)):
                return (self.options[name] == word) is (operator == "==")
            case Compare(operator=operator, left=left, right=right):
                try:
                    return compare(operator, self.whole(left), self.whole(right))
                except SpecError:
                    return Compare(operator, self.resolve(left), self.resolve(right), node.span)
            case Call(function="every"):
                return self.resolve(node)
        raise self.fail(node.span, "this is not a condition", "compare it with a number")

    def settle(self, node: Node) -> bool | Node:
        """A condition without options, decided by what is assumed of the shape; what is left depends on the step."""
        if only_shape(node):
            for known, holds in self.assumed:
                if same(known, node):
                    return holds
            raise UndecidedShape(node)
        return combined(node, self.settle)

    def check_initial(self, node: Node) -> None:
        """Refuse an initial value that is not of hyperparameters, numbers and `theta[0]` only."""
        known = {h.name for h in self.spec.hyperparameters}
        for part in walk(node):
            if isinstance(part, Indexed) and part.name == "theta" and is_initial(part):
                continue
            if isinstance(part, Indexed) or (isinstance(part, Name) and part.name not in known):
                raise self.fail(
                    part.span, "an initial value is made of hyperparameters and theta[0]", "nothing else is known then"
                )
            if isinstance(part, Call) and REDUCTIONS.get(part.function) == len(part.arguments):
                raise self.fail(
                    part.span, f"'{part.function}' cannot fold an initial value", "it is computed element by element"
                )
            if isinstance(part, Call) and part.function == self.spec.wraps:
                raise self.fail(part.span, f"'{part.function}' has not run before the first step", "leave it out")

    def initial_value(self, node: Node) -> Node:
        """The value of a state before the first step, one that `check_initial` takes."""
        self.starting = True
        value = self.resolve(node)
        self.starting = False
        return value

    def resolve(self, node: Node) -> Node:
        """An expression in terms of equations already written down."""
        return folded(node, self.resolved, _operands)

    def resolved(self, node: Node, parts: tuple[Node, ...]) -> Node:
        """A node over resolved ones."""
        match node:
            case Name():
                return self.resolve_name(node)
            case Indexed():
                return self.resolve_index(node)
            case Unary(operator="-", operand=Number(value=value), span=span):
                return Number(-value, span)
            case Call(function=function, span=span) if function == self.spec.wraps:
                return self.inline(parts[0], span)
        return rebuild(node, parts)

    def resolve_name(self, node: Name) -> Node:
        name = node.name
        if name in self.loops:
            return Number(self.loops[name], node.span)
        if name in self.options:
            return Number(int(self.options[name]), node.span)
        if name in self.optional and name not in self.choice.present:
            raise self.fail(node.span, f"'{name}' may be absent", f"use it under 'if {name}:'")
        if name in self.current:
            return Name(self.current[name], node.span)
        if name in self.declared or name in ("g", "t", *SHAPE_NAMES):
            return node
        raise self.fail(node.span, f"'{name}' has no value yet", self.hints.why_unset(name, self.target, self.line))

    def resolve_index(self, node: Indexed) -> Node:
        name = node.name
        if name == "theta" or name in self.states:
            if self.starting:
                return Timed("theta", 0, node.span)
            lag = self.lag(node)
            if lag == 0:
                if f"{name}[t]" not in self.current:
                    later = [a.target.span.line for a in assignments(self.spec.body) if a.target.name == name]
                    hint = f"read {name}[t-1], or move line {later[-1]} up"
                    if min(later) < self.line:
                        hint = self.hints.in_case(name)
                    raise self.fail(node.span, f"'{name}[t]' is read before it is assigned", hint)
                return Name(self.current[f"{name}[t]"], node.span)
            return Timed(name, lag, node.span)
        key = f"{name}[{self.whole(node.index)}]"
        if key not in self.current:
            raise self.fail(node.span, f"'{key}' has no value yet", self.hints.in_case(name))
        return Name(self.current[key], node.span)

    def lag(self, node: Indexed) -> int:
        def offset(index: Node) -> tuple[int, int]:
            """Coefficient of t, and the rest."""
            match index:
                case Name(name="t"):
                    return 1, 0
                case Binary(operator="+", left=left, right=right):
                    (a, b), (c, d) = offset(left), offset(right)
                    return a + c, b + d
                case Binary(operator="-", left=left, right=right):
                    (a, b), (c, d) = offset(left), offset(right)
                    return a - c, b - d
            return 0, self.whole(index)

        coefficient, rest = offset(node.index)
        if coefficient == 0 and rest == 0 and node.name == "theta":
            raise self.fail(
                node.span, "theta[0] is known to initial values only", "to keep it: s[0] = theta[0] and s[t] = s[t-1]"
            )
        if coefficient != 1:
            raise self.fail(node.span, f"'{node.name}' has steps counted from t", "its index is [t], [t-1], ...")
        if rest > 0:
            raise self.fail(node.span, "this step is still to come", "an index is [t], [t-1], ...")
        if -rest > MAX_HISTORY:
            raise self.fail(node.span, f"at most {MAX_HISTORY} steps are kept", "an index is [t], [t-1], ...")
        return -rest

    def inline(self, gradient: Node, span: Span) -> Node:
        """Put the wrapped optimizer's equations here; they read `gradient` as their `g`."""
        wrapped, prefix = self.wrapped, self.spec.wraps
        assert wrapped is not None
        if self.called:
            raise self.fail(span, f"'{prefix}' is called twice", self.call_once)
        self.called = True
        case = self.fitting_case(wrapped)
        names = {name: f"{prefix}_{name}" for name in (*(i.name for i in wrapped.inputs), *case.final)}
        names |= {h.name: self.spec.wrapped_name(h.name) for h in wrapped.hyperparameters}
        names["g"] = self.define(f"{prefix}_g", gradient)
        for equation in case.equations:
            value = renamed(equation.value, lambda name: names.get(name, name))
            names[equation.name] = self.write(
                f"{prefix}_{equation.name}", value, equation.source, equation.branch, (prefix, *equation.turns)
            )
        for state, equation_name in case.final.items():
            if state != "theta":
                self.current[f"{prefix}_{state}[t]"] = names[equation_name]
        return Name(names[case.final["theta"]], span)

    def fitting_case(self, wrapped: Rule) -> Case:
        for case in wrapped.cases:
            for condition, holds in case.conditions:
                known = [value for other, value in self.assumed if same(other, condition)]
                if not known:
                    raise UndecidedShape(condition)
                if known[0] is not holds:
                    break
            else:
                return case
        raise AssertionError("the cases of a rule cover every shape")


def _operands(node: Node) -> tuple[Node, ...]:
    """List what an expression is computed from: all below it but indices."""
    return () if isinstance(node, Indexed) else children(node)


def _is_state(target: Name | Indexed) -> bool:
    return isinstance(target, Indexed) and isinstance(target.index, Name) and target.index.name == "t"
