"""The class behind every optimizer of `optgen.torch`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch._compile import _disable_dynamo

from optgen.arguments.binding import bind
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.errors import TreeMismatch, UnsupportedSharding
from optgen.frontends.groups.dialect import (
    call_signature,
    check_saved_group,
    fixed_entries,
    own_spelling,
)
from optgen.frontends.groups.step import Work, check_inputs, stepping
from optgen.frontends.names import generated_class
from optgen.runtime.numpy.memory import Spans
from optgen.runtime.torch.host_values import is_capturing
from optgen.runtime.torch.memory import gradient_of, spans_of
from optgen.runtime.torch.sharded import is_made_by_zero
from optgen.runtime.torch.threads import safe_after_fork
from optgen.torch._arguments import check_flags
from optgen.torch._checkpoints import hidden, show
from optgen.torch._checks import check_capture, check_tensors
from optgen.torch._choices import LayoutChoices
from optgen.torch._layout import TorchLayout
from optgen.torch._operator import number_of
from optgen.torch._ready import Ready
from optgen.torch._step import TorchStep, all_finite

Tensor = torch.Tensor


class GeneratedOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` whose rule is generated. Subclasses are made by `optimizer_class`."""

    entry: ClassVar[Entry]
    dialect: ClassVar[Dialect]
    __signature__: ClassVar[inspect.Signature]
    #: Whether other processes have the other tensors of the model.
    _is_part = False

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        given = bind(type(self).__name__, self.__signature__, args, kwargs)
        params: Iterable[Any] = given.pop("params")
        defaults = {a.name: given.get(a.name, a.default) for a in self.dialect.arguments} | self._fixed
        self._is_part = is_made_by_zero()
        self._prepare_nothing()
        # What graphs replay reads tables and numbers of these steps.
        self._captured: list[Ready] = []
        # Read where `torch.compile` looks: the groups themselves hold learning rates, which it would take as constants.
        self._members: list[list[Tensor]] = []
        check_flags(type(self).__name__, defaults)
        self._choices.choose(defaults)
        super().__init__(params, defaults)
        # Read by torch's GradScaler: the step itself takes the scale out of the gradients.
        self._step_supports_amp_scaling = bool(defaults.get("fused"))

    def _prepare_nothing(self) -> None:
        """Set what is compiled, and where arrays stand, as before the first step; none of it is pickled."""
        self._number = number_of(self)
        self._choices = LayoutChoices(type(self).__name__, self.entry, self.dialect, self._fixed)
        self._ready: dict[int, Ready | None] = {}
        self._ready_on: dict[int, Ready | None] = {}
        self._can_trace = False
        #: The memory of the parameters that make a step.
        self._spans = Spans(())
        #: Of each group, whether its parameters make their steps together.
        self._is_joint: list[bool] = []
        # What a step keeps for each parameter: graphs know nothing of entries of others, nor of other types.
        self._kept_types: dict[Tensor, dict[str, torch.dtype]] = {}

    @property
    def _fixed(self) -> dict[str, Any]:
        """Entries that torch's groups of this name hold beside arguments."""
        return fixed_entries(self.dialect)

    @property
    def skipped_steps(self) -> int:
        """How many steps were left out because of `skip_nonfinite`."""
        return int(self.param_groups[0].get("skipped_steps", 0))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; what it does not say takes the optimizer's defaults.

        Raises:
            InvalidHyperparameter: a value is wrong; nothing is added then.
            UnsupportedSharding: processes hold parts of the parameters, and the rule needs them whole; as above.
        """
        if isinstance(param_group, dict):
            merged = {**self.defaults, **param_group}
            check_flags(type(self).__name__, merged)
            self._choices.choose(merged)
        super().add_param_group(param_group)
        try:
            self._check_sharding(self.param_groups[-1])
        except UnsupportedSharding:
            self.param_groups.pop()
            raise
        self._members.append(self.param_groups[-1]["params"])

    def _check_sharding(self, group: Mapping[str, Any]) -> None:
        layout, _ = self._choices.choose({**self.defaults, **group})
        layout.sharding.check(group["params"], bool(group.get("skip_nonfinite")), self._is_part)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare_nothing()
        # Graphs are replayed after a checkpoint is loaded, too.
        vars(self).setdefault("_captured", [])
        self._members = [group["params"] for group in self.param_groups]
        # torch adds `differentiable` to every optimizer's.
        names = {argument.name for argument in self.dialect.arguments} | self._fixed.keys()
        self.defaults = {name: value for name, value in self.defaults.items() if name in names}
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            group.update(self._fixed)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **super().__getstate__(),
            "_is_part": self._is_part,
            "_step_supports_amp_scaling": self._step_supports_amp_scaling,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, of this optimizer or of torch's of the same name.

        Raises:
            TreeMismatch: the state is of another rule, another option or another parameter; nothing is changed then.
            ValueError: the groups are others.
        """
        given: object = state_dict
        if not isinstance(given, Mapping):
            told = f"a state dict has 'state' and 'param_groups', and this is {state_dict!r:.60}"
            raise TreeMismatch(f"{type(self).__name__}: {told}")

        def layout_of(saved: Mapping[str, Any]) -> TorchLayout:
            group = {**self.defaults, **saved, **self._fixed}
            check_saved_group(type(self).__name__, self.entry.manifest, self.dialect, saved)
            check_flags(type(self).__name__, group)
            return self._choices.choose(group)[0]

        # Hooks run in the order in which they are registered: this one is given what the user's have made.
        before = self.register_load_state_dict_pre_hook(lambda _, given: hidden(self, given, layout_of))
        after = self.register_load_state_dict_post_hook(show, prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            before.remove()
            after.remove()

    def step(self, closure: Callable[[], Any] | None = None, **inputs: Any) -> Any:
        """One step on every parameter that has a gradient, in place.

        Args:
            closure: evaluates the model anew and returns the loss.
            **inputs: what else the rule asks for at every step; a mapping of parameters to tensors where it is one per
                parameter.

        Returns:
            What the closure returned.

        Raises:
            RuntimeError: gradients are sparse, or parameters complex, where the rule takes no such.
            TypeError: an input is missing, or one that the rule does not ask for.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            if torch.compiler.is_compiling() and self._is_traceable(inputs):
                self._trace_step()
            else:
                self._make_step(inputs)
        return loss

    def _is_traceable(self, inputs: Mapping[str, Any]) -> bool:
        """Whether a graph can hold the step: all that is kept is there, in tensors that are the parameters' own."""
        if inputs or torch.is_grad_enabled() or not self._can_trace:
            return False
        for is_joint, members in zip(self._is_joint, self._members, strict=False):
            # What a parameter keeps that misses a step of the model moves on as well.
            if is_joint and not all(p.grad is not None or p not in self.state for p in members):
                return False
        if self.dialect.missing and not all(p.grad is not None for members in self._members for p in members):
            return False
        given = [p for members in self._members for p in members if p.grad is not None]
        return all(
            not gradient_of(p).is_sparse
            and p in self.state
            and p in self._kept_types
            and all(getattr(self.state[p].get(n), "dtype", None) == dtype for n, dtype in self._kept_types[p].items())
            for p in given
        )

    def _trace_step(self) -> None:
        """The step as operators of torch, one for each group."""
        for index, members in enumerate(self._members):
            parameters = [p for p in members if p.grad is not None]
            gradients = [p.grad for p in parameters]
            states = [self.state[p][name] for p in parameters for name in self._kept_types[p]]
            torch.ops.optgen.step(parameters, gradients, states, self._number, index)

    @safe_after_fork
    def step_on(self, group: int, parameters: list[Tensor], gradients: list[Tensor], states: list[Tensor]) -> None:
        """See `_operator.Steps`."""
        chosen = self.param_groups[group]
        if list(map(id, chosen["params"])) != list(map(id, self._members[group])):
            raise RuntimeError(
                f"{type(self).__name__}: parameters of group {group} have changed since the step was compiled"
            )
        layout, hyperparameters = self._choices.of(group, chosen)
        found_inf, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        ready = self._ready_on.get(group)
        if (
            ready is not None
            and ready.layout is layout
            and ready.is_in_memory(parameters, gradients, states)
            and ready.is_apart(self._spans)
        ):
            if ready.can_skip:
                self._run(ready, parameters, hyperparameters, scale, found_inf)
                return
        else:
            ready = None
        if found_inf is not None and bool(found_inf.item()):
            return
        if scale is not None:
            gradients = [gradient / scale.to(gradient.device) for gradient in gradients]
        if ready is not None and scale is None:
            self._run(ready, parameters, hyperparameters)
            return
        rest = iter(states)
        given = [p.detach() for p in parameters]
        for p, gradient in zip(given, gradients, strict=True):
            p.grad = gradient.detach()
        if len(states) != sum(len(layout.kept_names(p)) for p in given):
            raise RuntimeError(f"{type(self).__name__}: options of group {group} have changed since it was compiled")
        kept = {p: {name: next(rest) for name in layout.kept_names(p)} for p in given}
        given_group = {**chosen, "params": given}
        work = Work(given_group, layout, hyperparameters, given, self._first_of(group))
        step = TorchStep(self.dialect, work, kept, {}, in_graph=True)
        step.check(type(self).__name__)
        # A graph may give copies of the parameters.
        self._spans = spans_of([*parameters, *(p for members in self._members for p in members)])
        step.take_gradients(self._spans)
        step.run()
        self._ready_on[group] = step.ready

    @_disable_dynamo  # as torch's own do: torch.compile breaks its graph here
    @safe_after_fork
    def _make_step(self, inputs: Mapping[str, Any]) -> None:
        check_capture(self)
        found_inf, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        steps: dict[int, TorchStep] = {}
        work = [self._work(index, group, inputs, steps) for index, group in enumerate(self.param_groups)]
        self._keep_apart(work, inputs, steps)
        skipping = [part for part in work if part.group["skip_nonfinite"]]
        self._can_trace = not (skipping or [part for part in work if part.layout.of_model])
        self._is_joint = [part.layout.is_joint for part in work]
        # What GradScaler knows is used where it is; elsewhere the host asks for it.
        by_device = (found_inf is not None or scale is not None) and all(
            ready is not None and ready.can_skip
            for ready in (self._ready.get(index) for index, part in enumerate(work) if part.parameters)
        )
        if found_inf is not None and not by_device and bool(found_inf.item()):
            return
        if skipping and not all_finite(skipping):
            first = self.param_groups[0]
            first["skipped_steps"] = first.get("skipped_steps", 0) + 1
            return
        if scale is not None and not by_device:
            for parameter in (p for part in work for p in part.parameters if p.grad is not None):
                gradient_of(parameter).div_(scale.to(parameter.device))
        for made in steps.values():
            made.take_gradients(self._spans)
        for index, part in enumerate(work):
            ready = self._ready.get(index)
            if ready is not None:
                by_it = (scale, found_inf) if by_device else ()
                self._run(ready, part.parameters, part.hyperparameters, *by_it)
            elif index in steps:
                steps[index].run()
                self._ready[index] = steps[index].ready
                for p in part.parameters:
                    self._kept_types[p] = {n: self.state[p][n].dtype for n in part.layout.kept_names(p)}

    def _keep_apart(self, work: list[Work], inputs: Mapping[str, Any], steps: dict[int, TorchStep]) -> None:
        """Have groups that are ready look again where gradients stand in memory that the step writes."""
        if steps:
            self._spans = spans_of(p for part in work for p in part.parameters)
        for index, part in enumerate(work):
            ready = self._ready.get(index)
            if ready is not None and part.parameters and not ready.is_apart(self._spans):
                self._ready[index] = None
                steps[index] = TorchStep(self.dialect, part, self.state, inputs)
                steps[index].check(type(self).__name__)

    def _run(self, ready: Ready, *given: Any) -> None:
        """Make a step by `Ready.run`."""
        ready.run(*given)
        if is_capturing() and ready not in self._captured:
            self._captured.append(ready)

    def _work(self, index: int, group: dict[str, Any], inputs: Mapping[str, Any], steps: dict[int, TorchStep]) -> Work:
        """Prepare a group's step; everything that can be refused is refused here.

        Args:
            index: of the group.
            group: its parameters and arguments.
            inputs: of the step.
            steps: gains the group's step where it is none that is ready.
        """
        layout, hyperparameters = self._choices.of(index, group)
        ready = self._ready.get(index)
        if ready is not None:
            is_same = ready.layout is layout and not torch.is_grad_enabled()
            # No step that is ready asks for any input: those of other options are left alone.
            is_same = is_same and (not inputs or inputs.keys() <= {one.name for one in self.entry.manifest.inputs})
            if is_same and ready.is_as_before(group["params"], self.state):
                return Work(group, layout, hyperparameters, group["params"])
            self._ready[index] = None
        parameters = stepping(self.dialect, group["params"])
        name = type(self).__name__
        layout.sharding.check(group["params"], group["skip_nonfinite"], self._is_part)
        check_inputs(name, layout, inputs, parameters, self.entry.manifest.inputs)
        layout.sharding.check_gradients(parameters, inputs)
        check_tensors(name, self.dialect, layout, group, parameters)
        work = Work(group, layout, hyperparameters, parameters, self._first_of(index))
        if parameters:
            steps[index] = TorchStep(self.dialect, work, self.state, inputs)
            steps[index].check(name)
        return work

    def _first_of(self, index: int) -> int:
        """How many parameters the groups before one have."""
        return sum(len(group["params"]) for group in self.param_groups[:index])


def optimizer_class(entry: Entry, dialect: Dialect | None = None) -> type[GeneratedOptimizer]:
    """The class of one optimizer, with torch's name and arguments; without a dialect, with the rule's others too."""
    dialect = dialect or own_spelling(entry.manifest, "torch")
    return generated_class(GeneratedOptimizer, entry, dialect, "optgen.torch", call_signature(dialect))
