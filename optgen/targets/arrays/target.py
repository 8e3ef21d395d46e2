"""The targets of array functions: jax.numpy, and libraries that compute as they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optgen.targets.arrays.emit import ArrayModule, emit_eager, emit_jax
from optgen.targets.code import CompiledOptimizer
from optgen.targets.target import Target


@dataclass(frozen=True, slots=True)
class ArrayTarget:
    """A target of array functions, which the manifest lists.

    Attributes:
        module: emits the source and the functions.
    """

    name: str
    source: str
    module: Callable[[CompiledOptimizer], ArrayModule]
    has_kernels: bool = False

    def emit(self, optimizer: CompiledOptimizer) -> Mapping[str, str]:
        """See `Target.emit`."""
        return {self.source: self.module(optimizer).text}


JAX: Target = ArrayTarget("jax", "jax.py", emit_jax)
EAGER: Target = ArrayTarget("eager", "eager.py", emit_eager)
