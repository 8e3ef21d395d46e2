"""Generated optimizers and schedulers as stateful objects over JAX arrays, with braintools.optim's interface.

`from optgen.optim import AdamW`; the weights are any objects with a settable `.value`, brainstate's States among them.
`from optgen.optim import StepLR`: a scheduler goes where a learning rate goes.
"""

from __future__ import annotations

import functools
from typing import Any

from optgen.optim.base import Optimizer as Optimizer
from optgen.optim.base import optimizer_class
from optgen.optim.schedulers import scheduler_classes
from optgen.runtime.entry import catalogue_entry
from optgen.runtime.manifests import catalogue_names
from optgen.runtime.names import no_attribute

_OWN = ("Optimizer", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for name in catalogue_names():
        entry = catalogue_entry(name)
        for dialect in entry.manifest.dialects:
            if dialect.library == "braintools":
                found[dialect.name] = optimizer_class(entry, dialect)
    return found | scheduler_classes()


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name.startswith("_") or name not in _classes():
        raise no_attribute(__name__, name, _classes())
    return _classes()[name]


def __dir__() -> list[str]:
    return sorted({*_OWN, *_classes()})
