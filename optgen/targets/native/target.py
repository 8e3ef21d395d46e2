"""The target of C kernels for CPUs."""

from __future__ import annotations

from optgen.targets.native.emit import emit_native
from optgen.targets.target import KernelTarget, Target

TARGET: Target = KernelTarget("native", "native.c", emit_native)
