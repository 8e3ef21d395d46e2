"""The state of each parameter as a library keeps it: reading, writing and checking it, for one variant."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from optgen.contract.formats import (
    BFLOAT16,
    BFLOAT16_NEAREST,
    EIGHT_BIT,
    EIGHT_BIT_STOCHASTIC,
    block_count,
    is_eight_bit,
    scales_of,
)
from optgen.contract.manifest import StateInfo
from optgen.errors import TreeMismatch
from optgen.frontends.groups.checks import check_count, dtype_of, is_complex, is_count, seen
from optgen.frontends.groups.entries import Array, Parameter, StateEntries
from optgen.runtime.formats.codes import Blocks, closed, decoded, encoded

#: A parameter's state as a library keeps it: name → array, or a tuple of them for one vector per axis.
Kept = dict[str, Any]

#: The dtypes of arrays in formats of states, by format.
_STORED = {BFLOAT16: BFLOAT16, BFLOAT16_NEAREST: BFLOAT16, EIGHT_BIT: "uint8", EIGHT_BIT_STOCHASTIC: "uint8"}
_NARROW = frozenset(_STORED.values())


class StateLayout(StateEntries):
    """Reads, writes and checks the state of one variant as a library keeps it; for the arguments see `StateEntries`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: What states have passed `check`, by what they looked like.
        self._passed: set[tuple[Any, ...]] = set()

    @abstractmethod
    def why_no_array(self, value: Any) -> str:
        """The reason why a value is no array of real or complex numbers of the library; empty if it is one."""

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

    def by_entries(self, parameter: Parameter, kept: Mapping[str, Any]) -> Kept:
        """A parameter's state by the current names, where older checkpoints have others."""
        return dict(kept)

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
        """The name in messages of the state of a parameter of an optimizer."""
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
        self._check_names(label, parameter, kept)
        found = {name for name, value in kept.items() if value is not None}
        if self.count in found:
            check_count(f"{label}: '{self.count}'", kept[self.count])
        shape = tuple(self.array(parameter).shape)
        for info in self.infos(parameter):
            names = self.entry_names(parameter, info)
            history = (info.depth,) if info.depth > 1 else ()
            shapes = [history + one for one in self.variant.shapes_of(info, shape)]
            if set(names) <= found:
                values = [
                    self._checked(f"{label}: '{name}'", info, kept[name], scales_of(name) in found) for name in names
                ]
                given = [tuple(np.shape(part)) for value in values for part in _parts(value)]
                if given != shapes:
                    told = "', '".join(names)
                    raise TreeMismatch(f"{label}: '{told}' has shape {given}, and should have {shapes}")
                if not is_complex(parameter) and any(map(is_complex, values)):
                    raise TreeMismatch(f"{label}: '{names[0]}' holds complex numbers, and the parameter real ones")
        for name in self.formattable(parameter).values():
            scale = scales_of(name)
            is_in_bytes = dtype_of(kept.get(name)) == "uint8"
            if name in found and is_in_bytes != (scale in found):
                raise TreeMismatch(f"{label}: '{name}' of a parameter is of 8 bits only together with '{scale}'")
            if scale in found:
                given, full = [tuple(np.shape(kept[scale]))], [(block_count(shape),)]
                if given != full:
                    raise TreeMismatch(f"{label}: '{scale}' has shape {given}, and should have {full}")

    def _check_names(self, label: str, parameter: Parameter, kept: Mapping[str, Any]) -> None:
        known = self.own_names(parameter)
        wanted = {name for info in self.infos(parameter) for name in self.entry_names(parameter, info)}
        wanted |= {self.count} if self.count and not self.counts_itself else set()
        found = {name for name, value in kept.items() if value is not None}
        foreign = set(filter(self.is_foreign, found - known))
        if foreign or (found & known and not wanted <= found):
            told = ", ".join(sorted(found & known | foreign))
            keeps = ", ".join(sorted(wanted | {self.names[name] for name in self.of_model})) or "nothing"
            raise TreeMismatch(f"{label} holds {told}, and this optimizer keeps {keeps}")

    def _checked(self, label: str, info: StateInfo, value: Any, is_in_bytes: bool) -> Any:
        """A state as the rule takes it, of which every part is an array."""
        is_number = info.name in self.of_step and isinstance(value, int | float) and not isinstance(value, bool)
        why = "" if is_number else next(filter(None, map(self.why_no_array, _parts(value))), "")
        if why:
            raise TreeMismatch(f"{label} is {why}, and should be an array of numbers")
        return value if is_in_bytes or dtype_of(value) == BFLOAT16 else self.inside(info, value)


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)
