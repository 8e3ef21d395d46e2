"""Kernels in Triton's language: for each, the lines of its body, its arguments, and how it is launched."""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Expr

from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.contract.kernel_plan import BLOCKS, NUMBER, SEED, SKIP, SLICES, UNSCALE, KernelArgument, Launch
from optgen.contract.kinds import Kind
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.kernels.builder import ArrayNames, KernelBuilder, NumberTables, ordered_reads
from optgen.targets.triton.kernel import (
    INTEGERS,
    JOIN,
    NEUTRAL,
    BlockFold,
    TritonKernel,
    format_name,
    parameter,
    scales,
    stream,
    type_name,
)
from optgen.targets.triton.printer import KernelPrinter

_PRINTER = KernelPrinter()

_FOLD_PARTS = {"sum": "_sum_of_parts", "max": "_largest_part", "min": "_smallest_part"}

_MAP = ("outer", "inner", "out_turn", "out_far", "out_near", "in_turn", "in_far", "in_near")

#: Where a value that varies less than the ones a kernel goes through stands, by the two kinds.
_PLACES = {
    (Kind.ELEMENT, Kind.ROW): ("_row", "_offsets // _columns", ("columns",)),
    (Kind.ELEMENT, Kind.COLUMN): (
        "_column", "_offsets // (_rows*_columns)*_columns + _offsets % _columns", ("rows", "columns")
    ),
    (Kind.ELEMENT, Kind.MATRIX): ("_matrix", "_offsets // (_rows*_columns)", ("rows", "columns")),
    (Kind.ROW, Kind.MATRIX): ("_matrix", "_offsets // _rows", ("rows",)),
    (Kind.COLUMN, Kind.MATRIX): ("_matrix", "_offsets // _columns", ("columns",)),
}  # fmt: skip


