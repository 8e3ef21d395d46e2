"""The value that analysis makes and simplification refines: a rule as named definitions with known kinds."""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Expr

from optgen.compiler.kind_rules import join
from optgen.compiler.operations import names_in
from optgen.contract.declarations import Hyperparameter, Input
from optgen.contract.kinds import MODEL_SYMBOLS, SHAPE_SYMBOLS, Kind

#: The form in which a rule is computed: the amount to add to the parameter, or the new parameter itself.
UPDATE, PARAMETER = "theta_update", "theta_new"


@dataclass(frozen=True, slots=True)
class Reduce:
    """`sum`, `max` or `min` of an expression of kind `source` over an extent."""

    operation: str
    operand: Expr
    over: str
    source: Kind


@dataclass(frozen=True, slots=True)
class Definition:
    """`name = value`, one number of the given kind; reductions stand alone, never inside an expression."""

    name: str
    kind: Kind
    value: Expr | Reduce

    @property
    def expression(self) -> Expr:
        """The expression computed, of a reduction its operand."""
        return self.value.operand if isinstance(self.value, Reduce) else self.value

    @property
    def reads(self) -> set[str]:
        """The names that the value needs."""
        return names_in(self.expression)


@dataclass(frozen=True, slots=True)
class State:
    """A value that is kept from step to step.

    Attributes:
        name: as in the spec; in expressions it stands for the value one step earlier.
        kind: what it holds one number for.
        depth: how many earlier steps are kept; `name_lag2` and so on stand for the older ones.
        initial: the value before the first step, of hyperparameters and `theta`.
        new: the definition that holds its value at this step.
    """

    name: str
    kind: Kind
    depth: int
    initial: Expr
    new: str

    def older(self, lag: int) -> str:
        """The name in expressions of the value `lag` steps back."""
        return self.name if lag == 1 else f"{self.name}_lag{lag}"


@dataclass(frozen=True, slots=True)
class Program:
    """One case of a rule, analysed.

    Attributes:
        conditions: what a tensor's shape must meet, and whether it must hold, for this case to be its own.
        hyperparameters: those that are used.
        inputs: those that are used.
        states: in the order in which the spec assigns them.
        definitions: in an order in which each comes after what it needs.
        result: `UPDATE` if the rule adds something to the parameter, else `PARAMETER`; a definition has this name.
    """

    conditions: tuple[tuple[Expr, bool], ...]
    hyperparameters: tuple[Hyperparameter, ...]
    inputs: tuple[Input, ...]
    states: tuple[State, ...]
    definitions: tuple[Definition, ...]
    result: str

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of every name that an expression may hold."""
        found = {"theta": Kind.ELEMENT, "g": Kind.ELEMENT, "t": Kind.STEP}
        found |= dict.fromkeys(MODEL_SYMBOLS, Kind.STEP)
        found |= dict.fromkeys(SHAPE_SYMBOLS, Kind.TENSOR)
        found |= {h.name: Kind.STEP if h.varies else Kind.CONSTANT for h in self.hyperparameters}
        found |= {i.name: i.kind for i in self.inputs}
        for state in self.states:
            found |= {state.older(lag): state.kind for lag in range(1, state.depth + 1)}
        return found | {d.name: d.kind for d in self.definitions}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The definitions that the step exists for."""
        return (*(state.new for state in self.states), self.result)


def expression_kind(expression: Expr, kinds: dict[str, Kind]) -> Kind:
    """The kind of an expression, from those of the names in it."""
    if isinstance(expression, sympy.Symbol):
        return kinds[str(expression.name)]
    kind = Kind.CONSTANT
    for argument in expression.args:
        kind = join(kind, expression_kind(argument, kinds))
    return kind
