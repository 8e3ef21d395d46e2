"""Learning-rate schedules under the names of their specs, and in the spelling of any library.

`from optgen.schedules import cosine_annealing` gives the function that makes one from the hyperparameters of
`specs/schedules/cosine_annealing.toml`; `spelled_schedule("torch", "CosineAnnealingLR")` takes torch's arguments.
"""

from __future__ import annotations

from typing import Any

from optgen.errors import UnknownSchedule
from optgen.runtime.lr_schedule_manifests import schedule_names
from optgen.runtime.lr_schedules import Schedule as Schedule
from optgen.runtime.lr_schedules import own_schedule
from optgen.runtime.lr_schedules import spelled_schedule as spelled_schedule
from optgen.runtime.names import no_attribute

_OWN = ("Schedule", "spelled_schedule")


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return own_schedule(name)
    except UnknownSchedule:
        raise no_attribute(__name__, name, schedule_names()) from None


def __dir__() -> list[str]:
    return sorted({*_OWN, *schedule_names()})
