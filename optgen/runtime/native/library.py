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
from optgen.runtime.native.places import FORMATS, Formats
from optgen.targets.kernels.plan import KernelPlan


def driver_source() -> Source:
    """What is compiled for `driver`."""
    return Source("driver", (SOURCES / "driver.c").read_text())


@functools.cache
def driver() -> ctypes.CDLL:
    """The functions of c/driver.c; calling one releases the interpreter's lock.

    Raises:
        NoCompiler: it cannot be compiled, or lacks them.
    """
    library = compiled(driver_source(), ("optgen_run", "optgen_replace"))
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
        addresses: of all functions; zeros where a library has not been loaded.
        identity: what tells the compiled file apart from all others.

    Raises:
        NoCompiler: they cannot be compiled, or take more arrays than the driver hands over.
    """

    def __init__(self, name: str, text: str, plan: KernelPlan) -> None:
        self.plan = plan
        cases = [case for variant in plan.variants for case in variant.all_cases]
        launches = [launch for case in cases for launch in case.launches]
        most = max((len(launch.arguments) for launch in launches), default=0)
        if most > MOST_ARGUMENTS:
            raise NoCompiler(f"a kernel of {name} takes {most} arrays, and the driver hands over {MOST_ARGUMENTS}")
        self._name, self._text = name, text
        kernels = dict.fromkeys(launch.kernel for launch in launches)
        single, double = ([f"{kernel}_{bits}" for kernel in kernels] for bits in (32, 64))
        steps = dict.fromkeys(case.step.name for case in cases if case.step is not None)
        # The same places in every process: programs that XLA keeps know them.
        functions: list[tuple[str, Formats | None]] = [(function, None) for function in (*single, *double, *steps)]
        functions += [(function, formats) for formats in FORMATS for function in single]
        self._places = {function: place for place, function in enumerate(functions)}
        self.addresses = np.zeros(len(functions), np.uint64)
        self._libraries: dict[Formats | None, ctypes.CDLL | None] = {}
        self.identity: str = self._load(None)._name

    def place(self, function: str, formats: Formats | None = None) -> int:
        """Where in `addresses` a function stands; a kernel in other formats only if it `takes` these."""
        return self._places[function, formats]

    def takes(self, formats: Formats) -> bool:
        """Whether there are kernels for arrays in these formats; they are compiled when first asked for."""
        if formats not in self._libraries:
            try:
                self._load(formats)
            except NoCompiler:  # the package has none for these, and there is no compiler
                self._libraries[formats] = None
        return self._libraries[formats] is not None

    def _load(self, formats: Formats | None) -> ctypes.CDLL:
        places = {function: place for (function, wanted), place in self._places.items() if wanted == formats}
        library = compiled(kernel_source(self._name, self._text, formats), places)
        self._libraries[formats] = library
        for function, place in places.items():
            self.addresses[place] = ctypes.cast(getattr(library, function), ctypes.c_void_p).value or 0
        return library


def kernel_source(name: str, text: str, formats: Formats | None = None) -> Source:
    """What is compiled of a generated file: both precisions; or what takes arrays in other formats."""
    if formats is None:
        return Source(name, text)
    defines = ("OPTGEN_BITS=32", f"OPTGEN_STORED={formats.stored}", f"OPTGEN_KEPT={formats.kept}")
    return Source(f"{name}-{formats.stored}-{formats.kept}", text, defines=defines)


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
