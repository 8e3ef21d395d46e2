"""The items of a table: kernels for tensors and for the model, and copies, each with how its work is shared out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from optgen.contract.kernel_plan import SLICES, Launch
from optgen.contract.kinds import Kind, kept_shapes
from optgen.runtime.native.arguments import TensorLaunch
from optgen.runtime.native.chunks import Chunks, chunks_of
from optgen.runtime.native.extents import check_extent, reach
from optgen.runtime.native.launches import without_reductions
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.places import Place
from optgen.runtime.native.rows import (
    AccessMode,
    ArgumentRow,
    Form,
    Indexing,
    ItemRow,
    Reduction,
    Space,
    StorageType,
    TotalRow,
)
from optgen.runtime.native.sections import Sections
from optgen.runtime.native.slices import Bands, Joining, Slices, slices_of
from optgen.runtime.native.tensors import CaseTensors, Partials, TensorMemory, Workspace
from optgen.runtime.shapes import count_of, shape_numbers

R = TypeVar("R", ArgumentRow, TotalRow)

#: How the arrays are indexed whose lengths are checked where their arguments are made.
_CHECKED_ALREADY = (Indexing.AXES, Indexing.PART)

#: The kinds of states whose new values do not have to be copied to where they are kept.
_IN_PLACE = (Kind.STEP, Kind.GLOBAL, Kind.TENSOR, Kind.ELEMENT)


class ItemMaker:
    """Makes items, and adds what they refer to: operands, arguments and totals.

    Args:
        kernels: of the generated file.
        workspace: where partial results of reductions along axes go.
        sections: of the table.
        model_partials: partial results of the reductions over the model, by name.
    """

    def __init__(
        self, kernels: Kernels, workspace: Workspace, sections: Sections, model_partials: Mapping[str, Partials]
    ) -> None:
        self.kernels = kernels
        self.workspace = workspace
        self.sections = sections
        self.model_partials = model_partials

    def of_model(self, group: CaseTensors, launch: Launch) -> ItemRow:
        """The item of a kernel for the numbers of the model."""
        names = self.kernels.plan.model_numbers
        totals = [_total(group, n, self.model_partials, Space.OF_MODEL, names) for n in launch.totals]
        chunks = chunks_of(1)
        return ItemRow(
            function=self.kernels.place(f"{launch.kernel}_64"),
            form=Form.STRETCHES,
            bits=64,
            group=group.index,
            rank=1,
            tensor_at=-1,
            numbers=1,
            line=0,
            rows=1,
            chunk=chunks.size,
            first_chunk=0,
            chunks=chunks.number,
            arguments=len(self.sections.arguments),
            argument_count=0,
            totals=_add(self.sections.totals, totals),
            total_count=len(totals),
        )

    def of_tensor(self, group: CaseTensors, launch: Launch, member: TensorMemory) -> Iterator[ItemRow]:
        """The items of a kernel for one tensor: one for each axis where it goes through the vectors of the axes."""
        shape, domain = member.tensor.shape, launch.domain
        if launch.extent == "other_axes" and len(shape) <= 1:
            # There is no other axis to reduce over: what would be reduced is the result.
            yield self._plain(TensorLaunch.of(group, without_reductions(launch), member), math.prod(shape))
            return
        kernel = TensorLaunch.of(group, launch, member)
        if launch.form == SLICES:
            for axis, slices in enumerate(slices_of(kernel.extent, domain, kernel.shape)):
                yield from self._sliced(kernel, slices, axis)
        elif domain is Kind.AXIS:
            for axis, vector in enumerate(kept_shapes(Kind.AXIS, shape)):
                yield self._plain(kernel, math.prod(vector), axis)
        else:
            yield self._plain(kernel, 1 if domain is Kind.TENSOR else count_of(domain, shape))

    def copies(self, group: CaseTensors) -> Iterator[ItemRow]:
        """The items that copy new values of states from the workspace to where they are kept."""
        for state in group.case.states:
            kind = state.kind
            if kind in _IN_PLACE:
                continue
            for member in group.members:
                if state.new in member.deferred:
                    continue
                counts = [math.prod(shape) for shape in kept_shapes(kind, member.tensor.shape)]
                targets = [replace(place, lag=0) for place in member.tensor.arrays[state.name]]
                for count, source, target in zip(counts, member.arrays[state.new], targets, strict=True):
                    yield self._copy(group, member, source, target, count)

    def _plain(self, kernel: TensorLaunch, count: int, axis: int = 0) -> ItemRow:
        """A kernel that goes through its arrays from end to end."""
        launch, member = kernel.launch, kernel.member
        arguments = [
            kernel.chunk_results(argument.name)
            if argument.role == "parts"
            else kernel.array(argument, axis, self.sections)
            for argument in launch.arguments
        ]
        names = self.kernels.plan.tensor_numbers
        totals = [_total(kernel.group, n, member.partials, Space.OF_TENSOR, names) for n in launch.totals]
        chunks = chunks_of(count)
        assert all(member.partials[a.name].number >= chunks.number for a in launch.arguments if a.role == "parts")
        return self._kernel(kernel, Form.STRETCHES, count, chunks, arguments, totals)

    def _sliced(self, kernel: TensorLaunch, slices: Slices, axis: int) -> Iterator[ItemRow]:
        """A kernel that reduces along axes, and items that join the partial results that it leaves."""
        arguments: list[ArgumentRow] = []
        for argument in kernel.launch.arguments:
            if argument.role != "parts":
                arguments.append(kernel.array(argument, 0, self.sections))
                continue
            place = kernel.member.arrays[argument.name][axis if kernel.launch.extent == "other_axes" else 0]
            reduction, direction = kernel.group.reductions[argument.name], kernel.direction_of(argument.name)
            if isinstance(slices, Bands) and slices.part_count(direction) > 1:
                joining = slices.joining(direction)
                partials = self._partials(joining.partial_count)
                yield self._join(kernel, reduction, partials, place, joining)
                place = partials
            check_extent(place, slices.result_count(direction), kernel.launch.kernel)
            operand, type = self.sections.operand(place), kernel.type_of(argument.name)
            arguments.append(ArgumentRow(operand, Indexing.PART, direction, reduction, 0, type))
        count = count_of(kernel.domain, kernel.member.tensor.shape)
        yield self._kernel(kernel, slices.form, count, slices.chunks, arguments, ())._replace(**slices.counts._asdict())

    def _partials(self, count: int) -> Place:
        """Room for partial results."""
        return Place(-1, StorageType.FLOAT64, count, self.workspace.allocate(count))

    def _kernel(
        self,
        kernel: TensorLaunch,
        form: Form,
        count: int,
        chunks: Chunks,
        arguments: Sequence[ArgumentRow],
        totals: Sequence[TotalRow],
    ) -> ItemRow:
        """A kernel for a tensor, whose arrays are long enough for it."""
        member, numbers = kernel.member, shape_numbers(kernel.shape)
        rows, line = numbers["rows"], kernel.line(arguments, numbers["rows"], numbers["columns"])
        for row in arguments:
            if row.indexing not in _CHECKED_ALREADY:
                extent = reach(row.indexing, count, line, rows)
                check_extent(self.sections.places[row.operand], extent, kernel.launch.kernel)
        bits = member.tensor.bits
        return ItemRow(
            function=self.kernels.place(f"{kernel.launch.kernel}_{bits}", kernel.formats),
            form=form,
            bits=bits,
            group=kernel.group.index,
            rank=max(1, len(kernel.shape)),
            tensor_at=member.numbers_at,
            numbers=count,
            line=line,
            rows=rows,
            chunk=chunks.size,
            first_chunk=0,
            chunks=chunks.number,
            arguments=_add(self.sections.arguments, arguments),
            argument_count=len(arguments),
            totals=_add(self.sections.totals, totals),
            total_count=len(totals),
            within=kernel.within(arguments, line),
        )

    def _join(
        self, kernel: TensorLaunch, reduction: Reduction, partials: Place, results: Place, joining: Joining
    ) -> ItemRow:
        """The reduction of partial results."""
        check_extent(partials, joining.partial_count, "a copy")
        count = joining.matrices * joining.results
        item = self._move(kernel.group, kernel.member, Form.JOIN, partials, results, count, reduction)
        return item._replace(**joining.counts._asdict())

    def _copy(self, group: CaseTensors, member: TensorMemory, source: Place, target: Place, count: int) -> ItemRow:
        """A copy of an array."""
        check_extent(source, count, "a copy")
        return self._move(group, member, Form.COPY, source, target, count, Reduction.SUM)

    def _move(
        self,
        group: CaseTensors,
        member: TensorMemory,
        form: Form,
        source: Place,
        target: Place,
        count: int,
        reduction: Reduction,
    ) -> ItemRow:
        """Work that takes no kernel and leaves `count` numbers, from one array to another."""
        check_extent(target, count, "a copy")
        chunks = chunks_of(count)
        arguments = (
            ArgumentRow(self.sections.operand(source), Indexing.SAME, AccessMode.IN, reduction, 0, member.type),
            ArgumentRow.of_array(self.sections.operand(target), Indexing.SAME, AccessMode.OUT, member.type),
        )
        return ItemRow(
            function=-1,
            form=form,
            bits=member.tensor.bits,
            group=group.index,
            rank=1,
            tensor_at=member.numbers_at,
            numbers=count,
            line=0,
            rows=1,
            chunk=chunks.size,
            first_chunk=0,
            chunks=chunks.number,
            arguments=_add(self.sections.arguments, arguments),
            argument_count=len(arguments),
            totals=0,
            total_count=0,
        )


def _add(section: list[R], rows: Sequence[R]) -> int:
    """Add rows to a section.

    Returns:
        The number of the first one.
    """
    first = len(section)
    section += rows
    return first


def _total(
    group: CaseTensors, name: str, partials: Mapping[str, Partials], space: Space, names: Sequence[str]
) -> TotalRow:
    """The row of a reduction whose partial results are reduced before a kernel runs; `names` are those of the space."""
    return TotalRow(group.reductions[name], *partials[name], space, names.index(name))
