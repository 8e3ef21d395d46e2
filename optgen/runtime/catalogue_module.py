"""What the modules of the front-ends share: their names come from the catalogue, and are made when first asked for."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from optgen.runtime.docstrings import described
from optgen.runtime.entry import Entry, catalogue_entry
from optgen.runtime.manifests import catalogue_names, not_generated
from optgen.runtime.pickled import DefinedType
from optgen.spec.model import Dialect
from optgen.suggestions import did_you_mean, no_attribute
from optgen.targets.manifest import Manifest

Made = TypeVar("Made")


def for_each_dialect(
    dialects: Callable[[Manifest], Iterable[Dialect]], make: Callable[[Entry, Dialect], Made]
) -> dict[str, Made]:
    """What is made of each optimizer of the catalogue, by each name that it has in a library."""
    entries = (catalogue_entry(name) for name in catalogue_names())
    return {dialect.name: make(entry, dialect) for entry in entries for dialect in dialects(entry.manifest)}


def dialects_of(library: str) -> Callable[[Manifest], list[Dialect]]:
    """The dialects of an optimizer that are a library's."""
    return lambda manifest: [dialect for dialect in manifest.dialects if dialect.library == library]


def generated_class(
    parent: type[Made],
    entry: Entry,
    dialect: Dialect,
    module: str,
    signature: inspect.Signature,
    members: Mapping[str, Any] | None = None,
) -> type[Made]:
    """The class of one optimizer under a library's name.

    Args:
        parent: what all optimizers of that front-end have in common.
        entry: the optimizer.
        dialect: its spelling there.
        module: where it is imported from.
        signature: its constructor's.
        members: what it has besides.
    """
    told = {
        "entry": entry,
        "dialect": dialect,
        "__signature__": signature,
        "__module__": module,
        "__doc__": described(entry.manifest, dialect),
    }
    # Classes of the catalogue are found by their names.
    made_by: Callable[..., Any] = type(parent) if entry.in_catalogue else DefinedType
    made: type[Made] = made_by(dialect.name, (parent,), {**told, **(members or {})})
    return made


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
