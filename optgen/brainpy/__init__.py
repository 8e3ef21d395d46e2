"""Generated optimizers and schedulers with brainpy.optim's interface.

`from optgen.brainpy import Adam`; the variables are brainpy's, or any objects with a settable `.value`. brainpy itself
is not needed.
"""

from __future__ import annotations

import functools
from typing import Any

from optgen.brainpy.base import Optimizer as Optimizer
from optgen.brainpy.base import StateLoadResult as StateLoadResult
from optgen.brainpy.base import optimizer_class
from optgen.brainpy.schedulers import CallBasedScheduler as CallBasedScheduler
from optgen.brainpy.schedulers import Scheduler as Scheduler
from optgen.brainpy.schedulers import make_schedule as make_schedule
from optgen.brainpy.schedulers import scheduler_classes
from optgen.runtime.entry import catalogue_entry
from optgen.runtime.manifests import catalogue_names
from optgen.runtime.names import no_attribute

# And the classes of the catalogue, see `__dir__`.
_OWN = ("CallBasedScheduler", "Optimizer", "Scheduler", "StateLoadResult", "make_schedule", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for name in catalogue_names():
        entry = catalogue_entry(name)
        for dialect in entry.manifest.dialects:
            if dialect.library == "brainpy":
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
