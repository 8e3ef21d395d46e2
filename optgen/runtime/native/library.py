"""The driver, and the kernels of one generated file, as functions of this process."""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass

import numpy as np

from optgen.errors import InvalidHyperparameter, NoCompiler
from optgen.runtime.native.build import SOURCES, Source
from optgen.runtime.native.chunks import MOST_ARGUMENTS
from optgen.runtime.native.loading import compiled
from optgen.targets.kernels.plan import KernelPlan, Launch


def driver_source() -> Source:
    """What is compiled for `driver`."""
    return Source("driver", (SOURCES / "driver.c").read_text())


@functools.cache
def driver() -> ctypes.CDLL:
    """The functions of c/driver.c; calling one releases the interpreter's lock.

    Raises:
        NoCompiler: it cannot be compiled.
    """
    library = compiled(driver_source())
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.optgen_run.restype = number
    library.optgen_run.argtypes = [pointer, pointer, pointer, number, pointer, number, pointer]
    library.optgen_replace.restype = number
    library.optgen_replace.argtypes = [pointer, number, number, ctypes.c_double, ctypes.c_double]
    return library


def address_of(array: np.ndarray) -> int:
    """Where a numpy array stands."""
    found: int = array.__array_interface__["data"][0]
    return found


class Kernels:
    """The compiled functions of a generated file.

    Args:
        name: the optimizer's.
        text: the C file.
        plan: its plan.

    Attributes:
        places: for each function by its name, where it stands in `addresses`.
        addresses: of all functions.
        identity: what tells the compiled file apart from all others.

    Raises:
        NoCompiler: they cannot be compiled, or take more arrays than the driver hands over.
    """

    def __init__(self, name: str, text: str, plan: KernelPlan) -> None:
        self.plan = plan
        launches = [launch for variant in plan.variants for case in variant.cases for launch in case.launches]
        most = max((len(launch.arguments) for launch in launches), default=0)
        if most > MOST_ARGUMENTS:
            raise NoCompiler(f"a kernel of {name} takes {most} arrays, and the driver hands over {MOST_ARGUMENTS}")
        self._library = compiled(Source(name, text))
        self.identity: str = self._library._name
        names: dict[str, None] = {}
        for case in (case for variant in plan.variants for case in variant.cases):
            if case.step is not None:
                names[case.step.name] = None
            for launch in case.launches:
                names |= dict.fromkeys(_functions(launch))
        self.places = {name: index for index, name in enumerate(names)}
        self.addresses = np.array(
            [ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value for name in names], np.uint64
        )


def _functions(launch: Launch) -> tuple[str, str]:
    return f"{launch.kernel}_32", f"{launch.kernel}_64"


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
