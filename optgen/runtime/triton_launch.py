"""Starting single Triton kernels on torch tensors: from the names in a plan to addresses, numbers and grids."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import triton

from optgen.compiler.kinds import Kind
from optgen.errors import TreeMismatch
from optgen.runtime.slices import axis_table, count_of, shape_numbers, slice_maps
from optgen.targets.kernels.plan import BLOCKS, SLICES, HostFunction, KernelPlan, Launch

#: Contracting `a*b + c` into one rounding is left out, so that the numbers do not depend on how a compiler pairs terms.
LAUNCH_OPTIONS: Mapping[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}

#: Numbers per block of an elementwise kernel, and tiles (results, operands) of a fold along axes, wide along what is
#: contiguous.
BLOCK = 1024
TILES: Mapping[str, tuple[int, int]] = {"rows": (64, 16), "columns": (8, 128), "other_axes": (16, 64)}


@dataclass(slots=True)
class Run:
    """What the arguments of kernels stand for, for one tensor or, with an empty shape, for the model.

    Attributes:
        arrays, parts: by name; the places of partial results of folds.
        scalars, numbers, model: numbers of the step, of the tensor and of the model.
    """

    shape: tuple[int, ...]
    scalars: torch.Tensor
    arrays: dict[str, torch.Tensor] = field(default_factory=dict)
    parts: dict[str, torch.Tensor] = field(default_factory=dict)
    numbers: torch.Tensor | None = None
    model: torch.Tensor | None = None


class Launcher:
    """Calls the functions of a generated module.

    Args:
        module: the generated module.
        plan: its plan.
        block: numbers per block of an elementwise kernel, a power of 2.
        tiles: results and operands per tile of a fold along axes, by extent; powers of 2.
    """

    def __init__(
        self, module: types.ModuleType, plan: KernelPlan, block: int, tiles: Mapping[str, tuple[int, int]]
    ) -> None:
        self.module = module
        self.plan = plan
        self.block = block
        self.tiles = tiles
        self._axes: dict[tuple[tuple[int, ...], torch.device], torch.Tensor] = {}

    def call(self, function: HostFunction, values: Mapping[str, float]) -> dict[str, float]:
        """What a function of the host returns, by name."""
        results = getattr(self.module, function.name)(*(float(values[name]) for name in function.arguments))
        return dict(zip(function.returns, results, strict=True))

    def scalars(self, values: Mapping[str, float], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The numbers of the step as kernels read them."""
        return self.array_of(self.plan.scalars, values, dtype, device)

    def array_of(
        self, names: tuple[str, ...], values: Mapping[str, float], dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        """Numbers by name as an array; zero where there is none yet. It is never empty, so that it has an address."""
        return torch.tensor([float(values.get(n, 0.0)) for n in names] or [0.0], dtype=dtype, device=device)

    def parts_of(self, launch: Launch, shape: tuple[int, ...]) -> int:
        """How many partial results a launch leaves for each of its folds."""
        return triton.cdiv(count_of(Kind(launch.domain), shape), self.block) if launch.form == BLOCKS else 1

    def launch(self, launch: Launch, run: Run) -> None:
        """Start one kernel; nothing is started where there is nothing to go through."""
        constants = dict.fromkeys(launch.constants, self.block)
        if "RANK" in constants:
            constants["RANK"] = max(1, len(run.shape))
        if launch.form != SLICES:
            self._start(launch, run, self.parts_of(launch, run.shape), constants, {})
            return
        constants["OUTER"], constants["INNER"] = self.tiles[launch.extent]
        for slices in slice_maps(launch.extent, Kind(launch.domain), run.shape):
            self._start(launch, run, triton.cdiv(slices["outer"], constants["OUTER"]), constants, slices)

    def _start(
        self, launch: Launch, run: Run, programs: int, constants: Mapping[str, int], slices: Mapping[str, int]
    ) -> None:
        if programs:
            kernel = getattr(self.module, launch.kernel)
            arguments = [self._argument(launch, run, a.role, a.name, slices) for a in launch.arguments]
            kernel[(programs,)](*arguments, **constants, **LAUNCH_OPTIONS)

    def _argument(self, launch: Launch, run: Run, role: str, name: str, slices: Mapping[str, int]) -> Any:
        match role:
            case "array":
                # A fold for each axis writes into its own stretch of the vector.
                is_stretch = launch.form == SLICES and name in launch.folds
                return run.arrays[name][slices["first"] :] if is_stretch else run.arrays[name]
            case "parts":
                return run.parts[name]
            case "count":
                return run.parts[name].numel()
            case "scalars":
                return run.scalars
            case "tensor":
                return run.numbers
            case "model":
                return run.model
            case "axes":
                key = (run.shape, run.scalars.device)
                if key not in self._axes:
                    self._axes[key] = torch.tensor(axis_table(run.shape), dtype=torch.int64, device=key[1])
                return self._axes[key]
            case "length":
                return count_of(Kind(launch.domain), run.shape)
            case "rows" | "columns":
                return shape_numbers(run.shape)[role]
        return slices[role]


def arithmetic_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The precision in which a tensor's step is computed, and its state kept.

    Raises:
        TreeMismatch: the tensor does not hold real floating-point numbers.
    """
    if not tensor.is_floating_point():
        raise TreeMismatch(f"parameters and gradients hold floating-point numbers, and this one is {tensor.dtype}")
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def on_device(tensor: torch.Tensor) -> contextlib.AbstractContextManager[object]:
    """Kernels are started on the current device, which has to be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
