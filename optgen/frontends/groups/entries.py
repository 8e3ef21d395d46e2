"""The entries that a library keeps for each parameter, for one variant: which there are, and what they are called."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from optgen.contract.dialects import Dialect
from optgen.contract.formats import is_eight_bit, is_stochastic, scales_of
from optgen.contract.kinds import Kind
from optgen.contract.manifest import StateInfo
from optgen.contract.state_names import entry_names
from optgen.runtime.in_place import InPlaceRule
from optgen.runtime.variant import ArrayVariant

#: A parameter, as its library knows it, and the array that it holds.
Parameter = Any
Array = Any


class StateEntries(ABC):
    """The entries of each parameter's state.

    Args:
        variant: the variant.
        dialect: the names.
        native: makes the same variant as C functions that change arrays in place, or None where there are none. It is
            asked when a step could use them: where parameters are on another device nothing is to be compiled.
        formats: of states, see `optgen.runtime.formats`. One in 8 bits is kept as its codes, and beside them, under
            its name and `_scales`, their scales.
        is_foreign: tells the names under which other options of the rule, or the library's own optimizers, keep states.
    """

    def __init__(
        self,
        variant: ArrayVariant,
        dialect: Dialect,
        native: Callable[[], InPlaceRule | None],
        formats: Mapping[str, str],
        is_foreign: Callable[[str], bool],
    ) -> None:
        self.variant = variant
        self.formats = formats
        self.is_foreign = is_foreign
        self.native = functools.cache(native)
        infos = {info.name: info for case in variant.info.cases for info in case.states}
        #: Whether steps are counted though the library keeps no count: random bits follow from it, and the places where
        #: histories keep their values.
        self.counts_itself = not dialect.count and (
            any(map(is_stochastic, formats.values())) or any(info.depth > 1 for info in infos.values())
        )
        self.count = dialect.count or ("step" if self.counts_itself else "")
        states = [info for case in variant.info.cases for info in case.states]
        self.names = entry_names(infos, dialect, {info.name for info in states if info.kind is Kind.AXIS})
        #: States of which there is one number for the model; they are kept with every parameter of a group.
        self.of_model = {name for name, info in infos.items() if info.kind is Kind.GLOBAL}
        #: States of the step, kept with every parameter.
        self.of_step = {name: info for name, info in infos.items() if info.kind is Kind.STEP}
        kinds = {info.kind for case in variant.info.cases for info in case.states}
        #: Whether all tensors have to make their steps together.
        self.is_joint = variant.is_joint
        #: Whether a complex parameter is two real ones to it; rows and columns would be other ones.
        self.takes_complex = kinds <= {Kind.ELEMENT, Kind.TENSOR, Kind.STEP, Kind.GLOBAL}
        self.is_elementwise = kinds <= {Kind.ELEMENT, Kind.STEP} and not self.is_joint
        #: By `form` of parameters.
        self._own_names: dict[tuple[Any, ...], frozenset[str]] = {}
        #: Whether anything is kept at all.
        self.has_state = bool(self.count or infos)

    @abstractmethod
    def array(self, parameter: Parameter) -> Array:
        """The parameter as an array of real numbers, which the rule computes with."""

    @abstractmethod
    def form(self, parameter: Parameter) -> tuple[Any, ...]:
        """A parameter's form, without its numbers: the state that it may have depends on nothing else."""

    def entry_names(self, parameter: Parameter, info: StateInfo) -> tuple[str, ...]:
        """The names under which a state of a parameter is kept."""
        return (self.names[info.name],)

    def own_names(self, parameter: Parameter) -> frozenset[str]:
        """Every name under which the rule may keep something with a parameter, in whatever format."""
        form = self.form(parameter)
        if form not in self._own_names:
            self._own_names[form] = self._own_names_of(parameter)
        return self._own_names[form]

    def _own_names_of(self, parameter: Parameter) -> frozenset[str]:
        names = {name for info in self.infos(parameter) for name in self.entry_names(parameter, info)}
        names |= set(map(scales_of, self.formattable(parameter).values())) | {self.names[n] for n in self.of_model}
        return frozenset(names | ({self.count} if self.count else set()))

    def formattable(self, parameter: Parameter) -> dict[str, str]:
        """The states of a parameter that may be in a format of states, and the names under which they are kept."""
        element = [i for i in self.infos(parameter) if i.kind is Kind.ELEMENT and i.depth == 1]
        return {info.name: self.names[info.name] for info in element}

    def infos(self, parameter: Parameter) -> list[StateInfo]:
        """The states that are kept with a parameter."""
        states = self.variant.case_of(tuple(self.array(parameter).shape)).states
        return [info for info in states if info.name not in self.of_model]

    def kept_names(self, parameter: Parameter) -> list[str]:
        """The names under which something is kept with a parameter, in alphabetical order."""
        names = [name for info in self.infos(parameter) for name in self.entry_names(parameter, info)]
        eight_bit = [self.names[i.name] for i in self.infos(parameter) if is_eight_bit(self.formats.get(i.name))]
        return sorted([*names, *map(scales_of, eight_bit), *([self.count] if self.count else [])])