class TritonBuilder(KernelBuilder[TritonKernel]):
    """Collects the lines and arguments of one Triton kernel."""

    def __init__(self, program: Program, tables: NumberTables, places: ArrayNames, domain: Kind) -> None:
        super().__init__(program, tables, places, domain)
        self.numbers: list[tuple[str, str]] = []
        self.arrays: dict[str, None] = {}
        self.parts: dict[str, None] = {}
        self.counts: dict[str, None] = {}
        self.tables_used: dict[str, None] = {"scalars": None}
        self.integers: set[str] = set()
        self.folds: list[BlockFold] = []
        self.reads_axes = False
        self.first: list[tuple[str, str]] = []
        self.stores: list[str] = []
        #: States that may be stored in a format of states, and those that this kernel reads or writes.
        self.may_be_formatted = {s.name for s in program.states if self.kinds[s.new] is Kind.ELEMENT and s.depth == 1}
        self.formatted: dict[str, None] = {}
        self.rounded: dict[str, None] = {}

    def compute_first(self, totals: Sequence[Definition], definitions: Sequence[Definition]) -> None:
        self.first += [(fold.name, self.totalled(fold)) for fold in totals]
        self.known |= {fold.name for fold in totals}
        own = {definition.name for definition in definitions}
        self.load_all(n for d in definitions for n in ordered_reads(d, self.program) if n not in own)
        self.first += [(definition.name, _PRINTER.text(definition.expression)) for definition in definitions]
        self.known |= own
        self.stores += [self.stored_number(definition.name) for definition in (*totals, *definitions)]

    def load_number(self, name: str, role: str, index: int) -> None:
        self.tables_used[role] = None
        cast = ".to(_number)" if role == "model" else ""
        self.numbers.append((name, f"tl.load({role}_ptr + {index}){cast}"))

    def load_step_number(self, name: str) -> None:
        """Have a number of the step that no equation names."""
        if name not in self.known:
            self.known.add(name)
            self.load_number(name, *self.tables.place(name, Kind.STEP))

    def load_array(self, name: str) -> None:
        self.lines.append(f"{name} = {self.loaded(name, self.place(self.kinds[name]))}")

    def loaded(self, name: str, place: str) -> str:
        array = self.array_of(name)
        self.arrays[array] = None
        if array == "g":
            self.load_step_number(UNSCALE)
            return f"_gradient(g_ptr, {place}, _mask, {UNSCALE}, SCALED, _number)"
        if array in self.may_be_formatted:
            self.formatted[array] = None
            return f"_loaded({array}_ptr, {scales(array)}, {place}, _mask, {format_name(array)}, _number)"
        return f"tl.load({array}_ptr + {place}, _mask).to(_number)"

    def place(self, kind: Kind) -> str:
        """Offsets into an array of a kind; a line computes them when they are first needed."""
        if kind is self.domain:
            return "_offsets"
        if (self.domain, kind) not in _PLACES:
            raise UnsupportedByTarget(f"a Triton kernel over {self.domain.value} cannot read {kind.value} values")
        name, formula, integers = _PLACES[self.domain, kind]
        self.integers |= set(integers)
        line = f"{name} = {formula}"
        if line not in self.lines:
            self.lines.append(line)
        return name

    def fold_axes(self, definition: Definition) -> None:
        value = definition.value
        assert isinstance(value, Reduce)
        families = self.axis_operands(definition)
        self.reads_axes = True
        loads = [f"    {name} = {self.loaded(name, '_place')}" for name in families]
        joined = JOIN[value.operation].format(definition.name, _PRINTER.argument(value.operand))
        self.lines += [
            f"{definition.name} = tl.full(_offsets.shape, {NEUTRAL[value.operation]}, _number)",
            "for _axis in tl.static_range(RANK):",
            "    _length = tl.load(axes_ptr + 3*_axis)",
            "    _stride = tl.load(axes_ptr + 3*_axis + 1)",
            "    _place = tl.load(axes_ptr + 3*_axis + 2) + _offsets // _stride % _length",
            *loads,
            f"    {definition.name} = {joined}",
        ]

    def compute(self, name: str, expression: Expr) -> None:
        self.lines.append(f"{name} = {_PRINTER.text(expression)}")

    def store_array(self, name: str, is_final: bool) -> None:
        array = self.places.store(name, is_final)
        self.arrays[array] = None
        value = name
        if name == self.program.result == UPDATE and array == "theta":
            value = f"theta + {name}"
        if array in self.may_be_formatted:
            self.formatted[array] = self.rounded[array] = None
            self.load_step_number(SEED)
            self.tables.place("t", Kind.STEP)  # which it is computed from
            stored = f"{array}_ptr, {scales(array)}, {stream(array)}, {SEED}"
            self.lines.append(f"_stored({stored}, _offsets, {value}, _mask, {format_name(array)})")
            return
        self.lines.append(f"tl.store({array}_ptr + _offsets, {value}, _mask)")

    def store_number(self, name: str) -> None:
        self.lines.append(self.stored_number(name))

    def stored_number(self, name: str) -> str:
        """The line that writes a number."""
        role, index = self.tables.place(name, self.kinds[name])
        self.tables_used[role] = None
        return f"tl.store({role}_ptr + {index}, {name})"

    def operand(self, definition: Definition) -> str:
        """A fold's operand as text, with what it reads loaded."""
        self.load_all(ordered_reads(definition, self.program))
        return _PRINTER.argument(definition.expression)

    def store_part(self, definition: Definition) -> None:
        value = definition.value
        assert isinstance(value, Reduce)
        operand = self.operand(definition)
        self.parts[definition.name] = None
        if self.domain is Kind.TENSOR:
            self.lines.append(f"tl.store({definition.name}_parts_ptr, {operand})")
            return
        self.folds.append(BlockFold(definition.name, value.operation, 0))
        self.lines.append(f"{self.folds[-1].part} = {operand}")

    def total(self, definition: Definition) -> None:
        self.lines.append(f"{definition.name} = {self.totalled(definition)}")
        self.known.add(definition.name)
        self.store_number(definition.name)

    def totalled(self, definition: Definition) -> str:
        """A fold's partial results, taken together."""
        value = definition.value
        assert isinstance(value, Reduce)
        name = definition.name
        self.parts[name] = None
        self.counts[name] = None
        return f"{_FOLD_PARTS[value.operation]}({name}_parts_ptr, _{name}_count, _number, BLOCK)"

    def fold_slices(self, folds: Sequence[Definition]) -> None:
        for fold in folds:
            value = fold.value
            assert isinstance(value, Reduce)
            self.folds.append(BlockFold(fold.name, value.operation, 1))
            self.lines.append(f"{self.folds[-1].part} = {self.operand(fold)}")
            self.arrays[self.places.store(fold.name, is_final=False)] = None

    def kernel(
        self,
        name: str,
        form: str,
        summary: str,
        extent: str = "",
        folds: tuple[str, ...] = (),
        totals: tuple[str, ...] = (),
    ) -> TritonKernel:
        arguments = [KernelArgument("array", array) for array in sorted(self.arrays, key=self.array_order)]
        arguments += [KernelArgument("scales", array) for array in self.formatted]
        arguments += [KernelArgument("stream", array) for array in self.rounded]
        arguments += [KernelArgument("parts", fold) for fold in self.parts]
        arguments += [KernelArgument(role) for role in ("scalars", "tensor", "model") if role in self.tables_used]
        if self.reads_axes:
            arguments.append(KernelArgument("axes"))
        if form == BLOCKS:
            self.integers |= {"length", "chunk"}
        if form == SLICES:
            self.integers |= set(_MAP)
        arguments += [KernelArgument("count", fold) for fold in self.counts]
        arguments += [KernelArgument(role) for role in INTEGERS if role in self.integers]
        stored = tuple(type_name(a.name) for a in arguments if a.role == "array" and a.name not in self.places.buffers)
        constants = {BLOCKS: ("BLOCK",), NUMBER: ("BLOCK",), SLICES: ("OUTER", "INNER")}[form]
        stored += tuple(map(format_name, self.formatted))
        stored += tuple(type_name(f"{fold}_parts") for fold in self.parts)
        may_skip = form == BLOCKS and self.domain is Kind.ELEMENT
        if may_skip:
            self.load_step_number(SKIP)
        if may_skip or UNSCALE in self.known:
            stored += ("SCALED",)
        constants = (*stored, *(("WIDE",) if form == BLOCKS else ()), *constants)
        if self.reads_axes:
            constants += ("RANK",)
        launch = Launch(name, form, self.domain, extent, tuple(arguments), constants, folds, totals, tuple(self.again))
        columns = tuple((parameter(a), self.column(place, a, form)) for place, a in enumerate(launch.columns))
        names = [*(parameter(a) for a in arguments), *launch.constants]
        if len(set(names)) != len(names):
            raise UnsupportedByTarget(f"two arguments of a Triton kernel have one name: {', '.join(names)}")
        return TritonKernel(
            launch,
            summary,
            columns,
            tuple(self.numbers),
            tuple(self.first),
            tuple(self.stores),
            tuple(self.lines),
            tuple(self.folds),
            SKIP if may_skip else "",
        )

    def column(self, place: int, argument: KernelArgument, form: str) -> str:
        """How what stands in a column of the table is loaded."""
        column = f"_row_ptr + {place}"
        match argument.role:
            case "array":
                type = "_number" if argument.name in self.places.buffers else type_name(argument.name)
                return f"_array({column}, {type}, {'WIDE' if form == BLOCKS else 'False'})"
            case "scales":
                return f"_array({column}, tl.float32, False)"
            case "parts":
                return f"_array({column}, {type_name(f'{argument.name}_parts')}, False)"
            case "tensor":
                return f"_array({column}, _number, False)"
            case "axes":
                return f"_array({column}, tl.int64, False)"
            case "chunk":
                return f"tl.multiple_of(tl.load({column}), BLOCK)"
        return f"tl.load({column})"

    def array_order(self, array: str) -> tuple[int, int, str]:
        """Parameter and gradient first, then states, then the rest, as a reader expects."""
        first = [
            "theta",
            "g",
            *(state.older(lag) for state in self.program.states for lag in range(1, state.depth + 1)),
        ]
        return (0, first.index(array), "") if array in first else (1, 0, array)
