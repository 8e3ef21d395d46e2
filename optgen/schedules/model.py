"""The file of a learning-rate schedule as a value, read and checked."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.declarations import Hyperparameter, Option, Reference
from optgen.contract.dialects import Dialect
from optgen.contract.domain import Domain
from optgen.language.model import Preamble, Spec
from optgen.language.source import Source
from optgen.language.syntax import Statement


@dataclass(frozen=True, slots=True)
class NumberList:
    """A hyperparameter that is a list of numbers, of any length.

    Attributes:
        default: its entries when the user gives none.
        symbol: LaTeX, of one entry without its index.
        domain: the values that each entry may take.
        meaning: one line.
        increasing: whether each entry has to be larger than the one before.
        as_long_as: another list that it is as long as; empty if none.
        longer_by: by how many entries it is longer than that one.
    """

    name: str
    default: tuple[float, ...]
    symbol: str
    domain: Domain
    meaning: str
    increasing: bool = False
    as_long_as: str = ""
    longer_by: int = 0


@dataclass(frozen=True, slots=True)
class Constraint:
    """A comparison of two hyperparameters that must hold: `warmup_steps < decay_steps`."""

    left: str
    operator: str
    right: str

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class LrSchedule:
    """A learning-rate schedule as its file states it; names are checked, equations are parsed.

    Attributes:
        hyperparameters: those that are one number each.
        lists: those that are lists of numbers.
        whole: the hyperparameters that have to be whole numbers.
        base: the hyperparameter that is the learning rate which the schedule scales; empty if there is none.
        constraints: what must hold between hyperparameters.
        order: the names of all hyperparameters, in the order in which they are declared.
    """

    name: str
    class_name: str
    title: str
    summary: str
    references: tuple[Reference, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    lists: tuple[NumberList, ...]
    whole: tuple[str, ...]
    base: str
    constraints: tuple[Constraint, ...]
    options: tuple[Option, ...]
    order: tuple[str, ...]
    equations: str
    body: tuple[Statement, ...]
    dialects: tuple[Dialect, ...]
    source: Source


def in_place_of(found: NumberList) -> Hyperparameter:
    """A list as a hyperparameter, where only its name, symbol and meaning count."""
    return Hyperparameter(found.name, None, found.symbol, Domain(), found.meaning)


def printable(schedule: LrSchedule) -> Spec:
    """The schedule in the form in which equations are printed as LaTeX; the language's own names get symbols too."""
    symbols = (("pi", r"\pi"), ("lr", r"\eta_t"))
    own = tuple(Hyperparameter(name, None, symbol, Domain(), "") for name, symbol in symbols)
    return Spec(
        name=schedule.name,
        class_name=schedule.class_name,
        title=schedule.title,
        summary=schedule.summary,
        references=schedule.references,
        hyperparameters=(*schedule.hyperparameters, *(in_place_of(found) for found in schedule.lists), *own),
        options=schedule.options,
        inputs=(),
        states=(),
        wraps="",
        wrapped="",
        equations=schedule.equations,
        body=schedule.body,
        dialects=schedule.dialects,
        source=schedule.source,
        preamble=Preamble((), (), schedule.source),
    )
