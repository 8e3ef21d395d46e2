"""Which arrays the kernels of a case read and write, and what follows for the memory that a step needs."""

from __future__ import annotations

from dataclasses import replace

from optgen.contract.kernel_plan import RESULT, SLICES, CasePlan, Launch
from optgen.contract.kinds import Kind
from optgen.runtime.native.places import FormatRole


def without_reductions(launch: Launch) -> Launch:
    """The launch with arrays to write in the place of reductions."""
    return replace(
        launch, arguments=tuple(replace(a, role="out") if a.role == "parts" else a for a in launch.arguments)
    )


def outputs(launch: Launch) -> set[str]:
    """The names of the arrays that a launch writes."""
    return {argument.name for argument in launch.arguments if argument.role in ("out", "inout", "parts")}


def deferred_values(case: CasePlan, shape: tuple[int, ...]) -> dict[str, str]:
    """The values that are computed at the end of a step, in the memory of the state that they lead to.

    They are on the way from a reduction over the other axes to new values of a state per axis. Of a vector these are as
    many numbers as the parameter has, but each depends on one place alone. So no memory is needed for them where
    nothing else reads them, and what they are computed from is still there: at the end they are written over the old
    ones.

    Returns:
        The name of the state, for each of these values.
    """
    return {
        name: state.name
        for state in case.states
        if len(shape) <= 1 and state.kind is Kind.AXIS and state.depth == 1
        for name in _deferred_chain(case, state.new)
    }


def _deferred_chain(case: CasePlan, name: str) -> list[str]:
    """The values on the way from a reduction to one, the last first; empty where they cannot be left to the end."""
    chain: list[str] = []
    states = {state.name for state in case.states}
    while True:
        makers = [launch for launch in case.launches if name in outputs(launch)]
        readers = [n for n in case.launches if n not in makers and any(a.name == name for a in n.arguments)]
        if len(makers) != 1 or len(readers) > len(chain) or outputs(makers[0]) != {name}:
            return []
        chain.append(name)
        read = {argument.name for argument in makers[0].arguments} - {name}
        if makers[0].form == SLICES:
            changed = {n for launch in case.launches for n in outputs(launch)} - {name}
            if RESULT in changed:
                changed.add("theta")
            return [] if read & changed else chain
        if len(read) != 1 or read & states:
            return []
        (name,) = read


def format_roles(case: CasePlan) -> dict[str, FormatRole]:
    """The arrays that kernels over elements take in the format in which they are stored, and which one that is."""
    roles: dict[str, FormatRole] = {"theta": "stored", "g": "stored", RESULT: "stored"}
    for declared in case.inputs:
        if declared.kind is Kind.ELEMENT:
            roles[declared.name] = "stored"
    for state in case.states:
        if state.kind is Kind.ELEMENT:
            roles |= dict.fromkeys(state.names, "kept")
    return roles
