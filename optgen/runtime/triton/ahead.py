"""Triton kernels as machine code, compiled ahead of the arrays that they run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


def machine_code(
    kernel: Any, pointers: Mapping[str, str], constants: Mapping[str, Any], gpu: GPUTarget, options: Mapping[str, Any]
) -> Any:
    """A kernel compiled for a GPU, which need not be here; all its pointers are multiples of 16.

    Args:
        kernel: a function of a generated module.
        pointers: its other arguments by name, and what they point to as Triton spells types: `fp32`, `i64`.
        constants: its constants by name.
        gpu: for which GPU.
        options: how it is compiled.

    Returns:
        Triton's `CompiledKernel`: `asm` by stage, and `metadata`.

    Raises:
        triton.CompilationError: the kernel does not compile.
    """
    names = kernel.arg_names
    signature = {name: f"*{pointers[name]}" if name in pointers else "constexpr" for name in names}
    aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if name in pointers}
    values = {(names.index(name),): value for name, value in constants.items()}
    return triton.compile(ASTSource(kernel, signature, values, aligned), target=gpu, options=dict(options))
