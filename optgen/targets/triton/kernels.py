"""Kernels in Triton's language: for each, the lines of its body, its arguments, and how it is launched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Expr

from optgen.compiler.kinds import Kind
from optgen.compiler.operations import names_in
from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.kernels.builder import KernelBuilder, NumberTables, Places, ordered_reads
from optgen.targets.kernels.plan import BLOCKS, NUMBER, SLICES, Argument, Launch
from optgen.targets.triton.printer import KernelPrinter

_PRINTER = KernelPrinter()

#: What a fold starts from, how two blocks of partial results are joined, one block is folded, and all of them are.
NEUTRAL = {"sum": "0.0", "max": 'float("-inf")', "min": 'float("inf")'}
_JOIN = {"sum": "{} + {}", "max": "_maximum({}, {})", "min": "_minimum({}, {})"}
_FOLD_BLOCK = {"sum": "tl.sum({}, axis={})", "max": "_largest({}, {})", "min": "_smallest({}, {})"}
_FOLD_PARTS = {"sum": "_sum_of_parts", "max": "_largest_part", "min": "_smallest_part"}

#: Names of arguments that are integers, in the order in which kernels take them.
_INTEGERS = {
    "length": "_n",
    "rows": "_rows",
    "columns": "_columns",
    "outer": "_outer",
    "inner": "_inner",
    "out_turn": "_out_turn",
    "out_far": "_out_far",
    "out_near": "_out_near",
    "in_turn": "_in_turn",
    "in_far": "_in_far",
    "in_near": "_in_near",
}
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


@dataclass(frozen=True, slots=True)
class SliceFold:
    """One fold of a `SLICES` kernel as the template prints it."""

    name: str
    operation: str

    @property
    def neutral(self) -> str:
        """What the fold starts from."""
        return NEUTRAL[self.operation]

    @property
    def join(self) -> str:
        """The running result joined with a further tile."""
        return _JOIN[self.operation].format(f"_all_{self.name}", f"_kept(_part_{self.name}, _mask, {self.neutral})")

    @property
    def fold(self) -> str:
        """The result for each row of the tile."""
        return _FOLD_BLOCK[self.operation].format(f"_all_{self.name}", 1)


@dataclass(frozen=True, slots=True)
class TritonKernel:
    """A kernel as the template prints it.

    Attributes:
        summary: one line.
        parameters: names of its run-time arguments; `integers`, in quotes, are those that are not pointers.
        head: lines before the loop of a `SLICES` kernel; of the other forms, empty.
        lines: what is done for one block; of `SLICES`, what is to be folded is left in `_part_NAME`.
        slices: the folds of a `SLICES` kernel.
    """

    launch: Launch
    summary: str
    parameters: tuple[str, ...]
    integers: tuple[str, ...]
    head: tuple[str, ...]
    lines: tuple[str, ...]
    slices: tuple[SliceFold, ...] = ()

    @property
    def body(self) -> object:
        """What two kernels have in common that are one."""
        return (self.launch.form, self.launch.constants, self.parameters, self.head, self.lines, self.slices)

    @property
    def declared(self) -> tuple[str, ...]:
        """All arguments as the kernel declares them."""
        return (*self.parameters, *(f"{name}: tl.constexpr" for name in self.launch.constants))

    @property
    def per_block(self) -> tuple[str, ...]:
        """What the function for one block takes from the kernel's arguments."""
        constants = tuple(name for name in self.launch.constants if name != "BLOCK")
        return (*(name for name in self.parameters if name != "_n"), *constants)

    @property
    def per_block_declared(self) -> tuple[str, ...]:
        """The same, as that function declares it."""
        return tuple(f"{name}: tl.constexpr" if name in self.launch.constants else name for name in self.per_block)


