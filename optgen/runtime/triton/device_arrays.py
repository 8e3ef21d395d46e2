"""Arrays on a device as Triton kernels take them: addresses, tables, and the calls that use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from optgen.contract.kernel_plan import SLICES, CasePlan, Launch
from optgen.runtime.shapes import axis_table, shape_numbers
from optgen.runtime.triton.sizes import itemsize

#: What a table's columns hold addresses for.
ADDRESS_ROLES = ("array", "parts", "scales", "tensor", "axes")


class DeviceMemory(NamedTuple):
    """An array without gaps.

    Attributes:
        dtype: its name, see `TYPES`.
        size: how many numbers.
    """

    address: int
    dtype: str
    size: int

    def part(self, first: int, size: int) -> DeviceMemory:
        """Some of it."""
        return DeviceMemory(self.address + first * itemsize(self.dtype), self.dtype, size)


@dataclass(slots=True)
class DeviceArrays:
    """The arrays behind the columns of a table: of one tensor, or with an empty shape of the model.

    Attributes:
        index: of the tensor in the model.
        number: the precision of its arithmetic.
        arrays: by name; `theta`, `g`, states, inputs, and memory for what is computed.
        numbers: single numbers of the tensor.
        axes: see `axis_table`; only where a kernel asks for it.
        parts: places of partial results of folds.
        scales: of states in 8 bits.
        formats: of states, see `STATE_FORMATS`.
        streams: of the random bits by which states are rounded.
    """

    index: int
    shape: tuple[int, ...]
    number: str
    arrays: dict[str, DeviceMemory] = field(default_factory=dict)
    numbers: DeviceMemory | None = None
    axes: DeviceMemory | None = None
    parts: dict[str, DeviceMemory] = field(default_factory=dict)
    scales: dict[str, DeviceMemory] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One kernel on several tensors.

    Attributes:
        kernel: the function of the generated module.
        case: whose numbers of the step it reads, as a place in what `calls` was given.
        number: the precision of its arithmetic.
        programs: how many run.
        rows: the table, int64, one row for each tensor.
        addresses: which of its columns hold such.
        chunks: for each program its row, and how many programs of that row come before it, int64; None if each row has
            one program.
        rest: the arguments after these: `scalars`, `model`.
        constants: by name.
        gradients: column of the gradient's address, and for each row the tensor's index; None if it reads none.
        launch: the kernel as the plan has it.
    """

    kernel: Any
    case: int
    number: str
    programs: int
    rows: np.ndarray
    addresses: tuple[int, ...]
    chunks: np.ndarray | None
    rest: tuple[str, ...]
    constants: Mapping[str, Any]
    gradients: tuple[int, np.ndarray] | None
    launch: Launch


def needs_axes(case: CasePlan) -> bool:
    """Whether a kernel of a case asks for a tensor's axes."""
    return any(argument.role == "axes" for launch in case.launches for argument in launch.arguments)


def axes_of(shape: tuple[int, ...]) -> np.ndarray:
    """A tensor's axes as kernels read them, int64."""
    return np.array(axis_table(shape), np.int64)


def column(launch: Launch, member: DeviceArrays, role: str, name: str, given: Mapping[str, int]) -> int:
    """The number that a table's column holds for a tensor: an address or a count, by the role of the argument."""
    match role:
        case "array":
            array = member.arrays[name]
            # A fold for each axis writes into its own stretch of the vector.
            is_stretch = launch.form == SLICES and name in launch.folds
            return array.part(given["first"], 0).address if is_stretch else array.address
        case "parts":
            return member.parts[name].address
        case "scales":
            return member.scales[name].address if name in member.scales else 0
        case "stream":
            return member.streams.get(name, 0)
        case "count":
            return member.parts[name].size
        case "tensor":
            assert member.numbers is not None
            return member.numbers.address
        case "axes":
            assert member.axes is not None
            return member.axes.address
        case "rows" | "columns":
            return shape_numbers(member.shape)[role]
    return given[role]
