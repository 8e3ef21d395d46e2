"""Rule → programs: kinds inferred, state found, reductions named, equations turned into sympy trees."""

from __future__ import annotations

import functools
from dataclasses import replace

import sympy
from sympy import Expr

from optgen.compiler.cases import CaseFolds, Place, place_of, told_apart
from optgen.compiler.fresh_names import Names
from optgen.compiler.infer import SPOKEN, KindInference, infer_kinds, is_reduction
from optgen.compiler.kind_rules import reduced
from optgen.compiler.operations import (
    COMPARISON_NODES,
    CONDITIONS,
    FUNCTION_NODES,
    MAX_HEIGHT,
    Both,
    Either,
    Equal,
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
from optgen.compiler.rule import Rule
from optgen.contract.kinds import Kind
from optgen.errors import SpecError
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
    folded,
)


def analyse(rule: Rule) -> tuple[Program, ...]:
    """The programs of a rule, one for each of its cases.

    Raises:
        SpecError: kinds do not fit, at the place where it happens.
    """
    inferred = infer_kinds(rule)
    apart: dict[Place, object] | None = {}
    while apart is not None:
        names: dict[Place, str] = {}
        analysers = [_Analyser(rule, inference, CaseFolds(names, apart)) for inference in inferred]
        programs = tuple(analyser.program() for analyser in analysers)
        apart = told_apart([analyser.folds for analyser in analysers])
    return programs


def arithmetic(operator: str, left: Expr, right: Expr) -> Expr:
    """An operator of the language between two trees."""
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


def applied(function: str, arguments: list[Expr]) -> Expr:
    """A function of the language, other than a reduction, of trees."""
    match function:
        case "sqrt":
            return square_root(arguments[0])
        case "max" | "min":
            return functools.reduce(FUNCTION_NODES[function], arguments)
        case "every":
            return Equal(Modulo(symbol("t"), arguments[0]), number(0))
    return FUNCTION_NODES[function](*arguments)


class _Analyser:
    """Turns the equations of one case into definitions, once their kinds are known."""

    def __init__(self, rule: Rule, inference: KindInference, folds: CaseFolds) -> None:
        self.rule = rule
        self.case = inference.case
        self.folds = folds
        self.equation = self.case.equations[0]
        self.inference = inference
        self.kinds = self.inference.kinds
        self.depths = self.inference.depths
        self.definitions: list[Definition] = []
        self.reductions: dict[Reduce, str] = {}
        taken = {e.name for other in rule.cases for e in other.equations}
        self.names = Names(taken | set(self.kinds) | set(self.case.final))

    def program(self) -> Program:
        for equation in self.case.equations:
            self.equation = equation
            value = self.convert(equation.value)
            kind = self.kinds[equation.name]
            self.definitions.append(Definition(equation.name, kind, value))
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

    def convert(self, node: Node) -> Expr:
        """The sympy tree of a node; reductions, and parts of high trees, become definitions of their own on the way."""
        return folded(node, self.converted)[0]

    def converted(self, node: Node, below: tuple[tuple[Expr, int], ...]) -> tuple[Expr, int]:
        """The tree of a node and its height, from those of the nodes below it."""
        value = self.tree(node, [part for part, _ in below])
        height = len(below) + max((part for _, part in below), default=0) if value.args else 0
        if height > MAX_HEIGHT and not isinstance(value, CONDITIONS):
            name = self.names.fresh("part")
            self.definitions.append(Definition(name, self.inference.kind(node), value))
            return symbol(name), 0
        return value, height

    def tree(self, node: Node, below: list[Expr]) -> Expr:
        """The tree of a node, from those of the nodes below it."""
        match node:
            case Number(value=value):
                return number(value)
            case Name(name=name):
                return symbol(name)
            case Timed(name=name, lag=lag):
                return symbol(name if lag <= 1 else f"{name}_lag{lag}")
            case Unary(operator="-"):
                return negate(below[0])
            case Unary():
                return Negation(below[0])
            case Binary(operator=operator):
                return arithmetic(operator, *below)
            case Compare(operator=operator):
                return COMPARISON_NODES[operator](*below)
            case Logical(operator=operator):
                return (Both if operator == "and" else Either)(*below)
            case Call() if is_reduction(node):
                return self.reduction(node, below)
            case Call(function=function):
                return applied(function, below)
        raise TypeError(f"no expression for {type(node).__name__}")

    def reduction(self, node: Call, operands: list[Expr]) -> Expr:
        kind = self.inference.joined(node, tuple(map(self.inference.kind, node.arguments)))
        over = node.over or "tensor"
        match node.function:
            case "sum" | "max" | "min":
                return self.reduce(node, node.function, operands[0], kind)
            case "mean":
                return divide(self.reduce(node, "sum", operands[0], kind), self.count(kind, over))
            case "dot":
                return self.reduce(node, "sum", multiply(*operands), kind)
            case "norm":
                return square_root(self.reduce(node, "sum", power(operands[0], number(2)), kind))
            case "rms":
                total = self.reduce(node, "sum", power(operands[0], number(2)), kind)
                return square_root(divide(total, self.count(kind, over)))
        raise ValueError(f"unknown reduction {node.function!r}")

    def reduce(self, node: Call, operation: str, operand: Expr, source: Kind) -> Expr:
        over = node.over or "tensor"
        value = Reduce(operation, operand, over, source)
        if over == "model":
            place = place_of(node, self.equation)
            base = self.reduction_name(value)
            name = self.folds.name(place, node.function, value, self.equation.source, self.names, base)
            if name is not None:
                self.definitions.append(Definition(name, Kind.GLOBAL, value))
            return symbol(self.folds.known(place))
        if value not in self.reductions:
            self.reductions[value] = self.names.fresh(self.reduction_name(value))
            self.definitions.append(Definition(self.reductions[value], reduced(source, over), value))
        return symbol(self.reductions[value])

    def reduction_name(self, value: Reduce) -> str:
        """Choose a name for a reduction that no other has."""
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
        return base

    def count(self, kind: Kind, over: str) -> Expr:
        """How many numbers a reduction folds into one."""
        match kind, over:
            case _, "rows" | "columns":
                return symbol(over)
            case Kind.ELEMENT, "tensor":
                return symbol("size")
            case Kind.ROW | Kind.COLUMN | Kind.MATRIX, "tensor":
                return symbol(f"{kind.value}_count")
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
            message = f"'theta[t]' is {SPOKEN[definition.kind]}, not one per element"
            raise SpecError(message, self.rule.source.location(value.span))
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
        fresh = self.names.fresh(PARAMETER)
        renamed = {symbol(PARAMETER): symbol(fresh)}
        for index, definition in enumerate(self.definitions):
            value = definition.value
            if isinstance(value, Reduce):
                value = replace(value, operand=substitute(value.operand, renamed))
            else:
                value = substitute(value, renamed)
            name = fresh if definition.name == PARAMETER else definition.name
            self.definitions[index] = Definition(name, definition.kind, value)
