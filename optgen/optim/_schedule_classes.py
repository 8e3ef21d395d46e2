"""Learning-rate schedules as objects that count their own steps, with the interface of braintools' schedulers.

`from optgen.optim import StepLR`; `AdamW(lr=StepLR(0.1, 30))` reads the scheduler's rate at every step, and
`scheduler.step()`, once per step or per epoch as the training loop likes, moves it on.
"""

from __future__ import annotations

import functools
import inspect

from optgen.contract.dialects import Dialect
from optgen.optim._scheduled import LAST_EPOCH, ScheduledLR
from optgen.optim._schedulers import LRScheduler
from optgen.schedules.arguments import schedule_signature
from optgen.schedules.docstrings import described_schedule
from optgen.schedules.manifest import LrScheduleManifest
from optgen.schedules.manifests import spelled


def scheduler_class(
    manifest: LrScheduleManifest, dialect: Dialect, parent: type[ScheduledLR] = ScheduledLR
) -> type[ScheduledLR]:
    """The class of one schedule's schedulers, with braintools' name and arguments."""
    own = parent.__dict__.get("__signature__")  # of a class that takes more than the schedule does
    return type(
        dialect.name,
        (parent,),
        {
            "manifest": manifest,
            "dialect": dialect,
            "__signature__": own or scheduler_signature(schedule_signature(manifest, dialect)),
            "__module__": "optgen.optim",
            "__doc__": parent.__doc__ if own else described_schedule(manifest, dialect),
        },
    )


def scheduler_signature(own: inspect.Signature) -> inspect.Signature:
    """The signature of a scheduler whose schedule has the given one."""
    return own.replace(parameters=[*own.parameters.values(), LAST_EPOCH])


@functools.cache
def scheduler_classes() -> dict[str, type[LRScheduler]]:
    """Every scheduler of `optgen.optim`, by its name."""
    from optgen.optim._composed_schedulers import ChainedScheduler, SequentialLR
    from optgen.optim._extended_schedulers import EXTENDED
    from optgen.optim._plateau import ReduceLROnPlateau

    found: dict[str, type[LRScheduler]] = {
        name: scheduler_class(manifest, dialect, EXTENDED.get(name, ScheduledLR))
        for name, (manifest, dialect) in spelled("braintools").items()
    }
    others = (LRScheduler, ChainedScheduler, SequentialLR, ReduceLROnPlateau)
    return found | {other.__name__: other for other in others}
