"""Modules whose names come from the catalogue, and are made when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any


def lazy_names(
    module: str, made: Callable[[], Mapping[str, Any]], own: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module with names that are made when first asked for.

    Args:
        module: its name.
        made: gives what is made, by name.
        own: the names that the module has anyhow.
    """

    def listed() -> list[str]:
        return sorted({*own, *made()})

    def found(name: str) -> Any:
        if name == "__all__":
            return listed()
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        try:
            return made()[name]
        except KeyError:
            close = get_close_matches(name, listed(), 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(listed())}"
            raise AttributeError(f"module {module!r} has no attribute {name!r}; {hint}") from None

    return found, listed
