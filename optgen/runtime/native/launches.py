"""The reads and writes of a case's kernels, and the memory that a step needs for them."""

from __future__ import annotations

from dataclasses import replace

from optgen.contract.kernel_plan import RESULT, SLICES, CasePlan, KernelArgument, Launch
from optgen.contract.kinds import Kind


def as_results(launch: Launch) -> tuple[KernelArgument, ...]:
    """A launch's arguments, with arrays to write in the place of folds."""
    return tuple(replace(a, role="out") if a.role == "parts" else a for a in launch.arguments)


def written(launch: Launch) -> set[str]:
    """The arrays that a launch writes."""
    return {argument.name for argument in launch.arguments if argument.role in ("out", "inout", "parts")}


def written_late(case: CasePlan, shape: tuple[int, ...]) -> dict[str, str]:
    """The values from a reduction along a vector's axes to the new values of a state, each with that state's name.

    Of a vector these are as many numbers as the parameter has, but each depends on one place alone. So no memory is
    needed for them where nothing else reads them, and what they are computed from is still there: at the end they are
    written over the old ones.
    """
    return {
        name: state.name
        for state in case.states
        if len(shape) <= 1 and Kind(state.kind) is Kind.AXIS and state.depth == 1
        for name in _late_chain(case, state.new)
    }


def _late_chain(case: CasePlan, name: str) -> list[str]:
    """The values from a reduction to a value, in order; empty where they cannot be left to the end."""
    chain: list[str] = []
    states = {state.name for state in case.states}
    while True:
        makers = [launch for launch in case.launches if name in written(launch)]
        readers = [n for n in case.launches if n not in makers and any(a.name == name for a in n.arguments)]
        if len(makers) != 1 or len(readers) > len(chain) or written(makers[0]) != {name}:
            return []
        chain.append(name)
        read = {argument.name for argument in makers[0].arguments} - {name}
        if makers[0].form == SLICES:
            changed = {n for launch in case.launches for n in written(launch)} - {name}
            if RESULT in changed:
                changed.add("theta")
            return [] if read & changed else chain
        if len(read) != 1 or read & states:
            return []
        (name,) = read


def formats_of(case: CasePlan) -> dict[str, str]:
    """Arrays that kernels over elements take in the format in which they are stored, and what C calls that format."""
    found = dict.fromkeys(("theta", "g", RESULT), "stored")
    found |= {given.name: "stored" for given in case.inputs if Kind(given.kind) is Kind.ELEMENT}
    for state in case.states:
        if Kind(state.kind) is Kind.ELEMENT:
            found |= dict.fromkeys(state.names, "kept")
    return found
