"""Which kernels are used: the environment variable `OPTGEN_BACKEND`, and what this machine can do."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from typing import TypeVar

from optgen.errors import InvalidHyperparameter, NoCompiler

Made = TypeVar("Made")

#: `auto` is native kernels on a CPU and Triton's on a GPU, where they can be had; `arrays` is the operations of the
#: library that arrays are of.
BACKENDS = ("auto", "native", "triton", "arrays")


def backend() -> str:
    """The value of the environment variable `OPTGEN_BACKEND`.

    Raises:
        InvalidHyperparameter: it is none of `BACKENDS`.
    """
    chosen = os.environ.get("OPTGEN_BACKEND", "auto")
    if chosen not in BACKENDS:
        raise InvalidHyperparameter(f"OPTGEN_BACKEND is one of {', '.join(BACKENDS)}, not {chosen!r}")
    return chosen


def is_native() -> bool:
    """Whether native kernels are to be used; where there is no compiler, that is told once.

    Raises:
        NoCompiler: they are asked for, and cannot be had.
    """
    chosen = backend()
    if chosen == "triton":
        raise NoCompiler("OPTGEN_BACKEND=triton asks for kernels that run on a GPU")
    if chosen == "arrays":
        return False
    reason = why_not()
    if reason and chosen == "native":
        raise NoCompiler(reason)
    if reason:
        _tell(reason)
    return not reason


def made_or_told(make: Callable[[], Made]) -> Made | None:
    """Call `make`, or warn once and return None where `auto` has to do without compiled kernels.

    Raises:
        NoCompiler: they are asked for, and cannot be had.
    """
    if not is_native():
        return None
    try:
        return make()
    except NoCompiler as error:
        if backend() == "native":
            raise
        _tell(str(error))
        return None


def is_for_triton(device: str) -> bool:
    """Whether Triton's kernels are what a step on tensors of a kind of device is made by.

    Raises:
        NoCompiler: they are asked for, and the device is none that they run on.
    """
    if device == "cpu" and backend() == "triton" and os.environ.get("TRITON_INTERPRET") != "1":
        raise NoCompiler("Triton kernels run on a GPU; on the CPU TRITON_INTERPRET=1 has them interpreted")
    return device != "cpu" or backend() == "triton"


def triton_or_told(make: Callable[[], Made]) -> Made | None:
    """Call `make`, or warn once and return None where `auto` has to do without Triton's kernels.

    Raises:
        NoCompiler: they are asked for, and cannot be had.
    """
    if backend() in ("native", "arrays"):
        return None
    try:
        return make()
    except (ImportError, NoCompiler) as error:
        if backend() == "triton":
            raise NoCompiler(f"Triton's kernels cannot be used: {error}") from error
        _tell(str(error))
        return None


@functools.cache
def why_not() -> str:
    """Why there are no native kernels on this machine; empty if there are."""
    if sys.platform == "win32":
        return "the native target is not made for Windows"
    from optgen.runtime.native.library import driver

    try:
        driver()
    except NoCompiler as error:
        return str(error)
    return ""


@functools.cache
def _tell(reason: str) -> None:
    warnings.warn(
        f"optgen computes steps operation by operation, since there are no kernels for this device: {reason}. "
        "Set OPTGEN_BACKEND=arrays to silence this warning.",
        RuntimeWarning,
        stacklevel=2,
    )
