"""Programs → a module of Triton kernels, and the plan by which the runtime launches them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optgen.compiler.program import Definition
from optgen.contract.kernel_plan import BLOCKS, FORMAT, NUMBER, KernelPlan
from optgen.contract.kinds import Kind
from optgen.escaping import visible
from optgen.targets.code import CompiledOptimizer
from optgen.targets.header import header, spec_digest
from optgen.targets.host import HostPrinter
from optgen.targets.kernels.emit import CaseEmitter, Pool, plan_variant
from optgen.targets.templating import template
from optgen.targets.triton.kernel import TritonKernel
from optgen.targets.triton.kernels import TritonBuilder
from optgen.targets.triton.printer import StepPrinter

_STEP_PRINTER = StepPrinter()


@dataclass(frozen=True, slots=True)
class TritonModule:
    """The source of a module and how to run it."""

    text: str
    plan: KernelPlan


def emit_triton(optimizer: CompiledOptimizer) -> TritonModule:
    """The Triton module of an optimizer.

    Raises:
        UnsupportedByTarget: a rule asks for something that these kernels have no form of.
    """
    pool: Pool[TritonKernel] = Pool()
    variants = tuple(plan_variant(_TritonEmitter, pool, variant) for variant in optimizer.variants)
    used = "\n".join(
        [
            *(line for f in pool.functions for line in (*(text for _, text in f.lines), *f.values, *f.kernel)),
            *_kernel_text(pool),
        ]
    )
    text = template(__file__).render(
        header=header(optimizer),
        functions=pool.functions,
        kernels=pool.kernels,
        uses=lambda name: re.search(rf"\b{name}\b", used) is not None,
        BLOCKS=BLOCKS,
        NUMBER=NUMBER,
    )
    tables = pool.tables
    plan = KernelPlan(
        format=FORMAT,
        spec=visible(optimizer.spec.source.path),
        digest=spec_digest(optimizer.spec.source.text),
        scalars=tuple(tables.scalars),
        tensor_numbers=tuple(tables.tensor),
        model_numbers=tuple(tables.model),
        variants=variants,
    )
    return TritonModule(text, plan)


def _kernel_text(pool: Pool[TritonKernel]) -> Iterator[str]:
    for kernel in pool.kernels:
        yield from (*(text for _, text in kernel.first), *kernel.lines)
        for fold in kernel.folds:
            yield from (fold.join("_mask"), fold.fold)


class _TritonEmitter(CaseEmitter[TritonKernel]):
    """Makes the Triton kernels of one case; what states start at is left to the array targets."""

    host = HostPrinter()
    computes_numbers = True

    def builder(self, domain: Kind) -> TritonBuilder:
        return TritonBuilder(self.program, self.pool.tables, self.places, domain)

    def step_kernel(self, definitions: list[Definition], reads: set[str], returns: tuple[str, ...]) -> tuple[str, ...]:
        def place(name: str) -> int:
            return self.pool.tables.place(name, Kind.STEP)[1]

        return (
            *(f"{name} = tl.load(_numbers_ptr + {place(name)})" for name in self.host_arguments(reads)),
            *(f"{d.name} = {_STEP_PRINTER.text(d.expression)}" for d in definitions),
            *(f"tl.store(_numbers_ptr + {place(name)}, {name})" for name in returns),
        )
