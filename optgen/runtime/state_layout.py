"""What a library keeps for each parameter: reading and writing one variant's state, and what a checkpoint holds."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optgen.compiler.kinds import Kind
from optgen.errors import TreeMismatch
from optgen.runtime.entry_names import entry_names
from optgen.runtime.formats import (
    BFLOAT16,
    BFLOAT16_NEAREST,
    EIGHT_BIT,
    EIGHT_BIT_STOCHASTIC,
    Blocks,
    block_count,
    closed,
    decoded,
    encoded,
    is_eight_bit,
    is_stochastic,
    scales_of,
)
from optgen.runtime.in_place import InPlaceRule
from optgen.runtime.state_checks import check_state, dtype_of, is_count, seen
from optgen.runtime.variant import ArrayVariant
from optgen.spec.model import Dialect
from optgen.targets.manifest import StateInfo

#: A parameter's state as a library keeps it: name → array, or a tuple of them for one vector per axis.
Kept = dict[str, Any]

#: A parameter, as its library knows it, and the array that it holds.
Parameter = Any
Array = Any

#: The dtypes of arrays in formats of states, by format.
_STORED = {BFLOAT16: BFLOAT16, BFLOAT16_NEAREST: BFLOAT16, EIGHT_BIT: "uint8", EIGHT_BIT_STOCHASTIC: "uint8"}
_NARROW = frozenset(_STORED.values())


class StateLayout(ABC):
    """Reads and writes the state of one variant as a library keeps it for each parameter.

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
        self.names = entry_names(infos, dialect, {info.name for info in states if info.kind == Kind.AXIS.value})
        #: States of which there is one number for the model; they are kept with every parameter of a group.
        self.of_model = {name for name, info in infos.items() if info.kind == Kind.GLOBAL.value}
        #: States of the step, kept with every parameter.
        self.of_step = {name: info for name, info in infos.items() if info.kind == Kind.STEP.value}
        kinds = {info.kind for case in variant.info.cases for info in case.states}
        #: Whether all tensors have to make their steps together.
        self.is_joint = variant.is_joint
        #: Whether a complex parameter is two real ones to it; rows and columns would be other ones.
        self.takes_complex = kinds <= {Kind.ELEMENT.value, Kind.TENSOR.value, Kind.STEP.value, Kind.GLOBAL.value}
        self.is_elementwise = kinds <= {Kind.ELEMENT.value, Kind.STEP.value} and not self.is_joint
        #: By `form` of parameters.
        self._own_names: dict[tuple[Any, ...], frozenset[str]] = {}
        #: What states have passed `check`, by what they looked like.
        self._passed: set[tuple[Any, ...]] = set()
        #: Whether anything is kept at all.
        self.has_state = bool(self.count or infos)

    @abstractmethod
    def why_no_array(self, value: Any) -> str:
        """What a value is that is no array of real or complex numbers in the library's manner; empty if it is one."""

    @abstractmethod
    def array(self, parameter: Parameter) -> Array:
        """What the rule sees of a parameter: real numbers."""

    @abstractmethod
    def form(self, parameter: Parameter) -> tuple[Any, ...]:
        """What a parameter is, all but its numbers: what may be kept for it depends on nothing else."""

    @abstractmethod
    def counted(self, parameter: Parameter, kept: Kept, t: int) -> Any:
        """The number of steps as it is kept, in place of the one that is there."""

    @abstractmethod
    def step_number(self, parameter: Parameter, kept: Kept, name: str, value: Any) -> Any:
        """A number of the step as it is kept under a name, in place of the one that is there."""

    @abstractmethod
    def on_host(self, value: Any) -> Any:
        """A number of the step that is kept, as the rule takes it: an array of numpy, or what autograd follows."""

    @abstractmethod
    def inside(self, info: StateInfo, value: Any) -> Any:
        """A state as the rule takes it."""

    @abstractmethod
    def outside(self, parameter: Parameter, info: StateInfo, value: Any) -> Any:
        """A state as it is kept."""

    @abstractmethod
    def written(self, old: Any, new: Any) -> Any:
        """A state's new value where the old one was kept; never memory of a parameter or a gradient."""

    @abstractmethod
    def turned(self, history: Any, places: int) -> Any:
        """A history whose values stand so many places further, those from the end at the start; where it was kept."""

    @abstractmethod
    def moved(self, parameter: Parameter, value: Array) -> Array:
        """A copy of an array of a checkpoint, where the parameter is."""

    @abstractmethod
    def restored(self, parameter: Parameter, name: str, value: Any) -> Any:
        """A copy of an entry of a checkpoint as it is kept, in the precision of the parameter's arithmetic."""

    def loaded(self, parameter: Parameter, kept: Mapping[str, Any]) -> Kept:
        """The state of a parameter from a checkpoint that `check` has passed, in the formats that are asked for."""
        kept = self.by_entries(parameter, kept)
        names = self.formattable(parameter).values()
        narrow = {n for name in names if dtype_of(kept.get(name)) in _NARROW for n in (name, scales_of(name))}
        found = {
            name: self.moved(parameter, value) if name in narrow else self.restored(parameter, name, value)
            for name, value in kept.items()
            if name in self.own_names(parameter)
        }
        self.reformat(parameter, found)
        if self.counts_itself and found and self.count not in found:
            # The library tells that there has been a step, not how many.
            found[self.count] = self.counted(parameter, found, 1)
        return found

    def entry_names(self, parameter: Parameter, info: StateInfo) -> tuple[str, ...]:
        """The names under which a state of a parameter is kept."""
        return (self.names[info.name],)

    def by_entries(self, parameter: Parameter, kept: Mapping[str, Any]) -> Kept:
        """What is kept for a parameter, by the names that are used now where older checkpoints have others."""
        return dict(kept)

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
        element = [i for i in self.infos(parameter) if Kind(i.kind) is Kind.ELEMENT and i.depth == 1]
        return {info.name: self.names[info.name] for info in element}

    def reformat(self, parameter: Parameter, kept: Kept) -> None:
        """Have a parameter's state in the formats that are asked for, whatever they were: options may change."""
        infos = {info.name: info for info in self.infos(parameter)}
        for state, name in self.formattable(parameter).items():
            format, value, scales = self.formats.get(state), kept.get(name), kept.get(scales_of(name))
            if value is None:
                continue
            stored = dtype_of(value) if dtype_of(value) in _NARROW else None
            if (scales is not None) != (stored == "uint8"):
                raise TreeMismatch(f"'{name}' of a parameter is of 8 bits only together with '{scales_of(name)}'")
            if scales is not None and tuple(np.shape(scales)) != (block_count(tuple(np.shape(value))),):
                raise TreeMismatch(f"'{scales_of(name)}' of a parameter is of another shape than '{name}' asks for")
            if stored == (_STORED[format] if format else None):
                continue
            arrays = self.variant.arrays
            real = self.inside(infos[state], value)
            full = decoded(arrays, Blocks(value, scales) if scales is not None else real) if stored else real
            kept.pop(scales_of(name), None)
            if format is None:
                kept[name] = self.restored(parameter, name, self.outside(parameter, infos[state], full))
            else:
                kept |= self.entries(parameter, infos[state], encoded(arrays, full, format, None))

    def infos(self, parameter: Parameter) -> list[StateInfo]:
        """The states that are kept with a parameter."""
        states = self.variant.case_of(tuple(self.array(parameter).shape)).states
        return [info for info in states if info.name not in self.of_model]

    def kept_names(self, parameter: Parameter) -> list[str]:
        """The names under which something is kept with a parameter, in alphabetical order."""
        names = [name for info in self.infos(parameter) for name in self.entry_names(parameter, info)]
        eight_bit = [self.names[i.name] for i in self.infos(parameter) if is_eight_bit(self.formats.get(i.name))]
        return sorted([*names, *map(scales_of, eight_bit), *([self.count] if self.count else [])])

    def is_complete(self, parameter: Parameter, kept: Kept) -> bool:
        """Whether a parameter's state is there."""
        if self.count and not self.counts_itself:
            return self.count in kept
        names = [name for info in self.infos(parameter) for name in self.entry_names(parameter, info)]
        return all(kept.get(name) is not None for name in names)

    def start(self, parameter: Parameter, kept: Kept, hyperparameters: Mapping[str, Any]) -> Kept:
        """Write the state before the first step.

        Args:
            parameter: whose state it is.
            kept: its state, to which entries are added.
            hyperparameters: of the group.

        Returns:
            the numbers of the model, by the rule's names.
        """
        state = self.variant.init([self.array(parameter)], hyperparameters)
        (tensors,) = closed(self.variant.arrays, state.tensors, self.formats, self.variant.state_names(), None)
        if self.count:
            kept[self.count] = self.counted(parameter, kept, 0)
        for info in self.infos(parameter):
            if info.name in self.of_step:
                name = self.names[info.name]
                kept[name] = self.step_number(parameter, kept, name, state.shared[info.name])
            else:
                kept |= self.entries(parameter, info, tensors[info.name])
        return {name: state.shared[name] for name in self.of_model if name in state.shared}

    def settle_or_refuse(self, label: str, parameter: Parameter, kept: Kept) -> None:
        """Check what is kept for a parameter as often as it has changed, and have it as the library keeps it.

        Args:
            label: what messages call the optimizer.
            parameter: whose state it is.
            kept: its state.

        Raises:
            TreeMismatch: see `check`.
        """
        looks, others = self._looks(parameter, kept)
        is_known = looks in self._passed and is_count(kept.get(self.count, 0))
        if is_known and not any(kept[name] is not None and self.is_foreign(name) for name in others):
            return
        self.check(self.place_of(label, parameter), parameter, self.by_entries(parameter, kept))
        self.settle(parameter, kept)
        self._passed.add(self._looks(parameter, kept)[0])

    def _looks(self, parameter: Parameter, kept: Kept) -> tuple[tuple[Any, ...], list[str]]:
        """How a parameter and the rule's entries look, all but their numbers; and the names of other entries."""
        form = self.form(parameter)
        own = self._own_names.get(form) or self.own_names(parameter)
        looks = (form, *[(name, seen(value)) for name, value in kept.items() if name in own])
        return looks, [name for name in kept if name not in own] if len(looks) <= len(kept) else []

    def place_of(self, label: str, parameter: Parameter) -> str:
        """What messages call the state of a parameter of an optimizer."""
        return f"{label}: the state of a parameter of shape {tuple(self.array(parameter).shape)}"

    def settle(self, parameter: Parameter, kept: Kept) -> None:
        """Have numbers that `check` has passed as the library keeps them, whoever has set them."""
        kept.update(self.by_entries(parameter, kept))

    def steps_done(self, parameter: Parameter, kept: Kept) -> int:
        """How many steps a parameter has made; where that is not kept, whether it has made one."""
        if self.count:
            return int(kept[self.count]) if self.count in kept else 0
        return int(bool(self.infos(parameter)) and self.is_complete(parameter, kept))

    def tensors(self, parameter: Parameter, kept: Kept) -> dict[str, Any]:
        """A parameter's state as the rule takes it."""
        infos = [info for info in self.infos(parameter) if info.name not in self.of_step]
        return {info.name: self.taken(parameter, info, kept) for info in infos}

    def taken(self, parameter: Parameter, info: StateInfo, kept: Kept) -> Any:
        """A state of a parameter as the rule takes it."""
        name = self.names[info.name]
        names = self.entry_names(parameter, info)
        if names != (name,):
            return tuple(kept[part] for part in names)
        if is_eight_bit(self.formats.get(info.name)):
            return Blocks(kept[name], kept[scales_of(name)])
        return kept[name] if info.name in self.formats else self.inside(info, kept[name])

    def entries(self, parameter: Parameter, info: StateInfo, value: Any) -> Kept:
        """A state as it is kept, by name."""
        name = self.names[info.name]
        if isinstance(value, Blocks):
            return {name: value.codes, scales_of(name): value.scales}
        names = self.entry_names(parameter, info)
        if names != (name,):
            return dict(zip(names, value, strict=True))
        return {name: value if info.name in self.formats else self.outside(parameter, info, value)}

    def step_numbers(self, kept: Kept) -> dict[str, Any]:
        """The numbers of the step that a parameter keeps, as the rule takes them."""
        return {name: self.on_host(kept[self.names[name]]) for name in self.of_step if self.names[name] in kept}

    def write(
        self, parameter: Parameter, kept: Kept, tensors: Mapping[str, Any], shared: Mapping[str, Any], t: int
    ) -> None:
        """Write a parameter's state after a step."""
        if self.count:
            kept[self.count] = self.counted(parameter, kept, t)
        for info in self.infos(parameter):
            name = self.names[info.name]
            if info.name in self.of_step:
                kept[name] = self.step_number(parameter, kept, name, shared[info.name])
            else:
                for entry, value in self.entries(parameter, info, tensors[info.name]).items():
                    kept[entry] = self.written(kept[entry], value)

    def move_on(self, parameter: Parameter, kept: Kept, t: int, numbers: Mapping[str, Any]) -> None:
        """Have a parameter that has missed steps keep what goes with step `t`, the last one of its model.

        Where a history keeps a value follows from the number of the step. So the parameter's own, of the steps that it
        has made, move to where those of the last ones would stand.

        Args:
            parameter: whose state it is.
            kept: its state.
            t: how many steps the model has made.
            numbers: the numbers of the step after it, by the rule's names.
        """
        missed = t - self.steps_done(parameter, kept)
        for info in self.infos(parameter):
            if info.depth > 1 and info.name not in self.of_step:
                for name in self.entry_names(parameter, info):
                    kept[name] = self.turned(kept[name], missed)
        if self.count:
            kept[self.count] = self.counted(parameter, kept, t)
        for name, value in numbers.items():
            kept[self.names[name]] = self.step_number(parameter, kept, self.names[name], value)

    def check(self, label: str, parameter: Parameter, kept: Mapping[str, Any]) -> None:
        """Refuse a state that is not one of this rule; entries that no rule keeps belong to whoever has put them there.

        Raises:
            TreeMismatch: an entry is missing, of another option or rule, of another shape, or no array of numbers.
        """
        check_state(self, label, parameter, kept)
