"""A generated variant as Triton kernels that change torch tensors in place, all tensors of a model in each launch.

Nothing is read back from the device, and nothing waits for it: numbers of the step are computed on the host and sent,
everything else stays there. Sums have a fixed order, so a step repeated on the same values gives the same bits.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from optgen.compiler.kinds import Kind, kept_shapes
from optgen.errors import TreeMismatch
from optgen.runtime.formats import BLOCK as FORMAT_BLOCK
from optgen.runtime.formats import Blocks, seed_of, stream_of
from optgen.runtime.in_place import single
from optgen.runtime.rounds import rounds
from optgen.runtime.slices import count_of, shape_numbers
from optgen.runtime.triton_launch import Call, Held, Launcher, Sizes, arithmetic_dtype, on_device, sent
from optgen.runtime.variant import ArrayVariant, ModelState
from optgen.targets.kernels.plan import SEED, SKIP, STATE_FORMATS, UNSCALE, CasePlan, KernelPlan, Launch, StatePlan

Tensor = torch.Tensor

#: Parts of one fold begin at multiples of this many numbers, so that every tensor's are equally well aligned.
_ALIGNMENT = 16


class TritonRule:
    """One variant, ready to run.

    Args:
        module: the generated module.
        plan: its plan.
        variant: the same variant on torch tensors: it says which case a shape takes, and makes the first state.
        sizes: how kernels share out their work.
    """

    def __init__(
        self, module: types.ModuleType, plan: KernelPlan, variant: ArrayVariant, sizes: Sizes | None = None
    ) -> None:
        self.variant = variant
        self.cases = plan.variant(variant.info.name).cases
        self.launcher = Launcher(module, plan, sizes or Sizes())

    def step(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        state: ModelState,
        t: int,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """One step on all tensors; parameters and state change in place.

        Args:
            parameters: of any real floating-point dtype, on one device.
            gradients: of the parameters' shapes, of any real floating-point dtype.
            state: of tensors on that device; numbers of the step are arrays of numpy that can be written.
            t: the number of this step, counted from 1.
            hyperparameters: a value for each that the variant uses.
            inputs: the extra values that the rule asks for; one per tensor where its kind is tensor or element.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together; nothing has been changed.
        """
        if parameters:
            prepared = self.prepared(parameters, gradients, state, inputs)
            prepared.run(t, {**hyperparameters, **single(inputs or {})})

    def takes(self, formats: Mapping[str, str], shapes: Sequence[tuple[int, ...]]) -> bool:
        """See `InPlaceRule.takes`."""
        fits = self.launcher.sizes.block_of(STATE_FORMATS[f] for f in formats.values()) % FORMAT_BLOCK == 0
        is_plain = all(self.variant.layout(shape).is_plain for shape in shapes)
        return not formats or (fits and is_plain and all(formats.keys().isdisjoint(c.read_again) for c in self.cases))

    def prepared(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        state: ModelState,
        inputs: Mapping[str, Any] | None = None,
    ) -> Prepared:
        """A step with all but the numbers; for the arguments see `step`.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together.
        """
        self.variant.check(gradients, state, parameters)
        for index, (theta, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            if theta.device != parameters[0].device or gradient.device != theta.device:
                raise TreeMismatch(
                    f"tensor {index} is on another device than the first parameter, {parameters[0].device}"
                )
            arithmetic_dtype(gradient)
        return Prepared(self, parameters, gradients, state, inputs or {})


@dataclass(slots=True)
class _Group:
    """The tensors that take one case.

    Attributes:
        scalars: numbers of the step on the device, in each precision that a kernel computes in.
        numbers: the same in float64, where they are computed on the device.
        sent: what has been sent there.
    """

    case: CasePlan
    scalars: dict[torch.dtype, Tensor]
    numbers: Tensor | None = None
    sent: list[float] = field(default_factory=list)
    members: list[Held] = field(default_factory=list)


class Prepared:
    """A step whose arrays are known.

    Args:
        rule: what is run.
        parameters, gradients, state, inputs: see `TritonRule.step`.
    """

    def __init__(
        self,
        rule: TritonRule,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        state: ModelState,
        inputs: Mapping[str, Any],
    ) -> None:
        self.rule = rule
        self.parameters = [theta.detach() for theta in parameters]
        self.gradients = [gradient.detach() for gradient in gradients]
        self.state = state
        self.inputs = inputs
        self.device = self.parameters[0].device
        self.model_size = sum(theta.numel() for theta in self.parameters)
        dtypes = {arithmetic_dtype(theta) for theta in self.parameters}
        self.model_dtype = torch.float64 if torch.float64 in dtypes else torch.float32
        #: Values of histories stand elsewhere in each step.
        self._has_history = any(entry.depth > 1 for case in rule.cases for entry in case.states)
        self._phase: _Phase | None = None

    def run(self, t: int, hyperparameters: Mapping[str, Any], team: object = None) -> None:
        """Make the step.

        Args:
            t: its number, counted from 1.
            hyperparameters: a value for each that the variant uses, and for inputs that are single numbers.
            team: is for kernels of the CPU.
        """
        with torch.no_grad(), on_device(self.parameters[0]):
            phase = self._phase or _Phase(self, t)
            if not self._has_history and self._phase is None:
                self._phase = phase
                # Whoever drops them gets their memory back.
                self.gradients = []
            phase.run(t, {name: float(value) for name, value in hyperparameters.items()})

    @property
    def can_run_on_device(self) -> bool:
        """Whether steps can be made without the host's knowing their number: not if places depend on it."""
        return not (self._has_history or self.inputs)

    @property
    def can_skip(self) -> bool:
        """Whether the device can leave out a step: not where a state is a single number or one of a row or column."""
        kinds = {Kind(entry.kind) for case in self.rule.cases for entry in case.states}
        return kinds <= {Kind.ELEMENT, Kind.STEP}

    def run_on_device(
        self,
        t: Tensor | float,
        hyperparameters: Mapping[str, float | Tensor],
        numbers: Mapping[str, Tensor],
        scale: Tensor | None = None,
        skip: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Make a step whose number is known on the device alone: nothing waits for it, and graphs can capture it.

        Only what has changed of the hyperparameters that are Python numbers is sent, so that a captured step keeps
        those it was captured with. Tensors are read anew in every step.

        Args:
            t: the number of the step, counted from 1; one number on the device, as all tensors here.
            hyperparameters: a value for each that the variant uses.
            numbers: the states that are numbers of the step.
            scale: what the gradients have been multiplied by.
            skip: not 0 if the step is to leave everything as it is.

        Returns:
            the states that are numbers of the step, after it.
        """
        with torch.no_grad(), on_device(self.parameters[0]):
            if self._phase is None:
                self._phase = _Phase(self, 1)
                self.gradients = []
            given = {**hyperparameters, "t": t, **numbers}
            if scale is not None or skip is not None:
                given[UNSCALE] = 1.0 if scale is None else scale.double().reciprocal()
                given[SKIP] = 0.0 if skip is None else skip
            return self._phase.run_on_device(given)

    def move_gradients(self, addresses: Sequence[int]) -> bool:
        """Have the steps to come read gradients, of the same shapes and dtypes and without gaps, at other places.

        Returns:
            whether they can: not before the first step, where one is a copy or less aligned, or the rule has histories.
        """
        if self._phase is None or not self._phase.can_move or any(address % 16 for address in addresses):
            return False
        self._phase.move_gradients(np.array(addresses, np.uint64))
        return True


class _Phase:
    """The kernels of a step, for one place of the values of histories.

    Attributes:
        before, after: what is copied, to the first of each pair from the second.
        calls: of kernels, in order.
        can_move: whether all gradients are read where they are.
    """

    def __init__(self, prepared: Prepared, t: int) -> None:
        self.given = prepared
        self.launcher = prepared.rule.launcher
        self.device = prepared.device
        self.before: list[tuple[Tensor, Tensor]] = []
        self.after: list[tuple[Tensor, Tensor]] = []
        self.calls: list[Call] = []
        self.owned: list[Tensor] = []
        self.can_move = True
        self._addresses = np.array([gradient.data_ptr() for gradient in prepared.gradients], np.uint64)
        self.model = torch.zeros(max(1, len(self.plan.model_numbers)), dtype=prepared.model_dtype, device=self.device)
        groups: dict[int, _Group] = {}
        for index, theta in enumerate(prepared.parameters):
            layout = prepared.rule.variant.layout(tuple(theta.shape))
            case = prepared.rule.variant.case_index(layout.shape(tuple(theta.shape)))
            if case not in groups:
                groups[case] = self.group(prepared.rule.cases[case], t)
            groups[case].members.append(self.held(groups[case], index, t))
        self.groups = list(groups.values())
        inputs = {one.name for group in self.groups for one in group.case.inputs}
        #: Inputs that kernels read as numbers of the model, and where among these they stand.
        self.inputs_of_model = {name: at for at, name in enumerate(self.plan.model_numbers) if name in inputs}
        self.whole = Held(-1, (), prepared.model_dtype)
        self.place_model_parts()
        self.work_through()
        for group in self.groups:
            group.members.clear()

    @property
    def plan(self) -> KernelPlan:
        """Of the generated module."""
        return self.launcher.plan

    def run(self, t: int, values: Mapping[str, float]) -> None:
        """Make the step."""
        given = self.given
        values = {**values, "t": float(t), "model_size": float(given.model_size)}
        values["tensor_count"] = float(len(given.parameters))
        values[SEED] = float(seed_of(t)[0])
        new: dict[str, float] = {}
        for group in self.groups:
            known = dict(values)
            for entry in _of_kind(group.case, Kind.STEP):
                for lag in range(1, entry.depth + 1):
                    known[entry.older(lag)] = float(_slot(entry, given.state.shared[entry.name], t, lag))
            known |= self.launcher.numbers_of_step(group.case.step, known) if group.case.step else {}
            for dtype, scalars in group.scalars.items():
                host = torch.tensor([known.get(name, 0.0) for name in self.plan.scalars] or [0.0], dtype=dtype)
                sent(host.numpy(), scalars)
            new |= {entry.name: known[entry.new] for entry in _of_kind(group.case, Kind.STEP)}
        for name, place in self.inputs_of_model.items():
            self.model[place].fill_(values[name])
        _copy(self.before)
        for call in self.calls:
            call.start()
        _copy(self.after)
        for group in self.groups:
            for entry in _of_kind(group.case, Kind.STEP):
                kept = given.state.shared[entry.name]
                kept[(t - 1) % entry.depth if entry.depth > 1 else ()] = new[entry.name]

    def run_on_device(self, values: Mapping[str, float | Tensor]) -> dict[str, Tensor]:
        """Make the step from values that may stand on the device; see `Prepared.run_on_device`."""
        given, names = self.given, self.plan.scalars
        fixed = {name: float(value) for name, value in values.items() if not isinstance(value, Tensor)}
        fixed |= {"model_size": float(given.model_size), "tensor_count": float(len(given.parameters))}
        new: dict[str, Tensor] = {}
        for group in self.groups:
            host = [fixed.get(name, 0.0) for name in names] or [0.0]
            if group.numbers is None or host != group.sent:
                group.numbers = sent(np.array(host), group.numbers, self.device)
                group.sent = host
            for name, value in values.items():
                if isinstance(value, Tensor) and name in names:
                    group.numbers[names.index(name)].copy_(value.reshape(()))
            self.launcher.compute_numbers(group.case.step, group.numbers, bool(given.state.formats))
            for scalars in group.scalars.values():
                scalars.copy_(group.numbers)
            new |= {entry.name: group.numbers[names.index(entry.new)] for entry in _of_kind(group.case, Kind.STEP)}
        _copy(self.before)
        for call in self.calls:
            call.start(UNSCALE in values)
        _copy(self.after)
        return new

    def move_gradients(self, addresses: np.ndarray) -> None:
        """Have kernels read gradients at other places; nothing is sent if they are the same."""
        if not np.array_equal(self._addresses, addresses):
            self._addresses = addresses
            for call in self.calls:
                call.move_gradients(addresses)

    def group(self, case: CasePlan, t: int) -> _Group:
        """A case, with the numbers of the model that it reads and writes."""
        for entry in _of_kind(case, Kind.GLOBAL):
            self.number(entry, self.given.state.shared[entry.name], self.model, self.plan.model_numbers, t)
        return _Group(case, {self.given.model_dtype: self.scalars(self.given.model_dtype)})

    def scalars(self, dtype: torch.dtype) -> Tensor:
        """Memory for the numbers of the step; never empty, so that it has an address."""
        return torch.zeros(max(1, len(self.plan.scalars)), dtype=dtype, device=self.device)

    def held(self, group: _Group, index: int, t: int) -> Held:
        """One tensor's arrays by the names that kernels have for them."""
        case, given = group.case, self.given
        layout = given.rule.variant.layout(tuple(given.parameters[index].shape))
        theta, gradient = (layout.into(each[index]) for each in (given.parameters, given.gradients))
        shape, dtype = tuple(theta.shape), arithmetic_dtype(theta)
        if dtype not in group.scalars:
            group.scalars[dtype] = self.scalars(dtype)
        held = Held(index, shape, dtype, {"theta": self.array(theta, is_read=True, is_written=True)})
        held.arrays["g"] = self.array(gradient, is_read=True)
        self.can_move &= held.arrays["g"] is gradient
        numbers = {name: float(value) for name, value in shape_numbers(shape).items()}
        for one in case.inputs:
            if one.kind == Kind.TENSOR.value:
                numbers[one.name] = float(given.inputs[one.name][index])
            elif one.kind == Kind.ELEMENT.value:
                value = torch.as_tensor(given.inputs[one.name][index], device=self.device).detach()
                value = value if value.is_floating_point() else value.to(dtype)
                held.arrays[one.name] = self.array(layout.into(value), is_read=True)
        names = self.plan.tensor_numbers
        host = torch.tensor([numbers.get(name, 0.0) for name in names] or [0.0], dtype=dtype)
        held.numbers = sent(host.numpy(), None, self.device)
        self.owned.append(held.numbers)
        for buffer in case.buffers:
            held.arrays[buffer.name] = self.memory(count_of(Kind(buffer.kind), shape), dtype)
        for entry in case.states:
            kind = Kind(entry.kind)
            if kind in (Kind.STEP, Kind.GLOBAL):
                continue
            kept = given.state.tensors[index][entry.name]
            if entry.name in given.state.formats:
                self.formatted(entry.name, kept, held)
            elif kind is Kind.TENSOR:
                self.number(entry, kept, held.numbers, names, t)
            elif kind is Kind.ELEMENT:
                lags = {entry.older(lag): lag for lag in range(1, entry.depth + 1)}
                for name, lag in lags.items() if entry.depth > 1 else ():
                    held.arrays[name] = self.array(layout.into(_slot(entry, kept, t, lag)), is_read=True)
                is_one = entry.depth == 1
                place = layout.into(_slot(entry, kept, t, 0))
                held.arrays[entry.name if is_one else entry.new] = self.array(place, is_read=is_one, is_written=True)
            else:
                self.vectors(entry, kept, held, t)
        for fold in case.folds:
            if fold.kind == Kind.TENSOR.value:
                (launch,) = (launch for launch in case.launches if fold.name in launch.folds)
                count = self.launcher.programs_of(launch, shape, given.model_size)
                held.parts[fold.name] = self.memory(count, dtype)
        return held

    def formatted(self, name: str, kept: Tensor | Blocks, held: Held) -> None:
        """Place a state that is stored in a format of states."""
        format = self.given.state.formats[name]
        held.formats[name] = STATE_FORMATS[format]
        held.streams[name] = stream_of(
            self.given.state.number(held.index), self.given.rule.variant.state_names().index(name)
        )
        if isinstance(kept, Blocks):
            held.arrays[name], held.scales[name] = kept.codes, kept.scales
        else:
            held.arrays[name] = kept.view(torch.uint16)

    def memory(self, count: int, dtype: torch.dtype) -> Tensor:
        """Memory that a step needs besides, as long as this lives."""
        self.owned.append(torch.empty(count, dtype=dtype, device=self.device))
        return self.owned[-1]

    def array(self, tensor: Tensor, *, is_read: bool = False, is_written: bool = False) -> Tensor:
        """A tensor as kernels take it: itself if it has no gaps, else memory from and to which it is copied."""
        if tensor.is_contiguous() and not tensor.is_neg():
            return tensor
        whole = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        if is_read:
            self.before.append((whole, tensor))
        if is_written:
            self.after.append((tensor, whole))
        return whole

    def number(self, entry: StatePlan, kept: Tensor, numbers: Tensor, names: tuple[str, ...], t: int) -> None:
        """Copy a state that is one number to where kernels read it, and its new value back."""
        for lag in range(1, entry.depth + 1):
            if entry.older(lag) in names:
                self.before.append((numbers[names.index(entry.older(lag))], _slot(entry, kept, t, lag)))
        self.after.append((_slot(entry, kept, t, 0), numbers[names.index(entry.new)]))

    def vectors(self, entry: StatePlan, kept: Any, held: Held, t: int) -> None:
        """Place a state of numbers per row, column, matrix or axis; those of the axes stand one after the other."""
        parts = kept if isinstance(kept, tuple) else (kept,)
        shapes = kept_shapes(Kind(entry.kind), held.shape)
        for lag in range(1, entry.depth + 1):
            slots = [_slot(entry, part, t, lag) for part in parts]
            if len(slots) == 1:
                held.arrays[entry.older(lag)] = self.array(slots[0], is_read=True)
                continue
            joined = self.memory(count_of(Kind(entry.kind), held.shape), held.number)
            self.before += zip(_stretches(joined, shapes), slots, strict=True)
            held.arrays[entry.older(lag)] = joined
        slots = [_slot(entry, part, t, 0) for part in parts]
        self.after += zip(slots, _stretches(held.arrays[entry.new], shapes), strict=True)

    def place_model_parts(self) -> None:
        """Give each tensor its stretch of the partial results of every fold over the model, in the tensors' order."""
        folds = {f.name: f for group in self.groups for f in group.case.folds if f.kind == Kind.GLOBAL.value}
        for fold in folds.values():
            adding = {
                held.index: (held, self.launcher.programs_of(launch, held.shape, self.given.model_size))
                for group in self.groups
                for launch in group.case.launches
                if fold.name in launch.folds
                for held in group.members
            }
            total = sum(_aligned(count) for _, count in adding.values())
            neutral = {"sum": 0.0, "max": -math.inf, "min": math.inf}[fold.operation]
            # Between one tensor's parts and the next there are places that no kernel writes.
            parts = self.memory(total, self.given.model_dtype).fill_(neutral)
            first = 0
            for _, (held, count) in sorted(adding.items()):
                held.parts[fold.name] = parts[first : first + count]
                first += _aligned(count)
            self.whole.parts[fold.name] = parts

    def work_through(self) -> None:
        """The kernels of all cases together, so that folds over the model see every tensor."""
        for one in rounds([group.case for group in self.groups]):
            for group, launches in zip(self.groups, one.of_tensors, strict=True):
                for launch in launches:
                    self.call(group, launch, group.members)
            for index, launch in one.of_model:
                self.call(self.groups[index], launch, [self.whole])

    def call(self, group: _Group, launch: Launch, members: Sequence[Held]) -> None:
        """A kernel on some tensors."""
        self.calls += self.launcher.calls(launch, members, group.scalars, self.model, self.given.model_size)


def _of_kind(case: CasePlan, kind: Kind) -> list[StatePlan]:
    return [entry for entry in case.states if entry.kind == kind.value]


def _slot(entry: StatePlan, kept: Any, t: int, lag: int) -> Any:
    """The place of a state's value `lag` steps back; 0 is this step's, which is the oldest one's."""
    return kept[(t - 1 - lag) % entry.depth] if entry.depth > 1 else kept


def _stretches(joined: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Parts of a vector, in these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [joined[end - math.prod(shape) : end].view(shape) for shape, end in zip(shapes, ends.tolist(), strict=True)]


def _copy(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """From the second of each pair to the first."""
    if pairs:
        torch._foreach_copy_([to for to, _ in pairs], [source for _, source in pairs])


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
