"""The tensors of a model as the driver has them: grouped by case, each with the memory that a step needs for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from optgen.contract.kernel_plan import CasePlan, Launch, StatePlan
from optgen.contract.kinds import Kind, kept_shapes
from optgen.runtime.native.chunks import partial_count
from optgen.runtime.native.launches import deferred_values, format_roles, outputs
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.places import (
    FORMATS,
    TYPES,
    FormatRole,
    Formats,
    Place,
    in_memory_order,
    number_type,
    size_of,
)
from optgen.runtime.native.rows import GroupRow, Reduction, StorageType
from optgen.runtime.shapes import count_of

_REDUCTIONS = {"sum": Reduction.SUM, "max": Reduction.MAX, "min": Reduction.MIN}

#: The types in which kernels may take an array; states in formats of states come to them as float32.
_KERNEL_TYPES = {type: name for name, type in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a model.

    Attributes:
        case: which case of the variant it takes.
        shape: as the rule sees it: the matrix axes last.
        bits: of the arithmetic, 32 or 64.
        arrays: `theta`, `g`, `_result`, the states that are kept for it and its inputs, by name; of vectors per axis a
            place for each axis.
    """

    case: int
    shape: tuple[int, ...]
    bits: int
    arrays: Mapping[str, tuple[Place, ...]]

    @property
    def low_precision(self) -> frozenset[str]:
        """The arrays that are stored in less than the precision of the arithmetic."""
        size = self.bits // 8
        return frozenset(name for name, places in self.arrays.items() if any(size_of(p.type) < size for p in places))


