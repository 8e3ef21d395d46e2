"""Passes → kernels: for each, the lines of its body, its arguments, and how it is launched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sympy import Expr

from optgen.compiler.kinds import Kind
from optgen.compiler.operations import names_in
from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.triton.plan import BLOCKS, NUMBER, SLICES, Argument, Launch
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
class Kernel:
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


class Places:
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


class KernelBuilder:
    """Collects the lines and arguments of one kernel."""

    def __init__(self, program: Program, tables: NumberTables, places: Places, domain: Kind) -> None:
        self.program = program
        self.kinds = program.kinds
        self.tables = tables
        self.places = places
        self.domain = domain
        self.numbers: list[str] = []
        self.lines: list[str] = []
        self.arrays: dict[str, None] = {}
        self.parts: dict[str, None] = {}
        self.counts: dict[str, None] = {}
        self.tables_used: dict[str, None] = {"scalars": None}
        self.integers: set[str] = set()
        self.known: set[str] = set()
        self.axis_folds: list[Definition] = []
        self.reads_axes = False
        self.by_name = {d.name: d for d in program.definitions}

    def load_all(self, names: Iterable[str]) -> None:
        """Lines that load values, single numbers first."""
        wanted = [name for name in dict.fromkeys(names) if name not in self.known]
        for name in sorted(wanted, key=lambda name: not self.kinds[name].is_scalar):
            self.load(name)

    def load(self, name: str) -> None:
        kind = self.kinds[name]
        self.known.add(name)
        if kind.is_scalar:
            role, index = self.tables.place(name, kind)
            self.tables_used[role] = None
            cast = ".to(_number)" if role == "model" else ""
            self.numbers.append(f"{name} = tl.load({role}_ptr + {index}){cast}")
        elif self.is_axis_fold(name):
            self.fold_axes(self.by_name[name])
        else:
            self.lines.append(f"{name} = {self.loaded(name, self.place(kind))}")

    def is_axis_fold(self, name: str) -> bool:
        """Whether a value per element is folded from the vectors of the axes, which the kernel does itself."""
        definition = self.by_name.get(name)
        return definition is not None and isinstance(definition.value, Reduce) and definition.value.over == "axes"

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
        """A loop over the axes that folds their vectors' values at each element."""
        value = definition.value
        assert isinstance(value, Reduce)
        names = sorted(names_in(value.operand))
        self.load_all(name for name in names if self.kinds[name].is_scalar)
        self.reads_axes = True
        families = [name for name in names if self.kinds[name] is Kind.AXIS]
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

    def define(self, definitions: Sequence[Definition]) -> None:
        """Lines that compute values, each after what it needs has been loaded."""
        own = {d.name for d in definitions}
        reads = [n for d in definitions for n in ordered_reads(d, self.program) if n not in own]
        self.load_all(reads)
        for definition in definitions:
            self.lines.append(f"{definition.name} = {_PRINTER.text(definition.expression)}")
            self.known.add(definition.name)

    def store_array(self, name: str, is_final: bool) -> None:
        """Lines that write a value of the domain's kind to its place; it, and for an update theta, have been loaded."""
        array = self.places.store(name, is_final)
        self.arrays[array] = None
        value = name
        if name == self.program.result == UPDATE and array == "theta":
            value = f"theta + {name}"
        self.lines.append(f"tl.store({array}_ptr + _offsets, {value}, _mask)")

    def expression(self, expression: Expr) -> str:
        """An expression as text; what it reads has been loaded."""
        return _PRINTER.argument(expression)

    def store_number(self, name: str) -> None:
        role, index = self.tables.place(name, self.kinds[name])
        self.tables_used[role] = None
        self.lines.append(f"tl.store({role}_ptr + {index}, {name})")

    def operand(self, definition: Definition) -> str:
        """A fold's operand as text, with what it reads loaded."""
        self.load_all(ordered_reads(definition, self.program))
        return _PRINTER.argument(definition.expression)

    def store_part(self, definition: Definition) -> None:
        """Lines that store what one block, or one tensor, adds to a fold."""
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
        """Lines that fold all partial results of a fold."""
        value = definition.value
        assert isinstance(value, Reduce)
        name = definition.name
        self.parts[name] = None
        self.counts[name] = None
        self.lines.append(f"{name} = {_FOLD_PARTS[value.operation]}({name}_parts_ptr, _{name}_count, _number, BLOCK)")
        self.known.add(name)
        self.store_number(name)

    def kernel(
        self,
        name: str,
        form: str,
        summary: str,
        extent: str = "",
        folds: tuple[str, ...] = (),
        totals: tuple[str, ...] = (),
        slices: tuple[SliceFold, ...] = (),
    ) -> Kernel:
        """What has been collected, as a kernel."""
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
        return Kernel(launch, summary, parameters, integers, tuple(head), tuple(lines), slices)

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


def ordered_reads(definition: Definition, program: Program) -> list[str]:
    """The names that a value needs, in an order that depends on the program alone."""
    return sorted(definition.reads, key=lambda name: _read_order(name, program))


def _read_order(name: str, program: Program) -> tuple[int, int, str]:
    if name in ("theta", "g"):
        return (0, ("theta", "g").index(name), name)
    states = [state.older(lag) for state in program.states for lag in range(1, state.depth + 1)]
    if name in states:
        return (1, states.index(name), name)
    return (2, 0, name)


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
