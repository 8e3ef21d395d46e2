"""Kernels in C: each goes through a stretch of numbers that the driver hands it.

A stretch is short, and where a kernel reads values per row, column or matrix it lies within one row, so that those of a
row or a matrix are one number and those of the columns stand side by side; or within one column, where a matrix stands
in memory column by column; or, where lines are short, it is several lines. What is stored in another type, or with
gaps, has been brought into order by the driver.
Folds are the driver's as well: a kernel leaves their operands in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Expr

from optgen.compiler.program import PARAMETER, UPDATE, Definition, Program, Reduce
from optgen.contract.kernel_plan import RESULT, KernelArgument, Launch
from optgen.contract.kinds import Kind
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.kernels.builder import ArrayNames, KernelBuilder, NumberTables, ordered_reads
from optgen.targets.native.printer import NativePrinter, c_name

_PRINTER = NativePrinter()

#: The format of what a kernel computes with.
_NUMBER = "number"

#: What a fold over the axes starts from, and how it goes on.
_NEUTRAL = {"sum": "(number)0.0", "max": "-_INFINITY", "min": "_INFINITY"}
_JOIN = {"sum": "{} + {}", "max": "_maximum({}, {})", "min": "_minimum({}, {})"}

#: Kinds that a kernel over a kind can read.
_READABLE = {Kind.ELEMENT: (Kind.ROW, Kind.COLUMN, Kind.MATRIX), Kind.ROW: (Kind.MATRIX,), Kind.COLUMN: (Kind.MATRIX,)}


@dataclass(frozen=True, slots=True)
class NativeKernel:
    """A kernel as the template prints it.

    Attributes:
        summary: one line.
        pointers: declarations of its arrays.
        head: lines before the loop.
        lines: what is done for each number `_i` of the stretch.
        has_lines: whether it goes through elements and reads numbers of rows, columns or matrices.
    """

    launch: Launch
    summary: str
    pointers: tuple[str, ...]
    head: tuple[str, ...]
    lines: tuple[str, ...]
    has_lines: bool

    @property
    def body(self) -> object:
        """A key that is equal for kernels with the same code."""
        return (self.pointers, self.head, self.lines)


class NativeBuilder(KernelBuilder[NativeKernel]):
    """Collects the lines and arguments of one C function."""

    def __init__(self, program: Program, tables: NumberTables, places: ArrayNames, domain: Kind) -> None:
        super().__init__(program, tables, places, domain)
        self.head: list[str] = []
        self.blocks: list[str] = []
        self.read: dict[str, None] = {}
        self.written: dict[str, None] = {}
        self.families: dict[str, None] = {}
        self.parts: dict[str, None] = {}
        self.has_lines = False

    def format_of(self, array: str) -> str:
        """The C type of an array's numbers: `stored`, `kept` or `number`, see optgen_number.h."""
        if self.domain is not Kind.ELEMENT or array in self.places.buffers:
            return _NUMBER
        states = {state.new for state in self.program.states}
        states |= {state.older(lag) for state in self.program.states for lag in range(1, state.depth + 1)}
        if self.kinds.get(array, Kind.ELEMENT) is not Kind.ELEMENT:
            return _NUMBER
        return "kept" if array in states else "stored"

    def converted(self, way: str, array: str, value: str) -> str:
        """A number from or to the format of an array."""
        format = self.format_of(array)
        return value if format == _NUMBER else f"_{way}_{format}({value})"

    def load_number(self, name: str, role: str, index: int) -> None:
        array = {"scalars": "_scalar", "tensor": "_tensor", "model": "(number)_model"}[role]
        self.head.append(f"const number {c_name(name)} = {array}[{index}];")

    def load_array(self, name: str) -> None:
        kind = self.kinds[name]
        array = self.array_of(name)
        self.read[array] = None
        if kind is self.domain:
            value = self.converted("from", array, f"{array}_ptr[_i]")
            self.lines.append(f"const number {c_name(name)} = {value};")
            return
        if kind not in _READABLE.get(self.domain, ()):
            raise UnsupportedByTarget(f"a native kernel over {self.domain.value} cannot read {kind.value} values")
        if self.domain is not Kind.ELEMENT:
            self.head.append(f"const number {c_name(name)} = {array}_ptr[0];")
            return
        self.has_lines = True
        self.head.append(f"const number _{array}_first = {array}_ptr[0];")
        each, first = f"{array}_ptr[_i]", f"_{array}_first"
        chosen = {
            Kind.ROW: f"_within == OPTGEN_ROW ? {first} : {each}",
            Kind.COLUMN: f"_within == OPTGEN_COLUMN ? {first} : {each}",
            Kind.MATRIX: f"_within == OPTGEN_LINES ? {each} : {first}",
        }[kind]
        self.lines.append(f"const number {c_name(name)} = {chosen};")

    def fold_axes(self, definition: Definition) -> None:
        value = definition.value
        assert isinstance(value, Reduce)
        families = self.axis_operands(definition)
        arrays = {name: self.array_of(name) for name in families}
        self.families |= dict.fromkeys(arrays.values())
        folded = f"{definition.name}_values"
        joined = _JOIN[value.operation].format(f"{folded}[_i]", _PRINTER.text(value.operand))
        self.blocks += [
            f"number {folded}[OPTGEN_STRETCH];",
            "for (int64_t _i = 0; _i < _n; _i++)",
            f"    {folded}[_i] = {_NEUTRAL[value.operation]};",
            "for (int64_t _axis = 0; _axis < _rank; _axis++) {",
            "    /* Along a stretch the place on the last axis alone changes. */",
            "    const int64_t _moves = _axis == _rank - 1;",
            *(f"    const number *{array}_ptr = {array}_axes[_axis];" for array in arrays.values()),
            "    OPTGEN_LOOP",
            "    for (int64_t _i = 0; _i < _n; _i++) {",
            *(f"        const number {c_name(n)} = {array}_ptr[_i*_moves];" for n, array in arrays.items()),
            f"        {folded}[_i] = {joined};",
            "    }",
            "}",
        ]
        self.lines.append(f"const number {c_name(definition.name)} = {folded}[_i];")

    def compute(self, name: str, expression: Expr) -> None:
        self.lines.append(f"const number {c_name(name)} = {_PRINTER.text(expression)};")

    def store_array(self, name: str, is_final: bool) -> None:
        array = self.places.store(name, is_final)
        value = c_name(name)
        if name == self.program.result and array == "theta":
            array = RESULT
            forms = {UPDATE: (value, f"theta + {value}"), PARAMETER: (f"{value} - theta", value)}[name]
            if name == PARAMETER:
                self.load_all(["theta"])
            value = f"_is_update ? {forms[0]} : {forms[1]}"
        self.written[array] = None
        self.lines.append(f"{array}_ptr[_i] = {self.converted('to', array, value)};")

    def store_number(self, name: str) -> None:
        role, index = self.tables.place(name, self.kinds[name])
        self.lines.append(f"{ {'tensor': '_tensor', 'model': '_model'}[role] }[{index}] = {c_name(name)};")

    def store_part(self, definition: Definition) -> None:
        self.load_all(ordered_reads(definition, self.program))
        self.parts[definition.name] = None
        self.lines.append(f"{definition.name}_part[_i] = {_PRINTER.text(definition.expression)};")

    def total(self, definition: Definition) -> None:
        # The driver has folded the parts and put the result in its place.
        self.load_all([definition.name])

    def fold_slices(self, folds: Sequence[Definition]) -> None:
        for fold in folds:
            self.store_part(fold)
            self.places.store(fold.name, is_final=False)

    def kernel(
        self,
        name: str,
        form: str,
        summary: str,
        extent: str = "",
        folds: tuple[str, ...] = (),
        totals: tuple[str, ...] = (),
    ) -> NativeKernel:
        arguments: list[KernelArgument] = []
        pointers: list[str] = []
        for array in dict.fromkeys((*self.read, *self.written)):
            role = ("in" if array not in self.written else "inout") if array in self.read else "out"
            constant = "const " if role == "in" else ""
            pointers.append(f"{constant}{self.format_of(array)} *{array}_ptr = _array[{len(arguments)}];")
            arguments.append(KernelArgument(role, array))
        for array in self.families:
            pointers.append(f"number *const *{array}_axes = _array[{len(arguments)}];")
            arguments.append(KernelArgument("axes", array))
        for fold in self.parts:
            pointers.append(f"number *{fold}_part = _array[{len(arguments)}];")
            arguments.append(KernelArgument("parts", fold))
        launch = Launch(name, form, self.domain, extent, tuple(arguments), (), folds, totals, tuple(self.again))
        return NativeKernel(
            launch, summary, tuple(pointers), (*self.head, *self.blocks), tuple(self.lines), self.has_lines
        )
