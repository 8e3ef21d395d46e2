"""Running a generated Triton module on torch tensors: each tensor's kernels in order, in place.

Nothing is read back from the device: numbers of the step are computed on the host and sent, everything else stays
there. Sums have a fixed order, so a step repeated on the same values gives the same bits.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from optgen.compiler.kinds import Kind, kept_shapes
from optgen.errors import TreeMismatch
from optgen.runtime.layout import Layout
from optgen.runtime.slices import count_of, shape_numbers
from optgen.runtime.triton_launch import BLOCK, TILES, Launcher, Run, arithmetic_dtype, on_device
from optgen.targets.kernels.plan import CasePlan, KernelPlan, Launch, StatePlan

#: What a fold over nothing gives.
_NEUTRAL = {"sum": 0.0, "max": -math.inf, "min": math.inf}

#: Parts of one fold begin at multiples of this many numbers, so that every tensor's are equally well aligned.
_ALIGNMENT = 16


@dataclass(slots=True)
class TritonState:
    """All that a rule keeps between steps.

    Attributes:
        tensors: for each parameter, states by name, in float64 for float64 parameters and float32 for all others. A
            history of `depth > 1` has a leading axis of that length: the value of step `t` stands at
            `(t - 1) % depth`. Vectors per axis stand one after the other in one vector.
        model: states of which there is one number for the model.
        step: states of the step, on the host; newest value first.
    """

    tensors: list[dict[str, torch.Tensor]]
    model: dict[str, torch.Tensor] = field(default_factory=dict)
    step: dict[str, list[float]] = field(default_factory=dict)


class TritonRule:
    """One generated variant, ready to run.

    Args:
        module: the generated module.
        plan: its plan.
        variant: which of its variants.
        block: numbers per block of an elementwise kernel, a power of 2.
        tiles: results and operands per tile of a fold along axes, by extent; powers of 2.
    """

    def __init__(
        self,
        module: types.ModuleType,
        plan: KernelPlan,
        variant: str = "default",
        block: int = BLOCK,
        tiles: Mapping[str, tuple[int, int]] = TILES,
    ) -> None:
        self.variant = plan.variant(variant)
        self.launcher = Launcher(module, plan, block, tiles)

    def case_of(self, shape: Sequence[int]) -> CasePlan:
        """The case that a tensor of a shape takes."""
        shape = Layout.of(self.variant.matrix_axes, shape, torch.permute).shape(shape)
        if not self.variant.case_function:
            return self.variant.cases[0]
        index: int = getattr(self.launcher.module, self.variant.case_function)(**shape_numbers(shape))
        return self.variant.cases[index]

    def init(self, parameters: Sequence[torch.Tensor], hyperparameters: Mapping[str, float]) -> TritonState:
        """The state before the first step.

        Raises:
            TreeMismatch: a parameter does not hold real floating-point numbers.
        """
        state = TritonState([])
        for given in parameters:
            layout = self.layout(given)
            theta = layout.into(given)
            case = self.case_of(theta.shape)
            first = self.launcher.call(case.first_numbers, hyperparameters) if case.first_numbers else {}
            kept: dict[str, torch.Tensor] = {}
            for entry in case.states:
                start = first.get(entry.name, 0.0)
                match Kind(entry.kind):
                    case Kind.STEP:
                        state.step.setdefault(entry.name, [start] * entry.depth)
                    case Kind.GLOBAL:
                        filled = _filled(entry, (), start, _model_dtype(parameters), theta.device)
                        state.model.setdefault(entry.name, filled)
                    case _:
                        kept[entry.name] = _filled(entry, theta.shape, start, arithmetic_dtype(theta), theta.device)
            if case.first_values is not None:
                self._write_first_values(case, case.first_values, theta, kept, hyperparameters)
            kinds = {entry.name: entry.kind for entry in case.states}
            state.tensors.append(layout.states(kinds, kept, back=True))
        return state

    def layout(self, theta: torch.Tensor) -> Layout:
        """The order of a tensor's axes while the rule works on it."""
        return Layout.of(self.variant.matrix_axes, theta.shape, torch.permute)

    def _write_first_values(
        self,
        case: CasePlan,
        launch: Launch,
        theta: torch.Tensor,
        kept: Mapping[str, torch.Tensor],
        hyperparameters: Mapping[str, float],
    ) -> None:
        depths = {entry.name: entry.depth for entry in case.states}
        written = [a.name for a in launch.arguments if a.role == "array" and a.name in depths]
        run = Run(tuple(theta.shape), self.launcher.scalars(hyperparameters, arithmetic_dtype(theta), theta.device))
        run.arrays["theta"] = theta.detach().contiguous()
        for name in written:
            run.arrays[name] = kept[name][0] if depths[name] > 1 else kept[name]
        with on_device(theta):
            self.launcher.launch(launch, run)
        for name in written:
            if depths[name] > 1:
                kept[name][1:] = kept[name][0]

    def step(
        self,
        parameters: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor],
        state: TritonState,
        t: int,
        hyperparameters: Mapping[str, float],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """One step on all tensors; parameters and state change in place.

        Args:
            parameters: of any real floating-point dtype, on one device.
            gradients: of the parameters' shapes, of any real floating-point dtype.
            state: from `init`, changed by the steps since.
            t: the number of this step, counted from 1.
            hyperparameters: a value for each that the variant uses.
            inputs: the extra values that the rule asks for; one per tensor where its kind is tensor or element.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together; nothing has been changed.
        """
        _check(parameters, gradients, state)
        if parameters:
            with torch.no_grad(), on_device(parameters[0]):
                _Step(self, parameters, gradients, state, t, hyperparameters, inputs or {}).run()


