"""Running a rule on parameters in groups, each of which keeps a state of its own under a library's names.

What torch and lucid have in common: a parameter without a gradient makes no step, and so counts its own. Where a rule
looks at the whole model, steps are the model's: a parameter that misses one keeps the model's numbers all the same, and
its histories stay those of the steps that it has made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optgen.contract.declarations import Input
from optgen.contract.dialects import Dialect
from optgen.errors import TreeMismatch
from optgen.frontends.groups.checks import is_complex
from optgen.frontends.groups.entries import Array, Parameter
from optgen.frontends.groups.layout import Kept, StateLayout
from optgen.runtime.in_place import InPlaceRule, PreparedStep, single
from optgen.runtime.state import PARAMETER_FORM, ModelState
from optgen.runtime.threads import Team


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
        in_graph: whether the states are a graph's, which sees what is written into them and nothing else.

    Attributes:
        overlapping: parameters, by `id`, that share memory with others: they make their steps one after the other.
    """

    def __init__(
        self,
        work: Work,
        state: MutableMapping[Parameter, Kept],
        inputs: Mapping[str, Any],
        *,
        in_graph: bool = False,
    ) -> None:
        self.work = work
        self.layout = work.layout
        self.state = state
        self.inputs = {name: inputs[name] for name in work.layout.variant.info.inputs}
        self.places = {id(p): place for place, p in enumerate(work.group["params"])}
        self.overlapping: set[int] = set()
        steps = set(map(id, work.parameters))
        #: The others that keep something, where the whole model makes a step.
        self.left_out = [
            p for p in work.group["params"] if self.layout.is_joint and id(p) not in steps and state.get(p)
        ]
        #: Numbers of the model, by the rule's names; every parameter of the group keeps them.
        self.of_model: Kept = self._found_of_model()
        if not in_graph:
            # A parameter that has come from another group, or another optimizer, has brought that one's own arrays.
            self.of_model = {name: _copied(value) for name, value in self.of_model.items()}

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
        """A key by which parameters differ that cannot be stepped together."""
        return None

    def check(self, label: str) -> None:
        """Refuse what a step could not go on from, before any parameter has moved.

        Raises:
            TreeMismatch: a state is not one of this rule, or parameters share memory that have to step together.
        """
        layout = self.layout
        if self.overlapping and layout.is_joint:
            # One of two steps would be lost.
            what = "parameters share memory, and this rule, which looks at the whole model, steps them all at once"
            raise TreeMismatch(f"{label}: {what}")
        for p in (*self.work.parameters, *self.left_out):
            kept = self.state.get(p)
            if kept:
                layout.settle_or_refuse(label, p, kept)
                if layout.of_model and not self.of_model and layout.steps_done(p, kept):
                    lost = ", ".join(sorted(layout.names[name] for name in layout.of_model))
                    raise TreeMismatch(
                        f"{layout.place_of(label, p)} lacks {lost}, which every parameter of a group keeps"
                    )

    def run(self) -> None:
        """Make the step: parameters that have made as many steps together, and the others after them."""
        layout = self.layout
        done = {}
        for p in self.work.parameters:
            kept = self.kept(p)
            done[p] = layout.steps_done(p, kept)
            if layout.has_state and not layout.is_complete(p, kept):
                self.of_model = layout.start(p, kept, self.work.hyperparameters) | self.of_model
            layout.reformat(p, kept)
        if layout.is_joint:
            self._step_model(done)
            return
        together: dict[Any, list[Parameter]] = {}
        for p in self.work.parameters:
            numbers = tuple(map(_identity, layout.step_numbers(self.kept(p)).values()))
            together.setdefault((done[p], self.apart(p), numbers), []).append(p)
        for members in together.values():
            self.step(members, 1 + done[members[0]])

    def _step_model(self, done: Mapping[Parameter, int]) -> None:
        """Make a step of the whole model, whose number and numbers every parameter of the group keeps.

        Args:
            done: how many steps the parameters have made, those that make this one.
        """
        layout = self.layout
        others = [p for p in self.left_out if layout.is_complete(p, self.state[p])]
        counts = {**done, **{p: layout.steps_done(p, self.state[p]) for p in others}}
        newest = max(counts, key=counts.__getitem__)
        latest = counts[newest]
        # What has been kept while each counted its own, or comes from elsewhere.
        self._move_on([p for p in done if done[p] != latest], latest, newest)
        self.step(self.work.parameters, 1 + latest)
        self._move_on(others, 1 + latest, self.work.parameters[0])
        if layout.of_model:
            self._keep_of_model()

    def _move_on(self, parameters: list[Parameter], t: int, newest: Parameter) -> None:
        """Have parameters that have missed steps keep what goes with the model's last one, number `t`.

        Args:
            parameters: they.
            t: the number of the model's last step.
            newest: a parameter that has made it.
        """
        layout = self.layout
        numbers = layout.step_numbers(self.kept(newest)) if parameters else {}
        for p in parameters:
            layout.move_on(p, self.kept(p), t, numbers)

    def _found_of_model(self) -> Kept:
        """The numbers of the model, with whatever parameter they are: one may have been taken out since, or moved."""
        names = {name: self.layout.names[name] for name in self.layout.of_model}
        for p in self.work.group["params"] if names else ():
            kept = self.state.get(p) or {}
            if set(names.values()) <= kept.keys():
                return {name: kept[shown] for name, shown in names.items()}
        return {}

    def _keep_of_model(self) -> None:
        numbers = {self.layout.names[name]: value for name, value in self.of_model.items()}
        for p in self.work.group["params"]:
            if self.state.get(p):
                self.state[p].update(numbers)

    def kept(self, parameter: Parameter) -> Kept:
        """A parameter's state; for a rule without state an empty one, and no entry is made."""
        return self.state[parameter] if self.layout.has_state else {}

    def step(self, parameters: list[Parameter], t: int) -> None:
        """Step number `t` of some parameters."""
        layout = self.layout
        kept = [self.kept(p) for p in parameters]
        shared = layout.step_numbers(kept[0]) | self.of_model
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
        self.of_model = {name: after.shared[name] for name in layout.of_model}

    def model_state(self, parameters: list[Parameter], kept: list[Kept], shared: Mapping[str, Any]) -> ModelState:
        """The state of some parameters, as the rule takes it."""
        tensors = tuple(self.layout.tensors(p, k) for p, k in zip(parameters, kept, strict=True))
        numbers = tuple(self.work.first + self.places[id(p)] for p in parameters)
        return ModelState(tensors, shared, formats=self.layout.formats, numbers=numbers)

    def step_in_place(
        self, rule: InPlaceRule, parameters: list[Parameter], kept: list[Kept], t: int, inputs: Mapping[str, Any]
    ) -> None:
        """Make a step by kernels, which change parameters and states in place."""
        layout = self.layout
        shared: dict[str, Any] = layout.step_numbers(kept[0])
        of_model = {name: _writable(value) for name, value in self.of_model.items()}
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
        self.of_model = of_model
        self.remember(prepared, parameters, kept, shared)

    def remember(
        self, prepared: PreparedStep, parameters: list[Parameter], kept: list[Kept], shared: Mapping[str, np.ndarray]
    ) -> None:
        """Keep the prepared step for the next one; `shared` are the step scalars that the step has changed."""
        return


