"""Modules whose names come from the catalogue, and are made when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optgen._paths import not_generated
from optgen.suggestions import did_you_mean, no_attribute


def lazy_names(
    module: str, made: Callable[[], Mapping[str, Any]], own: Iterable[str] = (), library: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module with names that are made when first asked for.

    Args:
        module: its name.
        made: gives what is made, by name.
        own: the names that the module has anyhow.
        library: the module of the library that it stands beside.
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
            hint = not_generated(name)
            if not hint and callable(getattr(sys.modules.get(library), name, None)):
                hint = f"{library} has it, and optgen does not"
            hint = hint or did_you_mean(name, listed(), f"there are: {', '.join(listed())}")
            raise no_attribute(module, name, hint, sys._getframe(1)) from None

    return found, listed
