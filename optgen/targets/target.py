"""Targets: the languages that rules are compiled to, as the pipeline sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from optgen.contract.kernel_plan import KernelPlan, write_plan
from optgen.targets.code import CompiledOptimizer


class Target(Protocol):
    """One language that rules are compiled to."""

    @property
    def name(self) -> str:
        """The name under which the registry has it."""

    @property
    def source(self) -> str:
        """The file that people read; `optgen show --target` prints it."""

    @property
    def has_kernels(self) -> bool:
        """Whether its files are left to be compiled on use where they would be longer than people read."""

    def emit(self, optimizer: CompiledOptimizer) -> Mapping[str, str]:
        """The files that are generated from an optimizer, by name.

        Raises:
            UnsupportedByTarget: a rule asks for something that the target has no form of.
        """


class KernelModule(Protocol):
    """The source of a file of kernels, and the plan by which the runtime runs them."""

    @property
    def text(self) -> str:
        """The file."""

    @property
    def plan(self) -> KernelPlan:
        """The plan."""


@dataclass(frozen=True, slots=True)
class KernelTarget:
    """A target of kernels, which has a plan `NAME.json` beside its source.

    Attributes:
        module: emits the source and the plan.
    """

    name: str
    source: str
    module: Callable[[CompiledOptimizer], KernelModule]
    has_kernels: bool = True

    def emit(self, optimizer: CompiledOptimizer) -> Mapping[str, str]:
        """See `Target.emit`."""
        module = self.module(optimizer)
        return {self.source: module.text, f"{self.name}.json": write_plan(module.plan)}
