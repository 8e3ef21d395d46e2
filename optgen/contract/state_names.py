"""The names of entries: under which states are kept for a parameter, where they are kept by name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from optgen.contract.dialects import Dialect
from optgen.contract.formats import scales_of

_OF_AXIS = re.compile(r"(.+)_\d+", re.DOTALL)


def entry_names(states: Iterable[str], dialect: Dialect) -> dict[str, str]:
    """The names under which states are kept: a library's or the rule's own, each once.

    A state with the name of the count of steps, or of another state's scales, is kept under its name and `_state`.
    """
    names = {name: dialect.states.get(name, name) for name in states}
    taken = {"step", dialect.count, *map(scales_of, names.values())}
    for name, entry in names.items():
        while entry in taken or entry in (other for key, other in names.items() if key != name):
            entry = names[name] = f"{entry}_state"
        taken.add(scales_of(entry))
    return names


def axis_entry(name: str, axis: int) -> str:
    """The name of the vector of one axis, of a state that is a vector for each, where no tuples are kept."""
    return f"{name}_{axis}"


def without_axis(entry: str) -> str:
    """The name of a state from that of the vector of one of its axes; any other name as it is."""
    found = _OF_AXIS.fullmatch(entry)
    return found[1] if found else entry
