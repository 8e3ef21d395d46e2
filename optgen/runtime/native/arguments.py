"""The arguments of a kernel that runs for one tensor: which arrays they are, and how the kernel goes through them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from optgen.contract.kernel_plan import KernelArgument, Launch
from optgen.contract.kinds import Kind, kept_shapes
from optgen.runtime.native.chunks import SHORT
from optgen.runtime.native.extents import check_family
from optgen.runtime.native.places import Formats
from optgen.runtime.native.rows import AccessMode, ArgumentRow, Direction, Indexing, StorageType, Within
from optgen.runtime.native.sections import Sections
from optgen.runtime.native.tensors import CaseTensors, TensorMemory

_ACCESS = {"in": AccessMode.IN, "out": AccessMode.OUT, "inout": AccessMode.INOUT}

#: Rows and columns, for a kernel that goes down the columns.
_TRANSPOSED = {Kind.ROW: Kind.COLUMN, Kind.COLUMN: Kind.ROW}
_TRANSPOSED_EXTENT = {"rows": "columns", "columns": "rows", "lines": "lines"}

#: How arrays are indexed that have fewer numbers than a kernel goes through, by its domain and their kind.
_INDEXING = {
    (Kind.ELEMENT, Kind.ROW): Indexing.LINE,
    (Kind.ELEMENT, Kind.COLUMN): Indexing.COLUMN,
    (Kind.ELEMENT, Kind.MATRIX): Indexing.MATRIX,
    (Kind.ROW, Kind.MATRIX): Indexing.LINE,
    (Kind.COLUMN, Kind.MATRIX): Indexing.LINE,
}
#: How arrays are indexed for which the driver need not know where lines end.
_NO_LINES = (Indexing.SAME, Indexing.PART)


@dataclass(slots=True)
class TensorLaunch:
    """A kernel for one tensor.

    Attributes:
        group: the tensors of the same case.
        launch: the kernel.
        member: the tensor.
        domain: kind of the numbers that the kernel goes through.
        is_transposed: whether it goes through the columns one after the other.
        shape: the tensor's, in the order in which the kernel goes through it.
        formats: in which it takes arrays; None: as numbers of the arithmetic.
    """

    group: CaseTensors
    launch: Launch
    member: TensorMemory
    domain: Kind
    is_transposed: bool
    shape: tuple[int, ...]
    formats: Formats | None

    @classmethod
    def of(cls, group: CaseTensors, launch: Launch, member: TensorMemory) -> TensorLaunch:
        """A launch of a case for one of its tensors."""
        domain = launch.domain
        is_transposed = member.is_transposed and domain is Kind.ELEMENT
        shape = member.tensor.shape
        if is_transposed:
            shape = (*shape[:-2], shape[-1], shape[-2])
        formats = member.formats if domain is Kind.ELEMENT else None
        if formats and any(
            member.arrays[argument.name][0].strides
            for argument in launch.arguments
            if argument.name in group.format_roles
        ):
            formats = None
        return cls(group, launch, member, domain, is_transposed, shape, formats)

    @property
    def extent(self) -> str:
        """Over what a kernel of form `SLICES` reduces, in the order in which it goes through the tensor."""
        return _TRANSPOSED_EXTENT[self.launch.extent] if self.is_transposed else self.launch.extent

    def type_of(self, name: str) -> StorageType:
        """The type in which the kernel takes an array."""
        if self.formats and name in self.group.format_roles:
            return self.formats.type_of(self.group.format_roles[name])
        return self.member.type

    def array(self, argument: KernelArgument, axis: int, sections: Sections) -> ArgumentRow:
        """The row of an argument that is an array, or the vectors of all axes.

        Args:
            argument: the argument.
            axis: whose vector it is, of an array with vectors per axis.
            sections: where the arrays are added.
        """
        name = argument.name
        places = self.member.arrays[name]
        if argument.role == "axes":
            lengths = [math.prod(shape) for shape in kept_shapes(Kind.AXIS, self.member.tensor.shape)]
            check_family(places, lengths, self.launch.kernel)
            first = sections.add_axes(list(zip(places, lengths, strict=True)))
            return ArgumentRow.of_array(first, Indexing.AXES, AccessMode.IN, self.type_of(name))
        kind = self.group.kinds.get(name, Kind.ELEMENT)
        operand = sections.operand(places[axis] if kind is Kind.AXIS else places[0])
        if kind is self.domain or kind is Kind.AXIS:
            indexing = Indexing.SAME
        else:
            indexing = _INDEXING[self.domain, _TRANSPOSED.get(kind, kind) if self.is_transposed else kind]
        return ArgumentRow.of_array(operand, indexing, _ACCESS[argument.role], self.type_of(name))

    def chunk_results(self, name: str) -> ArgumentRow:
        """The row of a reduction to a single number, of which each chunk leaves a partial result."""
        at = self.member.partials[name].at
        return ArgumentRow(-1, Indexing.PART, Direction.ALONG, self.group.reductions[name], at, self.type_of(name))

    def direction_of(self, name: str) -> Direction:
        """The direction of a reduction along axes."""
        if self.launch.extent == "other_axes":
            return Direction.DOWNWARD
        is_column = self.domain is Kind.ELEMENT and self.group.kinds[name] is Kind.COLUMN
        return Direction.DOWNWARD if is_column != self.is_transposed else Direction.ALONG

    def line(self, arguments: Iterable[ArgumentRow], rows: int, columns: int) -> int:
        """How many numbers of a tensor of such matrices make up a line, 0 where no argument tells lines apart."""
        if all(row.indexing in _NO_LINES for row in arguments):
            return 0
        return rows if self.domain is Kind.ROW else columns

    def within(self, arguments: Iterable[ArgumentRow], line: int) -> Within:
        """The part of a tensor that each stretch of numbers lies within which the kernel is handed."""
        if self.domain is Kind.ELEMENT and 0 < line <= SHORT:
            if all(row.indexing is not Indexing.AXES for row in arguments):
                return Within.LINES
        return Within.COLUMN if self.is_transposed else Within.ROW
