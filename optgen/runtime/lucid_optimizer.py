"""The class behind every optimizer of `optgen.lucid`."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from optgen.errors import HyperparameterTypeError, TreeMismatch
from optgen.runtime.arguments import bind, settings
from optgen.runtime.catalogue_module import generated_class
from optgen.runtime.entry import Entry
from optgen.runtime.grouped_dialect import call_signature, check_saved_group, is_kept_elsewhere, own_spelling
from optgen.runtime.lucid_state import NumpyLayout, NumpyStep
from optgen.runtime.native.choice import made_or_told
from optgen.runtime.native.library import Team, thread_count
from optgen.runtime.native.rule import numpy_memory
from optgen.runtime.numpy import arithmetic_of
from optgen.runtime.numpy_memory import Spans
from optgen.runtime.numpy_ready import NumpyReady
from optgen.runtime.own_arguments import checked_flag
from optgen.runtime.per_parameter import Work, check_inputs, stepping
from optgen.runtime.state_dtypes import formats_of
from optgen.runtime.state_layout import Kept
from optgen.spec.model import Dialect

Parameter = Any


class Optimizer:
    """An optimizer with lucid.optim's interface. Subclasses are made by `optimizer_class`.

    Attributes:
        param_groups: for each group its parameters under `params`, and the value of every argument.
        state: what is kept for each parameter.
        defaults: the values of the arguments where a group does not say otherwise.
    """

    entry: ClassVar[Entry]
    dialect: ClassVar[Dialect]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        given = bind(type(self).__name__, self.__signature__, args, kwargs)
        params: Iterable[Any] = given.pop("params")
        self._layouts: dict[Any, NumpyLayout] = {}
        self._ready: dict[int, NumpyReady | None] = {}
        #: The memory of the parameters that make a step.
        self._spans = Spans([])
        self.defaults: dict[str, Any] = {a.name: given.get(a.name, a.default) for a in self.dialect.arguments}
        self._chosen(self.defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.state: defaultdict[Parameter, Kept] = defaultdict(dict)
        if isinstance(params, Mapping | str) or not isinstance(params, Iterable) or _is_parameter(params):
            raise TypeError(
                f"{type(self).__name__}: params is an iterable of parameters or of groups, not {params!r:.60}"
            )
        members = list(params)
        if not members:
            raise TreeMismatch(f"{type(self).__name__} was given no parameters")
        groups = members if isinstance(members[0], Mapping) else [{"params": members}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_layouts": {}, "_ready": {}, "_spans": Spans([])}

    @property
    def skipped_steps(self) -> int:
        """How many steps were left out because of `skip_nonfinite`."""
        return int(self.param_groups[0].get("skipped_steps", 0))

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group of parameters; what it does not say takes the optimizer's defaults.

        Args:
            param_group: the parameters under `params`, and any of the constructor's arguments.

        Raises:
            ValueError: there are no parameters, or one is in a group already.
            TypeError: one is no parameter, or does not hold numpy arrays.
            InvalidHyperparameter: a value is wrong. In each case nothing is added.
        """
        name = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise ValueError(f"{name}: a group of parameters is a mapping with 'params', not {param_group!r:.60}")
        given = param_group["params"]
        params = [given] if _is_parameter(given) else list(given)
        if not params:
            raise TreeMismatch(f"{name}: a group has no parameters")
        for p in params:
            if not _is_parameter(p):
                raise TypeError(f"{name}: a parameter has .data and .grad, and this is {p!r:.60}")
            if not isinstance(p.data, np.ndarray):
                raise TypeError(f"{name}: parameters hold numpy arrays, and this one {type(p.data).__name__}")
            _check_arithmetic(name, p)
        there = {id(p) for group in self.param_groups for p in group["params"]}
        if len({id(p) for p in params}) < len(params) or any(id(p) in there for p in params):
            raise ValueError(f"{name}: a parameter stands in more than one place")
        group = {**self.defaults, **param_group, "params": params}
        self._chosen(group)
        self.param_groups.append(group)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters():
            if hasattr(parameter, "zero_grad"):
                parameter.zero_grad()
            else:
                parameter.grad = None

    def step(self, closure: Callable[[], Any] | None = None, **inputs: Any) -> Any:
        """One step on every parameter that has a gradient, in place.

        Args:
            closure: evaluates the model anew and returns the loss.
            **inputs: what else the rule asks for at every step; a mapping of parameters to arrays where it is one per
                parameter.

        Returns:
            What the closure returned.

        Raises:
            TreeMismatch: a gradient has another shape than its parameter, or parameters share memory where the rule
                steps all of them at once; nothing is changed then.
            TypeError: a gradient is no numpy array, or an input is missing or extra.
        """
        loss = closure() if closure is not None else None
        work = [self._work(index, group, inputs) for index, group in enumerate(self.param_groups)]
        watched = [p for part in work if part.group["skip_nonfinite"] for p in part.parameters if p.grad is not None]
        if not all(np.isfinite(p.grad).all() for p in watched):
            first = self.param_groups[0]
            first["skipped_steps"] = first.get("skipped_steps", 0) + 1
            return loss
        if any(part.parameters and not self._ready.get(index) for index, part in enumerate(work)):
            self._spans = Spans([p.data for part in work for p in part.parameters])
        steps = [
            self._step_of(self._ready.get(index), part, inputs) if part.parameters else None
            for index, part in enumerate(work)
        ]
        for made in steps:
            if isinstance(made, NumpyStep):
                made.check(type(self).__name__)
        for index, (part, made) in enumerate(zip(work, steps, strict=True)):
            if isinstance(made, NumpyReady):
                made.run(part.hyperparameters, Team(thread_count()))
            elif made is not None:
                made.run()
                self._ready[index] = made.ready
        return loss

    def _step_of(self, ready: NumpyReady | None, work: Work, inputs: Mapping[str, Any]) -> NumpyReady | NumpyStep:
        """A group's step: the one that is ready, unless it would read gradients where parameters are written."""
        if ready is not None and ready.is_apart(self._spans):
            return ready
        return NumpyStep(self._spans, work, self.state, inputs)

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved to go on from here: parameters are numbered in the order of their groups."""
        number = {id(p): index for index, p in enumerate(self._parameters())}
        groups = [
            {
                name: [number[id(p)] for p in value] if name == "params" else copy.deepcopy(value)
                for name, value in g.items()
            }
            for g in self.param_groups
        ]
        state = {number[id(p)]: copy.deepcopy(kept) for p, kept in self.state.items() if id(p) in number}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, of this optimizer or of lucid's of the same name.

        Raises:
            TypeError: it is no such dictionary.
            TreeMismatch: it is of another rule, another option or other parameters; nothing is changed then.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise TypeError(f"{name}: a state dict has 'state' and 'param_groups', and this is {state_dict!r:.60}")
        groups, saved = state_dict["param_groups"], state_dict["state"]
        sizes = [len(g["params"]) for g in groups]
        if sizes != [len(g["params"]) for g in self.param_groups]:
            mine = [len(g["params"]) for g in self.param_groups]
            raise TreeMismatch(f"{name}: the state is of groups of {sizes} parameters, and there are groups of {mine}")
        for group in groups:
            check_saved_group(name, self.entry.manifest, self.dialect, group)
        parameters = self._parameters()
        found: defaultdict[Parameter, Kept] = defaultdict(dict)
        for number, parameter in enumerate(parameters):
            (group,) = (g for g in groups if number in g["params"])
            layout, _ = self._chosen({**self.defaults, **group})
            kept = saved.get(number, {})
            label = f"{name}: the state of parameter {number}"
            if not isinstance(kept, Mapping):
                raise TreeMismatch(f"{label} is a mapping of names to arrays, not {type(kept).__name__}")
            layout.check(label, parameter, kept)
            if kept:
                others = {n: copy.deepcopy(v) for n, v in kept.items() if n not in layout.own_names(parameter)}
                found[parameter] = others | layout.loaded(parameter, kept)
        self.param_groups = [
            {**self.defaults, **copy.deepcopy({k: v for k, v in g.items() if k != "params"}), "params": mine["params"]}
            for g, mine in zip(groups, self.param_groups, strict=True)
        ]
        self.state = found

    def _work(self, index: int, group: dict[str, Any], inputs: Mapping[str, Any]) -> Work:
        """What a group's step takes; everything that can be refused is refused here."""
        layout, hyperparameters = self._chosen(group)
        name = type(self).__name__
        parameters = stepping(self.dialect, group["params"])
        ready = self._ready.pop(index, None)
        if ready is not None and ready.layout is layout and not inputs and ready.is_as_before(parameters, self.state):
            self._ready[index] = ready
            return Work(group, layout, hyperparameters, parameters)
        check_inputs(name, layout, inputs, parameters, self.entry.manifest.inputs)
        for p in parameters:
            gradient = p.data if p.grad is None else p.grad  # zeros of its shape
            if not isinstance(gradient, np.ndarray):
                raise TypeError(f"{name}: gradients are numpy arrays, and this one is {type(gradient).__name__}")
            if gradient.shape != p.data.shape:
                raise TreeMismatch(f"{name}: a gradient has shape {gradient.shape}, its parameter {p.data.shape}")
            if np.iscomplexobj(gradient):
                raise TreeMismatch(f"{name}: a gradient is complex, and its parameter real")
            if gradient.dtype.kind not in "biuf" and gradient.dtype.name != "bfloat16":
                raise TreeMismatch(f"{name}: gradients are arrays of numbers, and this one is of {gradient.dtype}")
            _check_arithmetic(name, p)
            if not p.data.flags.writeable:
                raise TypeError(f"{name}: a parameter of shape {p.data.shape} cannot be written to")
        return Work(group, layout, hyperparameters, parameters)

    def _chosen(self, group: Mapping[str, Any]) -> tuple[NumpyLayout, dict[str, Any]]:
        """The variant that a group's arguments stand for, and its hyperparameters.

        Raises:
            InvalidHyperparameter: a value is outside its domain.
            HyperparameterTypeError: a value is of the wrong type.
        """
        name = type(self).__name__
        given = {a.name: group[a.name] for a in self.dialect.arguments if a.name in group and a.targets}
        chosen = settings(self.entry.manifest, self.dialect, given)
        for spelled, value in chosen.values.items():
            if value is not None and not isinstance(value, int | float):
                raise HyperparameterTypeError(f"{name}: {spelled} is a number, not {value!r}")
        checked_flag(name, group["skip_nonfinite"])
        variant = self.entry.numpy_variant(chosen.options, chosen.values)
        formats = formats_of(name, group["state_dtype"], variant.info, self.dialect.states)
        key = (variant.info.name, *formats.items())
        if key not in self._layouts:
            make = functools.partial(self.entry.native_rule, chosen.options, chosen.values, variant, numpy_memory)
            native = functools.partial(made_or_told, make)
            is_foreign = functools.partial(is_kept_elsewhere, self.entry.manifest, self.dialect)
            self._layouts[key] = NumpyLayout(variant, self.dialect, native, formats, is_foreign)
        layout = self._layouts[key]
        return layout, {n: chosen.values[n] for n in variant.info.hyperparameters}

    def _parameters(self) -> list[Parameter]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.defaults.items())})"


def _check_arithmetic(label: str, parameter: Any) -> None:
    """Refuse a parameter whose numbers no arithmetic here is precise enough for.

    Raises:
        TreeMismatch: it is one, or holds no floating-point numbers.
    """
    try:
        arithmetic_of(parameter.data.dtype)
    except TreeMismatch as error:
        raise TreeMismatch(f"{label}: {error}") from None


def _is_parameter(value: Any) -> bool:
    return hasattr(value, "data") and hasattr(value, "grad")


def optimizer_class(entry: Entry, dialect: Dialect | None = None) -> type[Optimizer]:
    """The class of one optimizer, with lucid's name and arguments; without a dialect, with the rule's others too."""
    dialect = dialect or own_spelling(entry.manifest, "lucid")
    return generated_class(Optimizer, entry, dialect, "optgen.lucid", call_signature(dialect))
