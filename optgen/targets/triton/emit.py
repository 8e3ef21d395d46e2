"""Programs → a module of Triton kernels, and the plan by which the runtime launches them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optgen.compiler.kinds import Kind
from optgen.compiler.operations import names_in
from optgen.targets.code import Optimizer, UnsupportedByTarget, initial_is_zero
from optgen.targets.header import header, spec_digest
from optgen.targets.host import HostPrinter, case_function
from optgen.targets.kernels.emit import CaseEmitter, EmittedFunction, Pool, listing
from optgen.targets.kernels.plan import BLOCKS, FORMAT, SLICES, HostFunction, KernelPlan, Launch, VariantPlan
from optgen.targets.templating import template
from optgen.targets.triton.kernels import TritonBuilder, TritonKernel


@dataclass(frozen=True, slots=True)
class TritonModule:
    """The source of a module and how to run it."""

    text: str
    plan: KernelPlan


def emit_triton(optimizer: Optimizer) -> TritonModule:
    """The Triton module of an optimizer.

    Raises:
        UnsupportedByTarget: a rule asks for something that these kernels have no form of.
    """
    pool: Pool[TritonKernel] = Pool()
    variants = []
    case_functions = []
    for variant in optimizer.variants:
        choice = ""
        if len(variant.cases) > 1:
            case_functions.append(case_function(variant))
            choice = case_functions[-1].name
        cases = tuple(_TritonEmitter(pool, variant, index, case).plan() for index, case in enumerate(variant.cases))
        variants.append(VariantPlan(variant.name, variant.matrix_axes, choice, cases))
    tests = [test for function in case_functions for test in function.tests]
    used = "\n".join(
        [
            *tests,
            *(line for f in pool.functions for line in (*(text for _, text in f.lines), *f.values)),
            *_kernel_text(pool),
        ]
    )
    text = template("triton").render(
        header=header(optimizer),
        case_functions=case_functions,
        functions=pool.functions,
        kernels=pool.kernels,
        uses=lambda name: re.search(rf"\b{name}\b", used) is not None,
        SLICES=SLICES,
        BLOCKS=BLOCKS,
    )
    tables = pool.tables
    plan = KernelPlan(
        format=FORMAT,
        spec=optimizer.spec.source.path,
        digest=spec_digest(optimizer.spec.source.text),
        scalars=tuple(tables.scalars),
        tensor_numbers=tuple(tables.tensor),
        model_numbers=tuple(tables.model),
        variants=tuple(variants),
    )
    return TritonModule(text, plan)


def _kernel_text(pool: Pool[TritonKernel]) -> Iterator[str]:
    for kernel in pool.kernels:
        yield from kernel.lines
        for fold in kernel.slices:
            yield from (fold.join, fold.fold)


class _TritonEmitter(CaseEmitter[TritonKernel]):
    """Makes the Triton kernels of one case, those that start its states included."""

    host = HostPrinter()

    def builder(self, domain: Kind) -> TritonBuilder:
        return TritonBuilder(self.program, self.pool.tables, self.places, domain)

    def first_numbers(self) -> HostFunction | None:
        """What states that start at a number other than zero start at."""
        states = [s for s in self.program.states if not initial_is_zero(s.initial) and not self.starts_at_theta(s.name)]
        if not states:
            return None
        reads = {name for state in states for name in names_in(state.initial)}
        call = HostFunction(f"{self.stem}_first_numbers", self.host_arguments(reads), tuple(s.name for s in states))
        values = tuple(self.host.text(s.initial) for s in states)
        return self.pool.function(EmittedFunction(call, "What states start at.", (), values))

    def first_values(self) -> Launch | None:
        """A kernel that writes the first values of the states that start from the parameter."""
        states = [s for s in self.program.states if self.starts_at_theta(s.name)]
        if not states:
            return None
        builder = self.builder(Kind.ELEMENT)
        for state in states:
            builder.store_first_value(state.name, state.initial)
        summary = f"What states start at: {listing([s.name for s in states])}."
        return self.pool.kernel(builder.kernel(self.name("first_values"), BLOCKS, summary))

    def starts_at_theta(self, name: str) -> bool:
        """Whether a state's first value depends on the parameter.

        Raises:
            UnsupportedByTarget: it depends on anything else besides hyperparameters.
        """
        state = {s.name: s for s in self.program.states}[name]
        reads = names_in(state.initial)
        known = {h.name for h in self.program.hyperparameters} | {"theta"}
        if reads - known:
            raise UnsupportedByTarget(f"Triton: '{name}[0]' depends on {', '.join(sorted(reads - known))}")
        return "theta" in reads
