"""Running a rule on parameters in groups, each of which keeps a state of its own under a library's names.

What torch and lucid have in common: a parameter without a gradient makes no step, and so counts its own.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optgen.compiler.kinds import Kind, kept_shapes
from optgen.errors import TreeMismatch
from optgen.runtime.formats import (
    BFLOAT16,
    Blocks,
    block_count,
    closed,
    decoded,
    encoded,
    is_eight_bit,
    is_stochastic,
    scales_of,
)
from optgen.runtime.in_place import InPlaceRule, PreparedStep, single
from optgen.runtime.native.library import Team
from optgen.runtime.variant import PARAMETER_FORM, ArrayVariant, ModelState
from optgen.spec.model import Dialect, Input
from optgen.targets.manifest import StateInfo

#: A parameter's state as a library keeps it: name → array, or a tuple of them for one vector per axis.
Kept = dict[str, Any]

#: A parameter, as its library knows it, and the array that it holds.
Parameter = Any
Array = Any


class StateLayout(ABC):
    """Reads and writes the state of one variant as a library keeps it for each parameter.

    Args:
        variant: the variant.
        dialect: the names.
        native: makes the same variant as C functions that change arrays in place, or None where there are none. It is
            asked when a step could use them: where parameters are on another device nothing is to be compiled.
        formats: of states, see `optgen.runtime.formats`. One in 8 bits is kept as its codes, and beside them, under
            its name and `_scales`, their scales.
    """

    def __init__(
        self,
        variant: ArrayVariant,
        dialect: Dialect,
        native: Callable[[], InPlaceRule | None],
        formats: Mapping[str, str],
    ) -> None:
        self.variant = variant
        self.formats = formats
        self.native = functools.cache(native)
        #: Whether steps are counted for the sake of random bits alone: the library keeps no count.
        self.counts_itself = not dialect.count and any(map(is_stochastic, formats.values()))
        self.count = dialect.count or ("step" if self.counts_itself else "")
        infos = {info.name: info for case in variant.info.cases for info in case.states}
        self.names = {name: dialect.states.get(name, name) for name in infos}
        #: States of which there is one number for the model; they are kept with a group's first parameter.
        self.of_model = {name for name, info in infos.items() if info.kind == Kind.GLOBAL.value}
        #: States of the step, kept with every parameter.
        self.of_step = {name: info for name, info in infos.items() if info.kind == Kind.STEP.value}
        kinds = {info.kind for info in infos.values()}
        #: Whether all tensors have to make their steps together.
        self.is_joint = variant.is_joint
        #: Whether a complex parameter is two real ones to it; rows and columns would be other ones.
        self.takes_complex = kinds <= {Kind.ELEMENT.value, Kind.TENSOR.value, Kind.STEP.value, Kind.GLOBAL.value}
        self.is_elementwise = kinds <= {Kind.ELEMENT.value, Kind.STEP.value} and not self.is_joint
        #: Whether anything is kept at all.
        self.has_state = bool(self.count or infos)

    @abstractmethod
    def array(self, parameter: Parameter) -> Array:
        """What the rule sees of a parameter: real numbers."""

    @abstractmethod
    def counted(self, parameter: Parameter, kept: Kept, t: int) -> Any:
        """The number of steps as it is kept, in place of the one that is there."""

    @abstractmethod
    def step_number(self, parameter: Parameter, kept: Kept, name: str, value: np.ndarray) -> Any:
        """A number of the step as it is kept under a name, in place of the one that is there."""

    @abstractmethod
    def on_host(self, value: Any) -> np.ndarray:
        """A number of the step that is kept, as the rule takes it."""

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
    def moved(self, parameter: Parameter, value: Array) -> Array:
        """A copy of an array of a checkpoint, where the parameter is."""

    @abstractmethod
    def restored(self, parameter: Parameter, name: str, value: Any) -> Any:
        """A copy of an entry of a checkpoint as it is kept, in the precision of the parameter's arithmetic."""

    def loaded(self, parameter: Parameter, kept: Mapping[str, Any]) -> Kept:
        """The state of a parameter from a checkpoint that `check` has passed, in the formats that are asked for."""
        bytes_ = {n for name in self.formattable(parameter).values() for n in (name, scales_of(name))}
        bytes_ = {n for n in bytes_ if _dtype_of(kept.get(n)) in ("uint8", BFLOAT16) or n.endswith(scales_of(""))}
        found = {
            name: self.moved(parameter, value)
            if name in bytes_ and value is not None
            else self.restored(parameter, name, value)
            for name, value in kept.items()
        }
        self.reformat(parameter, found)
        if self.counts_itself and found and self.count not in found:
            # The library tells that there has been a step, not how many.
            found[self.count] = self.counted(parameter, found, 1)
        return found

    def formattable(self, parameter: Parameter) -> dict[str, str]:
        """The states of a parameter that may be in a format of states, and the names under which they are kept."""
        element = [i for i in self.infos(parameter) if Kind(i.kind) is Kind.ELEMENT and i.depth == 1]
        return {info.name: self.names[info.name] for info in element}

    def reformat(self, parameter: Parameter, kept: Kept) -> None:
        """Have a parameter's state in the formats that are asked for, whatever they were: options may change."""
        infos = {info.name: info for info in self.infos(parameter)}
        for state, name in self.formattable(parameter).items():
            format, value, scales = self.formats.get(state), kept.get(name), kept.get(scales_of(name))
            wanted = {None: None, BFLOAT16: BFLOAT16}.get(format, "uint8")
            stored = _dtype_of(value) if _dtype_of(value) in ("uint8", BFLOAT16) else None
            if value is None or (stored == wanted and (scales is not None) == (stored == "uint8")):
                continue
            if (scales is not None) != (stored == "uint8"):
                raise TreeMismatch(f"'{name}' of a parameter is of 8 bits only together with '{scales_of(name)}'")
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
        names = [self.names[info.name] for info in self.infos(parameter)]
        eight_bit = [self.names[i.name] for i in self.infos(parameter) if is_eight_bit(self.formats.get(i.name))]
        return sorted([*names, *map(scales_of, eight_bit), *([self.count] if self.count else [])])

    def is_complete(self, parameter: Parameter, kept: Kept) -> bool:
        """Whether a parameter's state is there."""
        if self.count and not self.counts_itself:
            return self.count in kept
        return all(kept.get(self.names[info.name]) is not None for info in self.infos(parameter))

    def start(self, parameter: Parameter, kept: Kept, first: Kept, hyperparameters: Mapping[str, Any]) -> None:
        """Write the state before the first step.

        Args:
            parameter: whose state it is.
            kept: its state, to which entries are added.
            first: the state of the group's first parameter, for numbers of the model.
            hyperparameters: of the group.
        """
        state = self.variant.init([self.array(parameter)], hyperparameters)
        (tensors,) = closed(self.variant.arrays, state.tensors, self.formats, self.variant.state_names(), None)
        if self.count:
            kept[self.count] = self.counted(parameter, kept, 0)
        for info in self.infos(parameter):
            if info.name in self.of_step:
                name = self.names[info.name]
                kept[name] = self.step_number(parameter, kept, name, np.array(state.shared[info.name]))
            else:
                kept |= self.entries(parameter, info, tensors[info.name])
        for name in self.of_model:
            if name in state.shared:
                first.setdefault(self.names[name], state.shared[name])

    def steps_done(self, parameter: Parameter, kept: Kept) -> int:
        """How many steps a parameter has made; where that is not kept, whether it has made one."""
        if self.count:
            return int(kept[self.count]) if self.count in kept else 0
        return int(bool(self.infos(parameter)) and self.is_complete(parameter, kept))

    def tensors(self, parameter: Parameter, kept: Kept) -> dict[str, Any]:
        """A parameter's state as the rule takes it."""
        return {info.name: self.taken(info, kept) for info in self.infos(parameter) if info.name not in self.of_step}

    def taken(self, info: StateInfo, kept: Kept) -> Any:
        """A state of a parameter as the rule takes it."""
        name = self.names[info.name]
        if is_eight_bit(self.formats.get(info.name)):
            return Blocks(kept[name], kept[scales_of(name)])
        return kept[name] if info.name in self.formats else self.inside(info, kept[name])

    def entries(self, parameter: Parameter, info: StateInfo, value: Any) -> Kept:
        """A state as it is kept, by name."""
        name = self.names[info.name]
        if isinstance(value, Blocks):
            return {name: value.codes, scales_of(name): value.scales}
        return {name: value if info.name in self.formats else self.outside(parameter, info, value)}

    def step_numbers(self, kept: Kept) -> dict[str, np.ndarray]:
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
                kept[name] = self.step_number(parameter, kept, name, np.array(shared[info.name]))
            else:
                for entry, value in self.entries(parameter, info, tensors[info.name]).items():
                    kept[entry] = self.written(kept[entry], value)

    def check(self, label: str, parameter: Parameter, kept: Kept) -> None:
        """Refuse a state that is not one of this rule.

        Raises:
            TreeMismatch: an entry is missing, extra, or of another shape.
        """
        infos = {self.names[info.name]: info for info in self.infos(parameter)}
        wanted = {*infos, *([self.count] if self.count and not self.counts_itself else ())}
        # What is kept in another format is brought to the one that is asked for when it is loaded.
        scales = {scales_of(name): name for name in self.formattable(parameter).values()}
        wanted |= {name for name in scales if kept.get(name) is not None}
        known = wanted | {self.names[name] for name in self.of_model} | ({self.count} if self.count else set())
        found = {name for name, value in kept.items() if value is not None}
        if found and (not wanted <= found or not found <= known):
            told = ", ".join(sorted(found)) or "nothing"
            raise TreeMismatch(
                f"{label} holds {told}, and this optimizer keeps {', '.join(sorted(known)) or 'nothing'}"
            )
        if self.count in found:
            check_count(f"{label}: '{self.count}'", kept[self.count])
        for name in found & set(infos):
            info = infos[name]
            history = (info.depth,) if info.depth > 1 else ()
            shapes = [history + s for s in kept_shapes(Kind(info.kind), tuple(self.array(parameter).shape))]
            is_in_format = scales_of(name) in found or _dtype_of(kept[name]) == BFLOAT16
            inner = kept[name] if is_in_format else self.inside(info, kept[name])
            given = [tuple(np.shape(part)) for part in (inner if isinstance(inner, tuple) else (inner,))]
            if given != shapes:
                raise TreeMismatch(f"{label}: '{name}' has shape {given}, and should have {shapes}")
        for scale, name in scales.items():
            is_in_bytes = _dtype_of(kept.get(name)) == "uint8"
            if name in found and is_in_bytes != (scale in found):
                raise TreeMismatch(f"{label}: '{name}' is of 8 bits only together with '{scale}'")
        for name in found & set(scales):
            given, full = [tuple(np.shape(kept[name]))], [(block_count(tuple(self.array(parameter).shape)),)]
            if given != full:
                raise TreeMismatch(f"{label}: '{name}' has shape {given}, and should have {full}")


