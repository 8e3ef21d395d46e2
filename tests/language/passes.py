"""A schedule carried out literally in numpy, pass by pass, with the memory that it says it needs and no more.

A pass sees what it reads and nothing else. What is updated in place is gone once its new value is written, so that a
pass that reads too late fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy
from sympy import Expr

from optgen.compiler.analyse import analyse
from optgen.compiler.operations import Operation
from optgen.compiler.passes import Pass, PassSchedule, schedule
from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.compiler.rule import Rule
from optgen.compiler.simplify import simplify
from optgen.contract.kinds import Kind
from optgen.reference.compare import random_inputs
from optgen.reference.functions import REFERENCE_FUNCTIONS
from optgen.reference.interpret import InterpretedState, Interpreter
from tests.language.trajectories import Array, Trajectory

Values = dict[str, Any]

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: row.value for name, row in REFERENCE_FUNCTIONS.items()},
    "one_minus_exp": lambda x: -np.expm1(x),
    "mod": np.mod,
}
FOLDS: Mapping[str, Callable[..., Any]] = {"sum": np.sum, "max": np.max, "min": np.min}


def evaluate(expression: Expr, values: Mapping[str, Any]) -> Any:
    """The number or array that an expression stands for; a vector per axis is a tuple of arrays."""
    if isinstance(expression, sympy.Symbol):
        return values[expression.name]
    if not expression.args:
        return np.float64(expression)
    parts = [evaluate(argument, values) for argument in expression.args]
    vectors = [part for part in parts if isinstance(part, tuple)]
    if not vectors:
        return combine(expression, parts)
    spread = [part if isinstance(part, tuple) else (part,) * len(vectors[0]) for part in parts]
    return tuple(combine(expression, list(one)) for one in zip(*spread, strict=True))


def combine(expression: Expr, parts: list[Any]) -> Any:
    if isinstance(expression, sympy.Add):
        return sum(parts[1:], parts[0])
    if isinstance(expression, sympy.Mul):
        product = parts[0]
        for part in parts[1:]:
            product = product * part
        return product
    if isinstance(expression, sympy.Pow):
        return np.sqrt(parts[0]) if expression.exp == sympy.Rational(1, 2) else np.power(parts[0], parts[1])
    assert isinstance(expression, Operation), expression
    return FUNCTIONS[expression.name](*parts)


def fold(reduction: Reduce, value: Any, rank: int) -> Any:
    """A fold of one tensor; for the model, the tensor's part of it."""
    function = FOLDS[reduction.operation]
    match reduction.over:
        case "tensor" | "model":
            return function(value)
        case "rows":
            return function(value, axis=-2, keepdims=True) if rank >= 2 else value
        case "columns":
            return function(value, axis=-1, keepdims=True) if rank >= 1 else value
        case "other_axes":
            axes = range(rank)
            return tuple(function(value, axis=tuple(a for a in axes if a != i), keepdims=True) for i in axes) or (
                value,
            )
        case "axes":
            joined = value[0]
            for part in value[1:]:
                joined = {"max": np.maximum, "min": np.minimum, "sum": np.add}[reduction.operation](joined, part)
            return joined
    raise AssertionError(reduction.over)


def shape_numbers(shape: tuple[int, ...]) -> Values:
    return {
        "size": float(math.prod(shape)),
        "rank": float(len(shape)),
        "rows": float(shape[-2]) if len(shape) >= 2 else 1.0,
        "columns": float(shape[-1]) if shape else 1.0,
    }


class Memory:
    """One tensor's arrays and numbers while its schedule is carried out."""

    def __init__(
        self, program: Program, plan: PassSchedule, shape: tuple[int, ...], given: Values, stored: Values
    ) -> None:
        self.program = program
        self.plan = plan
        self.shape = shape
        self.given = given
        self.stored = stored

    def carry_out(self, number: int) -> Values:
        """One pass over this tensor; returns its parts of folds over the model."""
        this: Pass = self.plan.passes[number]
        known = self.given | self.stored
        values = shape_numbers(self.shape)
        values |= {name: self.given[name] for name in ("model_size", "tensor_count")}
        values |= {name: known[name] for name in (*this.reads, *this.broadcast)}
        for definition in this.definitions:
            values[definition.name] = evaluate(definition.expression, values)
        parts = {}
        for definition in this.folds:
            assert isinstance(definition.value, Reduce)
            folded = fold(definition.value, evaluate(definition.value.operand, values), len(self.shape))
            (parts if definition.value.over == "model" else self.stored)[definition.name] = folded
        for name in this.writes:
            self.stored[name] = values[name]
        if this.domain is Kind.ELEMENT:
            for name in this.writes:
                self.replace(name)
        return parts

    def replace(self, name: str) -> None:
        """A new value takes the old one's place."""
        for state in self.program.states:
            if state.new == name:
                self.stored.pop(state.older(state.depth), None)
        if name == self.program.result:
            theta = self.stored.pop("theta")
            self.stored["result"] = theta + self.stored[name] if name == UPDATE else self.stored[name]


