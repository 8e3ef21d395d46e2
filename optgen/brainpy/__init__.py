"""Generated optimizers and schedulers with brainpy.optim's interface.

`from optgen.brainpy import Adam`; the variables are brainpy's, or any objects with a settable `.value`. brainpy itself
is not needed.
"""

from __future__ import annotations

import functools

from optgen.brainpy.base import Optimizer as Optimizer
from optgen.brainpy.base import StateLoadResult as StateLoadResult
from optgen.brainpy.base import optimizer_class
from optgen.brainpy.schedulers import CallBasedScheduler as CallBasedScheduler
from optgen.brainpy.schedulers import Scheduler as Scheduler
from optgen.brainpy.schedulers import make_schedule as make_schedule
from optgen.brainpy.schedulers import scheduler_classes
from optgen.runtime.catalogue_module import dialects_of, for_each_dialect, lazy_names

# And the classes of the catalogue, see `__dir__`.
_OWN = ("CallBasedScheduler", "Optimizer", "Scheduler", "StateLoadResult", "make_schedule", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type]:
    return {**for_each_dialect(dialects_of("brainpy"), optimizer_class), **scheduler_classes()}


__getattr__, __dir__ = lazy_names(__name__, _classes, _OWN, "brainpy.optim")
