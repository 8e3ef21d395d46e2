"""Passes → kernels: what is the same whatever language they are written in.

A builder collects what one kernel does: which values it loads, computes, stores and folds. How that is spelled is the
target's, in the methods that are abstract here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from sympy import Expr

from optgen.compiler.operations import names_in
from optgen.compiler.program import Definition, Program, Reduce
from optgen.contract.kernel_plan import Launch
from optgen.contract.kinds import Kind


class Kernel(Protocol):
    """A kernel as a target's template prints it."""

    @property
    def launch(self) -> Launch:
        """The kernel's launch, as the runtime reads it."""
        ...

    @property
    def body(self) -> object:
        """A key that is equal for kernels with the same code."""
        ...


#: A target's own kernels.
K = TypeVar("K", bound=Kernel)


@dataclass(slots=True)
class NumberTables:
    """Where in the arrays of numbers a name stands; shared by a module's kernels, so that equal kernels stay equal."""

    scalars: dict[str, int] = field(default_factory=dict)
    tensor: dict[str, int] = field(default_factory=dict)
    model: dict[str, int] = field(default_factory=dict)

    def place(self, name: str, kind: Kind) -> tuple[str, int]:
        """The array and the index for a single number."""
        role = "scalars" if kind.is_per_step else "model" if kind is Kind.GLOBAL else "tensor"
        table: dict[str, int] = getattr(self, role)
        return role, table.setdefault(name, len(table))


class ArrayNames:
    """Where the arrays of one program stand as its passes run: a value may move from scratch to its state."""

    def __init__(self, program: Program) -> None:
        self.kinds = program.kinds
        self._final = {program.result: "theta"}
        for state in program.states:
            if self.kinds[state.new] is Kind.ELEMENT:
                # In a ring of more than one the new value has a place of its own, which was the oldest one's.
                self._final[state.new] = state.name if state.depth == 1 else state.new
        self._defined = {d.name for d in program.definitions}
        self._stored: dict[str, str] = {}
        self.buffers: dict[str, Kind] = {}

    def load(self, name: str) -> str:
        """The array to read a value from."""
        if name not in self._defined:
            return name
        return self._stored[name]

    def store(self, name: str, is_final: bool) -> str:
        """The array to write a value to; from then on it is read from there."""
        kind = self.kinds[name]
        if kind is Kind.ELEMENT and is_final and name in self._final:
            array = self._final[name]
        else:
            array = f"{name}_scratch" if kind is Kind.ELEMENT else name
            self.buffers[array] = kind
        self._stored[name] = array
        return array


class KernelBuilder(ABC, Generic[K]):
    """Collects the lines and arguments of one kernel."""

    def __init__(self, program: Program, tables: NumberTables, places: ArrayNames, domain: Kind) -> None:
        self.program = program
        self.kinds = program.kinds
        self.tables = tables
        self.places = places
        self.domain = domain
        self.lines: list[str] = []
        self.known: set[str] = set()
        #: States whose new values are read from where another kernel has stored them.
        self.again: dict[str, None] = {}
        self.by_name = {d.name: d for d in program.definitions}
        #: The names of the new values of states of elements, and whose they are.
        self.new_of_states = {s.new: s.name for s in program.states if self.kinds[s.new] is Kind.ELEMENT}

    def load_all(self, names: Iterable[str]) -> None:
        """Lines that load values, single numbers first."""
        wanted = [name for name in dict.fromkeys(names) if name not in self.known]
        for name in sorted(wanted, key=lambda name: not self.kinds[name].is_scalar):
            kind = self.kinds[name]
            self.known.add(name)
            if kind.is_scalar:
                self.load_number(name, *self.tables.place(name, kind))
            elif self.is_axis_fold(name):
                self.fold_axes(self.by_name[name])
            else:
                self.load_array(name)

    def array_of(self, name: str) -> str:
        """The array that a value is read from."""
        array = self.places.load(name)
        if name in self.new_of_states and array not in self.places.buffers:
            self.again[self.new_of_states[name]] = None
        return array

    def is_axis_fold(self, name: str) -> bool:
        """Whether a value per element is folded from the vectors of the axes, which the kernel does itself."""
        definition = self.by_name.get(name)
        return definition is not None and isinstance(definition.value, Reduce) and definition.value.over == "axes"

    def define(self, definitions: Sequence[Definition]) -> None:
        """Lines that compute values, each after what it needs has been loaded."""
        own = {d.name for d in definitions}
        self.load_all(n for d in definitions for n in ordered_reads(d, self.program) if n not in own)
        for definition in definitions:
            self.compute(definition.name, definition.expression)
            self.known.add(definition.name)

    def compute_first(self, totals: Sequence[Definition], definitions: Sequence[Definition]) -> None:
        """Have a kernel over elements finish folds, and compute numbers of its tensor, before it begins.

        Raises:
            NotImplementedError: this target's kernels cannot.
        """
        raise NotImplementedError

    def axis_operands(self, definition: Definition) -> list[str]:
        """The families of vectors that a fold over the axes reads; single numbers it needs have been loaded."""
        value = definition.value
        assert isinstance(value, Reduce)
        names = sorted(names_in(value.operand))
        self.load_all(name for name in names if self.kinds[name].is_scalar)
        return [name for name in names if self.kinds[name] is Kind.AXIS]

    @abstractmethod
    def load_number(self, name: str, role: str, index: int) -> None:
        """A line that loads a single number of the step (`scalars`), the tensor or the model."""

    @abstractmethod
    def load_array(self, name: str) -> None:
        """Lines that load a value that varies within a tensor."""

    @abstractmethod
    def fold_axes(self, definition: Definition) -> None:
        """A loop over the axes that folds their vectors' values at each element."""

    @abstractmethod
    def compute(self, name: str, expression: Expr) -> None:
        """A line that computes a value; what it reads has been loaded."""

    @abstractmethod
    def store_array(self, name: str, is_final: bool) -> None:
        """Lines that write a value of the domain's kind to its place; it, and for an update theta, have been loaded."""

    @abstractmethod
    def store_number(self, name: str) -> None:
        """A line that writes a number of the tensor or the model."""

    @abstractmethod
    def store_part(self, definition: Definition) -> None:
        """Lines that store what one block, or one tensor, adds to a fold."""

    @abstractmethod
    def total(self, definition: Definition) -> None:
        """Add a reduction of partial results, so that the kernel knows the result."""

    @abstractmethod
    def fold_slices(self, folds: Sequence[Definition]) -> None:
        """Add the reduction of a pass's numbers along axes."""

    @abstractmethod
    def kernel(
        self,
        name: str,
        form: str,
        summary: str,
        extent: str = "",
        folds: tuple[str, ...] = (),
        totals: tuple[str, ...] = (),
    ) -> K:
        """The collected lines and arguments, as a kernel."""


def ordered_reads(definition: Definition, program: Program) -> list[str]:
    """The names that a value needs, in an order that depends on the program alone."""
    reads = definition.reads
    first = ["theta", "g", *(state.older(lag) for state in program.states for lag in range(1, state.depth + 1))]
    known = dict.fromkeys(name for name in first if name in reads)
    return [*known, *sorted(reads - known.keys())]


def needed(definitions: Sequence[Definition], roots: Iterable[Expr]) -> list[Definition]:
    """Those of a pass's definitions that some expressions need, in the pass's order."""
    wanted: set[str] = set()
    for root in roots:
        wanted |= names_in(root)
    found = []
    for definition in reversed(definitions):
        if definition.name in wanted:
            found.append(definition)
            wanted |= definition.reads
    return found[::-1]
