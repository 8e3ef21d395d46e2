"""Declarations of a random rule: hyperparameters, options, inputs, a wrapped rule, and the states that it will have."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from optgen.contract.kinds import Kind
from tools.fuzzing.case import Case
from tools.fuzzing.expressions import Expressions, Scope

#: Kinds of which there is one number for the model.
SHARED = (Kind.CONSTANT, Kind.STEP, Kind.GLOBAL)
#: Optimizers of the catalogue that a rule may wrap.
WRAPPED = ("sgd", "adam", "lion", "adafactor", "lamb", "sm3", "novograd")
STATE_KINDS = (
    *(Kind.ELEMENT,) * 6,
    *(Kind.TENSOR, Kind.ROW, Kind.COLUMN, Kind.STEP) * 2,
    Kind.AXIS,
    Kind.AXIS,
    Kind.MATRIX,
    Kind.GLOBAL,
)


@dataclass(slots=True)
class PlannedState:
    name: str
    kind: Kind
    depth: int
    alias: bool = False


class Declarations:
    """Chooses declarations, and holds the text of a rule while it grows.

    Args:
        seed: of the rule.
        nested: whether the rule is to be wrapped by another.
    """

    def __init__(self, seed: int, nested: bool = False) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.nested = nested
        self.expressions = Expressions(self.random, self.random.choice((0.0, 0.0, 0.03, 0.03, 0.15)))
        self.lines: list[str] = []
        self.indent = 0
        self.counter = 0
        self.hyperparameters: dict[str, dict[str, Any]] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.inputs: dict[str, dict[str, Any]] = {}
        self.arguments: dict[str, Any] = {}
        self.wraps: str | Case | None = None
        self.scope = Scope()
        self.states: list[PlannedState] = []
        self.called = False
        self.depth = 0  # of conditions
        self.differing: set[str] = set()  # what cases by shape compute differently

    def another(self) -> Case:
        """A rule to be wrapped by this one."""
        raise NotImplementedError

    def emit(self, line: str) -> None:
        """Write a line down, where the statements stand."""
        self.lines.append("    " * self.indent + line)

    def differs(self, text: str) -> bool:
        """Whether cases by shape compute something differently."""
        return not self.scope.over_model or not self.differing.isdisjoint(re.findall(r"[a-z_]+[0-9]*", text))

    def can_differ(self, kind: Kind) -> Kind:
        """A kind for what cases compute differently; numbers of the step are the model's, and refused."""
        return Kind.TENSOR if kind in SHARED and self.random.random() < 0.95 else kind

    def name(self, stem: str) -> str:
        """A name that no other value has."""
        self.counter += 1
        return f"{stem}{self.counter}"

    def declare(self) -> None:
        """Choose hyperparameters, options and inputs."""
        random, scope = self.random, self.scope
        self.hyperparameters["lr"] = {"default": random.choice((0.1, 0.01, 0.5, 0.3)), "domain": "lr >= 0"}
        scope.add("lr", frozenset({Kind.STEP}))
        scope.add("t", frozenset({Kind.STEP}))
        scope.add("g", frozenset({Kind.ELEMENT}))
        scope.add("theta[t-1]", frozenset({Kind.ELEMENT}))
        for name in ("size", "rank", "rows", "columns"):
            if random.random() < 0.35:
                scope.add(name, frozenset({Kind.TENSOR}))
        if random.random() < 0.6:
            self.hyperparameters["beta"] = {"default": random.choice((0.9, 0.5, 0.99)), "domain": "0 <= beta < 1"}
            scope.add("beta", frozenset({Kind.CONSTANT}))
            if random.random() < 0.5:
                scope.add("(1 - beta**t)", frozenset({Kind.STEP}))
        if random.random() < 0.2:
            self.hyperparameters["rho"] = {"default": random.choice((0.7, 2.0, 0.0)), "varies": True}
            scope.add("rho", frozenset({Kind.STEP}))
        if random.random() < 0.25:
            self.hyperparameters["decay"] = random.choice(
                ({"default": 0.1, "absent": 0}, {"default": 0.0, "absent": 0}, {"optional": True})
            )
            if random.random() < 0.5:
                self.arguments["decay"] = 0.2
        if random.random() < 0.2:
            self.options["fast"] = {"default": random.random() < 0.5}
            if random.random() < 0.5:
                self.arguments["fast"] = True
        if random.random() < 0.2:
            self.options["count"] = {"default": random.choice((1, 2, 3))}
            scope.add("count", frozenset({Kind.CONSTANT}))
        if random.random() < 0.1:
            self.options["mode"] = {"default": "one", "choices": ["one", "two", "three"]}
            if random.random() < 0.5:
                self.arguments["mode"] = "two"
        if random.random() < 0.12:
            self.options["matrix_axes"] = {
                "default": random.choice(("last", "largest")),
                "choices": ["last", "largest"],
            }
        for kind in (Kind.STEP, Kind.GLOBAL, Kind.TENSOR, Kind.ELEMENT):
            if random.random() < 0.06 and not self.nested:
                name = f"x_{kind.value}"
                self.inputs[name] = {"kind": kind.value}
                scope.add(name, frozenset({kind}))
        if random.random() < 0.05 and not self.nested:
            self.wraps = random.choice(WRAPPED) if random.random() < 0.5 else self.another()
        if random.random() < 0.05 and not self.nested:
            self.arguments |= random.choice(({"grad_clip_norm": 0.5}, {"maximize": True}, {"grad_clip_value": 0.3}))

    def plan_states(self) -> None:
        """Choose states, so that statements before their assignment may read them."""
        random = self.random
        for name in random.sample(("m", "v", "s", "p", "q", "r"), random.choice((0, 1, 1, 2, 2, 3))):
            depth = random.choice((1, 1, 1, 2, 2, 3))
            self.states.append(PlannedState(name, random.choice(STATE_KINDS), depth, random.random() < 0.15))
        for state in self.states:
            for lag in range(1, state.depth + 1):
                if lag == state.depth or random.random() < 0.5:
                    self.scope.add(f"{state.name}[t-{lag}]", frozenset({state.kind}))

    def initial(self) -> list[str]:
        """Initial values of some states."""
        random = self.random
        lines = []
        for state in self.states:
            if random.random() < 0.25:
                values = ["1", "0.5", "lr", "2*lr - 1"]
                if state.kind is Kind.ELEMENT:
                    values += ["theta[0]", "0.5*theta[0]", "abs(theta[0]) + lr"]
                lines.append(f"{state.name}[0] = {random.choice(values)}")
        return lines

    def drop_unused(self, equations: str) -> None:
        """Forget declarations that no equation reads; that would be an error."""
        words = set(re.findall(r"[a-z_]+[a-z_0-9]*", equations))
        for table in (self.hyperparameters, self.options, self.inputs):
            for name in [n for n in table if n not in words and n != "matrix_axes"]:
                del table[name]
        shared = {"grad_clip_norm", "maximize", "grad_clip_value"}
        known = {*self.hyperparameters, *self.options, *shared}
        self.arguments = {name: value for name, value in self.arguments.items() if name in known}
