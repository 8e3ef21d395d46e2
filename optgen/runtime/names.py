"""What is said of a name that a module does not have."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def no_attribute(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a module whose names come from the catalogue: with the nearest name, or all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
    return AttributeError(f"module {module!r} has no attribute {name!r}; {hint}")
