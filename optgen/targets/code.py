"""Input and errors of the emitters: an optimizer, compiled up to its schedules."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from optgen.compiler.passes import PassSchedule
from optgen.compiler.program import Program
from optgen.contract.choice import Choice
from optgen.errors import OptgenError
from optgen.language.model import Spec


class UnsupportedByTarget(OptgenError, NotImplementedError):
    """A target has no way to run what a rule says."""


@dataclass(frozen=True, slots=True)
class CompiledCase:
    """One case of a variant, at each stage that a target may start from.

    Attributes:
        rounding: the schedule where states are stored in less than the precision of the arithmetic, if it is another:
            no pass reads a state that an earlier one has rounded.
    """

    analysed: Program
    program: Program
    schedule: PassSchedule
    rounding: PassSchedule | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One choice of options, compiled up to the schedule."""

    name: str
    choice: Choice
    cases: tuple[CompiledCase, ...]
    matrix_axes: str


@dataclass(frozen=True, slots=True)
class CompiledOptimizer:
    """A spec and its compiled variants, for which a target emits code."""

    spec: Spec
    variants: tuple[Variant, ...]


def initial_is_zero(value: Expr) -> bool:
    """Whether a state starts at zero, so that no code is needed to make it."""
    return bool(value == 0)
