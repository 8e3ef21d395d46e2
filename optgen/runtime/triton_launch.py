"""Starting Triton kernels on all tensors of a model: tables on the device say where each tensor's arrays stand."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import triton.language as tl

from optgen.compiler.kinds import Kind
from optgen.errors import TreeMismatch
from optgen.runtime.formats import EIGHT_BIT
from optgen.runtime.slices import axis_table, count_of, shape_numbers, slice_maps
from optgen.runtime.triton_memory import Sent, sent
from optgen.targets.kernels.plan import BLOCKS, SEED, SLICES, STATE_FORMATS, Argument, HostFunction, KernelPlan, Launch

Tensor = torch.Tensor

#: Contracting `a*b + c` into one rounding is left out, so that the numbers do not depend on how a compiler pairs terms.
LAUNCH_OPTIONS: Mapping[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}

#: How torch's types are called in kernels.
TYPES = {
    torch.float32: tl.float32,
    torch.float64: tl.float64,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    # Formats of states.
    torch.uint16: tl.uint16,
    torch.uint8: tl.uint8,
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How kernels share out their work; it depends on the model alone, so that sums have a fixed order.

    Attributes:
        block: numbers that an elementwise kernel computes with at once, a power of 2.
        programs: how many an elementwise kernel is to have before one goes through several blocks.
        blocks: how many a program goes through then.
        parts: partial results of one tensor, at most: beyond, programs go through more blocks.
        tiles: results and operands per tile of a fold along axes, by extent, powers of 2; wide along what is
            contiguous.
    """

    block: int = 1024
    programs: int = 2048
    blocks: int = 16
    parts: int = 4096
    tiles: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {"rows": (64, 16), "columns": (8, 128), "other_axes": (16, 64)}
    )

    def block_of(self, formats: Iterable[int]) -> int:
        """The block of a kernel that takes states in these formats, see `STATE_FORMATS`: rounding needs registers."""
        return self.block // 2 if any(format >= STATE_FORMATS[EIGHT_BIT] for format in formats) else self.block

    def chunk(self, count: int, model_size: int) -> int:
        """How many of a tensor's numbers one program goes through: a multiple of `block`."""
        wanted = min(self.blocks, max(1, model_size // (self.block * self.programs)))
        needed = -(-count // (self.block * self.parts))
        return self.block * max(wanted, needed)


@dataclass(slots=True)
class Held:
    """What the columns of a table stand for: of one tensor, or with an empty shape of the model.

    Attributes:
        index: of the tensor in the model.
        number: the precision of its arithmetic.
        arrays: by name; `theta`, `g`, states, inputs, and memory for what is computed.
        numbers: single numbers of the tensor.
        parts: places of partial results of folds.
        scales: of states in 8 bits.
        formats: of states, see `STATE_FORMATS`.
        streams: of the random bits by which states are rounded.
    """

    index: int
    shape: tuple[int, ...]
    number: torch.dtype
    arrays: dict[str, Tensor] = field(default_factory=dict)
    numbers: Tensor | None = None
    parts: dict[str, Tensor] = field(default_factory=dict)
    scales: dict[str, Tensor] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One kernel on several tensors.

    Attributes:
        kernel: the function of the generated module.
        programs: how many run.
        host: the table, int64, one row for each tensor.
        rows: the same, sent to the device.
        rest: the arguments after it.
        constants: by name.
        gradients: column of the gradient's address, and for each row the tensor's index; None if it reads none.
    """

    kernel: Any
    programs: int
    host: np.ndarray
    rows: Sent
    rest: Sequence[Tensor]
    constants: Mapping[str, Any]
    gradients: tuple[int, np.ndarray] | None

    def start(self, scaled: bool = False) -> None:
        """Start the kernel; `scaled`: gradients are multiplied by a number, and the step may be left out."""
        constants = {**self.constants, "SCALED": True} if scaled and "SCALED" in self.constants else self.constants
        self.kernel[(self.programs,)](self.rows.there, *self.rest, **constants, **LAUNCH_OPTIONS)

    def move_gradients(self, addresses: np.ndarray) -> None:
        """Have it read gradients at other places, uint64."""
        if self.gradients is None:
            return
        column, tensors = self.gradients
        self.host[:, column] = addresses[tensors].view(np.int64)
        self.rows.send(self.host)


class Launcher:
    """Makes calls of the functions of a generated module.

    Args:
        module: the generated module.
        plan: its plan.
        sizes: how work is shared out.
    """

    def __init__(self, module: types.ModuleType, plan: KernelPlan, sizes: Sizes) -> None:
        self.module = module
        self.plan = plan
        self.sizes = sizes
        self._axes: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}

    def numbers_of_step(self, function: HostFunction, values: Mapping[str, float]) -> dict[str, float]:
        """What a function of the host returns, by name."""
        results = getattr(self.module, function.name)(*(float(values[name]) for name in function.arguments))
        return dict(zip(function.returns, results, strict=True))

    def compute_numbers(self, function: HostFunction | None, numbers: Tensor, rounds: bool) -> None:
        """The same on the device, from numbers that stand there to where they stand.

        Args:
            function: None if there is nothing to compute.
            numbers: float64, in the order of the plan's scalars; the number of the step among them if it is needed.
            rounds: whether random bits are needed.
        """
        if function is not None:
            getattr(self.module, function.kernel)[(1,)](numbers, num_warps=1, enable_fp_fusion=False)
        if rounds:
            places = {"T": self.plan.scalars.index("t"), "SEED": self.plan.scalars.index(SEED)}
            self.module.step_seed[(1,)](numbers, **places, num_warps=1)

    def programs_of(self, launch: Launch, shape: tuple[int, ...], model_size: int) -> int:
        """How many programs a launch has for a tensor, each of which leaves a partial result for each of its folds."""
        if launch.form != BLOCKS:
            return 1
        count = count_of(Kind(launch.domain), shape)
        # The first one computes the tensor's numbers, also where it has no elements.
        least = 1 if launch.totals else 0
        return max(least, -(-count // self.sizes.chunk(count, model_size)))

    def calls(
        self,
        launch: Launch,
        members: Sequence[Held],
        scalars: Mapping[torch.dtype, Tensor],
        model: Tensor,
        model_size: int,
    ) -> list[Call]:
        """One kernel on some tensors: a call for those that are stored alike."""
        alike: dict[tuple[Any, ...], list[Held]] = {}
        for member in members:
            constants = self._constants(launch, member)
            alike.setdefault((member.number, *constants.items()), []).append(member)
        return [
            call
            for (number, *constants), some in alike.items()
            if (call := self._call(launch, some, scalars[number], model, dict(constants), model_size)) is not None
        ]

    def _constants(self, launch: Launch, member: Held) -> dict[str, Any]:
        constants: dict[str, Any] = {}
        for name in launch.constants:
            if name.endswith("_type"):
                array = name.removeprefix("_").removesuffix("_type")
                fold = array.removesuffix("_parts")
                constants[name] = TYPES[(member.arrays[array] if array in member.arrays else member.parts[fold]).dtype]
            elif name.endswith("_format"):
                constants[name] = member.formats.get(name.removeprefix("_").removesuffix("_format"), 0)
            elif name == "SCALED":
                constants[name] = False
            elif name == "WIDE":
                arrays = [member.arrays[a.name] for a in launch.arguments if a.role == "array"]
                constants[name] = all(one.data_ptr() % 16 == 0 for one in arrays)
            elif name == "RANK":
                constants[name] = max(1, len(member.shape))
            elif name == "BLOCK":
                constants[name] = self.sizes.block_of(member.formats.values())
        if launch.form == SLICES:
            constants["OUTER"], constants["INNER"] = self.sizes.tiles[launch.extent]
        return constants

    def _call(
        self,
        launch: Launch,
        members: Sequence[Held],
        scalars: Tensor,
        model: Tensor,
        constants: Mapping[str, Any],
        model_size: int,
    ) -> Call | None:
        rows: list[list[int]] = []
        tensors: list[int] = []
        programs: list[int] = []
        for member in members:
            domain = Kind(launch.domain)
            maps: list[dict[str, int]] = [{}]
            if launch.form == SLICES:
                maps = slice_maps(launch.extent, domain, member.shape)
            elif launch.form == BLOCKS:
                count = count_of(domain, member.shape)
                maps = [{"length": count, "chunk": self.sizes.chunk(count, model_size)}]
            for given in maps:
                rows.append([self._column(launch, member, a.role, a.name, given) for a in launch.columns])
                tensors.append(member.index)
                if launch.form == SLICES:
                    programs.append(-(-given["outer"] // constants["OUTER"]))
                else:
                    programs.append(self.programs_of(launch, member.shape, model_size))
        if not sum(programs):
            return None
        device = scalars.device
        host = np.array(rows, np.int64).reshape(len(rows), len(launch.columns))
        rest: list[Tensor] = []
        if launch.form in (BLOCKS, SLICES):
            first = np.repeat(np.arange(len(rows)), programs)
            counted = np.arange(len(first)) - np.repeat(np.cumsum([0, *programs[:-1]]), programs)
            rest.append(sent(np.stack([first, counted], axis=1), None, device))
        whole = {"scalars": scalars, "model": model}
        rest += [whole[argument.role] for argument in launch.arguments if argument.role in whole]
        columns = [place for place, argument in enumerate(launch.columns) if argument == Argument("array", "g")]
        return Call(
            getattr(self.module, launch.kernel),
            sum(programs),
            host,
            Sent(host, device),
            rest,
            constants,
            (columns[0], np.array(tensors)) if columns else None,
        )

    def _column(self, launch: Launch, member: Held, role: str, name: str, given: Mapping[str, int]) -> int:
        match role:
            case "array":
                array = member.arrays[name]
                # A fold for each axis writes into its own stretch of the vector.
                is_stretch = launch.form == SLICES and name in launch.folds
                return array.data_ptr() + (given["first"] * array.element_size() if is_stretch else 0)
            case "parts":
                return member.parts[name].data_ptr()
            case "scales":
                return member.scales[name].data_ptr() if name in member.scales else 0
            case "stream":
                return member.streams.get(name, 0)
            case "count":
                return member.parts[name].numel()
            case "tensor":
                assert member.numbers is not None
                return member.numbers.data_ptr()
            case "axes":
                device = member.arrays["theta"].device
                if (member.shape, device) not in self._axes:
                    table = np.array(axis_table(member.shape), np.int64)
                    self._axes[member.shape, device] = sent(table, None, device)
                return self._axes[member.shape, device].data_ptr()
            case "rows" | "columns":
                return shape_numbers(member.shape)[role]
        return given[role]


def arithmetic_dtype(tensor: Tensor) -> torch.dtype:
    """The precision in which a tensor's step is computed, and its state kept.

    Raises:
        TreeMismatch: the tensor does not hold real floating-point numbers.
    """
    if not tensor.is_floating_point():
        raise TreeMismatch(f"parameters and gradients hold floating-point numbers, and this one is {tensor.dtype}")
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def on_device(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Kernels are started on the current device, which has to be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