@dataclass(slots=True)
class _Group:
    """The tensors that take one case: what their kernels take, the model's, and how far they have come."""

    case: CasePlan
    model: Run
    members: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    returned: dict[str, float] = field(default_factory=dict)
    position: int = 0

    def is_complete(self, fold: str) -> bool:
        """Whether all that these tensors add to a fold over the model has been stored."""
        return all(fold not in launch.folds for launch in self.case.launches[self.position :])


class _Step:
    """One step under way."""

    def __init__(
        self,
        rule: TritonRule,
        parameters: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor],
        state: TritonState,
        t: int,
        hyperparameters: Mapping[str, float],
        inputs: Mapping[str, Any],
    ) -> None:
        self.launcher = rule.launcher
        self.layouts = [rule.layout(theta) for theta in parameters]
        self.parameters = [layout.into(theta) for layout, theta in zip(self.layouts, parameters, strict=True)]
        self.gradients = [layout.into(one) for layout, one in zip(self.layouts, gradients, strict=True)]
        self.state = state
        self.t = t
        self.inputs = inputs
        self.device = parameters[0].device
        self.model_dtype = _model_dtype(parameters)
        self.values = {name: float(value) for name, value in hyperparameters.items()} | {
            "t": float(t),
            "model_size": float(sum(theta.numel() for theta in parameters)),
            "tensor_count": float(len(parameters)),
        }
        groups: dict[int, _Group] = {}
        for index, theta in enumerate(self.parameters):
            case = rule.case_of(theta.shape)
            if id(case) not in groups:
                groups[id(case)] = self.group(case)
            group = groups[id(case)]
            group.members.append(index)
            group.runs.append(self.tensor_run(group, index))
        self.groups = list(groups.values())
        self.place_model_parts()

    def run(self) -> None:
        """Work through the kernels of all cases together, so that folds over the model see every tensor."""
        while True:
            for group in self.groups:
                self.advance(group)
            waiting = [group for group in self.groups if group.position < len(group.case.launches)]
            if not waiting:
                break
            ready = [g for g in waiting if all(o.is_complete(f) for o in self.groups for f in _next(g).totals)]
            assert ready, "the cases of a rule wait for each other's folds"
            for group in ready:
                self.launcher.launch(_next(group), group.model)
                group.position += 1
        for group in self.groups:
            self.finish(group)

    def advance(self, group: _Group) -> None:
        """Start a case's kernels up to the next one that takes all tensors together."""
        while group.position < len(group.case.launches) and _next(group).domain != Kind.GLOBAL.value:
            for run in group.runs:
                self.launcher.launch(_next(group), run)
            group.position += 1

    def group(self, case: CasePlan) -> _Group:
        """A case with the numbers of the step and of the model that it starts from."""
        values = dict(self.values)
        for entry in case.states:
            if entry.kind == Kind.STEP.value:
                values |= {entry.older(k): v for k, v in enumerate(self.state.step[entry.name], start=1)}
        of_model: dict[str, float] = {}
        for given in case.inputs:
            if given.kind in (Kind.STEP.value, Kind.GLOBAL.value):
                values[given.name] = of_model[given.name] = float(self.inputs[given.name])
        returned = self.launcher.call(case.step, values) if case.step else {}
        values |= returned
        model = Run((), self.launcher.scalars(values, self.model_dtype, self.device))
        model.model = self.launcher.array_of(self.launcher.plan.model_numbers, of_model, self.model_dtype, self.device)
        for entry in case.states:
            if entry.kind == Kind.GLOBAL.value:
                self.load_numbers(entry, self.state.model[entry.name], model.model, self.launcher.plan.model_numbers)
        return _Group(case, model, returned=values)

    def tensor_run(self, group: _Group, index: int) -> Run:
        """What one tensor's kernels take."""
        case, theta = group.case, self.parameters[index]
        dtype, shape = arithmetic_dtype(theta), tuple(theta.shape)
        numbers = {name: float(value) for name, value in shape_numbers(shape).items()}
        arrays = {"theta": theta.detach().contiguous(), "g": self.gradients[index].detach().contiguous()}
        for given in case.inputs:
            if given.kind == Kind.TENSOR.value:
                numbers[given.name] = float(self.inputs[given.name][index])
            elif given.kind == Kind.ELEMENT.value:
                arrays[given.name] = self.layouts[index].into(self.inputs[given.name][index].detach()).contiguous()
        scalars = group.model.scalars
        if dtype != self.model_dtype:
            scalars = self.launcher.scalars(group.returned, dtype, self.device)
        run = Run(shape, scalars, arrays, model=group.model.model)
        names = self.launcher.plan.tensor_numbers
        run.numbers = self.launcher.array_of(names, numbers, dtype, self.device)
        for buffer in case.buffers:
            arrays[buffer.name] = torch.empty(count_of(Kind(buffer.kind), shape), dtype=dtype, device=self.device)
        for entry in case.states:
            if entry.kind in (Kind.STEP.value, Kind.GLOBAL.value):
                continue
            stored = self.state.tensors[index][entry.name]
            if entry.kind == Kind.TENSOR.value:
                self.load_numbers(entry, stored, run.numbers, names)
                continue
            if entry.kind != Kind.ELEMENT.value:
                arrays |= {entry.older(lag): self.slot(entry, stored, lag) for lag in range(1, entry.depth + 1)}
                continue
            # Copies only where the tensor is transposed for the rule; `finish` brings those back.
            for lag in range(1, entry.depth + 1):
                arrays[entry.older(lag)] = self.layouts[index].into(self.slot(entry, stored, lag)).contiguous()
            if entry.depth > 1:
                arrays[entry.new] = self.layouts[index].into(self.slot(entry, stored, 0)).contiguous()
        for fold in case.folds:
            if fold.kind == Kind.TENSOR.value:
                (launch,) = (launch for launch in case.launches if fold.name in launch.folds)
                count = self.launcher.parts_of(launch, shape)
                run.parts[fold.name] = torch.empty(count, dtype=dtype, device=self.device)
        return run

    def slot(self, entry: StatePlan, stored: torch.Tensor, lag: int) -> torch.Tensor:
        """The place of a state's value `lag` steps back; 0 is this step's, which is the oldest one's."""
        return stored[(self.t - 1 - lag) % entry.depth] if entry.depth > 1 else stored

    def load_numbers(
        self, entry: StatePlan, stored: torch.Tensor, numbers: torch.Tensor, names: tuple[str, ...]
    ) -> None:
        """Put a state that is one number among the numbers that kernels read."""
        for lag in range(1, entry.depth + 1):
            if entry.older(lag) in names:
                numbers[names.index(entry.older(lag))] = self.slot(entry, stored, lag)

    def place_model_parts(self) -> None:
        """Give each tensor its stretch of the partial results of every fold over the model, in the tensors' order."""
        folds = {f.name: f for group in self.groups for f in group.case.folds if f.kind == Kind.GLOBAL.value}
        for fold in folds.values():
            stretches: dict[int, tuple[Run, int]] = {}
            for group in self.groups:
                for launch in group.case.launches:
                    if fold.name in launch.folds:
                        for index, run in zip(group.members, group.runs, strict=True):
                            stretches[index] = (run, self.launcher.parts_of(launch, run.shape))
            total = sum(_aligned(count) for _, count in stretches.values())
            parts = torch.full((total,), _NEUTRAL[fold.operation], dtype=self.model_dtype, device=self.device)
            first = 0
            for index in sorted(stretches):
                run, count = stretches[index]
                run.parts[fold.name] = parts[first : first + count]
                first += _aligned(count)
            for group in self.groups:
                group.model.parts[fold.name] = parts

    def finish(self, group: _Group) -> None:
        """Put new values in their places: states that are not per element, and parameters worked on as copies."""
        names, model_names = self.launcher.plan.tensor_numbers, self.launcher.plan.model_numbers
        for entry in group.case.states:
            match Kind(entry.kind):
                case Kind.STEP:
                    if group is next(g for g in self.groups if entry.name in {s.name for s in g.case.states}):
                        older = self.state.step[entry.name]
                        self.state.step[entry.name] = [group.returned[entry.new], *older][: entry.depth]
                case Kind.GLOBAL:
                    assert group.model.model is not None
                    new = group.model.model[model_names.index(entry.new)]
                    self.slot(entry, self.state.model[entry.name], 0).copy_(new)
                case Kind.ELEMENT:
                    for index, run in zip(group.members, group.runs, strict=True):
                        if not self.layouts[index].is_plain:
                            place = self.slot(entry, self.state.tensors[index][entry.name], 0)
                            written = run.arrays[entry.new if entry.depth > 1 else entry.older(1)]
                            self.layouts[index].into(place).copy_(written.view(self.parameters[index].shape))
                case kind:
                    for index, run in zip(group.members, group.runs, strict=True):
                        assert run.numbers is not None
                        value = run.numbers[names.index(entry.new)] if kind is Kind.TENSOR else run.arrays[entry.new]
                        place = self.slot(entry, self.state.tensors[index][entry.name], 0)
                        place.copy_(value.view(place.shape))
        for index, run in zip(group.members, group.runs, strict=True):
            if not self.parameters[index].is_contiguous():
                self.parameters[index].copy_(run.arrays["theta"])


