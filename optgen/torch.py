"""Generated optimizers as `torch.optim.Optimizer`s.

`from optgen.torch import AdamW` gives a class with torch's arguments, defaults, state names and checkpoints; optimizers
that torch lacks follow the same conventions. torch.pyi lists the classes for editors and type checkers; `optgen docs`
writes it.
"""

from __future__ import annotations

import functools
from typing import Any

from optgen.runtime.entry import catalogue_entry
from optgen.runtime.grouped_dialect import spellings
from optgen.runtime.manifests import catalogue_names
from optgen.runtime.names import no_attribute
from optgen.runtime.torch_optimizer import GeneratedOptimizer, optimizer_class

_OWN = ("GeneratedOptimizer", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type[GeneratedOptimizer]]:
    entries = (catalogue_entry(name) for name in catalogue_names())
    return {d.name: optimizer_class(entry, d) for entry in entries for d in spellings(entry.manifest, "torch")}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name.startswith("_") or name not in _classes():
        raise no_attribute(__name__, name, _classes())
    return _classes()[name]


def __dir__() -> list[str]:
    return sorted({*_OWN, *_classes()})