def one_step(
    rule: Rule,
    values: Mapping[str, float],
    model: InterpretedState,
    gradients: Sequence[Array],
    inputs: Mapping[str, Any],
    reads_back: bool,
) -> list[tuple[Any, Values]]:
    """Each tensor's new parameter and new states, by the schedules of the simplified programs."""
    programs = [simplify(program) for program in analyse(rule)]
    plans = [schedule(program, reads_back=reads_back) for program in programs]
    for program, plan in zip(programs, plans, strict=True):
        new = {state.new for state in program.states if state.kind is Kind.ELEMENT} - set(plan.scratch)
        assert reads_back or not any(new & set(one.reads) for one in plan.passes)
    interpreter = Interpreter(rule, values)
    memories = []
    for index, (tensor, gradient) in enumerate(zip(model.tensors, gradients, strict=True)):
        shape = np.shape(gradient)
        case = interpreter.case_of(shape)
        program, plan = programs[case], plans[case]
        given: Values = dict(values) | {"t": np.float64(model.t + 1)}
        given |= {"model_size": float(sum(np.size(g) for g in gradients)), "tensor_count": float(len(gradients))}
        stored: Values = {"theta": tensor.theta, "g": gradient}
        for entry in rule.inputs:
            value = inputs[entry.name]
            known = given if entry.kind == "step" else stored
            known[entry.name] = value[index] if entry.kind in ("tensor", "element") else value
        for state in program.states:
            history = tensor.history.get(state.name) or model.shared[state.name]
            known = given if state.kind.is_per_step else stored
            known |= {state.older(lag): history[lag - 1] for lag in range(1, state.depth + 1)}
        for definition in (*plan.constants, *plan.step):
            given[definition.name] = evaluate(definition.expression, given)
        memories.append(Memory(program, plan, shape, given, stored))
    longest = max(len(plan.passes) for plan in plans)
    if len(plans) > 1:
        assert not any(folds_model(d) for program in programs for d in program.definitions)
    for number in range(longest):
        parts: dict[str, list[Any]] = {}
        for memory in memories:
            if number < len(memory.plan.passes):
                for name, part in memory.carry_out(number).items():
                    parts.setdefault(name, []).append(part)
        for memory in memories:
            by_name = {d.name: d for d in memory.program.definitions}
            for name, several in parts.items():
                reduction = by_name[name].value
                assert isinstance(reduction, Reduce)
                memory.stored[name] = FOLDS[reduction.operation](several)
    return [(m.stored["result"], {s.name: (m.given | m.stored)[s.new] for s in m.program.states}) for m in memories]


def folds_model(definition: Definition) -> bool:
    return isinstance(definition.value, Reduce) and definition.value.over == "model"


def largest_difference(
    rule: Rule,
    values: Mapping[str, float],
    parameters: Sequence[Array],
    gradients: Trajectory,
    *,
    reads_back: bool = True,
) -> float:
    """How far schedule and interpreter are apart, in parameters and states, over some steps."""
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    worst = 0.0
    with np.errstate(all="ignore"):
        for number, step in enumerate(gradients):
            inputs = random_inputs(rule, number, [np.shape(gradient) for gradient in step], np.float64)
            after = interpreter.step(model, step, inputs)
            results = one_step(rule, values, model, step, inputs, reads_back)
            for tensor, (theta, states) in zip(after.tensors, results, strict=True):
                worst = max(worst, apart(tensor.theta, theta))
                for name, state in states.items():
                    worst = max(worst, apart((tensor.history.get(name) or after.shared[name])[0], state))
            model = after
    return worst


def apart(a: Any, b: Any) -> float:
    pairs = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
    worst = 0.0
    for x, y in pairs:
        x, y = np.broadcast_arrays(np.asarray(x), np.asarray(y))
        far = np.max(np.abs(x - y) / np.maximum(1.0, np.abs(x)))
        worst = max(worst, np.inf if np.isnan(far) else float(far))
    return worst
