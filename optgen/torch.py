"""Generated optimizers as `torch.optim.Optimizer`s.

`from optgen.torch import AdamW` gives a class with torch's arguments, defaults, state names and checkpoints; optimizers
that torch lacks follow the same conventions. torch.pyi lists the classes for editors and type checkers; `optgen docs`
writes it.
"""

from __future__ import annotations

import functools

from optgen.runtime.catalogue_module import for_each_dialect, lazy_names
from optgen.runtime.grouped_dialect import spellings
from optgen.runtime.torch_optimizer import GeneratedOptimizer, optimizer_class

_OWN = ("GeneratedOptimizer", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type[GeneratedOptimizer]]:
    return for_each_dialect(lambda manifest: spellings(manifest, "torch"), optimizer_class)


__getattr__, __dir__ = lazy_names(__name__, _classes, _OWN, "torch.optim")
