"""Learning-rate schedules under the names of their specs, and in the spelling of any library.

`from optgen.schedules import cosine_annealing` gives the function that makes one from the hyperparameters of
`specs/schedules/cosine_annealing.toml`; `spelled_schedule("torch", "CosineAnnealingLR")` takes torch's arguments.
"""

from __future__ import annotations

import functools
from typing import Any

from optgen._lazy import lazy_names


@functools.cache
def _schedules() -> dict[str, Any]:
    # The compiler of schedules is in this package as well, and asks for no library of arrays.
    from optgen.schedules.manifests import schedule_names
    from optgen.schedules.schedule import Schedule, own_schedule, spelled_schedule

    made = {name: own_schedule(name) for name in schedule_names()}
    return {"Schedule": Schedule, "spelled_schedule": spelled_schedule, **made}


__getattr__, __dir__ = lazy_names(__name__, _schedules)