class Workspace:
    """The memory that lives as long as a step.

    Attributes:
        size: bytes that have been allocated.
    """

    def __init__(self) -> None:
        self.size = 0

    def allocate(self, numbers: int, size: int = 8) -> int:
        """The first byte of room for some numbers of a size, aligned for vectors."""
        at = self.size
        self.size += -(-max(1, numbers * size) // 64) * 64
        return at


class Partials(NamedTuple):
    """The partial results of a reduction, doubles.

    Attributes:
        at: the first one's byte in the workspace.
        number: how many there are.
    """

    at: int
    number: int


@dataclass(slots=True)
class TensorMemory:
    """A tensor with the memory that the driver has for it.

    Attributes:
        tensor: the tensor.
        type: of its arithmetic.
        arrays: places by the names that kernels have for them.
        numbers_at: where the tensor's single numbers stand in the workspace.
        is_transposed: whether its matrices stand in memory column by column.
        deferred: the values that are computed at the end, over the old values of a state, and which state that is.
        formats: in which kernels take its arrays; None: all as numbers of the arithmetic.
        partials: of the reductions to a single number, by name.
    """

    tensor: Tensor
    type: StorageType
    arrays: dict[str, tuple[Place, ...]]
    numbers_at: int
    is_transposed: bool
    deferred: dict[str, str]
    formats: Formats | None = None
    partials: dict[str, Partials] = field(default_factory=dict)

    def defers(self, launch: Launch) -> bool:
        """Whether a launch is left to the end."""
        return bool(self.deferred) and not outputs(launch).isdisjoint(self.deferred)


@dataclass(slots=True)
class CaseTensors:
    """The tensors that take one case.

    Attributes:
        index: of the case's row among the groups of the table.
        row: that row.
        case: the kernels.
        kinds: of the arrays that are not of elements, by name.
        format_roles: see `optgen.runtime.native.launches.format_roles`.
        reductions: of the case, by name.
        members: the tensors, in the model's order.
    """

    index: int
    row: GroupRow
    case: CasePlan
    kinds: dict[str, Kind]
    format_roles: dict[str, FormatRole]
    reductions: dict[str, Reduction]
    members: list[TensorMemory] = field(default_factory=list)


def group_tensors(
    kernels: Kernels, cases: Sequence[CasePlan], tensors: Sequence[Tensor], workspace: Workspace
) -> list[CaseTensors]:
    """The tensors of a model by their cases, with memory from a workspace."""
    groups: dict[int, CaseTensors] = {}
    for tensor in tensors:
        group = groups.get(tensor.case)
        if group is None:
            group = groups[tensor.case] = _group(kernels, len(groups), cases[tensor.case], workspace)
        group.members.append(_member(kernels, group, tensor, workspace))
    return list(groups.values())


def place_model_partials(groups: Sequence[CaseTensors], workspace: Workspace) -> dict[str, Partials]:
    """Give each tensor its part of the partial results of every reduction over the model, in the tensors' order.

    Returns:
        All partial results of each reduction, by its name.
    """
    partials: dict[str, Partials] = {}
    # Not a set, whose order would be another one in every process, and with it the table.
    for name in dict.fromkeys(f.name for g in groups for f in g.case.folds if f.kind is Kind.GLOBAL):
        counts = [
            (member, partial_count(launch, member.tensor.shape))
            for group in groups
            for launch in group.case.launches
            if name in launch.folds
            for member in group.members
        ]
        total = sum(count for _, count in counts)
        at = workspace.allocate(total)
        partials[name] = Partials(at, total)
        for member, count in counts:
            member.partials[name] = Partials(at, count)
            at += 8 * count
    return partials


def _group(kernels: Kernels, index: int, case: CasePlan, workspace: Workspace) -> CaseTensors:
    """A case with room for the step scalars and for the numbers of the model, and no tensors yet."""
    row = GroupRow(
        step=kernels.place(case.step.name) if case.step else -1,
        wide_at=workspace.allocate(len(kernels.plan.scalars)),
        narrow_at=workspace.allocate(len(kernels.plan.scalars), 4),
        model_at=workspace.allocate(len(kernels.plan.model_numbers)),
    )
    reductions = {reduction.name: _REDUCTIONS[reduction.operation] for reduction in case.folds}
    return CaseTensors(index, row, case, case.kinds, format_roles(case), reductions)


def _member(kernels: Kernels, group: CaseTensors, tensor: Tensor, workspace: Workspace) -> TensorMemory:
    """A tensor with its arrays by the names that kernels have for them."""
    case = group.case
    size = tensor.bits // 8
    arrays = dict(tensor.arrays)
    for state in case.states:
        if state.name in tensor.arrays:
            arrays |= _values(state, tensor.arrays[state.name])
    arrays, is_transposed = in_memory_order(case, group.kinds, tensor.shape, arrays)
    deferred = deferred_values(case, tensor.shape)
    if deferred:
        low_precision = tensor.low_precision
        deferred = {name: state for name, state in deferred.items() if state not in low_precision}
        arrays |= {name: tensor.arrays[state] for name, state in deferred.items()}
    for buffer in case.buffers:
        if buffer.name not in deferred:
            arrays[buffer.name] = _buffer(buffer.kind, tensor, workspace)
    numbers_at = workspace.allocate(len(kernels.plan.tensor_numbers), size)
    member = TensorMemory(tensor, number_type(tensor.bits), arrays, numbers_at, is_transposed, deferred)
    if tensor.bits == 32:
        member.formats = _kernel_formats(kernels, group.format_roles, arrays)
    for reduction in case.folds:
        if reduction.kind is Kind.TENSOR:
            (launch,) = (launch for launch in case.launches if reduction.name in launch.folds)
            count = partial_count(launch, tensor.shape)
            member.partials[reduction.name] = Partials(workspace.allocate(count), count)
    return member


def _values(state: StatePlan, places: tuple[Place, ...]) -> dict[str, tuple[Place, ...]]:
    """The values of a state, old ones and the new one, by the names that expressions have for them."""
    if state.depth == 1:
        return {state.name: places}
    older = {state.older(lag): tuple(replace(place, lag=lag) for place in places) for lag in range(1, state.depth + 1)}
    return older | {state.new: tuple(replace(place, lag=0) for place in places)}


def _buffer(kind: Kind, tensor: Tensor, workspace: Workspace) -> tuple[Place, ...]:
    """Memory of a step for values of a kind; vectors per axis stand one after the other."""
    size, type = tensor.bits // 8, number_type(tensor.bits)
    at = workspace.allocate(count_of(kind, tensor.shape), size)
    places = []
    for shape in kept_shapes(kind, tensor.shape):
        count = math.prod(shape)
        places.append(Place(-1, type, count, at))
        at += count * size
    return tuple(places)


def _kernel_formats(
    kernels: Kernels, roles: Mapping[str, FormatRole], arrays: Mapping[str, tuple[Place, ...]]
) -> Formats | None:
    """The formats in which kernels can take a tensor's arrays; None for the arithmetic's alone."""
    types: dict[FormatRole, set[str]] = {"stored": set(), "kept": set()}
    for name, role in roles.items():
        types[role] |= {_KERNEL_TYPES.get(place.type, "float32") for place in arrays.get(name, ())}
    if any(len(of_role) > 1 for of_role in types.values()):
        return None
    formats = Formats(**{role: of_role.pop() if of_role else "float32" for role, of_role in types.items()})
    return formats if formats in FORMATS and kernels.takes(formats) else None
