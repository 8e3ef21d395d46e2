"""The names of entries: under which states are kept for a parameter, where they are kept by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from optgen.runtime.formats import scales_of
from optgen.spec.model import Dialect

_OF_AXIS = re.compile(r"(.+)_\d+", re.DOTALL)


def entry_names(states: Iterable[str], dialect: Dialect, of_axes: Collection[str] = ()) -> dict[str, str]:
    """The names under which states are kept: a library's or the rule's own, each once.

    A state with the name of the count of steps, of another state's scales or of the vector of one axis of another one,
    is kept under its name and `_state`.

    Args:
        states: by name.
        dialect: the library's names.
        of_axes: those of the states that are a vector for each axis, as many as a parameter may have.
    """
    names = {name: dialect.states.get(name, name) for name in states}
    counts = {"step", dialect.count} - {""}
    taken = counts | set(map(scales_of, names.values()))

    def is_taken(name: str) -> bool:
        entry = names[name]
        others = {other: shown for other, shown in names.items() if other != name}
        axes = {shown for other, shown in others.items() if other in of_axes}
        # Of what a vector for each axis is kept under, the count may be a part.
        is_of_count = name in of_axes and entry in map(without_axis, counts - {entry})
        is_of_axis = without_axis(entry) != entry and without_axis(entry) in axes
        return entry in taken or entry in others.values() or is_of_axis or is_of_count

    # One that has a new name may be in the way of those before it.
    while found := next(filter(is_taken, names), ""):
        while is_taken(found):
            names[found] = f"{names[found]}_state"
        taken.add(scales_of(names[found]))
    return names


def axis_entry(name: str, axis: int) -> str:
    """The name of the vector of one axis, of a state that is a vector for each, where no tuples are kept."""
    return f"{name}_{axis}"


def without_axis(entry: str) -> str:
    """The name of a state from that of the vector of one of its axes; any other name as it is."""
    found = _OF_AXIS.fullmatch(entry)
    return found[1] if found else entry
