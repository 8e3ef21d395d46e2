"""One Triton kernel as its template prints it, and the names of its arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optgen.contract.kernel_plan import NUMBER, WHOLE, KernelArgument, Launch

#: What a fold starts from, how two blocks of partial results are joined, one block is folded, and all of them are.
NEUTRAL = {"sum": "0.0", "max": 'float("-inf")', "min": 'float("inf")'}
JOIN = {"sum": "{} + {}", "max": "_maximum({}, {})", "min": "_minimum({}, {})"}
_FOLD_BLOCK = {"sum": "tl.sum({}, axis={})", "max": "_largest({}, {})", "min": "_smallest({}, {})"}

#: Names of arguments that are integers, in the order in which kernels take them.
INTEGERS = {
    "length": "_n",
    "chunk": "_size",
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


@dataclass(frozen=True, slots=True)
class BlockFold:
    """A fold that a kernel makes of the blocks that it goes through, as the template prints it.

    Attributes:
        axis: of a block, along which it is folded in the end.
    """

    name: str
    operation: str
    axis: int

    @property
    def neutral(self) -> str:
        """The neutral element of the reduction."""
        return NEUTRAL[self.operation]

    @property
    def part(self) -> str:
        """The operand of the reduction for one block."""
        return f"_part_{self.name}"

    def join(self, mask: str) -> str:
        """The running result joined with a further block, of which a mask says what there is."""
        return JOIN[self.operation].format(f"_all_{self.name}", f"_kept({self.part}, {mask}, {self.neutral})")

    @property
    def fold(self) -> str:
        """The result, when all blocks have been joined."""
        return _FOLD_BLOCK[self.operation].format(f"_all_{self.name}", self.axis)


@dataclass(frozen=True, slots=True)
class TritonKernel:
    """A kernel as the template prints it.

    Attributes:
        summary: one line.
        columns: what its rows of the table hold: names, and how each is loaded.
        numbers: single numbers, and how each is loaded.
        first: numbers of the tensor that are computed before the blocks, and how.
        stores: lines that store these, for the program of a tensor's first chunk.
        lines: what is done for one block; what is to be folded is left in `_part_NAME`.
        folds: of blocks.
        may_skip: the number by which it leaves everything as it is; empty if it writes nothing that lasts.
    """

    launch: Launch
    summary: str
    columns: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, str], ...]
    first: tuple[tuple[str, str], ...]
    stores: tuple[str, ...]
    lines: tuple[str, ...]
    folds: tuple[BlockFold, ...] = ()
    may_skip: str = ""

    @property
    def body(self) -> object:
        """A key that is equal for kernels with the same code."""
        own = (self.columns, self.numbers, self.first, self.stores, self.lines, self.folds)
        return (self.launch.form, self.launch.constants, own)

    @property
    def declared(self) -> tuple[str, ...]:
        """All arguments as the kernel declares them."""
        given = ["_rows_ptr"] if self.launch.form == NUMBER else ["_rows_ptr", "_chunks_ptr"]
        given += [parameter(argument) for argument in self.launch.arguments if argument.role in WHOLE]
        return (*given, *(f"{name}: tl.constexpr" for name in self.launch.constants))

    @property
    def per_block(self) -> tuple[str, ...]:
        """The arguments of the function for one block."""
        known = [
            parameter(a) for a in self.launch.columns if a.role not in ("parts", "tensor", "length", "chunk", "count")
        ]
        known += [name for name, _ in (*self.numbers, *self.first)]
        known += [name for name in self.launch.constants if name not in ("WIDE", "BLOCK")]
        used = {"_number", *re.findall(r"\w+", "\n".join(self.lines))}
        return tuple(name for name in (*known, "_number") if name in used)

    @property
    def per_block_declared(self) -> tuple[str, ...]:
        """The parameters of the function for one block, as it declares them."""
        constant = {"_number", *self.launch.constants}
        return tuple(f"{name}: tl.constexpr" if name in constant else name for name in self.per_block)


def scales(array: str) -> str:
    """The pointer to the scales of a state."""
    return f"_{array}_scales_ptr"


def stream(array: str) -> str:
    """The number of the random bits of a state."""
    return f"_{array}_stream"


def format_name(array: str) -> str:
    """The constant that says in which format of states a state is stored."""
    return f"_{array}_format"


def type_name(array: str) -> str:
    """The constant that says how an array is stored."""
    return f"_{array}_type"


def parameter(argument: KernelArgument) -> str:
    """The name of a kernel's argument in its source."""
    match argument.role:
        case "array":
            return f"{argument.name}_ptr"
        case "parts":
            return f"{argument.name}_parts_ptr"
        case "scales":
            return scales(argument.name)
        case "stream":
            return stream(argument.name)
        case "count":
            return f"_{argument.name}_count"
        case "scalars" | "tensor" | "model" | "axes":
            return f"{argument.role}_ptr"
    return INTEGERS[argument.role]
