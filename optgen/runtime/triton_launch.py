"""Which Triton kernels a step starts on the tensors of a model, and the tables that say where their arrays stand.

Nothing here belongs to a library of arrays: an array is an address, a dtype and a count.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import triton.language as tl

from optgen.contract.formats import EIGHT_BIT
from optgen.contract.kernel_plan import (
    BLOCKS,
    SEED,
    SLICES,
    STATE_FORMATS,
    WHOLE,
    Argument,
    CasePlan,
    HostFunction,
    KernelPlan,
    Launch,
)
from optgen.contract.kinds import Kind
from optgen.runtime.rounds import rounds
from optgen.runtime.slices import axis_table, count_of, shape_numbers, slice_maps

#: Contracting `a*b + c` into one rounding is left out, so that the numbers do not depend on how a compiler pairs terms.
LAUNCH_OPTIONS: Mapping[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}
#: Registers of a thread. A multiprocessor of NVIDIA's has 65536: at least 3 programs of 128 threads with as many.
MOST_REGISTERS = 160
#: The same of a kernel for the numbers of a step, which is one program.
NUMBER_OPTIONS: Mapping[str, Any] = {"num_warps": 1, "enable_fp_fusion": False}


def options_of(launch: Launch, backend: str) -> dict[str, Any]:
    """How a kernel is compiled for `cuda` or `hip`.

    What is folded stays in registers; left alone, NVIDIA's compiler keeps some of it in memory rather than use over 64.
    """
    return {**LAUNCH_OPTIONS, **({"maxnreg": MOST_REGISTERS} if launch.folds and backend == "cuda" else {})}


#: How types are called in kernels, by the names that numpy and torch have in common.
TYPES = {
    "float32": tl.float32,
    "float64": tl.float64,
    "bfloat16": tl.bfloat16,
    "float16": tl.float16,
    # Formats of states.
    "uint16": tl.uint16,
    "uint8": tl.uint8,
}

#: Parts of one fold begin at multiples of this many numbers, so that every tensor's are equally well aligned.
_ALIGNMENT = 16

#: What a table's columns hold addresses for.
_ADDRESSES = ("array", "parts", "scales", "tensor", "axes")


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


class Memory(NamedTuple):
    """An array without gaps.

    Attributes:
        dtype: its name, see `TYPES`.
        size: how many numbers.
    """

    address: int
    dtype: str
    size: int

    def part(self, first: int, size: int) -> Memory:
        """Some of it."""
        return Memory(self.address + first * itemsize(self.dtype), self.dtype, size)


@dataclass(slots=True)
class Held:
    """What the columns of a table stand for: of one tensor, or with an empty shape of the model.

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
    arrays: dict[str, Memory] = field(default_factory=dict)
    numbers: Memory | None = None
    axes: Memory | None = None
    parts: dict[str, Memory] = field(default_factory=dict)
    scales: dict[str, Memory] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
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


