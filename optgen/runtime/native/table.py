"""The native driver's table: the kernels of a plan, for the tensors of one model, as integers.

The table holds no address: arrays are counted, and the caller hands their places over at every step. Its rows are the
structures of c/table.h; both files have to agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np

from optgen.contract.kernel_plan import SLICES, CasePlan, Launch, StatePlan
from optgen.contract.kinds import Kind, kept_shapes
from optgen.runtime.native.chunks import (
    BANDS,
    COPY,
    JOIN,
    PER_THREAD,
    SHORT,
    STRETCHES,
    chunked,
    chunks_of,
    parts_of,
    slices_of,
)
from optgen.runtime.native.extents import (
    AXES,
    COLUMN,
    LINE,
    MATRIX,
    PART,
    SAME,
    check_extent,
    check_family,
    check_ring,
    reach,
    results_of,
)
from optgen.runtime.native.launches import as_results, formats_of, written, written_late
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.places import FORMATS, TYPES, Formats, Place, in_memory_order, size_of
from optgen.runtime.rounds import rounds
from optgen.runtime.shapes import count_of, shape_numbers

_FOLDS = {"sum": 0, "max": 1, "min": 2}
_OF_STEP, _OF_TENSOR, _OF_MODEL = range(3)
_IN, _OUT = 1, 2
_ACCESS = {"in": _IN, "out": _OUT, "inout": _IN | _OUT}
_ALONG, _DOWNWARD = range(2)
_WITHIN_ROW, _WITHIN_COLUMN, _WITHIN_LINES = range(3)

#: As what kernels may take an array; formats of states come to them as numbers of the arithmetic.
_NAMES = {number: name for name, number in TYPES.items()}

#: What rows and columns are to whoever goes down the columns.
_TURNED = {Kind.ROW: Kind.COLUMN, Kind.COLUMN: Kind.ROW}
_TURNED_EXTENT = {"rows": "columns", "columns": "rows", "lines": "lines"}

#: Where values that vary less than the ones a kernel goes through stand.
_PLACES = {
    (Kind.ELEMENT, Kind.ROW): LINE,
    (Kind.ELEMENT, Kind.COLUMN): COLUMN,
    (Kind.ELEMENT, Kind.MATRIX): MATRIX,
    (Kind.ROW, Kind.MATRIX): LINE,
    (Kind.COLUMN, Kind.MATRIX): LINE,
}


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
    def narrow(self) -> frozenset[str]:
        """The arrays that are stored in less than the precision of the arithmetic."""
        size = self.bits // 8
        return frozenset(name for name, places in self.arrays.items() if any(size_of(p.type) < size for p in places))


def make_table(
    kernels: Kernels,
    variant: str,
    tensors: Sequence[Tensor],
    shared: Mapping[str, Place],
    *,
    is_update: bool,
) -> np.ndarray:
    """The table of one variant for the tensors of a model.

    Args:
        kernels: of the generated file.
        variant: its name.
        tensors: in the model's order.
        shared: states and inputs of which there is one number for the model.
        is_update: whether the result is what is to be added to the parameter.

    Returns:
        int64, one axis.
    """
    narrow = frozenset[str]().union(*(tensor.narrow for tensor in tensors))
    return _Table(kernels, kernels.plan.variant(variant).cases_for(narrow), tensors, shared).made(is_update)


@dataclass(slots=True)
class _Member:
    """A tensor with the memory that the driver has for it.

    Attributes:
        is_turned: whether its matrices stand in memory column by column.
        late: what is computed at the end, over the old values of a state, and which state that is.
        formats: what kernels may take its arrays as; None: all as numbers of the arithmetic.
    """

    tensor: Tensor
    arrays: dict[str, tuple[Place, ...]]
    numbers_at: int
    is_turned: bool = False
    late: dict[str, str] = field(default_factory=dict)
    formats: Formats | None = None
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The storage type of its arithmetic."""
        return TYPES["float32"] if self.tensor.bits == 32 else TYPES["float64"]

    def turns(self, launch: Launch) -> bool:
        """Whether a launch goes through the columns one after the other."""
        return self.is_turned and launch.domain == Kind.ELEMENT.value

    def leaves(self, launch: Launch) -> bool:
        """Whether a launch is left to the end."""
        return bool(written(launch) & self.late.keys())

    def shape_of(self, launch: Launch) -> tuple[int, ...]:
        """The tensor's shape in the order in which a launch goes through it."""
        shape = self.tensor.shape
        return (*shape[:-2], shape[-1], shape[-2]) if self.turns(launch) else shape


