"""The launches of one step by Triton kernels: what each of them reads and writes, and in which order they come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from optgen.contract.formats import is_stochastic
from optgen.contract.kernel_plan import SEED, STATE_FORMATS, UNSCALE, CasePlan, KernelPlan, StatePlan
from optgen.contract.kinds import Kind, kept_shapes
from optgen.runtime.formats.bits import seed_of, stream_of
from optgen.runtime.formats.codes import Blocks
from optgen.runtime.shapes import count_of, shape_numbers
from optgen.runtime.state import ModelState
from optgen.runtime.torch.host_values import Sent, is_capturing, sent
from optgen.runtime.torch.launch import DeviceCall, arithmetic_dtype, memory_of
from optgen.runtime.torch.memory import NAMES
from optgen.runtime.triton.device_arrays import DeviceArrays, DeviceMemory, axes_of, needs_axes
from optgen.runtime.triton.launcher import Launcher
from optgen.runtime.triton.sizes import NUMBER_OPTIONS
from optgen.runtime.variant import ArrayVariant

Tensor = torch.Tensor


@dataclass(slots=True)
class DeviceModel:
    """The tensors of a step, on one device; see `TritonRule.step`.

    Attributes:
        gradients: empty once kernels know where they are.
        size: numbers of all parameters.
        dtype: the precision of the model's numbers.
    """

    parameters: list[Tensor]
    gradients: list[Tensor]
    state: ModelState
    inputs: Mapping[str, Any]
    size: int = field(init=False)
    dtype: torch.dtype = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(theta.numel() for theta in self.parameters)
        dtypes = {arithmetic_dtype(theta) for theta in self.parameters}
        self.dtype = torch.float64 if torch.float64 in dtypes else torch.float32

    @property
    def device(self) -> torch.device:
        """That of all tensors."""
        return self.parameters[0].device


@dataclass(slots=True)
class CaseGroup:
    """The tensors that take one case.

    Attributes:
        scalars: numbers of the step on the device, in each precision that a kernel computes in, by its name.
        numbers: the same in float64, where the device computes them.
    """

    case: CasePlan
    scalars: dict[str, Tensor]
    numbers: Sent | None = None
    members: list[DeviceArrays] = field(default_factory=list)


class Phase:
    """The kernels of a step, for one place of the values of histories.

    Args:
        launcher: of the generated module.
        variant: see `TritonRule`.
        cases: of the variant.
        model: the tensors.
        t: the number of a step in which the values of histories stand there.

    Attributes:
        before, after: what is copied, to the first of each pair from the second.
        numbers: those of the model.
        calls: of kernels, in order.
        owned: memory that kernels use besides.
        can_move: whether all gradients are read where they are.
    """

    def __init__(
        self, launcher: Launcher, variant: ArrayVariant, cases: Sequence[CasePlan], model: DeviceModel, t: int
    ) -> None:
        self.launcher = launcher
        self.variant = variant
        self.given = model
        self.device = model.device
        self.before: list[tuple[Tensor, Tensor]] = []
        self.after: list[tuple[Tensor, Tensor]] = []
        self.owned: list[Tensor] = []
        self.can_move = True
        self._addresses = np.array([gradient.data_ptr() for gradient in model.gradients], np.uint64)
        self._is_captured = False
        self.numbers = torch.zeros(max(1, len(self.plan.model_numbers)), dtype=model.dtype, device=self.device)
        groups: dict[int, CaseGroup] = {}
        for index, theta in enumerate(model.parameters):
            layout = variant.layout(tuple(theta.shape))
            case = variant.case_index(layout.shape(tuple(theta.shape)))
            if case not in groups:
                groups[case] = self.group(cases[case], t)
            groups[case].members.append(self.held(groups[case], index, t))
        self.groups = list(groups.values())
        inputs = {one.name for group in self.groups for one in group.case.inputs}
        #: Inputs that kernels read as numbers of the model, and where among these they stand.
        self.inputs_of_model = {name: at for at, name in enumerate(self.plan.model_numbers) if name in inputs}
        cases, members = [group.case for group in self.groups], [group.members for group in self.groups]
        calls = launcher.calls(cases, members, NAMES[model.dtype], model.size, self.filled)
        self.calls = [
            DeviceCall(call, {"scalars": self.groups[call.case].scalars[call.number], "model": self.numbers})
            for call in calls
        ]
        for group in self.groups:
            group.members.clear()

    @property
    def plan(self) -> KernelPlan:
        """Of the generated module."""
        return self.launcher.plan

    def run(self, t: int, values: Mapping[str, float]) -> None:
        """Make the step."""
        given = self.given
        values = {**values, "t": float(t), "model_size": float(given.size)}
        values["tensor_count"] = float(len(given.parameters))
        if given.state.formats:
            values[SEED] = float(seed_of(t)[0])
        new: dict[str, float] = {}
        for group in self.groups:
            known = dict(values)
            for entry in _of_kind(group.case, Kind.STEP):
                for lag in range(1, entry.depth + 1):
                    known[entry.older(lag)] = float(_slot(entry, given.state.shared[entry.name], t, lag))
            known |= self.launcher.numbers_of_step(group.case.step, known) if group.case.step else {}
            for dtype, scalars in group.scalars.items():
                host = np.array([known.get(name, 0.0) for name in self.plan.scalars] or [0.0], dtype)
                sent(host, scalars)
            new |= {entry.name: known[entry.new] for entry in _of_kind(group.case, Kind.STEP)}
        for name, place in self.inputs_of_model.items():
            self.numbers[place].fill_(values[name])
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
        fixed |= {"model_size": float(given.size), "tensor_count": float(len(given.parameters))}
        new: dict[str, Tensor] = {}
        for group in self.groups:
            assert group.numbers is not None, "prepare_for_device comes first"
            group.numbers.send(np.array([fixed.get(name, 0.0) for name in names] or [0.0]))
            numbers = group.numbers.there
            for name, value in values.items():
                if isinstance(value, Tensor) and name in names:
                    numbers[names.index(name)].copy_(value.reshape(()))
            self.compute_numbers(group)
            for scalars in group.scalars.values():
                scalars.copy_(numbers)
            new |= {entry.name: numbers[names.index(entry.new)] for entry in _of_kind(group.case, Kind.STEP)}
        _copy(self.before)
        for call in self.calls:
            call.start(UNSCALE in values)
        _copy(self.after)
        return new

    def prepare_for_device(self) -> None:
        """Make what steps need that the device alone counts, and compile what they start besides."""
        for group in self.groups:
            group.numbers = Sent(np.zeros(max(1, len(self.plan.scalars))), self.device)
            self.compute_numbers(group)

    def compute_numbers(self, group: CaseGroup) -> None:
        """Have the device compute the numbers of the step from those that stand among them."""
        assert group.numbers is not None
        for kernel, constants in self.launcher.number_kernels(group.case.step, bool(self.given.state.formats)):
            kernel[(1,)](group.numbers.there, **constants, **NUMBER_OPTIONS)

    def move_gradients(self, addresses: np.ndarray) -> None:
        """Have kernels read gradients at other places; nothing is sent if they are the same.

        A graph sends its own at every replay, so that from the first one on they may have become others.
        """
        self._is_captured |= is_capturing()
        if self._is_captured or not np.array_equal(self._addresses, addresses):
            self._addresses = addresses
            for call in self.calls:
                call.move_gradients(addresses)

    def group(self, case: CasePlan, t: int) -> CaseGroup:
        """A case, with the numbers of the model that it reads and writes."""
        for entry in _of_kind(case, Kind.GLOBAL):
            self.number(entry, self.given.state.shared[entry.name], self.numbers, self.plan.model_numbers, t)
        return CaseGroup(case, {NAMES[self.given.dtype]: self.scalars(self.given.dtype)})

    def scalars(self, dtype: torch.dtype) -> Tensor:
        """Memory for the numbers of the step; never empty, so that it has an address."""
        return torch.zeros(max(1, len(self.plan.scalars)), dtype=dtype, device=self.device)

    def held(self, group: CaseGroup, index: int, t: int) -> DeviceArrays:
        """One tensor's arrays by the names that kernels have for them."""
        case, given = group.case, self.given
        layout = self.variant.layout(tuple(given.parameters[index].shape))
        theta, gradient = (layout.into(each[index]) for each in (given.parameters, given.gradients))
        shape, dtype = tuple(theta.shape), arithmetic_dtype(theta)
        if NAMES[dtype] not in group.scalars:
            group.scalars[NAMES[dtype]] = self.scalars(dtype)
        held = DeviceArrays(index, shape, NAMES[dtype], {"theta": self.array(theta, is_read=True, is_written=True)})
        held.arrays["g"] = self.array(gradient, is_read=True)
        self.can_move &= held.arrays["g"].address == gradient.data_ptr()
        numbers = {name: float(value) for name, value in shape_numbers(shape).items()}
        for one in case.inputs:
            if one.kind is Kind.TENSOR:
                numbers[one.name] = float(given.inputs[one.name][index])
            elif one.kind is Kind.ELEMENT:
                value = torch.as_tensor(given.inputs[one.name][index], device=self.device).detach()
                value = value if value.is_floating_point() else value.to(dtype)
                self.owned.append(value)
                held.arrays[one.name] = self.array(layout.into(value), is_read=True)
        names = self.plan.tensor_numbers
        host = np.array([numbers.get(name, 0.0) for name in names] or [0.0], NAMES[dtype])
        own = sent(host, self.memory(len(host), dtype))
        held.numbers = memory_of(own)
        if needs_axes(case):
            self.owned.append(sent(axes_of(shape), None, self.device))
            held.axes = memory_of(self.owned[-1])
        buffers = {buffer.name: self.memory(count_of(buffer.kind, shape), dtype) for buffer in case.buffers}
        held.arrays |= {name: memory_of(buffer) for name, buffer in buffers.items()}
        for entry in case.states:
            kind = entry.kind
            if kind in (Kind.STEP, Kind.GLOBAL):
                continue
            kept = given.state.tensors[index][entry.name]
            if entry.name in given.state.formats:
                self.formatted(entry.name, kept, held)
            elif kind is Kind.TENSOR:
                self.number(entry, kept, own, names, t)
            elif kind is Kind.ELEMENT:
                lags = {entry.older(lag): lag for lag in range(1, entry.depth + 1)}
                for name, lag in lags.items() if entry.depth > 1 else ():
                    held.arrays[name] = self.array(layout.into(_slot(entry, kept, t, lag)), is_read=True)
                is_one = entry.depth == 1
                place = layout.into(_slot(entry, kept, t, 0))
                held.arrays[entry.name if is_one else entry.new] = self.array(place, is_read=is_one, is_written=True)
            else:
                self.vectors(entry, kept, held, buffers[entry.new], t)
        for name, count in self.launcher.parts_of(case, shape, given.size).items():
            held.parts[name] = memory_of(self.memory(count, dtype))
        return held

    def formatted(self, name: str, kept: Tensor | Blocks, held: DeviceArrays) -> None:
        """Place a state that is stored in a format of states."""
        format = self.given.state.formats[name]
        held.formats[name] = STATE_FORMATS[format]
        held.streams[name] = stream_of(self.given.state.number(held.index), self.variant.state_names().index(name))
        if isinstance(kept, Blocks):
            held.arrays[name], held.scales[name] = memory_of(kept.codes), memory_of(kept.scales)
        else:
            held.arrays[name] = memory_of(kept.view(torch.uint16) if is_stochastic(format) else kept)

    def memory(self, count: int, dtype: torch.dtype) -> Tensor:
        """Memory that a step needs besides, as long as this lives."""
        self.owned.append(torch.empty(count, dtype=dtype, device=self.device))
        return self.owned[-1]

    def filled(self, count: int, dtype: str, value: float) -> DeviceMemory:
        """Memory filled with one value, for as long as this lives."""
        return memory_of(self.memory(count, getattr(torch, dtype)).fill_(value))

    def array(self, tensor: Tensor, *, is_read: bool = False, is_written: bool = False) -> DeviceMemory:
        """A tensor as kernels take it: itself if it has no gaps, else memory from and to which it is copied."""
        if tensor.is_contiguous() and not tensor.is_neg():
            return memory_of(tensor)
        whole = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        if is_read:
            self.before.append((whole, tensor))
        if is_written:
            self.after.append((tensor, whole))
        return memory_of(whole)

    def number(self, entry: StatePlan, kept: Tensor, numbers: Tensor, names: tuple[str, ...], t: int) -> None:
        """Copy a state that is one number to where kernels read it, and its new value back."""
        for lag in range(1, entry.depth + 1):
            if entry.older(lag) in names:
                self.before.append((numbers[names.index(entry.older(lag))], _slot(entry, kept, t, lag)))
        self.after.append((_slot(entry, kept, t, 0), numbers[names.index(entry.new)]))

    def vectors(self, entry: StatePlan, kept: Any, held: DeviceArrays, new: Tensor, t: int) -> None:
        """Place a state of numbers per row, column, matrix or axis; those of the axes stand one after the other.

        Args:
            entry: the state.
            kept: its values.
            held: whose they are.
            new: where kernels write the new ones.
            t: the number of the step.
        """
        parts = kept if isinstance(kept, tuple) else (kept,)
        shapes = kept_shapes(entry.kind, held.shape)
        for lag in range(1, entry.depth + 1):
            slots = [_slot(entry, part, t, lag) for part in parts]
            if len(slots) == 1:
                held.arrays[entry.older(lag)] = self.array(slots[0], is_read=True)
                continue
            joined = torch.empty_like(new)
            self.before += zip(_stretches(joined, shapes), slots, strict=True)
            held.arrays[entry.older(lag)] = memory_of(joined)
        slots = [_slot(entry, part, t, 0) for part in parts]
        self.after += zip(slots, _stretches(new, shapes), strict=True)


def _of_kind(case: CasePlan, kind: Kind) -> list[StatePlan]:
    return [entry for entry in case.states if entry.kind is kind]


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
