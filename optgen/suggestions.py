"""The name that a misspelt one was meant to be, for every message that says so."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from dis import opname
from types import FrameType


def folded(name: str) -> str:
    """A name without what is easily confused: case, and underscores between words."""
    return name.casefold().replace("_", "")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is meant; None where none is close.

    One that differs in case or underscores alone comes before any that is only similar.

    Args:
        name: what was written.
        known: the names that there are.
        cutoff: how similar names have to be, from 0 to 1.
    """
    names = list(known)
    by_fold: dict[str, str] = {}
    for one in names:
        by_fold.setdefault(folded(one), one)
    if (meant := by_fold.get(folded(name))) is not None:
        return meant
    # As written first: `M` and `m` may both be known.
    if close := get_close_matches(name, names, 1, cutoff):
        return close[0]
    close = get_close_matches(folded(name), by_fold, 1, cutoff)
    return by_fold[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """A hint for a misspelt name: the one that is meant, or else what to say where none is close."""
    meant = nearest(name, known, cutoff)
    return otherwise if meant is None else f"did you mean '{meant}'?"


def no_attribute(module: str, name: str, hint: str, asked: FrameType) -> AttributeError | ImportError:
    """The error of a module that lacks a name; Python adds no suggestion of its own to it.

    Args:
        module: the module.
        name: what was asked for.
        hint: what to say of it.
        asked: the frame that asked. Python replaces an AttributeError by one without the hint where it imports the
            name, so an ImportError takes its place there.
    """
    if opname[asked.f_code.co_code[asked.f_lasti]] == "IMPORT_FROM":
        return ImportError(f"cannot import name {name!r} from {module!r}; {hint}", name=module)
    # Python's suggestion comes from what `obj` has, and would stand behind this one, or against it.
    return AttributeError(f"module {module!r} has no attribute {name!r}; {hint}", name=name, obj=None)
