"""Generated optimizers with lucid.optim's interface, on parameters whose `.data` and `.grad` are numpy arrays.

`from optgen.lucid import Adam` gives a class with lucid's arguments, defaults, state names and checkpoints; optimizers
that lucid lacks follow the same conventions. lucid itself is not needed: any object with these two attributes will do.
lucid.pyi lists the classes for editors and type checkers; `optgen docs` writes it.
"""

from __future__ import annotations

import functools

from optgen.runtime.catalogue_module import for_each_dialect, lazy_names
from optgen.runtime.grouped_dialect import spellings
from optgen.runtime.lucid_optimizer import Optimizer, optimizer_class

_OWN = ("Optimizer", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type[Optimizer]]:
    return for_each_dialect(lambda manifest: spellings(manifest, "lucid"), optimizer_class)


__getattr__, __dir__ = lazy_names(__name__, _classes, _OWN, "lucid.optim")
