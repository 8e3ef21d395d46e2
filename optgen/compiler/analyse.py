"""Rule → programs: kinds inferred, state found, reductions named, equations turned into sympy trees."""

from __future__ import annotations

from dataclasses import replace

import sympy
from sympy import Expr

from optgen.compiler.kinds import Kind, KindMismatch, join, reduced, reducible
from optgen.compiler.operations import (
    COMPARISON_NODES,
    FUNCTION_NODES,
    Both,
    Either,
    Equal,
    Maximum,
    Minimum,
    Modulo,
    Negation,
    add,
    divide,
    multiply,
    negate,
    number,
    power,
    square_root,
    substitute,
    symbol,
    terms,
)
from optgen.compiler.program import PARAMETER, UPDATE, Definition, Program, Reduce, State
from optgen.compiler.specialise import Case, Equation, Rule
from optgen.errors import SpecError
from optgen.spec.language import REDUCTIONS
from optgen.spec.source import Source
from optgen.spec.syntax import Binary, Call, Compare, Logical, Name, Node, Number, Timed, Unary, walk

#: How a kind is spoken of in messages.
SPOKEN = {
    Kind.CONSTANT: "a constant",
    Kind.STEP: "one number per step",
    Kind.GLOBAL: "one number for the model",
    Kind.TENSOR: "one number per tensor",
    Kind.MATRIX: "one number per matrix",
    Kind.ROW: "one number per row",
    Kind.COLUMN: "one number per column",
    Kind.AXIS: "a vector per axis",
    Kind.ELEMENT: "one number per element",
}


def analyse(rule: Rule) -> tuple[Program, ...]:
    """The programs of a rule, one for each of its cases.

    Raises:
        SpecError: kinds do not fit, at the place where it happens.
    """
    programs = tuple(_Analyser(rule, case).program() for case in rule.cases)
    shared: dict[str, Definition] = {}
    for program in programs:
        for definition in program.definitions:
            if definition.kind in (Kind.STEP, Kind.GLOBAL):
                if shared.setdefault(definition.name, definition) != definition:
                    raise SpecError(
                        f"'{definition.name}' is {SPOKEN[definition.kind]}, but differs between shapes",
                        rule.source.location(rule.source.find("equations", "rule")),
                    )
    # Which tensors would take part is not for one of them to say.
    for program in programs:
        own = {definition.name for definition in program.definitions}
        for name, definition in shared.items():
            if isinstance(definition.value, Reduce) and name not in own:
                raise SpecError(
                    f"'{name}' is a fold over the model, but under a condition on the shape",
                    rule.source.location(rule.source.find("equations", "rule")),
                    "fold before the 'if', and use where(...) for what should not count",
                )
    return programs