def _model_dtype(parameters: Sequence[torch.Tensor]) -> torch.dtype:
    """The precision of the model's numbers: that of the most precise tensor."""
    dtypes = {arithmetic_dtype(theta) for theta in parameters}
    return torch.float64 if torch.float64 in dtypes else torch.float32


def _filled(
    entry: StatePlan, shape: Sequence[int], start: float, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    kind = Kind(entry.kind)
    kept = (count_of(kind, shape),) if kind is Kind.AXIS else kept_shapes(kind, tuple(shape))[0]
    history = (entry.depth,) if entry.depth > 1 else ()
    return torch.full((*history, *kept), start, dtype=dtype, device=device)


def _check(parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], state: TritonState) -> None:
    if not len(parameters) == len(gradients) == len(state.tensors):
        raise TreeMismatch(
            f"{len(parameters)} parameters, {len(gradients)} gradients and states for {len(state.tensors)} tensors"
        )
    for index, (theta, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        if theta.shape != gradient.shape:
            raise TreeMismatch(
                f"parameter {index} has shape {tuple(theta.shape)}, its gradient {tuple(gradient.shape)}"
            )
        if theta.device != parameters[0].device or gradient.device != theta.device:
            raise TreeMismatch(f"tensor {index} is on another device than the first parameter, {parameters[0].device}")
        arithmetic_dtype(theta)
        arithmetic_dtype(gradient)


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _next(group: _Group) -> Launch:
    return group.case.launches[group.position]
