"""Generated optimizers with lucid.optim's interface, on parameters whose `.data` and `.grad` are numpy arrays.

`from optgen.lucid import Adam` gives a class with lucid's arguments, defaults, state names and checkpoints; optimizers
that lucid lacks follow the same conventions. lucid itself is not needed: any object with these two attributes will do.
lucid.pyi lists the classes for editors and type checkers; `optgen docs` writes it.
"""

from __future__ import annotations

import functools
from typing import Any

from optgen.runtime.entry import catalogue_entry
from optgen.runtime.grouped_dialect import spellings
from optgen.runtime.lucid_optimizer import Optimizer, optimizer_class
from optgen.runtime.manifests import catalogue_names
from optgen.runtime.names import no_attribute

_OWN = ("Optimizer", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type[Optimizer]]:
    entries = (catalogue_entry(name) for name in catalogue_names())
    return {d.name: optimizer_class(entry, d) for entry in entries for d in spellings(entry.manifest, "lucid")}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name.startswith("_") or name not in _classes():
        raise no_attribute(__name__, name, _classes())
    return _classes()[name]


def __dir__() -> list[str]:
    return sorted({*_OWN, *_classes()})
