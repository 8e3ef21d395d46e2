"""Names of the front-ends' modules, which come from the catalogue and are made when first used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from optgen.arguments.docstrings import described
from optgen.catalogue.entry import Entry, catalogue_entry
from optgen.catalogue.manifests import catalogue_names
from optgen.contract.dialects import Dialect
from optgen.contract.manifest import Manifest
from optgen.frontends.pickling import DefinedType

Made = TypeVar("Made")


def for_each_dialect(
    dialects: Callable[[Manifest], Iterable[Dialect]], make: Callable[[Entry, Dialect], Made]
) -> dict[str, Made]:
    """Call `make` for each optimizer of the catalogue and each name that it has in a library; results by name."""
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
