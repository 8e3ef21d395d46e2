"""Running a rule's equations as they are written: the reference that every target is compared with.

Works on the syntax tree from before any algebra and shares no code with the targets. The arithmetic is that of the
numbers it is given, so the same walk yields float64 values, or values with a bound on what float32 would lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optgen.compiler.analyse import analyse
from optgen.compiler.cases import Place, place_of
from optgen.compiler.infer import is_reduction
from optgen.compiler.rule import Case, Equation, Rule
from optgen.contract.kinds import Kind, inverse_order, kept_shapes, matrix_order
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
from optgen.reference.arithmetic import Arithmetic, Array, Float64, Value


@dataclass(slots=True)
class TensorState:
    """One tensor's parameter and state; a history holds its newest value first."""

    theta: Value
    history: dict[str, list[Value]]


@dataclass(slots=True)
class InterpretedState:
    """All that a step changes. States of kind step and global are kept once, under `shared`."""

    tensors: list[TensorState]
    shared: dict[str, list[Value]] = field(default_factory=dict)
    t: int = 0


class Interpreter:
    """A rule with values for its hyperparameters, ready to step.

    Args:
        rule: the rule.
        hyperparameters: a value for each that the rule uses.
        arithmetic: the numbers to compute with.
    """

    def __init__(self, rule: Rule, hyperparameters: Mapping[str, float], arithmetic: Arithmetic | None = None) -> None:
        self.rule = rule
        self.hyperparameters = hyperparameters
        self.arithmetic: Arithmetic = arithmetic or Float64()
        self.programs = analyse(rule)
        self.per_element = [{s.name for s in program.states if s.kind is Kind.ELEMENT} for program in self.programs]
        #: By case, the values that are kept for each tensor, and so computed in its precision.
        self.per_tensor = [
            {case.final[s.name] for s in program.states if s.kind is Kind.TENSOR}
            for case, program in zip(rule.cases, self.programs, strict=True)
        ]

    def init(self, parameters: Sequence[Array]) -> InterpretedState:
        """The state before the first step."""
        model = InterpretedState([])
        for theta in parameters:
            order = matrix_order(self.rule.matrix_axes, np.shape(theta))
            matrices = np.transpose(theta, order)
            case = self.case_of(np.shape(matrices))
            tensor = TensorState(self.arithmetic.given(theta), {})
            for state in self.programs[case].states:
                value = self.initial(state.name, matrices, state.kind)
                if state.kind is Kind.ELEMENT:
                    value = self.moved(value, inverse_order(order))
                kept = model.shared if state.kind in (Kind.STEP, Kind.GLOBAL) else tensor.history
                kept.setdefault(state.name, [value] * state.depth)
            model.tensors.append(tensor)
        return model

    def initial(self, name: str, theta: Array, kind: Kind) -> Value:
        start: Value = self.arithmetic.literal(0.0)
        if name in self.rule.initial:
            names = {h: self.arithmetic.literal(v) for h, v in self.hyperparameters.items()}
            scope = _Scope(names, {}, self.arithmetic.given(theta), np.shape(theta))
            start = self.evaluate(self.rule.initial[name], scope)
        shapes = kept_shapes(kind, np.shape(theta))
        filled = [self.arithmetic.full(shape, start) for shape in shapes]
        return tuple(filled) if kind is Kind.AXIS else filled[0]

    def moved(self, value: Value, order: tuple[int, ...]) -> Value:
        """One number per element, with its axes in another order."""
        return value if order == tuple(range(len(order))) else self.arithmetic.transpose(value, order)

    def case_of(self, shape: tuple[int, ...]) -> int:
        """Which case of the rule a shape takes, its matrix axes being the last two."""
        scope = _Scope({}, {}, None, shape)
        for index, case in enumerate(self.rule.cases):
            if all(bool(_plain(self.evaluate(condition, scope))) is holds for condition, holds in case.conditions):
                return index
        raise AssertionError("the cases of a rule cover every shape")

    def step(
        self, model: InterpretedState, gradients: Sequence[Array], inputs: Mapping[str, Any] | None = None
    ) -> InterpretedState:
        """One step on all tensors; inputs of kind tensor and element are given as one value per tensor."""
        t = model.t + 1
        scopes: list[_Scope] = []
        cases: list[Case] = []
        for index, (tensor, gradient) in enumerate(zip(model.tensors, gradients, strict=True)):
            names = {name: self.arithmetic.literal(value) for name, value in self.hyperparameters.items()}
            order = matrix_order(self.rule.matrix_axes, np.shape(gradient))
            gradient = np.transpose(gradient, order)
            names |= {"t": self.arithmetic.literal(t), "g": self.arithmetic.given(gradient)}
            for given in self.rule.inputs:
                value = (inputs or {})[given.name]
                per_tensor = given.kind in ("tensor", "element")
                value = value[index] if per_tensor else value
                names[given.name] = self.arithmetic.given(
                    np.transpose(value, order) if given.kind == "element" else value
                )
            shape = np.shape(gradient)
            number = self.case_of(shape)
            kept = {
                name: [self.moved(value, order) for value in values] if name in self.per_element[number] else values
                for name, values in tensor.history.items()
            }
            theta = self.moved(tensor.theta, order)
            scope = _Scope(names, {**model.shared, **kept}, theta, shape, per_tensor=self.per_tensor[number])
            scopes.append(scope)
            cases.append(self.rule.cases[number])
        self._run(scopes, cases)
        after = InterpretedState([], dict(model.shared), t)
        for tensor, gradient, scope, case in zip(model.tensors, gradients, scopes, cases, strict=True):
            back = inverse_order(matrix_order(self.rule.matrix_axes, np.shape(gradient)))
            per_element = self.per_element[self.rule.cases.index(case)]
            history = {}
            for name, new in case.final.items():
                if name in tensor.history:
                    value = scope.names[new]
                    if name in per_element:
                        value = self.moved(value, back)
                    history[name] = [value, *tensor.history[name]][: len(tensor.history[name])]
                elif name in model.shared:
                    after.shared[name] = [scope.names[new], *model.shared[name]][: len(model.shared[name])]
            theta = self.moved(scope.names[case.final["theta"]], back)
            after.tensors.append(TensorState(theta, history))
        return after

    def _run(self, scopes: list[_Scope], cases: list[Case]) -> None:
        """Work through the equations of all tensors together, so that folds over the model see every tensor."""
        positions = [0] * len(scopes)
        while True:
            waiting: dict[int, _NeedsModel] = {}
            for index, (scope, case) in enumerate(zip(scopes, cases, strict=True)):
                while positions[index] < len(case.equations):
                    equation = case.equations[positions[index]]
                    scope.equation = equation
                    try:
                        scope.names[equation.name] = self.evaluate(equation.value, scope)
                    except _NeedsModel as needs:
                        waiting[index] = needs
                        break
                    positions[index] += 1
            if not waiting:
                return
            # Every tensor comes to every fold in the same order.
            parts = [waiting[index] for index in range(len(scopes))]
            (key,) = {part.key for part in parts}
            total = self.arithmetic.total(parts[0].operation, [part.partial for part in parts])
            # A parameter that is a single number does not tell one number per element from one per tensor.
            per_element = any(part.varies for part in parts)
            count = sum(int(np.prod(s.shape)) for s in scopes) if per_element else len(scopes)
            for scope in scopes:
                scope.model_folds[key] = total
                scope.model_counts[key] = count

    def evaluate(self, node: Node, scope: _Scope) -> Value:
        """The value of an expression for one tensor; a vector per axis is a tuple."""
        return folded(node, lambda here, values: self.value(here, values, scope))

    def value(self, node: Node, values: tuple[Value, ...], scope: _Scope) -> Value:
        """The value of a node, from those of the nodes below it."""
        match node:
            case Number(value=value):
                return self.operand(self.arithmetic.literal(value), scope)
            case Name(name=name) if name in scope.names:
                return self.operand(scope.names[name], scope)
            case Name(name=name):
                # Not a literal: it is a number of the tensor, in whose precision targets compute with it.
                return self.arithmetic.given(np.asarray(scope.shape_value(name), np.float64))
            case Timed(name="theta"):
                return scope.theta
            case Timed(name=name, lag=lag):
                return scope.history[name][lag - 1]
            case Unary(operator=operator):
                return self.apply("neg" if operator == "-" else "not", *values)
            case Binary(operator=operator) | Compare(operator=operator) | Logical(operator=operator):
                return self.apply(operator, *values)
            case Call() if is_reduction(node):
                return self.reduction(node, values, scope)
            case Call(function=function):
                return self.function(function, list(values), scope)
        raise TypeError(f"no value for {type(node).__name__}")

    def operand(self, value: Value, scope: _Scope) -> Value:
        """A value as the equation takes it: what is kept for a tensor is computed from numbers in its precision."""
        if scope.equation is None or scope.equation.name not in scope.per_tensor:
            return value
        return value if isinstance(value, tuple) or np.shape(_plain(value)) else self.arithmetic.full((), value)

    def apply(self, operator: str, *operands: Value) -> Value:
        lengths = {len(operand) for operand in operands if isinstance(operand, tuple)}
        if not lengths:
            return self.arithmetic.apply(operator, *operands)
        (length,) = lengths
        spread = [operand if isinstance(operand, tuple) else (operand,) * length for operand in operands]
        return tuple(self.arithmetic.apply(operator, *parts) for parts in zip(*spread, strict=True))

    def function(self, function: str, arguments: list[Value], scope: _Scope) -> Value:
        match function:
            case "max" | "min":
                value = arguments[0]
                for argument in arguments[1:]:
                    value = self.apply(function, value, argument)
                return value
            case "every":
                remainder = self.apply("%", scope.names["t"], arguments[0])
                return self.apply("==", remainder, self.arithmetic.literal(0))
        return self.apply(function, *arguments)

    def reduction(self, node: Call, values: tuple[Value, ...], scope: _Scope) -> Value:
        two = self.arithmetic.literal(2)
        match node.function:
            case "dot":
                return self.fold("sum", self.apply("*", *values), node, scope)
            case "norm":
                return self.apply("sqrt", self.fold("sum", self.apply("**", values[0], two), node, scope))
            case "rms":
                squares = self.apply("**", values[0], two)
                return self.apply("sqrt", self.mean(squares, node, scope))
            case "mean":
                return self.mean(values[0], node, scope)
        return self.fold(node.function, values[0], node, scope)

    def mean(self, value: Value, node: Call, scope: _Scope) -> Value:
        total = self.fold("sum", value, node, scope)
        count: float
        if node.over == "model":
            count = scope.model_counts[_fold_key(node, scope)]
        else:
            count = int(np.prod(np.shape(_plain(value)), dtype=int)) / max(1, int(np.prod(np.shape(_plain(total)))))
        return self.apply("/", total, self.arithmetic.literal(count))

    def fold(self, operation: str, value: Value, node: Call, scope: _Scope) -> Value:
        rank = len(scope.shape)
        every_axis = tuple(range(rank))
        match node.over or "tensor":
            case "tensor":
                return self.scalar(self.arithmetic.reduce(operation, value, every_axis))
            case "rows":
                return self.arithmetic.reduce(operation, value, (rank - 2,)) if rank >= 2 else value
            case "columns":
                return self.arithmetic.reduce(operation, value, (rank - 1,)) if rank >= 1 else value
            case "other_axes":
                if rank == 0:
                    return (value,)
                return tuple(
                    self.arithmetic.reduce(operation, value, tuple(a for a in every_axis if a != axis))
                    for axis in every_axis
                )
            case "axes":
                folded = value[0]
                for part in value[1:]:
                    folded = self.apply("+" if operation == "sum" else operation, folded, part)
                return folded
            case "model":
                key = _fold_key(node, scope)
                if key not in scope.model_folds:
                    varies = np.ndim(np.asarray(_plain(value))) == rank and rank > 0
                    partial = self.scalar(self.arithmetic.reduce(operation, value, every_axis)) if varies else value
                    raise _NeedsModel(key, operation, partial, varies)
                return scope.model_folds[key]
        raise ValueError(f"unknown extent {node.over!r}")

    def scalar(self, value: Value) -> Value:
        """A fold over a whole tensor keeps no axes."""
        return value.reshape(())


