"""The order in which the kernels of a rule's cases run together, so that folds over the model see every tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optgen.contract.kernel_plan import CasePlan, Launch
from optgen.contract.kinds import Kind


@dataclass(frozen=True, slots=True)
class Round:
    """Kernels between two folds over the model.

    Attributes:
        of_tensors: for each case its kernels for tensors, in order.
        of_model: the kernels for the model that can run then, and which case each is of.
    """

    of_tensors: list[Sequence[Launch]]
    of_model: list[tuple[int, Launch]]


def rounds(cases: Sequence[CasePlan]) -> Iterator[Round]:
    """All kernels of some cases that run side by side."""
    positions = [0] * len(cases)

    def rest(index: int) -> Sequence[Launch]:
        return cases[index].launches[positions[index] :]

    while True:
        of_tensors = []
        for index in range(len(cases)):
            own = rest(index)
            count = next((n for n, launch in enumerate(own) if launch.domain is Kind.GLOBAL), len(own))
            of_tensors.append(own[:count])
            positions[index] += count
        waiting = {index: rest(index)[0] for index in range(len(cases)) if rest(index)}
        # A fold over the model is complete when no case has a kernel left that adds to it.
        open_folds = {fold for index in range(len(cases)) for launch in rest(index) for fold in launch.folds}
        ready = [(index, launch) for index, launch in waiting.items() if open_folds.isdisjoint(launch.totals)]
        assert ready or not waiting, "the cases of a rule wait for each other's folds"
        yield Round(of_tensors, ready)
        for index, _ in ready:
            positions[index] += 1
        if not waiting:
            return
