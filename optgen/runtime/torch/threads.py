"""torch's threads, lent to native kernels, also in a forked process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from optgen.runtime.threads import Team


@functools.cache
def _parallel() -> int:
    """`GOMP_parallel` of the OpenMP library that torch runs on, 0 if it is none that has it.

    After a gradient has been computed these threads are awake, and look for work for a while: others would first have
    to take the processor from them.
    """
    if not _has_threads:
        return 0
    found = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return ctypes.cast(found, ctypes.c_void_p).value or 0 if found and torch.backends.openmp.is_available() else 0  # type: ignore[no-untyped-call]


def torch_team() -> Team:
    """As many threads as torch uses, where possible the very threads."""
    return _team(_alone.count or torch.get_num_threads())


@functools.cache
def _team(threads: int) -> Team:
    return Team(threads, _parallel())


def _was_forked() -> bool:
    """Whether this process is a fork of another, as Linux tells; then torch may have been used before."""
    try:
        flags = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[6])
    except (OSError, ValueError, IndexError):
        return False
    return bool(flags & 0x40)  # PF_FORKNOEXEC


_has_threads = not _was_forked()


class _Alone:
    """Keeps torch's own operations to the threads that call them, for as long as any thread makes a step.

    torch has one count for the process, and each thread another that it has been told: every thread tells its own, and
    takes back what it has told when none makes a step any more.

    Attributes:
        count: how many threads torch has been told to use by others; 0 while no thread makes a step.
    """

    def __init__(self) -> None:
        self.count = 0
        self._steps = 0
        self._changed = threading.Condition()
        self._here = threading.local()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A step of the calling thread; it ends with those of other threads, if such run beside it."""
        if getattr(self._here, "is_in_step", False):
            yield
            return
        with self._changed:
            count = self.count = self.count or torch.get_num_threads()
            self._steps += 1
            torch.set_num_threads(1)
        self._here.is_in_step = True
        try:
            yield
        finally:
            self._here.is_in_step = False
            with self._changed:
                self._steps -= 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._steps)
                torch.set_num_threads(count)
                self.count = 0


_alone = _Alone()


def _forget_threads() -> None:
    """In a forked process one would wait for threads that do not exist."""
    global _has_threads, _alone
    _has_threads = False
    _alone = _Alone()
    _parallel.cache_clear()
    _team.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def safe_after_fork(step: Callable[..., None]) -> Callable[..., None]:
    """A step during which torch's own operations use no threads in a forked process, where they would wait for ever.

    The kernels' threads are the driver's then, as many as ever.
    """

    @functools.wraps(step)
    def made(*given: Any) -> None:
        if _has_threads:
            step(*given)
            return
        with _alone.step():
            step(*given)

    return made