@dataclass(slots=True)
class Work:
    """The parameters of a group that make a step, and what it takes.

    Attributes:
        first: how many parameters the groups before it have.
    """

    group: dict[str, Any]
    layout: StateLayout
    hyperparameters: dict[str, Any]
    parameters: list[Parameter]
    first: int = 0


class GroupStep(ABC):
    """One step of a group.

    Args:
        work: the group's.
        state: parameter → what is kept for it.
        inputs: the extra values that the rule asks for; a mapping of parameters to values where it is one for each.
    """

    def __init__(self, work: Work, state: MutableMapping[Parameter, Kept], inputs: Mapping[str, Any]) -> None:
        self.work = work
        self.layout = work.layout
        self.state = state
        self.inputs = inputs
        self.places = {id(p): place for place, p in enumerate(work.group["params"])}
        self.first: Kept = state[work.group["params"][0]] if work.layout.of_model else {}

    @abstractmethod
    def gradient(self, parameter: Parameter) -> Array:
        """The gradient as the rule takes it."""

    @abstractmethod
    def in_place(self, parameters: list[Parameter]) -> InPlaceRule | None:
        """The kernels that can change all that a step of some parameters takes where it is; None if there are none."""

    @abstractmethod
    def team(self) -> Team:
        """The threads that make a step."""

    @abstractmethod
    def assign(self, parameter: Parameter, value: Array) -> None:
        """Give a parameter its new value."""

    def apart(self, parameter: Parameter) -> object:
        """What tells parameters apart that cannot make a step together."""
        return None

    def run(self) -> None:
        """Make the step: parameters that have made as many steps together, and the others after them."""
        layout = self.layout
        done = {}
        for p in self.work.parameters:
            kept = self.kept(p)
            done[p] = layout.steps_done(p, kept)
            if layout.has_state and not layout.is_complete(p, kept):
                layout.start(p, kept, self.first, self.work.hyperparameters)
            layout.reformat(p, kept)
        together: dict[Any, list[Parameter]] = {}
        for p in self.work.parameters:
            numbers = tuple(number.tobytes() for number in layout.step_numbers(self.kept(p)).values())
            key = () if layout.is_joint else (done[p], self.apart(p), numbers)
            together.setdefault(key, []).append(p)
        latest = max(done.values())
        for members in together.values():
            self.step(members, 1 + (latest if layout.is_joint else done[members[0]]))

    def kept(self, parameter: Parameter) -> Kept:
        """What is kept for a parameter; of a rule without state nothing, and no entry is made."""
        return self.state[parameter] if self.layout.has_state else {}

    def step(self, parameters: list[Parameter], t: int) -> None:
        """Step number `t` of some parameters."""
        layout = self.layout
        kept = [self.kept(p) for p in parameters]
        shared = layout.step_numbers(kept[0])
        shared |= {name: self.first[layout.names[name]] for name in layout.of_model if layout.names[name] in self.first}
        given = {n: [v[p] for p in parameters] if isinstance(v, Mapping) else v for n, v in self.inputs.items()}
        rule = self.in_place(parameters)
        shapes = [tuple(layout.array(p).shape) for p in parameters]
        if rule is not None and rule.takes(layout.formats, shapes):
            self.step_in_place(rule, parameters, kept, t, given)
            return
        new, after = layout.variant.step(
            [self.gradient(p) for p in parameters],
            self.model_state(parameters, kept, shared),
            [layout.array(p) for p in parameters],
            t,
            self.work.hyperparameters,
            given,
            PARAMETER_FORM,
        )
        for p, k, value, tensors in zip(parameters, kept, new, after.tensors, strict=True):
            # The state first: it may be the parameter as it was, in the parameter's own memory.
            if layout.has_state:
                layout.write(p, k, tensors, after.shared, t)
            self.assign(p, value)
        for name in layout.of_model:
            self.first[layout.names[name]] = after.shared[name]

    def model_state(self, parameters: list[Parameter], kept: list[Kept], shared: Mapping[str, Any]) -> ModelState:
        """What the rule keeps for some parameters, as it takes it."""
        tensors = tuple(self.layout.tensors(p, k) for p, k in zip(parameters, kept, strict=True))
        numbers = tuple(self.work.first + self.places[id(p)] for p in parameters)
        return ModelState(tensors, shared, formats=self.layout.formats, numbers=numbers)

    def step_in_place(
        self, rule: InPlaceRule, parameters: list[Parameter], kept: list[Kept], t: int, inputs: Mapping[str, Any]
    ) -> None:
        """The same by kernels, which change parameters and states where they are."""
        layout = self.layout
        shared: dict[str, Any] = layout.step_numbers(kept[0])
        of_model = {name: _writable(self.first[layout.names[name]]) for name in layout.of_model}
        prepared = rule.prepared(
            [layout.array(p) for p in parameters],
            [self.gradient(p) for p in parameters],
            self.model_state(parameters, kept, shared | of_model),
            inputs,
        )
        prepared.run(t, {**self.work.hyperparameters, **single(inputs)}, self.team())
        for p, k in zip(parameters, kept, strict=True):
            if layout.count:
                k[layout.count] = layout.counted(p, k, t)
            for name, value in shared.items():
                k[layout.names[name]] = layout.step_number(p, k, layout.names[name], np.array(value))
        for name, value in of_model.items():
            self.first[layout.names[name]] = value
        self.remember(prepared, parameters, kept, shared)

    def remember(
        self, prepared: PreparedStep, parameters: list[Parameter], kept: list[Kept], shared: Mapping[str, np.ndarray]
    ) -> None:
        """What is to be done after a step by kernels; `shared` are the numbers of the step, changed by it."""
        return


