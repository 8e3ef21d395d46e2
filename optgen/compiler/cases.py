"""Common ground of a rule's cases: folds over the model, and numbers kept once for all tensors.

A tensor takes one case, and a fold over the model takes its part from each tensor, so a fold is one and the same in all
cases, whatever the value that it folds is called there. All other numbers may differ from case to case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sympy import Expr, Symbol

from optgen.compiler.fresh_names import Names
from optgen.compiler.operations import substitute, symbol
from optgen.compiler.program import Definition, Program, Reduce
from optgen.compiler.rule import Equation
from optgen.contract.kinds import Kind
from optgen.errors import SpecError
from optgen.language.source import Source, Span
from optgen.language.syntax import Call

#: Where a fold stands: the file, the stretch of text, and the turns of the loops around it.
Place = tuple[str, Span, tuple[str | int, ...]]

#: Kinds of which there is one number for all tensors.
_SHARED = (Kind.CONSTANT, Kind.STEP, Kind.GLOBAL)


def place_of(node: Call, equation: Equation) -> Place:
    """Where a fold of an equation stands, the same in all cases."""
    return (equation.source.path, node.span, equation.turns)


@dataclass(slots=True)
class CaseFolds:
    """The folds over the model of one case.

    Attributes:
        names: of folds by place, which all cases share.
        apart: places that must not be one fold in this case, since they are not in another, by what they may be one
            with.
        first: the first place that has the same fold, by place.
        sources: kinds of what is folded, and files, for messages.
    """

    names: dict[Place, str]
    apart: Mapping[Place, object]
    first: dict[Place, Place] = field(default_factory=dict)
    sources: dict[Place, tuple[Kind, str, Source]] = field(default_factory=dict)
    _known: dict[tuple[object, Reduce], Place] = field(default_factory=dict)

    def name(self, place: Place, function: str, value: Reduce, source: Source, names: Names, base: str) -> str | None:
        """The name of a fold; None if it is defined already, under the name of `first`.

        Args:
            place: where it stands.
            function: what it is called there.
            value: the fold.
            source: the file, for messages.
            names: of the case.
            base: what to call it if no case has it yet.
        """
        if place in self.first:
            return None  # an argument that a derived function needs more than once
        self.sources[place] = value.source, function, source
        key = (self.apart.get(place), value)
        self.first[place] = self._known.setdefault(key, place)
        if self.first[place] != place:
            return None
        if place not in self.names:
            self.names[place] = names.fresh(base)
        return self.names[place]

    def known(self, place: Place) -> str:
        """The name under which the fold of a place is defined."""
        return self.names[self.first[place]]


def told_apart(cases: Sequence[CaseFolds]) -> dict[Place, object] | None:
    """Which places have to be folds of their own, so that folds are the same in all cases; None if they are.

    Raises:
        SpecError: a case lacks a fold that another has, or a mean counts elements in one and tensors in another.
    """
    places = list(dict.fromkeys(place for case in cases for place in case.first))
    for place in places:
        found = [case.sources[place] for case in cases if place in case.first]
        _, function, source = found[0]
        where = source.location(place[1])
        if len(found) < len(cases):
            raise SpecError(
                f"'{function}' is a reduction over the model, but under a condition on the shape",
                where,
                "reduce before the 'if', and use where(...) for what should not count",
            )
        if function in ("mean", "rms") and len({kind is Kind.ELEMENT for kind, *_ in found}) > 1:
            raise SpecError(
                f"'{function}' is of elements or of tensors, depending on the shape", where, "write sum(...) and divide"
            )
    if any(list(case.first) != places for case in cases):
        hint = "call a wrapped optimizer in both branches of one 'if'"
        where = cases[0].sources[places[0]][2].location(places[0][1])
        raise SpecError("reductions over the model come in another order, depending on the shape", where, hint)
    firsts = {place: tuple(case.first[place] for case in cases) for place in places}
    return None if all(len({*first}) == 1 for first in firsts.values()) else {**firsts}


class Meanings:
    """List what numbers are computed from, so that those of different cases can be compared."""

    def __init__(self) -> None:
        self._numbers: dict[Expr, int] = {}

    def of(self, program: Program) -> dict[str, Expr]:
        """For each number that may be one for all tensors, the same symbol as for any that is computed alike."""
        found: dict[Expr, Expr] = {}
        for definition in program.definitions:
            name = symbol(definition.name)
            if isinstance(definition.value, Reduce):
                found[name] = name
            elif definition.kind in _SHARED:
                value = substitute(definition.value, found)
                is_known = isinstance(value, Symbol)
                found[name] = value if is_known else symbol(f"#{self._numbers.setdefault(value, len(self._numbers))}")
        return {str(name): meaning for name, meaning in found.items()}


def with_own_names(programs: Sequence[Program]) -> tuple[Program, ...]:
    """Programs in which numbers of the model, and of the step, that have one name are one number."""
    if len(programs) == 1:
        return tuple(programs)
    meanings = Meanings()
    names = Names(name for program in programs for name in program.kinds)
    known: dict[str, Expr] = {}
    found = []
    for program in programs:
        renamed: dict[str, str] = {}
        for name, meaning in meanings.of(program).items():
            if known.setdefault(name, meaning) != meaning:
                renamed[name] = names.fresh(name)
                known[renamed[name]] = meaning
        found.append(_renamed(program, renamed) if renamed else program)
    return tuple(found)


def _renamed(program: Program, names: Mapping[str, str]) -> Program:
    """A program with other names for some of its definitions."""
    symbols: dict[Expr, Expr] = {symbol(old): symbol(new) for old, new in names.items()}

    def changed(definition: Definition) -> Definition:
        value = substitute(definition.expression, symbols)
        name = names.get(definition.name, definition.name)
        is_fold = isinstance(definition.value, Reduce)
        return Definition(name, definition.kind, replace(definition.value, operand=value) if is_fold else value)

    states = tuple(replace(state, new=names.get(state.new, state.new)) for state in program.states)
    return replace(program, definitions=tuple(map(changed, program.definitions)), states=states)