class Launcher:
    """Knows how the functions of a generated module are called.

    Args:
        module: the generated module.
        plan: its plan.
        sizes: how work is shared out.
    """

    def __init__(self, module: types.ModuleType, plan: KernelPlan, sizes: Sizes) -> None:
        self.module = module
        self.plan = plan
        self.sizes = sizes

    def numbers_of_step(self, function: HostFunction, values: Mapping[str, float]) -> dict[str, float]:
        """What a function of the host returns, by name."""
        results = getattr(self.module, function.name)(*(float(values[name]) for name in function.arguments))
        return dict(zip(function.returns, results, strict=True))

    def number_kernels(self, function: HostFunction | None, rounds: bool) -> list[tuple[Any, dict[str, int]]]:
        """The kernels that compute the same on the device, from numbers that stand there to where they stand.

        They are of one program, and take a pointer to the numbers of the step, float64 in the order of the plan.

        Args:
            function: None if there is nothing to compute.
            rounds: whether random bits are needed.

        Returns:
            kernels with their constants.
        """
        found: list[tuple[Any, dict[str, int]]] = []
        if function is not None:
            found.append((getattr(self.module, function.kernel), {}))
        if rounds:
            places = {"T": self.plan.scalars.index("t"), "SEED": self.plan.scalars.index(SEED)}
            found.append((self.module.step_seed, places))
        return found

    def programs_of(self, launch: Launch, shape: tuple[int, ...], model_size: int) -> int:
        """How many programs a launch has for a tensor, each of which leaves a partial result for each of its folds."""
        if launch.form != BLOCKS:
            return 1
        count = count_of(Kind(launch.domain), shape)
        # The first one computes the tensor's numbers, also where it has no elements.
        least = 1 if any(argument.role == "tensor" for argument in launch.arguments) else 0
        return max(least, -(-count // self.sizes.chunk(count, model_size)))

    def parts_of(self, case: CasePlan, shape: tuple[int, ...], model_size: int) -> dict[str, int]:
        """How many partial results a tensor has of each of its own folds."""
        found = {}
        for fold in case.folds:
            if fold.kind == Kind.TENSOR.value:
                (launch,) = (launch for launch in case.launches if fold.name in launch.folds)
                found[fold.name] = self.programs_of(launch, shape, model_size)
        return found

    def calls(
        self,
        cases: Sequence[CasePlan],
        members: Sequence[Sequence[Held]],
        model: str,
        model_size: int,
        memory: Callable[[int, str, float], Memory],
    ) -> list[Call]:
        """The kernels of a step, in order: those of all cases together, so that folds over the model see every tensor.

        Args:
            cases: that the model's tensors take.
            members: for each case its tensors.
            model: the precision of the model's numbers.
            model_size: numbers of all parameters.
            memory: memory for so many numbers of a dtype, all of which have a value.
        """
        whole = Held(-1, (), model)
        self._place_model_parts(cases, members, whole, model_size, memory)
        found: list[Call] = []
        for one in rounds(cases):
            for index, launches in enumerate(one.of_tensors):
                for launch in launches:
                    found += self._calls(launch, index, members[index], model_size)
            for index, launch in one.of_model:
                found += self._calls(launch, index, [whole], model_size)
        return found

    def _place_model_parts(
        self,
        cases: Sequence[CasePlan],
        members: Sequence[Sequence[Held]],
        whole: Held,
        model_size: int,
        memory: Callable[[int, str, float], Memory],
    ) -> None:
        """Give each tensor its stretch of the partial results of every fold over the model, in the tensors' order."""
        for fold in {f.name: f for case in cases for f in case.folds if f.kind == Kind.GLOBAL.value}.values():
            adding = {
                held.index: (held, self.programs_of(launch, held.shape, model_size))
                for case, some in zip(cases, members, strict=True)
                for launch in case.launches
                if fold.name in launch.folds
                for held in some
            }
            total = sum(_aligned(count) for _, count in adding.values())
            # Between one tensor's parts and the next there are places that no kernel writes.
            neutral = {"sum": 0.0, "max": -np.inf, "min": np.inf}[fold.operation]
            parts = memory(total, whole.number, neutral)
            first = 0
            for _, (held, count) in sorted(adding.items()):
                held.parts[fold.name] = parts.part(first, count)
                first += _aligned(count)
            whole.parts[fold.name] = parts

    def _calls(self, launch: Launch, case: int, members: Sequence[Held], model_size: int) -> Iterator[Call]:
        """One kernel on some tensors: a call for those that are stored alike."""
        alike: dict[tuple[Any, ...], list[Held]] = {}
        for member in members:
            constants = self._constants(launch, member)
            alike.setdefault((member.number, *constants.items()), []).append(member)
        for (number, *items), some in alike.items():
            call = self._call(launch, case, number, some, dict(items), model_size)
            if call.programs:
                yield call

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
                constants[name] = all(one.address % 16 == 0 for one in arrays)
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
        case: int,
        number: str,
        members: Sequence[Held],
        constants: Mapping[str, Any],
        model_size: int,
    ) -> Call:
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
                rows.append([_column(launch, member, a.role, a.name, given) for a in launch.columns])
                tensors.append(member.index)
                if launch.form == SLICES:
                    programs.append(-(-given["outer"] // constants["OUTER"]))
                else:
                    programs.append(self.programs_of(launch, member.shape, model_size))
        chunks = None
        if launch.form in (BLOCKS, SLICES):
            first = np.repeat(np.arange(len(rows)), programs)
            counted = np.arange(len(first)) - np.repeat(np.cumsum([0, *programs[:-1]]), programs)
            chunks = np.stack([first, counted], axis=1)
        gradient = [place for place, argument in enumerate(launch.columns) if argument == Argument("array", "g")]
        return Call(
            getattr(self.module, launch.kernel),
            case,
            number,
            sum(programs),
            np.array(rows, np.int64).reshape(len(rows), len(launch.columns)),
            tuple(place for place, argument in enumerate(launch.columns) if argument.role in _ADDRESSES),
            chunks,
            tuple(argument.role for argument in launch.arguments if argument.role in WHOLE),
            constants,
            (gradient[0], np.array(tensors)) if gradient else None,
            launch,
        )


def needs_axes(case: CasePlan) -> bool:
    """Whether a kernel of a case asks for a tensor's axes."""
    return any(argument.role == "axes" for launch in case.launches for argument in launch.arguments)


def axes_of(shape: tuple[int, ...]) -> np.ndarray:
    """A tensor's axes as kernels read them, int64."""
    return np.array(axis_table(shape), np.int64)


def itemsize(dtype: str) -> int:
    """Bytes of a number; int64 is what tables hold."""
    return 8 if dtype == "int64" else TYPES[dtype].primitive_bitwidth // 8


def _column(launch: Launch, member: Held, role: str, name: str, given: Mapping[str, int]) -> int:
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


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