@dataclass(slots=True)
class _Scope:
    """The values of names for one tensor during one step."""

    names: dict[str, Value]
    history: dict[str, list[Value]]
    theta: Value
    shape: tuple[int, ...]
    equation: Equation | None = None
    per_tensor: set[str] = field(default_factory=set)
    model_folds: dict[Place, Value] = field(default_factory=dict)
    model_counts: dict[Place, int] = field(default_factory=dict)

    def shape_value(self, name: str) -> float:
        sizes = {
            "size": int(np.prod(self.shape)),
            "rank": len(self.shape),
            "rows": self.shape[-2] if len(self.shape) >= 2 else 1,
            "columns": self.shape[-1] if self.shape else 1,
        }
        return sizes[name]


class _NeedsModel(Exception):
    """An expression folds over the model, and the other tensors' parts are not in yet."""

    def __init__(self, key: Place, operation: str, partial: Value, varies: bool) -> None:
        self.key = key
        self.operation = operation
        self.partial = partial
        self.varies = varies  # within the tensor


def _fold_key(node: Call, scope: _Scope) -> Place:
    """A fold over the model, the same for all tensors."""
    assert scope.equation is not None, "initial values and conditions fold nothing"
    return place_of(node, scope.equation)


def _plain(value: Value) -> Any:
    """The array behind a number of any arithmetic."""
    return getattr(value, "value", value)
