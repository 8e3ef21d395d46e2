"""What an emitter hands on: source text, and the calls that run it."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from optgen.compiler.choice import Choice
from optgen.compiler.program import Program
from optgen.compiler.schedule import Schedule
from optgen.errors import OptgenError
from optgen.spec.model import Spec


class UnsupportedByTarget(OptgenError, NotImplementedError):
    """A target has no way to run what a rule says."""


@dataclass(frozen=True, slots=True)
class CompiledCase:
    """One case of a variant, at each stage that a target may start from."""

    analysed: Program
    program: Program
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Variant:
    """One choice of options, compiled up to the schedule."""

    name: str
    choice: Choice
    cases: tuple[CompiledCase, ...]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """What a target emits code for: a spec and the variants of it that are wanted."""

    spec: Spec
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A generated function and how the runtime calls it.

    Attributes:
        name: in the generated module.
        level: `initial` and `tensor` run for each tensor, `step` once, `model` once with every tensor's folds combined.
        arguments, returns: names of values; every argument is one that an earlier function returned, a
            hyperparameter, an input, a state, `theta`, `g`, `t`, or a number known from a shape.
        folds: returned values that have to be combined over all tensors (`sum`, `max`, `min`), by name.
    """

    name: str
    level: str
    arguments: tuple[str, ...]
    returns: tuple[str, ...]
    folds: tuple[tuple[str, str], ...] = ()


def initial_is_zero(value: Expr) -> bool:
    """Whether a state starts at zero, so that no code is needed to make it."""
    return bool(value == 0)
