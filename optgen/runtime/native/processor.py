"""This machine's processor, as the system describes it."""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor.

    Attributes:
        name: as its maker calls it.
        abilities: the names of what it can do beyond its architecture; empty where the system does not tell.
    """

    name: str
    abilities: frozenset[str]


@functools.cache
def processor() -> Processor:
    """The processor of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return Processor(platform.processor() or platform.machine(), frozenset())
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines)}
    abilities = told.get("flags", told.get("Features", "")).split()
    return Processor(told.get("model name") or platform.machine(), frozenset(abilities))
