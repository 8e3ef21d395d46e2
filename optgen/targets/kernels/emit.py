"""Programs → kernels, in the order in which a schedule has its passes, whatever language they are written in.

Each pass of the schedule becomes kernels that run for one tensor after the other: folds along some axes go first, since
they read what the pass may overwrite, then comes one kernel that goes through all the pass's numbers. Folds over a
tensor or the model leave partial results, which one more program adds up in a fixed order. Numbers of the step are
computed in float64 before any kernel runs, and are read by kernels from memory, so that no new value ever compiles
anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Generic

from optgen.compiler.operations import symbol
from optgen.compiler.passes import Pass, PassSchedule
from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.contract.kernel_plan import (
    BLOCKS,
    NUMBER,
    SLICES,
    Buffer,
    CasePlan,
    Fold,
    HostFunction,
    Launch,
    StatePlan,
    VariantPlan,
)
from optgen.contract.kinds import Kind
from optgen.targets.code import Variant
from optgen.targets.kernels.builder import ArrayNames, K, KernelBuilder, NumberTables, needed
from optgen.targets.printer import ExpressionPrinter

_SLICE_EXTENTS = ("rows", "columns", "other_axes")
_PLURALS = {
    Kind.ELEMENT: "elements", Kind.ROW: "rows", Kind.COLUMN: "columns", Kind.MATRIX: "matrices", Kind.AXIS: "axes"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EmittedFunction:
    """A function of the host as the template prints it.

    Attributes:
        lines: names and the expressions that they stand for.
        kernel: the lines of a kernel that does the same, where a target has such.
    """

    call: HostFunction
    summary: str
    lines: tuple[tuple[str, str], ...]
    values: tuple[str, ...]
    kernel: tuple[str, ...] = ()


class Pool(Generic[K]):
    """All functions and kernels of a module; what variants share is written once, under the first one's name."""

    def __init__(self) -> None:
        self.tables = NumberTables()
        self.functions: list[EmittedFunction] = []
        self.kernels: list[K] = []
        self._names: dict[object, str] = {}

    def function(self, function: EmittedFunction) -> HostFunction:
        call = function.call
        same = (call.arguments, call.returns, function.lines, function.values)
        if same not in self._names:
            self._names[same] = call.name
            self.functions.append(function)
        first = next(known.call for known in self.functions if known.call.name == self._names[same])
        return replace(call, name=first.name, kernel=first.kernel)

    def kernel(self, kernel: K) -> Launch:
        launch = kernel.launch
        if kernel.body not in self._names:
            self._names[kernel.body] = launch.kernel
            self.kernels.append(kernel)
        return replace(launch, kernel=self._names[kernel.body])


