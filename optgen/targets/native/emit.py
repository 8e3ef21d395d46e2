"""Programs → a C file of kernels, and the plan by which the driver runs them."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.kernel_plan import FORMAT, KernelPlan
from optgen.contract.kinds import Kind
from optgen.escaping import visible
from optgen.targets.code import CompiledOptimizer
from optgen.targets.header import header, spec_digest
from optgen.targets.kernels.emit import CaseEmitter, Pool, plan_variant
from optgen.targets.native.kernels import NativeBuilder, NativeKernel
from optgen.targets.native.printer import NativePrinter, c_name
from optgen.targets.templating import template


@dataclass(frozen=True, slots=True)
class NativeModule:
    """The source of a C file and how to run it."""

    text: str
    plan: KernelPlan


def emit_native(optimizer: CompiledOptimizer) -> NativeModule:
    """The C file of an optimizer.

    Raises:
        UnsupportedByTarget: a rule asks for something that these kernels have no form of.
    """
    pool: Pool[NativeKernel] = Pool()
    variants = tuple(plan_variant(_NativeEmitter, pool, variant) for variant in optimizer.variants)
    tables = pool.tables
    for function in pool.functions:
        for name in (*function.call.arguments, *function.call.returns):
            tables.place(name, Kind.STEP)
    text = template(__file__, "module.c.jinja").render(
        header=header(optimizer),
        name=optimizer.spec.name,
        functions=pool.functions,
        kernels=pool.kernels,
        place=tables.scalars.__getitem__,
        c_name=c_name,
    )
    plan = KernelPlan(
        format=FORMAT,
        spec=visible(optimizer.spec.source.path),
        digest=spec_digest(optimizer.spec.source.text),
        scalars=tuple(tables.scalars),
        tensor_numbers=tuple(tables.tensor),
        model_numbers=tuple(tables.model),
        variants=variants,
    )
    return NativeModule(text, plan)


class _NativeEmitter(CaseEmitter[NativeKernel]):
    """Makes the C kernels of one case; what states start at is left to the array targets."""

    host = NativePrinter()
    folds_lines_at_once = True

    def builder(self, domain: Kind) -> NativeBuilder:
        return NativeBuilder(self.program, self.pool.tables, self.places, domain)