def _identity(number: Any) -> object:
    """A key that tells step scalars apart; two that autograd follows are equal only if they are one tensor."""
    return number.tobytes() if isinstance(number, np.ndarray) else id(number)


def stepping(dialect: Dialect, parameters: Sequence[Parameter]) -> list[Parameter]:
    """The parameters of a group that make a step: those with a gradient, or all where missing ones are zeros."""
    found = [p for p in parameters if p.grad is not None]
    return list(parameters) if found and dialect.missing == "zeros" else found


def _writable(value: Any) -> Any:
    """A number of numpy as an array; what is one already, or a tensor, as it is."""
    return np.array(value) if isinstance(value, np.generic) else value


def _copied(value: Any) -> Any:
    """A copy of a tensor, or of an array or a number of numpy, as an array."""
    return value.clone() if hasattr(value, "clone") else np.array(value)


def check_inputs(
    label: str,
    layout: StateLayout,
    inputs: Mapping[str, Any],
    parameters: Sequence[Parameter],
    declared: Sequence[Input],
) -> None:
    """Refuse a step without what the rule asks for, or with what it asks for with no option.

    Raises:
        TypeError: an input is missing, or none of the rule's, or is no mapping where it is one value per parameter.
        TreeMismatch: a parameter's value is missing or of another shape.
    """
    wanted = layout.variant.info.inputs
    kinds = {one.name: one.kind for one in declared}
    if not set(wanted) <= set(inputs) <= set(kinds):
        takes = ", ".join(f"{n}=..." for n in wanted) or "no inputs"
        given = f", not {', '.join(f'{n}=...' for n in sorted(inputs))}" if inputs else "; it is missing"
        raise TypeError(f"{label}: step takes {takes} besides the closure{given}")
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
            if is_complex(values[p]) and not is_complex(p):
                raise TreeMismatch(f"{label}: {name} is complex, and its parameter real")
