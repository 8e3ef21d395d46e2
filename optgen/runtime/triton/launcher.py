"""Which Triton kernels a step starts on the tensors of a model, and the tables that say where their arrays stand.

Nothing here belongs to a library of arrays: an array is an address, a dtype and a count.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from optgen.contract.kernel_plan import (
    BLOCKS,
    SEED,
    SLICES,
    WHOLE,
    CasePlan,
    HostFunction,
    KernelArgument,
    KernelPlan,
    Launch,
)
from optgen.contract.kinds import Kind
from optgen.runtime.rounds import rounds
from optgen.runtime.shapes import count_of, slice_maps
from optgen.runtime.triton.device_arrays import ADDRESS_ROLES, DeviceArrays, DeviceMemory, KernelCall, column
from optgen.runtime.triton.sizes import TYPES, Sizes

#: Parts of one fold begin at multiples of this many numbers, so that every tensor's are equally well aligned.
_ALIGNMENT = 16


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
        """The step scalars that a function of the host returns, by name."""
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
        count = count_of(launch.domain, shape)
        # The first one computes the tensor's numbers, also where it has no elements.
        least = 1 if any(argument.role == "tensor" for argument in launch.arguments) else 0
        return max(least, -(-count // self.sizes.chunk(count, model_size)))

    def parts_of(self, case: CasePlan, shape: tuple[int, ...], model_size: int) -> dict[str, int]:
        """How many partial results a tensor has of each of its own folds."""
        found = {}
        for fold in case.folds:
            if fold.kind is Kind.TENSOR:
                (launch,) = (launch for launch in case.launches if fold.name in launch.folds)
                found[fold.name] = self.programs_of(launch, shape, model_size)
        return found

    def calls(
        self,
        cases: Sequence[CasePlan],
        members: Sequence[Sequence[DeviceArrays]],
        model: str,
        model_size: int,
        memory: Callable[[int, str, float], DeviceMemory],
    ) -> list[KernelCall]:
        """The kernels of a step, in order: those of all cases together, so that folds over the model see every tensor.

        Args:
            cases: that the model's tensors take.
            members: for each case its tensors.
            model: the precision of the model's numbers.
            model_size: numbers of all parameters.
            memory: memory for so many numbers of a dtype, all of which have a value.
        """
        whole = DeviceArrays(-1, (), model)
        self._place_model_parts(cases, members, whole, model_size, memory)
        found: list[KernelCall] = []
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
        members: Sequence[Sequence[DeviceArrays]],
        whole: DeviceArrays,
        model_size: int,
        memory: Callable[[int, str, float], DeviceMemory],
    ) -> None:
        """Give each tensor its stretch of the partial results of every fold over the model, in the tensors' order."""
        for fold in {f.name: f for case in cases for f in case.folds if f.kind is Kind.GLOBAL}.values():
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

    def _calls(
        self, launch: Launch, case: int, members: Sequence[DeviceArrays], model_size: int
    ) -> Iterator[KernelCall]:
        """One kernel on some tensors: a call for those that are stored alike."""
        alike: dict[tuple[Any, ...], list[DeviceArrays]] = {}
        for member in members:
            constants = self._constants(launch, member)
            alike.setdefault((member.number, *constants.items()), []).append(member)
        for (number, *items), some in alike.items():
            call = self._call(launch, case, number, some, dict(items), model_size)
            if call.programs:
                yield call

    def _constants(self, launch: Launch, member: DeviceArrays) -> dict[str, Any]:
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
        members: Sequence[DeviceArrays],
        constants: Mapping[str, Any],
        model_size: int,
    ) -> KernelCall:
        rows: list[list[int]] = []
        tensors: list[int] = []
        programs: list[int] = []
        for member in members:
            domain = launch.domain
            maps: list[dict[str, int]] = [{}]
            if launch.form == SLICES:
                maps = slice_maps(launch.extent, domain, member.shape)
            elif launch.form == BLOCKS:
                count = count_of(domain, member.shape)
                maps = [{"length": count, "chunk": self.sizes.chunk(count, model_size)}]
            for given in maps:
                rows.append([column(launch, member, a.role, a.name, given) for a in launch.columns])
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
        gradient = [place for place, argument in enumerate(launch.columns) if argument == KernelArgument("array", "g")]
        return KernelCall(
            getattr(self.module, launch.kernel),
            case,
            number,
            sum(programs),
            np.array(rows, np.int64).reshape(len(rows), len(launch.columns)),
            tuple(place for place, argument in enumerate(launch.columns) if argument.role in ADDRESS_ROLES),
            chunks,
            tuple(argument.role for argument in launch.arguments if argument.role in WHOLE),
            constants,
            (gradient[0], np.array(tensors)) if gradient else None,
            launch,
        )


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