@dataclass(slots=True)
class _CaseTensors:
    """The tensors that take one case."""

    index: int
    case: CasePlan
    model_at: int
    wide_at: int
    kinds: dict[str, Kind]
    formats: dict[str, str]
    members: list[_Member] = field(default_factory=list)


class _Table:
    def __init__(
        self,
        kernels: Kernels,
        cases: Sequence[CasePlan],
        tensors: Sequence[Tensor],
        shared: Mapping[str, Place],
    ) -> None:
        self.kernels = kernels
        self.plan = kernels.plan
        self.shared = shared
        self.size = sum(math.prod(tensor.shape) for tensor in tensors)
        self.workspace = 0
        self.operands: list[tuple[int, ...]] = []
        self.places: list[Place] = []  # of the operands
        self.operand_of: dict[Place, int] = {}
        self.layouts: list[int] = []
        self.group_rows: list[tuple[int, ...]] = []
        self.transfers_in: list[tuple[int, ...]] = []
        self.transfers_out: list[tuple[int, ...]] = []
        self.items: list[tuple[int, ...]] = []
        self.arguments: list[tuple[int, ...]] = []
        self.totals: list[tuple[int, ...]] = []
        self.phases: list[tuple[int, int, int]] = []
        self.model_parts: dict[str, tuple[int, int]] = {}
        groups: dict[int, _CaseTensors] = {}
        for tensor in tensors:
            if tensor.case not in groups:
                groups[tensor.case] = self.group(len(groups), cases[tensor.case])
            groups[tensor.case].members.append(self.member(groups[tensor.case], tensor))
        self.groups = list(groups.values())

    def made(self, is_update: bool) -> np.ndarray:
        """Everything, one section after the other."""
        for group in self.groups:
            self.transfer_numbers(group)
        self.place_model_parts()
        self.work_through()
        self.work_late()
        self.phase(self.copies())
        sections = [
            [entry for row in self.operands for entry in row],
            self.layouts,
            [entry for row in self.group_rows for entry in row],
            [entry for row in self.transfers_in for entry in row],
            [entry for row in self.transfers_out for entry in row],
            [entry for row in self.items for entry in row],
            [entry for row in self.arguments for entry in row],
            [entry for row in self.totals for entry in row],
            [entry for row in self.phases for entry in row],
        ]
        length = 17
        starts = []
        for section in sections:
            starts.append(length)
            length += len(section)
        operands, layouts, groups, into, out, items, arguments, totals, phases = starts
        threads = max(1, self.size // PER_THREAD)
        header = [self.workspace, len(self.plan.scalars), int(is_update), threads, operands, layouts]
        header += [groups, len(self.group_rows), into, len(self.transfers_in), out, len(self.transfers_out)]
        header += [items, arguments, totals, phases, len(self.phases)]
        return np.array([*header, *(entry for section in sections for entry in section)], np.int64)

    def allocated(self, numbers: int, size: int = 8) -> int:
        """Room in the driver's memory, aligned for vectors."""
        at = self.workspace
        self.workspace += -(-max(1, numbers * size) // 64) * 64
        return at

    def group(self, index: int, case: CasePlan) -> _CaseTensors:
        """A case with room for the numbers of the step and of the model."""
        wide, narrow = self.allocated(len(self.plan.scalars)), self.allocated(len(self.plan.scalars), 4)
        model = self.allocated(len(self.plan.model_numbers))
        self.group_rows.append((self.kernels.place(case.step.name) if case.step else -1, wide, narrow, model))
        return _CaseTensors(index, case, model, wide, case.kinds, formats_of(case))

    def member(self, group: _CaseTensors, tensor: Tensor) -> _Member:
        """A tensor with its arrays by the names that kernels have for them."""
        case = group.case
        size = tensor.bits // 8
        number = _number(tensor.bits)
        arrays = dict(tensor.arrays)
        for state in case.states:
            if state.name in tensor.arrays:
                arrays |= _ring(state, tensor.arrays[state.name])
        arrays, is_turned = in_memory_order(case, group.kinds, tensor.shape, arrays)
        late = {name: state for name, state in written_late(case, tensor.shape).items() if state not in tensor.narrow}
        arrays |= {name: tensor.arrays[state] for name, state in late.items()}
        for buffer in case.buffers:
            if buffer.name in late:
                continue
            kind = Kind(buffer.kind)
            at = self.allocated(count_of(kind, tensor.shape), size)
            places = []
            for shape in kept_shapes(kind, tensor.shape):
                places.append(Place(-1, number, math.prod(shape), at))
                at += math.prod(shape) * size
            arrays[buffer.name] = tuple(places)
        member = _Member(tensor, arrays, self.allocated(len(self.plan.tensor_numbers), size), is_turned, late)
        if tensor.bits == 32:
            member.formats = self.formats(group, arrays)
        for fold in case.folds:
            if fold.kind == Kind.TENSOR.value:
                (launch,) = (launch for launch in case.launches if fold.name in launch.folds)
                chunks = chunks_of(launch, tensor.shape)
                member.parts[fold.name] = (self.allocated(chunks), chunks)
        return member

    def formats(self, group: _CaseTensors, arrays: Mapping[str, tuple[Place, ...]]) -> Formats | None:
        """In what formats kernels can take a tensor's arrays; None if it is no other than that of the arithmetic."""
        found: dict[str, set[str]] = {"stored": set(), "kept": set()}
        for name, format in group.formats.items():
            found[format] |= {_NAMES.get(place.type, "float32") for place in arrays.get(name, ())}
        if any(len(types) > 1 for types in found.values()):
            return None
        formats = Formats(**{format: types.pop() if types else "float32" for format, types in found.items()})
        return formats if formats in FORMATS and self.kernels.takes(formats) else None

    def transfer_numbers(self, group: _CaseTensors) -> None:
        """Single numbers that stand in the caller's arrays, or follow from a shape."""
        plan, case = self.plan, group.case
        model, step = (group.model_at, 64), (group.wide_at, 64)
        for state in case.states:
            kind = Kind(state.kind)
            if kind is Kind.STEP:
                # Every group computes the same; the first one to have it stores it.
                first = next(g for g in self.groups if state.name in {s.name for s in g.case.states}) is group
                self.transfer_state(state, self.shared[state.name], _OF_STEP, *step, plan.scalars, stores=first)
            elif kind is Kind.GLOBAL:
                self.transfer_state(state, self.shared[state.name], _OF_MODEL, *model, plan.model_numbers, stores=True)
        for given in case.inputs:
            if given.kind in (Kind.STEP.value, Kind.GLOBAL.value):
                is_step = given.kind == Kind.STEP.value
                names = plan.scalars if is_step else plan.model_numbers
                space, table = (_OF_STEP, step) if is_step else (_OF_MODEL, model)
                self.load_number(given.name, names, space, *table, self.shared[given.name])
        for member in group.members:
            table = (member.numbers_at, member.tensor.bits)
            for name, value in shape_numbers(member.tensor.shape).items():
                if name in plan.tensor_numbers:
                    index = plan.tensor_numbers.index(name)
                    self.transfers_in.append((_OF_TENSOR, *table, index, -1, value))
            for state in case.states:
                if state.kind == Kind.TENSOR.value:
                    (place,) = member.tensor.arrays[state.name]
                    self.transfer_state(state, place, _OF_TENSOR, *table, plan.tensor_numbers, stores=True)
            for given in case.inputs:
                if given.kind == Kind.TENSOR.value:
                    (place,) = member.arrays[given.name]
                    self.load_number(given.name, plan.tensor_numbers, _OF_TENSOR, *table, place)

    def transfer_state(
        self, state: StatePlan, place: Place, space: int, at: int, bits: int, names: tuple[str, ...], *, stores: bool
    ) -> None:
        for lag in range(1, state.depth + 1):
            self.load_number(state.older(lag), names, space, at, bits, replace(place, lag=lag))
        if stores:
            operand = self.operand(replace(place, lag=0))
            self.transfers_out.append((space, at, bits, names.index(state.new), operand, 0))

    def load_number(self, name: str, names: tuple[str, ...], space: int, at: int, bits: int, place: Place) -> None:
        if name in names:
            self.transfers_in.append((space, at, bits, names.index(name), self.operand(place), 0))

    def place_model_parts(self) -> None:
        """Give each tensor its stretch of the partial results of every fold over the model, in the tensors' order."""
        for fold in {f.name for g in self.groups for f in g.case.folds if f.kind == Kind.GLOBAL.value}:
            adding = [
                (member, chunks_of(launch, member.tensor.shape))
                for group in self.groups
                for launch in group.case.launches
                if fold in launch.folds
                for member in group.members
            ]
            total = sum(chunks for _, chunks in adding)
            at = self.allocated(total)
            self.model_parts[fold] = (at, total)
            for member, chunks in adding:
                member.parts[fold] = (at, chunks)
                at += 8 * chunks

    def work_through(self) -> None:
        """The kernels of all cases side by side, so that folds over the model see every tensor."""
        for one in rounds([group.case for group in self.groups]):
            steps = [
                [
                    [i for m in group.members if not m.leaves(launch) for i in self.launched(group, launch, m)]
                    for launch in launches
                ]
                for group, launches in zip(self.groups, one.of_tensors, strict=True)
            ]
            for together in zip_longest(*steps, fillvalue=[]):
                self.phase(item for items in together for item in items)
            self.phase(self.of_model(self.groups[index], launch) for index, launch in one.of_model)

    def work_late(self) -> None:
        """The kernels that have been left to the end."""
        for launches in zip_longest(*(group.case.launches for group in self.groups)):
            self.phase(
                item
                for group, launch in zip(self.groups, launches, strict=True)
                for member in group.members
                if launch is not None and member.leaves(launch)
                for item in self.launched(group, launch, member)
            )

    def phase(self, items: Iterable[tuple[int, ...]]) -> None:
        """Items that do not wait for each other, but for those that join what the others leave.

        Each knows how many chunks come before it.
        """
        given = list(items)
        for together in ([i for i in given if i[_FORM] != JOIN], [i for i in given if i[_FORM] == JOIN]):
            first, chunks = len(self.items), 0
            for item in together:
                if item[_CHUNKS]:
                    self.items.append((*item[: _CHUNKS - 1], chunks, *item[_CHUNKS:]))
                    chunks += item[_CHUNKS]
            if chunks:
                self.phases.append((first, len(self.items) - first, chunks))

    def of_model(self, group: _CaseTensors, launch: Launch) -> tuple[int, ...]:
        """A kernel for the numbers of the model."""
        return self.item(launch, group, 64, -1, STRETCHES, 1, (), totals=self.finished(group, launch, None))

    def finished(self, group: _CaseTensors, launch: Launch, member: _Member | None) -> list[tuple[int, ...]]:
        """The folds whose partial results are taken together before a kernel runs."""
        operations = {fold.name: fold.operation for fold in group.case.folds}
        found: list[tuple[int, ...]] = []
        for name in launch.totals:
            at, count = self.model_parts[name] if member is None else member.parts[name]
            names = self.plan.model_numbers if member is None else self.plan.tensor_numbers
            space = _OF_MODEL if member is None else _OF_TENSOR
            found.append((_FOLDS[operations[name]], at, count, space, names.index(name)))
        return found

    def launched(self, group: _CaseTensors, launch: Launch, member: _Member) -> list[tuple[int, ...]]:
        """One kernel for one tensor; for each of its axes where it folds along each, or goes through their vectors."""
        tensor, domain = member.tensor, Kind(launch.domain)
        if launch.extent == "other_axes" and len(tensor.shape) <= 1:
            # There is no other axis to fold over: what would be folded is the result.
            return [
                self.plain(group, replace(launch, arguments=as_results(launch)), member, math.prod(tensor.shape), 0)
            ]
        if launch.form == SLICES:
            extent = _TURNED_EXTENT[launch.extent] if member.turns(launch) else launch.extent
            parts = slices_of(extent, domain, member.shape_of(launch))
            return [i for axis, part in enumerate(parts) for i in self.sliced(group, launch, member, part, axis)]
        if domain is Kind.AXIS:
            return [
                self.plain(group, launch, member, math.prod(shape), axis)
                for axis, shape in enumerate(kept_shapes(Kind.AXIS, tensor.shape))
            ]
        count = 1 if domain is Kind.TENSOR else count_of(domain, tensor.shape)
        return [self.plain(group, launch, member, count, 0)]

    def plain(self, group: _CaseTensors, launch: Launch, member: _Member, count: int, axis: int) -> tuple[int, ...]:
        rows: list[tuple[int, ...]] = [
            (
                (-1, PART, 0, _FOLDS[_operation(group.case, argument.name)], member.parts[argument.name][0])
                if argument.role == "parts"
                else self.argument(group, launch, member, argument.role, argument.name, axis)
            )
            for argument in launch.arguments
        ]
        totals = self.finished(group, launch, member)
        item = self.item(launch, group, member.tensor.bits, member, STRETCHES, count, rows, totals=totals)
        assert all(member.parts[a.name][1] >= item[_CHUNKS] for a in launch.arguments if a.role == "parts")
        return item

    def sliced(
        self, group: _CaseTensors, launch: Launch, member: _Member, part: tuple[int, ...], axis: int
    ) -> Iterator[tuple[int, ...]]:
        """A kernel that folds along axes, and what joins the partial results that it leaves."""
        form, *counts = part
        rows: list[tuple[int, ...]] = []
        for argument in launch.arguments:
            if argument.role != "parts":
                rows.append(self.argument(group, launch, member, argument.role, argument.name, 0))
                continue
            place = member.arrays[argument.name][axis if launch.extent == "other_axes" else 0]
            fold = _FOLDS[_operation(group.case, argument.name)]
            is_column = launch.domain == Kind.ELEMENT.value and group.kinds[argument.name] is Kind.COLUMN
            downward = launch.extent == "other_axes" or is_column != member.turns(launch)
            if form == BANDS:
                matrices, height, width, band, block = counts
                parts, results = (parts_of(height, band), width) if downward else (parts_of(width, block), height)
                if parts > 1:
                    at = self.allocated(matrices * parts * results)
                    partial = Place(-1, TYPES["float64"], matrices * parts * results, at)
                    yield self.joined(group, member, fold, partial, place, (matrices, parts, results))
                    place = partial
            rows.append((self.operand(place), PART, _DOWNWARD if downward else _ALONG, fold, 0))
        count = count_of(Kind(launch.domain), member.tensor.shape)
        yield self.item(launch, group, member.tensor.bits, member, form, count, rows, slices=counts)

    def joined(
        self,
        group: _CaseTensors,
        member: _Member,
        fold: int,
        partial: Place,
        result: Place,
        counts: tuple[int, int, int],
    ) -> tuple[int, ...]:
        """Partial results, of which there are some for each of a matrix's results, taken together."""
        matrices, parts, results = counts
        rows = [(self.operand(partial), SAME, _IN, fold, 0), (self.operand(result), SAME, _OUT, 0, 0)]
        return self.moved(group, member, JOIN, matrices * results, rows, (matrices, parts, results, 0, 0))

    def argument(
        self, group: _CaseTensors, launch: Launch, member: _Member, role: str, name: str, axis: int
    ) -> tuple[int, ...]:
        """An array that a kernel takes."""
        places = member.arrays[name]
        if role == "axes":
            lengths = [math.prod(shape) for shape in kept_shapes(Kind.AXIS, member.tensor.shape)]
            check_family(places, lengths, launch.kernel)
            operands = [self.family(place, length) for place, length in zip(places, lengths, strict=True)]
            return (operands[0], AXES, _IN, 0, 0)
        kind = group.kinds.get(name, Kind.ELEMENT)
        domain = Kind(launch.domain)
        seen = _TURNED.get(kind, kind) if member.turns(launch) else kind
        place = places[axis] if kind is Kind.AXIS else places[0]
        return (
            self.operand(place),
            SAME if kind in (domain, Kind.AXIS) else _PLACES[domain, seen],
            _ACCESS[role],
            0,
            0,
        )

    def item(
        self,
        launch: Launch,
        group: _CaseTensors,
        bits: int,
        member: _Member | int,
        form: int,
        count: int,
        rows: Sequence[tuple[int, ...]],
        totals: Sequence[tuple[int, ...]] = (),
        slices: Sequence[int] = (0, 0, 0, 0, 0),
    ) -> tuple[int, ...]:
        """A row for the driver, with the rows that it refers to."""
        shape = member.shape_of(launch) if isinstance(member, _Member) else ()
        is_turned = isinstance(member, _Member) and member.turns(launch)
        numbers = shape_numbers(shape)
        line = 0
        if any(place not in (SAME, PART) for _, place, *_ in rows):
            line = numbers["rows"] if launch.domain == Kind.ROW.value else numbers["columns"]
        within = _WITHIN_COLUMN if is_turned else _WITHIN_ROW
        if launch.domain == Kind.ELEMENT.value and 0 < line <= SHORT and all(place != AXES for _, place, *_ in rows):
            within = _WITHIN_LINES
        formats = _formats(launch, group, member) if isinstance(member, _Member) else None
        types = [
            TYPES[getattr(formats, group.formats[argument.name])]
            if formats and argument.name in group.formats
            else _number(bits)
            for argument in launch.arguments
        ]
        chunk, chunks = chunked(form, count, slices)
        for operand, place, access, *_ in rows:
            if operand >= 0 and place != AXES:
                is_result = place == PART
                extent = (
                    results_of(form, slices, downward=access == _DOWNWARD)
                    if is_result
                    else reach(place, count, line, numbers["rows"])
                )
                check_extent(self.places[operand], extent, launch.kernel)
        first_argument, first_total = len(self.arguments), len(self.totals)
        self.arguments += [(*row, type) for row, type in zip(rows, types, strict=True)]
        self.totals += totals
        return (
            self.kernels.place(f"{launch.kernel}_{bits}", formats),
            form,
            bits,
            group.index,
            max(1, len(shape)),
            member.numbers_at if isinstance(member, _Member) else -1,
            count,
            line,
            numbers["rows"],
            chunk,
            0,
            chunks,
            first_argument,
            len(rows),
            first_total,
            len(totals),
            *slices,
            within,
        )

    def copies(self) -> Iterable[tuple[int, ...]]:
        """New values of states that kernels leave in the driver's memory, to where they are kept."""
        for group in self.groups:
            for state in group.case.states:
                if Kind(state.kind) in (Kind.STEP, Kind.GLOBAL, Kind.TENSOR, Kind.ELEMENT):
                    continue
                for member in (m for m in group.members if state.new not in m.late):
                    shapes = kept_shapes(Kind(state.kind), member.tensor.shape)
                    kept = (replace(place, lag=0) for place in member.tensor.arrays[state.name])
                    for shape, new, place in zip(shapes, member.arrays[state.new], kept, strict=True):
                        rows = [(self.operand(new), SAME, _IN, 0, 0), (self.operand(place), SAME, _OUT, 0, 0)]
                        yield self.moved(group, member, COPY, math.prod(shape), rows)

    def moved(
        self,
        group: _CaseTensors,
        member: _Member,
        form: int,
        count: int,
        rows: Sequence[tuple[int, ...]],
        slices: Sequence[int] = (0, 0, 0, 0, 0),
    ) -> tuple[int, ...]:
        """A row for what the driver does without a kernel, from one array to another."""
        chunk, chunks = chunked(form, count, slices)
        source, target = (self.places[operand] for operand, *_ in rows)
        check_extent(source, slices[0] * slices[1] * slices[2] if form == JOIN else count, "a copy")
        check_extent(target, count, "a copy")
        at = len(self.arguments)
        self.arguments += [(*row, _number(member.tensor.bits)) for row in rows]
        head = (-1, form, member.tensor.bits, group.index, 1, member.numbers_at, count, 0, 1)
        return (*head, chunk, 0, chunks, at, len(rows), 0, 0, *slices, 0)

    def operand(self, place: Place) -> int:
        """The row of an array."""
        if place not in self.operand_of:
            self.operand_of[place] = self.added(place, 0)
        return self.operand_of[place]

    def family(self, place: Place, length: int) -> int:
        """The row of one of several vectors, which stand in the order of the axes."""
        return self.added(place, length)

    def added(self, place: Place, length: int) -> int:
        check_ring(place)
        layout = -1
        if place.strides:
            layout = len(self.layouts)
            self.layouts += [len(place.lengths), *(max(1, n) for n in place.lengths), *place.strides]
        ring = place.depth, place.lag, place.slot
        self.operands.append(
            (place.buffer, place.at, place.type, *ring, layout, place.stream, place.scales, max(1, length))
        )
        self.places.append(place)
        return len(self.operands) - 1


#: Where in an item's row its form stands, and the number of its chunks; the one before says how many come first.
_FORM, _CHUNKS = 1, 11


def _number(bits: int) -> int:
    """The storage type of the arithmetic."""
    return TYPES["float32"] if bits == 32 else TYPES["float64"]


def _formats(launch: Launch, group: _CaseTensors, member: _Member) -> Formats | None:
    """In what formats a kernel takes a tensor's arrays; None: as numbers of the arithmetic."""
    arrays = [member.arrays[argument.name][0] for argument in launch.arguments if argument.name in group.formats]
    return None if launch.domain != Kind.ELEMENT.value or any(place.strides for place in arrays) else member.formats


def _operation(case: CasePlan, fold: str) -> str:
    return {f.name: f.operation for f in case.folds}[fold]


def _ring(state: StatePlan, places: tuple[Place, ...]) -> dict[str, tuple[Place, ...]]:
    """A state's values by the names that expressions have for them."""
    if state.depth == 1:
        return {state.name: places}
    found = {state.older(lag): tuple(replace(place, lag=lag) for place in places) for lag in range(1, state.depth + 1)}
    return found | {state.new: tuple(replace(place, lag=0) for place in places)}