def _dtype_of(value: Any) -> str:
    """The name of an array's dtype; empty for what is none."""
    return str(getattr(value, "dtype", "")).rpartition(".")[2]


def _writable(value: Any) -> Any:
    """A number of numpy as an array; what is one already, or a tensor, as it is."""
    return np.array(value) if isinstance(value, np.generic) else value


def check_count(label: str, value: Any) -> None:
    """Refuse what is no number of steps.

    Raises:
        TreeMismatch: it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        number = -1.0
    if not (number >= 0 and number == int(number)):
        raise TreeMismatch(f"{label} is a number of steps, not {value!r:.60}")


def check_inputs(
    label: str,
    layout: StateLayout,
    inputs: Mapping[str, Any],
    parameters: Sequence[Parameter],
    declared: Sequence[Input],
) -> None:
    """Refuse a step without what the rule asks for, or with what it does not.

    Raises:
        TypeError: an input is missing or extra, or is no mapping where it is one value per parameter.
        TreeMismatch: a parameter's value is missing or of another shape.
    """
    wanted = layout.variant.info.inputs
    if set(inputs) != set(wanted):
        takes = ", ".join(f"{n}=..." for n in wanted) or "no inputs"
        given = f", not {', '.join(f'{n}=...' for n in sorted(inputs))}" if inputs else "; it is missing"
        raise TypeError(f"{label}: step takes {takes} besides the closure{given}")
    kinds = {one.name: one.kind for one in declared}
    for name in wanted:
        if kinds[name] not in ("element", "tensor"):
            continue
        values = inputs[name]
        if not isinstance(values, Mapping):
            raise TypeError(f"{label}: {name} is a mapping of parameters to values, not {type(values).__name__}")
        for p in parameters:
            shape = tuple(layout.array(p).shape) if kinds[name] == "element" else ()
            if p not in values or tuple(np.shape(values[p])) != shape:
                found = f"shape {tuple(np.shape(values[p]))}" if p in values else "no value"
                raise TreeMismatch(f"{label}: {name} has {found} for a parameter of shape {shape}")
