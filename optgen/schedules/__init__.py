"""Learning-rate schedules under the names of their specs, and in the spelling of any library.

`from optgen.schedules import cosine_annealing` gives the function that makes one from the hyperparameters of
`specs/schedules/cosine_annealing.toml`; `spelled_schedule("torch", "CosineAnnealingLR")` takes torch's arguments.
"""

from __future__ import annotations

import functools
from typing import Any

from optgen._lazy import lazy_names
from optgen.schedules.manifests import schedule_names
from optgen.schedules.schedule import Schedule as Schedule
from optgen.schedules.schedule import own_schedule
from optgen.schedules.schedule import spelled_schedule as spelled_schedule

_OWN = ("Schedule", "spelled_schedule")


@functools.cache
def _schedules() -> dict[str, Any]:
    return {name: own_schedule(name) for name in schedule_names()}


__getattr__, __dir__ = lazy_names(__name__, _schedules, _OWN)
