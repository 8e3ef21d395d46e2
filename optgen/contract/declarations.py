"""Declarations of a spec for its users: hyperparameters, options, inputs, states and references."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.domain import Domain
from optgen.contract.kinds import Kind

#: What an option may be set to: a switch, one of some words, or a count.
OptionValue = bool | str | int

#: The hyperparameter that a wrapping optimizer and the wrapped one have together.
SHARED_WITH_WRAPPED = "lr"


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A number that the user chooses.

    Attributes:
        default: its value when the user gives none; None when it is then absent.
        symbol: LaTeX.
        domain: the values it may take.
        meaning: one line.
        optional: whether it may be absent (`None`), which equations ask by its bare name: `if weight_decay:`.
        absent: a value that means the same as absence, usually 0; None if there is none.
        varies: whether it may change at every step, so that nothing derived from it is computed ahead.
    """

    name: str
    default: float | None
    symbol: str
    domain: Domain
    meaning: str
    optional: bool = False
    absent: float | None = None
    varies: bool = False

    def present(self, value: object) -> bool:
        """Whether a value given for it counts as there; an array always does, since its value is not known yet."""
        if not self.optional:
            return True
        if value is None:
            return False
        return self.absent is None or not isinstance(value, int | float) or value != self.absent


@dataclass(frozen=True, slots=True)
class Option:
    """A choice fixed when the optimizer is built.

    Attributes:
        default: False or True for a switch, one of `choices`, or an integer for a count.
        choices: the words it may be set to; empty for a switch or a count.
        meaning: one line.
        requires: an option or optional hyperparameter without which this one has no effect.
    """

    name: str
    default: OptionValue
    choices: tuple[str, ...]
    meaning: str
    requires: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """A value besides the gradient that the caller passes at every step: a loss, a Hessian estimate."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A state's LaTeX symbol and meaning, for the reader of a spec. The state itself is inferred."""

    name: str
    symbol: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A publication: what a reader would look up."""

    text: str
    url: str = ""


MAX_COUNT = 1000
