"""Single numbers, of the caller's arrays or of a shape: where they go before a step, and where after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optgen.contract.kernel_plan import KernelPlan, StatePlan
from optgen.contract.kinds import Kind
from optgen.runtime.native.places import Place
from optgen.runtime.native.rows import Space, TransferRow
from optgen.runtime.native.sections import Sections
from optgen.runtime.native.tensors import CaseTensors, TensorMemory
from optgen.runtime.shapes import shape_numbers


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A table of single numbers in the workspace.

    Attributes:
        space: whose numbers they are.
        at: the table's first byte.
        bits: of its entries.
        names: of the numbers, in order.
    """

    space: Space
    at: int
    bits: int
    names: tuple[str, ...]

    def row(self, name: str, operand: int, value: int = 0) -> TransferRow:
        """The way of a number between an array, or a value where `operand` is -1, and the table."""
        return TransferRow(self.space, self.at, self.bits, self.names.index(name), operand, value)


def add_transfers(
    plan: KernelPlan, groups: Sequence[CaseTensors], shared: Mapping[str, Place], sections: Sections
) -> None:
    """Add the transfers of a model's single numbers to a table.

    Args:
        plan: of the kernels.
        groups: the tensors.
        shared: states and inputs of which there is one number for the model.
        sections: of the table.
    """
    stored: set[str] = set()
    for group in groups:
        _add_shared(plan, group, shared, sections, stored)
        for member in group.members:
            _add_of_tensor(plan, group, member, sections)


def _add_shared(
    plan: KernelPlan, group: CaseTensors, shared: Mapping[str, Place], sections: Sections, stored: set[str]
) -> None:
    """The numbers of the step and of the model; `stored` are the states of the step that an earlier group stores."""
    tables = {
        Kind.STEP: _Numbers(Space.OF_STEP, group.row.wide_at, 64, plan.scalars),
        Kind.GLOBAL: _Numbers(Space.OF_MODEL, group.row.model_at, 64, plan.model_numbers),
    }
    for state in group.case.states:
        kind = state.kind
        if kind in tables:
            _load_state(state, shared[state.name], tables[kind], sections)
            # All groups compute the same numbers of the step.
            if kind is Kind.GLOBAL or state.name not in stored:
                _store_state(state, shared[state.name], tables[kind], sections)
                stored.add(state.name)
    for declared in group.case.inputs:
        kind = declared.kind
        if kind in tables:
            _load(declared.name, shared[declared.name], tables[kind], sections)


def _add_of_tensor(plan: KernelPlan, group: CaseTensors, member: TensorMemory, sections: Sections) -> None:
    """The numbers of one tensor."""
    table = _Numbers(Space.OF_TENSOR, member.numbers_at, member.tensor.bits, plan.tensor_numbers)
    if not table.names:
        return
    for name, value in shape_numbers(member.tensor.shape).items():
        if name in table.names:
            sections.transfers_in.append(table.row(name, -1, value))
    for state in group.case.states:
        if state.kind is Kind.TENSOR:
            (place,) = member.tensor.arrays[state.name]
            _load_state(state, place, table, sections)
            _store_state(state, place, table, sections)
    for declared in group.case.inputs:
        if declared.kind is Kind.TENSOR:
            (place,) = member.arrays[declared.name]
            _load(declared.name, place, table, sections)


def _load(name: str, place: Place, table: _Numbers, sections: Sections) -> None:
    """Load a number, if a kernel reads it."""
    if name in table.names:
        sections.transfers_in.append(table.row(name, sections.operand(place)))


def _load_state(state: StatePlan, place: Place, table: _Numbers, sections: Sections) -> None:
    """Load the old values of a state."""
    for lag in range(1, state.depth + 1):
        _load(state.older(lag), replace(place, lag=lag), table, sections)


def _store_state(state: StatePlan, place: Place, table: _Numbers, sections: Sections) -> None:
    """Store the new value of a state."""
    sections.transfers_out.append(table.row(state.new, sections.operand(replace(place, lag=0))))
