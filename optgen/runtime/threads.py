"""The threads that native kernels run on."""

from __future__ import annotations

import os
from dataclasses import dataclass

from optgen.errors import InvalidHyperparameter


def thread_count() -> int:
    """How many threads a step may use: `OPTGEN_NUM_THREADS`, else the processors that this process may run on.

    Raises:
        InvalidHyperparameter: the variable holds no such number.
    """
    told = os.environ.get("OPTGEN_NUM_THREADS")
    if told is not None:
        if not told.isdecimal() or int(told) < 1:
            raise InvalidHyperparameter(f"OPTGEN_NUM_THREADS is a number of threads, 1 or more, not {told!r}")
        return int(told)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Team:
    """The threads that make a step.

    Attributes:
        size: how many there are at most.
        parallel: the address of a function like libgomp's `GOMP_parallel`, whose threads they are; 0: the driver's own.
    """

    size: int
    parallel: int = 0