class TritonBuilder(KernelBuilder[TritonKernel]):
    """Collects the lines and arguments of one Triton kernel."""

    def __init__(self, program: Program, tables: NumberTables, places: Places, domain: Kind) -> None:
        super().__init__(program, tables, places, domain)
        self.numbers: list[str] = []
        self.arrays: dict[str, None] = {}
        self.parts: dict[str, None] = {}
        self.counts: dict[str, None] = {}
        self.tables_used: dict[str, None] = {"scalars": None}
        self.integers: set[str] = set()
        self.slices: list[SliceFold] = []
        self.reads_axes = False

    def load_number(self, name: str, role: str, index: int) -> None:
        self.tables_used[role] = None
        cast = ".to(_number)" if role == "model" else ""
        self.numbers.append(f"{name} = tl.load({role}_ptr + {index}){cast}")

    def load_array(self, name: str) -> None:
        self.lines.append(f"{name} = {self.loaded(name, self.place(self.kinds[name]))}")

    def loaded(self, name: str, place: str) -> str:
        array = self.places.load(name)
        self.arrays[array] = None
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
        joined = _JOIN[value.operation].format(definition.name, _PRINTER.argument(value.operand))
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
        self.lines.append(f"tl.store({array}_ptr + _offsets, {value}, _mask)")

    def store_first_value(self, name: str, initial: Expr) -> None:
        """Lines that write what a state starts at."""
        self.load_all(sorted(names_in(initial)))
        self.arrays[name] = None
        self.lines.append(f"tl.store({name}_ptr + _offsets, {_PRINTER.argument(initial)}, _mask)")

    def store_number(self, name: str) -> None:
        role, index = self.tables.place(name, self.kinds[name])
        self.tables_used[role] = None
        self.lines.append(f"tl.store({role}_ptr + {index}, {name})")

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
        kept = f"_kept({operand}, _mask, {NEUTRAL[value.operation]})"
        folded = _FOLD_BLOCK[value.operation].format(kept, 0)
        self.lines.append(f"tl.store({definition.name}_parts_ptr + _program, {folded})")

    def total(self, definition: Definition) -> None:
        value = definition.value
        assert isinstance(value, Reduce)
        name = definition.name
        self.parts[name] = None
        self.counts[name] = None
        self.lines.append(f"{name} = {_FOLD_PARTS[value.operation]}({name}_parts_ptr, _{name}_count, _number, BLOCK)")
        self.known.add(name)
        self.store_number(name)

    def fold_slices(self, folds: Sequence[Definition]) -> None:
        for fold in folds:
            value = fold.value
            assert isinstance(value, Reduce)
            self.lines.append(f"_part_{fold.name} = {self.operand(fold)}")
            self.arrays[self.places.store(fold.name, is_final=False)] = None
            self.slices.append(SliceFold(fold.name, value.operation))

    def kernel(
        self,
        name: str,
        form: str,
        summary: str,
        extent: str = "",
        folds: tuple[str, ...] = (),
        totals: tuple[str, ...] = (),
    ) -> TritonKernel:
        arguments = [Argument("array", array) for array in sorted(self.arrays, key=self.array_order)]
        arguments += [Argument("parts", fold) for fold in self.parts]
        arguments += [Argument(role) for role in ("scalars", "tensor", "model") if role in self.tables_used]
        if self.reads_axes:
            arguments.append(Argument("axes"))
        if form == BLOCKS:
            self.integers.add("length")
        if form == SLICES:
            self.integers |= set(_MAP)
        arguments += [Argument("count", fold) for fold in self.counts]
        arguments += [Argument(role) for role in _INTEGERS if role in self.integers]
        constants = {BLOCKS: ("BLOCK",), NUMBER: ("BLOCK",), SLICES: ("OUTER", "INNER")}[form]
        if self.reads_axes:
            constants += ("RANK",)
        launch = Launch(name, form, self.domain.value, extent, tuple(arguments), constants, folds, totals)
        integers = tuple(f'"{parameter(a)}"' for a in arguments if a.role in _INTEGERS or a.role == "count")
        parameters = tuple(parameter(a) for a in arguments)
        if len(set(parameters)) != len(parameters):
            raise UnsupportedByTarget(f"two arguments of a Triton kernel have one name: {', '.join(parameters)}")
        # A fold along axes loads single numbers before its loop.
        head, lines = ((), (*self.numbers, *self.lines)) if form != SLICES else (self.numbers, self.lines)
        return TritonKernel(launch, summary, parameters, integers, tuple(head), tuple(lines), tuple(self.slices))

    def array_order(self, array: str) -> tuple[int, int, str]:
        """Parameter and gradient first, then states, then the rest, as a reader expects."""
        first = [
            "theta",
            "g",
            *(state.older(lag) for state in self.program.states for lag in range(1, state.depth + 1)),
        ]
        return (0, first.index(array), "") if array in first else (1, 0, array)


def parameter(argument: Argument) -> str:
    """The name of a kernel's argument in its source."""
    match argument.role:
        case "array":
            return f"{argument.name}_ptr"
        case "parts":
            return f"{argument.name}_parts_ptr"
        case "count":
            return f"_{argument.name}_count"
        case "scalars" | "tensor" | "model" | "axes":
            return f"{argument.role}_ptr"
    return _INTEGERS[argument.role]
