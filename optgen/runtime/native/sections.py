"""The sections of a table while it is made: rows that are added and counted, and in the end the int64s of them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from optgen.runtime.native.extents import check_ring
from optgen.runtime.native.places import Place
from optgen.runtime.native.rows import (
    ArgumentRow,
    Form,
    GroupRow,
    Header,
    ItemRow,
    OperandRow,
    PhaseRow,
    TotalRow,
    TransferRow,
)


class Sections:
    """The rows of a table.

    Attributes:
        operands: arrays.
        places: where these stand, in the same order.
        layouts: of arrays with gaps: rank, lengths, strides in bytes.
        transfers_in, transfers_out: single numbers that move before the step, and after it.
        items, arguments, totals, phases: the work of the step.
    """

    def __init__(self) -> None:
        self.operands: list[OperandRow] = []
        self.places: list[Place] = []
        self.layouts: list[int] = []
        self.transfers_in: list[TransferRow] = []
        self.transfers_out: list[TransferRow] = []
        self.items: list[ItemRow] = []
        self.arguments: list[ArgumentRow] = []
        self.totals: list[TotalRow] = []
        self.phases: list[PhaseRow] = []
        self._operand_of: dict[Place, int] = {}

    def operand(self, place: Place) -> int:
        """The number of an array's row."""
        operand = self._operand_of.get(place)
        if operand is None:
            operand = self._operand_of[place] = self._add_operand(place, 1)
        return operand

    def add_axes(self, vectors: Sequence[tuple[Place, int]]) -> int:
        """Add rows for the vectors of a tensor's axes, with their lengths, in the order of the axes.

        Returns:
            The number of the first one's row.
        """
        first = len(self.operands)
        for place, length in vectors:
            self._add_operand(place, length)
        return first

    def _add_operand(self, place: Place, length: int) -> int:
        check_ring(place)
        layout = -1
        if place.strides:
            layout = len(self.layouts)
            self.layouts += [len(place.lengths), *(max(1, n) for n in place.lengths), *place.strides]
        self.operands.append(
            OperandRow(
                place.buffer,
                place.at,
                place.type,
                place.depth,
                place.lag,
                place.slot,
                layout,
                place.stream,
                place.scales,
                max(1, length),
            )
        )
        self.places.append(place)
        return len(self.operands) - 1

    def add_phase(self, items: Iterable[ItemRow]) -> None:
        """Add items that do not wait for each other, but for those that join the others' partial results.

        Each learns how many chunks come before it; those without work are left out.
        """
        working = [item for item in items if item.chunks]
        for is_joining in (False, True):
            first, chunks = len(self.items), 0
            for item in working:
                if (item.form is Form.JOIN) is is_joining:
                    self.items.append(item._replace(first_chunk=chunks) if chunks else item)
                    chunks += item.chunks
            if chunks:
                self.phases.append(PhaseRow(first, len(self.items) - first, chunks))

    def to_array(
        self, groups: Sequence[GroupRow], *, workspace: int, scalars: int, is_update: bool, most_threads: int
    ) -> np.ndarray:
        """The table.

        Args:
            groups: the rows of the cases.
            workspace: bytes that a step needs.
            scalars: how many step scalars there are.
            is_update: whether the result is what is to be added to the parameter.
            most_threads: how many are of use.

        Returns:
            int64, one axis.
        """
        sections: list[Sequence[tuple[int, ...]]] = [
            self.operands,
            [tuple(self.layouts)],
            groups,
            self.transfers_in,
            self.transfers_out,
            self.items,
            self.arguments,
            self.totals,
            self.phases,
        ]
        starts = [len(Header._fields)]
        for rows in sections:
            starts.append(starts[-1] + sum(map(len, rows)))
        operands, layouts, group_rows, transfers_in, transfers_out, items, arguments, totals, phases, length = starts
        header = Header(
            workspace=workspace,
            scalars=scalars,
            is_update=int(is_update),
            most_threads=most_threads,
            operands=operands,
            layouts=layouts,
            groups=group_rows,
            group_count=len(groups),
            transfers_in=transfers_in,
            transfer_in_count=len(self.transfers_in),
            transfers_out=transfers_out,
            transfer_out_count=len(self.transfers_out),
            items=items,
            arguments=arguments,
            totals=totals,
            phases=phases,
            phase_count=len(self.phases),
        )
        numbers = chain(header, chain.from_iterable(chain.from_iterable(sections)))
        return np.fromiter(numbers, np.int64, length)
