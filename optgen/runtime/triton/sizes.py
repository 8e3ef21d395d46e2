"""Sizes of Triton's launches, and the types of their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import triton.language as tl

from optgen.contract.formats import EIGHT_BIT
from optgen.contract.kernel_plan import STATE_FORMATS, Launch

#: Contracting `a*b + c` into one rounding is left out, so that the numbers do not depend on how a compiler pairs terms.
LAUNCH_OPTIONS: Mapping[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}

#: Registers of a thread. A multiprocessor of NVIDIA's has 65536: at least 3 programs of 128 threads with as many.
MOST_REGISTERS = 160

#: The same of a kernel for the numbers of a step, which is one program.
NUMBER_OPTIONS: Mapping[str, Any] = {"num_warps": 1, "enable_fp_fusion": False}


def options_of(launch: Launch, backend: str) -> dict[str, Any]:
    """How a kernel is compiled for `cuda` or `hip`.

    What is folded stays in registers; left alone, NVIDIA's compiler keeps some of it in memory rather than use over 64.
    """
    return {**LAUNCH_OPTIONS, **({"maxnreg": MOST_REGISTERS} if launch.folds and backend == "cuda" else {})}


#: How types are called in kernels, by the names that numpy and torch have in common.
TYPES = {
    "float32": tl.float32,
    "float64": tl.float64,
    "bfloat16": tl.bfloat16,
    "float16": tl.float16,
    # Formats of states.
    "uint16": tl.uint16,
    "uint8": tl.uint8,
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How kernels share out their work; it depends on the model alone, so that sums have a fixed order.

    Attributes:
        block: numbers that an elementwise kernel computes with at once, a power of 2.
        programs: how many an elementwise kernel is to have before one goes through several blocks.
        blocks: how many a program goes through then.
        parts: partial results of one tensor, at most: beyond, programs go through more blocks.
        tiles: results and operands per tile of a fold along axes, by extent, powers of 2; wide along what is
            contiguous.
    """

    block: int = 1024
    programs: int = 2048
    blocks: int = 16
    parts: int = 4096
    tiles: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {"rows": (64, 16), "columns": (8, 128), "other_axes": (16, 64)}
    )

    def block_of(self, formats: Iterable[int]) -> int:
        """The block of a kernel that takes states in these formats, see `STATE_FORMATS`: rounding needs registers."""
        return self.block // 2 if any(format >= STATE_FORMATS[EIGHT_BIT] for format in formats) else self.block

    def chunk(self, count: int, model_size: int) -> int:
        """How many of a tensor's numbers one program goes through: a multiple of `block`."""
        wanted = min(self.blocks, max(1, model_size // (self.block * self.programs)))
        needed = -(-count // (self.block * self.parts))
        return self.block * max(wanted, needed)


def itemsize(dtype: str) -> int:
    """Bytes of a number; int64 is what tables hold."""
    return 8 if dtype == "int64" else TYPES[dtype].primitive_bitwidth // 8