class _Analyser:
    """Works through one case: first kinds, to a fixed point, then expressions."""

    def __init__(self, rule: Rule, case: Case) -> None:
        self.rule = rule
        self.case = case
        self.source: Source = rule.source
        self.depths = self.find_depths()
        self.kinds: dict[str, Kind] = {"g": Kind.ELEMENT, "theta": Kind.ELEMENT, "t": Kind.STEP}
        self.kinds |= dict.fromkeys(("size", "rank", "rows", "columns"), Kind.TENSOR)
        self.kinds |= {h.name: Kind.STEP if h.varies else Kind.CONSTANT for h in rule.hyperparameters}
        self.kinds |= {i.name: Kind(i.kind) for i in rule.inputs}
        self.definitions: list[Definition] = []
        self.reductions: dict[Reduce, str] = {}
        self.taken = {e.name for e in case.equations} | set(self.kinds) | set(case.final)
        #: While kinds are being found, a state's may still be too low for a fold of it to make sense.
        self.settling = False

    def fail(self, node: Node, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(node.span), hint)

    def find_depths(self) -> dict[str, int]:
        """How many earlier values of each state are read."""
        depths: dict[str, int] = {}
        for equation in self.case.equations:
            for part in walk(equation.value):
                if isinstance(part, Timed) and part.lag > 0:
                    if part.name == "theta" and part.lag > 1:
                        raise SpecError(
                            "only theta[t-1] is kept",
                            equation.source.location(part.span),
                            "store it: theta_last[t] = theta[t-1]",
                        )
                    depths[part.name] = max(depths.get(part.name, 0), part.lag)
        return depths

    def program(self) -> Program:
        self.infer_kinds()
        for equation in self.case.equations:
            self.source = equation.source
            value = self.convert(equation.value)
            kind = self.kinds[equation.name]
            self.definitions.append(Definition(equation.name, kind, value))
        self.source = self.rule.source
        states = tuple(self.state(name) for name in self.case.final if name != "theta" and name in self.depths)
        result = self.name_result()
        return Program(
            conditions=tuple((self.convert(condition), holds) for condition, holds in self.case.conditions),
            hyperparameters=self.rule.hyperparameters,
            inputs=self.rule.inputs,
            states=states,
            definitions=tuple(self.definitions),
            result=result,
        )

    def state(self, name: str) -> State:
        initial: Expr = sympy.S.Zero
        if name in self.rule.initial:
            initial = self.convert(self.rule.initial[name])
        return State(name, self.kinds[name], self.depths[name], initial, self.case.final[name])

    def infer_kinds(self) -> None:
        for name in self.depths:
            if name != "theta":
                self.kinds[name] = Kind.STEP
                if name in self.rule.initial:
                    self.expect(self.rule.initial[name], condition=False)
                    self.kinds[name] = join(Kind.STEP, self.kind(self.rule.initial[name]))
        values = {equation.name: equation for equation in self.case.equations}
        self.settling = True
        while self.raise_kinds(values):
            pass
        self.settling = False
        self.raise_kinds(values)
        for name, equation_name in self.case.final.items():
            wanted = self.kinds.get(name, self.kinds[equation_name])
            if self.kinds[equation_name] is not wanted:
                equation = values[equation_name]
                self.source = equation.source
                raise self.fail(
                    equation.value,
                    f"'{name}[t]' is {SPOKEN[wanted]}, but this is {SPOKEN[self.kinds[equation_name]]}",
                )

    def raise_kinds(self, values: dict[str, Equation]) -> bool:
        """Work out every equation's kind, then the states'; whether a state's is higher than before."""
        changed = False
        for equation in self.case.equations:
            self.source = equation.source
            self.kinds[equation.name] = self.value_kind(equation)
        for name, equation_name in self.case.final.items():
            if name not in self.depths or name == "theta":
                continue
            try:
                kind = join(self.kinds[name], self.kinds[equation_name])
            except KindMismatch:
                equation = values[equation_name]
                self.source = equation.source
                raise self.fail(
                    equation.value,
                    f"'{name}[t]' is {SPOKEN[self.kinds[name]]}, but this is {SPOKEN[self.kinds[equation_name]]}",
                ) from None
            changed |= kind is not self.kinds[name]
            self.kinds[name] = kind
        return changed

    def value_kind(self, equation: Equation) -> Kind:
        kind = self.kind(equation.value)
        if equation.branch and isinstance(equation.value, Call):
            condition = equation.value.arguments[0]
            if not self.kind(condition).is_per_step:
                raise self.fail(
                    condition,
                    f"a branch on {SPOKEN[self.kind(condition)]}",
                    "'if' asks of options, shapes and the step; write where(...)",
                )
        if _is_condition(equation.value):
            raise self.fail(equation.value, "a condition is not a number", "write where(condition, 1, 0)")
        return join(kind, Kind.STEP) if kind is Kind.CONSTANT and equation.name in self.case.final.values() else kind

    def kind(self, node: Node) -> Kind:
        """The kind of a node; raises where kinds do not fit."""
        match node:
            case Number():
                return Kind.CONSTANT
            case Name(name=name) | Timed(name=name):
                return self.kinds[name]
            case Unary(operator=operator, operand=operand):
                self.expect(operand, condition=operator == "not")
                return self.kind(operand)
            case Binary(left=left, right=right) | Compare(left=left, right=right):
                self.expect(left, condition=False)
                self.expect(right, condition=False)
                return self.joined(node, (left, right))
            case Logical(left=left, right=right):
                self.expect(left, condition=True)
                self.expect(right, condition=True)
                return self.joined(node, (left, right))
            case Call(function=function, arguments=arguments) if is_reduction(node):
                for argument in arguments:
                    self.expect(argument, condition=False)
                return self.reduction_kind(node)
            case Call(function=function, arguments=arguments):
                for position, argument in enumerate(arguments):
                    self.expect(argument, condition=function == "where" and position == 0)
                return self.joined(node, arguments) if function != "every" else self.every_kind(node)
        raise TypeError(f"no kind for {type(node).__name__}")

    def every_kind(self, node: Call) -> Kind:
        if not self.kind(node.arguments[0]).is_per_step:
            raise self.fail(node, f"'every' counts steps, and this is {SPOKEN[self.kind(node.arguments[0])]}")
        return Kind.STEP

    def expect(self, node: Node, condition: bool) -> None:
        if condition and not _is_condition(node):
            raise self.fail(node, "this is a number, not a condition", "compare it: x > 0")
        if not condition and _is_condition(node):
            raise self.fail(node, "this is a condition, not a number", "write where(condition, 1, 0)")

    def joined(self, node: Node, parts: tuple[Node, ...]) -> Kind:
        kind = self.kind(parts[0])
        for part in parts[1:]:
            other = self.kind(part)
            try:
                kind = join(kind, other)
            except KindMismatch:
                raise self.fail(
                    node,
                    f"{SPOKEN[kind]} and {SPOKEN[other]} do not fit together",
                    "fold the vectors per axis first: min(..., over=axes)",
                ) from None
        return kind

    def reduction_kind(self, node: Call) -> Kind:
        kind = self.joined(node, node.arguments)
        over = self.extent(node, kind)
        try:
            return reduced(kind, over)
        except KindMismatch:
            if self.settling and kind.is_scalar:
                return kind
            fitting = reducible(kind)
            hint = f"write over={' or '.join(fitting)}" if fitting else "it is not one of many"
            where = f" over {over}" if node.over else ""
            raise self.fail(node, f"'{node.function}' cannot fold {SPOKEN[kind]}{where}", hint) from None

    def extent(self, node: Call, kind: Kind) -> str:
        if node.function == "mean" and node.over in ("other_axes", "axes"):
            raise self.fail(node, f"'mean' has no form over {node.over}", "write sum(...) and divide")
        return node.over or "tensor"

    def convert(self, node: Node) -> Expr:
        """The sympy tree of a node; reductions become definitions of their own on the way."""
        match node:
            case Number(value=value):
                return number(value)
            case Name(name=name):
                return symbol(name)
            case Timed(name=name, lag=lag):
                return symbol(name if lag <= 1 else f"{name}_lag{lag}")
            case Unary(operator="-", operand=operand):
                return negate(self.convert(operand))
            case Unary(operand=operand):
                return Negation(self.convert(operand))
            case Binary(operator=operator, left=left, right=right):
                return self.arithmetic(operator, self.convert(left), self.convert(right))
            case Compare(operator=operator, left=left, right=right):
                return COMPARISON_NODES[operator](self.convert(left), self.convert(right))
            case Logical(operator=operator, left=left, right=right):
                joint = Both if operator == "and" else Either
                return joint(self.convert(left), self.convert(right))
            case Call() if is_reduction(node):
                return self.reduction(node)
            case Call(function=function, arguments=arguments):
                return self.function(function, [self.convert(argument) for argument in arguments])
        raise TypeError(f"no expression for {type(node).__name__}")

    def arithmetic(self, operator: str, left: Expr, right: Expr) -> Expr:
        match operator:
            case "+":
                return add(left, right)
            case "-":
                return add(left, negate(right))
            case "*":
                return multiply(left, right)
            case "/":
                return divide(left, right)
            case "**":
                return power(left, right)
            case "%":
                return Modulo(left, right)
        raise ValueError(f"unknown operator {operator!r}")

    def function(self, function: str, arguments: list[Expr]) -> Expr:
        match function:
            case "sqrt":
                return square_root(arguments[0])
            case "max" | "min":
                node = Maximum if function == "max" else Minimum
                value = arguments[0]
                for argument in arguments[1:]:
                    value = node(value, argument)
                return value
            case "clip":
                return Minimum(Maximum(arguments[0], arguments[1]), arguments[2])
            case "every":
                return Equal(Modulo(symbol("t"), arguments[0]), number(0))
        return FUNCTION_NODES[function](*arguments)

    def reduction(self, node: Call) -> Expr:
        kind = self.joined(node, node.arguments)
        over = self.extent(node, kind)
        operands = [self.convert(argument) for argument in node.arguments]
        match node.function:
            case "sum" | "max" | "min":
                return self.reduce(node.function, operands[0], over, kind)
            case "mean":
                return divide(self.reduce("sum", operands[0], over, kind), self.count(kind, over))
            case "dot":
                return self.reduce("sum", multiply(*operands), over, kind)
            case "norm":
                return square_root(self.reduce("sum", power(operands[0], number(2)), over, kind))
            case "rms":
                total = self.reduce("sum", power(operands[0], number(2)), over, kind)
                return square_root(divide(total, self.count(kind, over)))
        raise ValueError(f"unknown reduction {node.function!r}")

    def reduce(self, operation: str, operand: Expr, over: str, source: Kind) -> Expr:
        value = Reduce(operation, operand, over, source)
        if value not in self.reductions:
            name = self.reduction_name(value)
            self.reductions[value] = name
            self.definitions.append(Definition(name, reduced(source, over), value))
        return symbol(self.reductions[value])

    def reduction_name(self, value: Reduce) -> str:
        operand = value.operand
        base = value.operation
        if isinstance(operand, sympy.Symbol):
            base = f"{value.operation}_{operand.name}"
        elif isinstance(operand, sympy.Pow) and isinstance(operand.base, sympy.Symbol):
            base = f"{value.operation}_{operand.base.name}_squared"
        elif isinstance(operand, sympy.Mul) and all(isinstance(a, sympy.Symbol) for a in operand.args):
            base = "dot_" + "_".join(str(a.name) for a in operand.args)
        if value.over != "tensor":
            base += f"_over_{value.over}"
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name

    def count(self, kind: Kind, over: str) -> Expr:
        """How many numbers a reduction folds into one."""
        size, rows, columns = symbol("size"), symbol("rows"), symbol("columns")
        match kind, over:
            case _, "rows":
                return rows
            case _, "columns":
                return columns
            case Kind.ELEMENT, "tensor":
                return size
            case Kind.ROW, "tensor":
                return divide(size, columns)
            case Kind.COLUMN, "tensor":
                return divide(size, rows)
            case Kind.MATRIX, "tensor":
                return divide(size, multiply(rows, columns))
            case Kind.ELEMENT, "model":
                return symbol("model_size")
        return symbol("tensor_count")

    def name_result(self) -> str:
        """Give the step its result: what is added to the parameter if the rule says so, else the new parameter."""
        last = self.case.final["theta"]
        index = next(i for i, d in enumerate(self.definitions) if d.name == last)
        definition = self.definitions[index]
        if definition.kind is not Kind.ELEMENT:
            value = next(e.value for e in self.case.equations if e.name == last)
            raise self.fail(value, f"'theta[t]' is {SPOKEN[definition.kind]}, not one per element")
        assert not isinstance(definition.value, Reduce)
        rest = terms(definition.value)
        read_later = any(last in d.reads for d in self.definitions) or any(
            new == last for name, new in self.case.final.items() if name != "theta"
        )
        if rest.count(symbol("theta")) == 1 and len(rest) > 1:
            rest.remove(symbol("theta"))
            if not read_later:
                del self.definitions[index]
            self.definitions.append(Definition(UPDATE, Kind.ELEMENT, add(*rest)))
            return UPDATE
        if last != PARAMETER:
            self.free_result_name()
            self.definitions.append(Definition(PARAMETER, Kind.ELEMENT, symbol(last)))
        return PARAMETER

    def free_result_name(self) -> None:
        """Rename the definition that holds the result's name without being the result: one branch's parameter."""
        count = 2
        while (fresh := f"{PARAMETER}_{count}") in self.taken:
            count += 1
        self.taken.add(fresh)
        renamed = {symbol(PARAMETER): symbol(fresh)}
        for index, definition in enumerate(self.definitions):
            value = definition.value
            if isinstance(value, Reduce):
                value = replace(value, operand=substitute(value.operand, renamed))
            else:
                value = substitute(value, renamed)
            name = fresh if definition.name == PARAMETER else definition.name
            self.definitions[index] = Definition(name, definition.kind, value)


def is_reduction(node: Call) -> bool:
    """Whether a call folds values: `max` of one value does, of two it does not."""
    return REDUCTIONS.get(node.function) == len(node.arguments)


def _is_condition(node: Node) -> bool:
    match node:
        case Compare() | Logical():
            return True
        case Unary(operator=operator):
            return operator == "not"
        case Call(function=function):
            return function == "every"
    return False