class CaseEmitter(ABC, Generic[K]):
    """Works through the schedule of one case and makes its kernels.

    Args:
        pool: where kernels go.
        stem: what their names begin with.
        program, schedule: the case.

    Attributes:
        host: spells the numbers of the step.
        computes_numbers: whether a kernel over the elements of a tensor can compute the tensor's numbers by itself, so
            that these need no kernel of their own.
        folds_lines_at_once: whether one kernel can fold over rows and over columns.
    """

    host: ClassVar[ExpressionPrinter]
    computes_numbers: ClassVar[bool] = False
    folds_lines_at_once: ClassVar[bool] = False

    def __init__(self, pool: Pool[K], stem: str, program: Program, schedule: PassSchedule) -> None:
        self.pool = pool
        self.stem = stem
        self.program = program
        self.schedule = schedule
        self.kinds = program.kinds
        self.places = ArrayNames(self.program)
        self.launches: list[Launch] = []
        self.bases: dict[str, int] = {}
        #: Folds over a tensor, and over the model, whose partial results are not added up yet.
        self.open_folds: dict[Kind, list[Definition]] = {Kind.TENSOR: [], Kind.GLOBAL: []}
        #: Folds and numbers of a tensor that wait for a kernel which computes them.
        self.waiting: list[tuple[list[Definition], tuple[Definition, ...]]] = []

    def plan(self) -> CasePlan:
        """Emit everything that the case needs."""
        step = self.step_function()
        for position, part in enumerate(self.schedule.passes):
            later = {name for after in self.schedule.passes[position + 1 :] for name in after.writes}
            self.emit_pass(part, later)
        self.add_up(Kind.GLOBAL, self.open_folds[Kind.GLOBAL])
        self.add_up(Kind.TENSOR, self.open_folds[Kind.TENSOR])
        self.emit_waiting()
        folds = [d for d in self.program.definitions if isinstance(d.value, Reduce)]
        return CasePlan(
            step=step,
            states=tuple(StatePlan(s.name, s.kind, s.depth, s.new) for s in self.program.states),
            inputs=tuple(Buffer(i.name, i.kind) for i in self.program.inputs),
            buffers=tuple(Buffer(name, kind) for name, kind in self.places.buffers.items()),
            folds=tuple(
                Fold(d.name, d.value.operation, d.kind)
                for d in folds
                if isinstance(d.value, Reduce) and d.value.over != "axes"
            ),
            launches=tuple(self.launches),
        )

    def name(self, base: str) -> str:
        """A kernel name that this case has not used."""
        self.bases[base] = self.bases.get(base, 0) + 1
        number = f"_{self.bases[base]}" if self.bases[base] > 1 else ""
        return f"{self.stem}_{base}{number}"

    @abstractmethod
    def builder(self, domain: Kind) -> KernelBuilder[K]:
        """A builder for a kernel over the numbers of a kind."""

    def emit_pass(self, part: Pass, later: set[str]) -> None:
        reads = {name for d in (*part.definitions, *part.folds) for name in d.reads}
        waited_for = [fold for fold in self.open_folds[Kind.GLOBAL] if fold.name in reads]
        if part.domain is Kind.GLOBAL:
            self.emit_numbers(part, waited_for)
            return
        self.add_up(Kind.GLOBAL, waited_for)
        if part.domain is Kind.TENSOR:
            self.emit_numbers(part, self.open_folds[Kind.TENSOR])
            return
        if any(fold.name in reads for fold in self.open_folds[Kind.TENSOR]):
            self.add_up(Kind.TENSOR, self.open_folds[Kind.TENSOR])
        sliced = {extent: [f for f in part.folds if _extent(f) == extent] for extent in _SLICE_EXTENTS}
        if self.folds_lines_at_once and part.domain is Kind.ELEMENT and sliced["rows"] and sliced["columns"]:
            sliced = {"lines": sliced.pop("rows") + sliced.pop("columns"), **sliced}
        for extent, folds in sliced.items():
            if folds:
                self.emit_slices(part, extent, folds)
        folds = [f for f in part.folds if f.kind in self.open_folds]
        if folds or part.writes:
            self.emit_blocks(part, folds, later)

    def emit_blocks(self, part: Pass, folds: list[Definition], later: set[str]) -> None:
        """A kernel that goes through all numbers of a pass, stores what it writes and what it adds to folds."""
        if part.domain is not Kind.ELEMENT:
            self.emit_waiting()
        builder = self.builder(part.domain)
        totals = [fold.name for finished, _ in self.waiting for fold in finished]
        for finished, numbers in self.waiting:
            builder.compute_first(finished, numbers)
        self.waiting.clear()
        roots = [*(symbol(name) for name in part.writes), *(fold.expression for fold in folds)]
        builder.define(needed(part.definitions, roots))
        # Folds first: their operands may be what a store is about to overwrite.
        for fold in folds:
            builder.store_part(fold)
            self.open_folds[fold.kind].append(fold)
        # And all loads before any store: the compiler has to assume that a store may change what is loaded after it.
        builder.load_all([*part.writes, *(("theta",) if UPDATE in part.writes else ())])
        for name in part.writes:
            builder.store_array(name, is_final=name not in later)
        plural = _PLURALS[part.domain]
        summary = f"All {plural} of a tensor: {listing([*part.writes, *(f.name for f in folds)])}."
        names = tuple(f.name for f in folds)
        kernel = builder.kernel(self.name(plural), BLOCKS, summary, folds=names, totals=tuple(totals))
        self.launches.append(self.pool.kernel(kernel))

    def emit_slices(self, part: Pass, extent: str, folds: list[Definition]) -> None:
        """A kernel that folds a pass's numbers along axes; each program makes a few of the results."""
        self.emit_waiting()
        builder = self.builder(part.domain)
        builder.define(needed(part.definitions, [fold.expression for fold in folds]))
        builder.fold_slices(folds)
        summary = f"Folds over {extent.replace('_', ' ')}: {listing([f.name for f in folds])}."
        names = tuple(f.name for f in folds)
        kernel = builder.kernel(self.name(f"fold_{extent}"), SLICES, summary, extent, names)
        self.launches.append(self.pool.kernel(kernel))

    def emit_numbers(self, part: Pass, totals: list[Definition]) -> None:
        """One program: finishes folds, then computes the single numbers that follow from them."""
        self.numbers(part.domain, totals, part.definitions, part.folds)

    def add_up(self, kind: Kind, totals: list[Definition]) -> None:
        """One program that only finishes folds."""
        if totals:
            self.numbers(kind, totals, (), ())

    def numbers(
        self,
        kind: Kind,
        totals: list[Definition],
        definitions: tuple[Definition, ...],
        folds: tuple[Definition, ...],
    ) -> None:
        """Numbers of a tensor or the model: by a program of their own, or by the kernel that comes next."""
        totals = list(totals)
        for fold in totals:
            self.open_folds[fold.kind].remove(fold)
        if self.computes_numbers and kind is Kind.TENSOR and not folds:
            self.waiting.append((totals, definitions))
            return
        self.emit_waiting()
        self.emit_program(kind, totals, definitions, folds)
        for fold in folds:
            self.open_folds[fold.kind].append(fold)

    def emit_waiting(self) -> None:
        """Programs for the numbers that no kernel has computed."""
        for totals, definitions in self.waiting:
            self.emit_program(Kind.TENSOR, totals, definitions, ())
        self.waiting.clear()

    def emit_program(
        self,
        kind: Kind,
        totals: list[Definition],
        definitions: tuple[Definition, ...],
        folds: tuple[Definition, ...],
    ) -> None:
        """A kernel of one program for each tensor, or for the model."""
        builder = self.builder(kind)
        for fold in totals:
            builder.total(fold)
        builder.define(definitions)
        for definition in definitions:
            builder.store_number(definition.name)
        for fold in folds:
            builder.store_part(fold)
        base = "model" if kind is Kind.GLOBAL else "tensor"
        summary = f"Numbers of {'the model' if kind is Kind.GLOBAL else 'one tensor'}, by one program."
        kernel = builder.kernel(
            self.name(base), NUMBER, summary, folds=tuple(f.name for f in folds), totals=tuple(f.name for f in totals)
        )
        self.launches.append(self.pool.kernel(kernel))

    def step_function(self) -> HostFunction | None:
        """The numbers known before any tensor is looked at."""
        program = self.program
        definitions = [d for d in program.definitions if d.kind.is_per_step]
        own = {d.name for d in definitions}
        wanted = set(program.outputs)
        for definition in program.definitions:
            if definition.name not in own:
                wanted |= definition.reads
        returns = tuple(d.name for d in definitions if d.name in wanted)
        if not returns:
            return None
        reads = {name for d in definitions for name in d.reads} - own
        lines = tuple((d.name, self.host.text(d.expression)) for d in definitions)
        kernel = self.step_kernel(definitions, reads, returns)
        name = f"{self.stem}_step"
        call = HostFunction(name, self.host_arguments(reads), returns, f"{name}_numbers" if kernel else "")
        return self.pool.function(EmittedFunction(call, "Numbers of one step, in float64.", lines, returns, kernel))

    def step_kernel(self, definitions: list[Definition], reads: set[str], returns: tuple[str, ...]) -> tuple[str, ...]:
        """The lines of a kernel that computes the numbers of the step on the device; none if this target has none."""
        return ()

    def host_arguments(self, names: set[str]) -> tuple[str, ...]:
        """The step first, then hyperparameters and inputs as declared, then the rest."""
        declared = ["t", *(h.name for h in self.program.hyperparameters), *(i.name for i in self.program.inputs)]
        return (*(n for n in declared if n in names), *sorted(names - set(declared)))


def plan_variant(emitter: type[CaseEmitter[K]], pool: Pool[K], variant: Variant) -> VariantPlan:
    """Emit a variant: its cases, and where the schedule is another then, those that round their states."""
    is_single = len(variant.cases) == 1
    cases = [(variant.name if is_single else f"{variant.name}_case{i}", one) for i, one in enumerate(variant.cases, 1)]
    plans = tuple(emitter(pool, stem, case.program, case.schedule).plan() for stem, case in cases)
    if all(case.rounding is None for _, case in cases):
        return VariantPlan(variant.name, variant.matrix_axes, plans)
    rounding = tuple(
        plan if case.rounding is None else emitter(pool, f"{stem}_rounding", case.program, case.rounding).plan()
        for plan, (stem, case) in zip(plans, cases, strict=True)
    )
    return VariantPlan(variant.name, variant.matrix_axes, plans, rounding)


def _extent(fold: Definition) -> str:
    return fold.value.over if isinstance(fold.value, Reduce) else ""


def listing(names: list[str]) -> str:
    """Names for a summary, each once."""
    return ", ".join(dict.fromkeys(names))
