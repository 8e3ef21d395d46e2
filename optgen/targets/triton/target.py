"""The target of Triton kernels for GPUs."""

from __future__ import annotations

from optgen.targets.target import KernelTarget, Target
from optgen.targets.triton.emit import emit_triton

TARGET: Target = KernelTarget("triton", "triton.py", emit_triton)
