"""The plan of a file of generated kernels: which there are, their arguments, and the order in which they run.

It is kept in `generated/NAME/triton.json` and `native.json`. Reading it imports neither sympy nor jinja2.

A kernel has one of three forms. `BLOCKS` goes through all numbers of one kind that a tensor has, a block at a time.
`SLICES` folds an array along some of its axes: number `o` of the result folds the places

    (o // out_turn)*out_far + (o % out_turn)*out_near + (k // in_turn)*in_far + (k % in_turn)*in_near

of the array, for `k` from 0 to `inner`. `NUMBER` is one program that adds up what blocks left behind and computes the
single numbers of a tensor or of the model.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from optgen.contract.kinds import Kind
from optgen.contract.stored import from_json, to_json

#: Raised whenever the fields below change, so that a file written by another version is refused by name.
FORMAT = 4

BLOCKS, SLICES, NUMBER = "blocks", "slices", "number"

#: Roles of the arguments of Triton kernels that are the same for all tensors; the others stand in a table, which has a
#: row for each tensor.
WHOLE = ("scalars", "model")

#: The constant `_NAME_format` of Triton kernels, by the formats of `optgen.runtime.formats`; 0: the array's type says
#: all, and numbers are rounded to the nearest.
STATE_FORMATS = {"bfloat16_nearest": 0, "bfloat16": 1, "8bit": 2, "8bit_stochastic": 3}

#: The number of the step that random bits follow from, among the scalars.
SEED = "_seed"

#: What gradients are multiplied by, and whether the step is to leave everything as it is, among the scalars of Triton
#: kernels; they are read where the constant `SCALED` is true.
UNSCALE, SKIP = "_unscale", "_skip"

#: Where native kernels write the new parameter, or the update: the parameter's memory or another.
#: No name of an equation begins so.
RESULT = "_result"


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A plain Python function of the generated module, computing in float64; arguments and returns by name.

    Attributes:
        kernel: of a Triton module, the kernel of one program that computes the same on the device: it takes a pointer
            to the numbers of the step, float64, reads the arguments there and writes the results.
    """

    name: str
    arguments: tuple[str, ...]
    returns: tuple[str, ...]
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class KernelArgument:
    """One positional argument of a kernel.

    Native kernels take arrays and operands of folds alone; all the other roles belong to Triton.

    Attributes:
        role: what it is:
            `array`: pointer to `theta`, `g`, a state's value by the name it has in expressions, an input or a buffer;
            `in`, `out`, `inout`: the same of a native kernel, which says what it reads and what it writes;
            `parts`: pointer to where a fold's partial results of this tensor stand; of a native kernel, to memory for
            the operands of a fold, which the driver folds;
            `count`: how many of them there are;
            `scales`: pointer to the scales of a state whose array is in 8 bits;
            `stream`: of the random bits by which a state is rounded, see `optgen.runtime.formats`;
            `scalars`, `tensor`, `model`: pointers to the numbers of the step, of this tensor and of the model;
            `axes`: pointer to a table of length, stride and first place in the concatenated vectors of each axis;
            `length`: how many numbers a kernel of form `BLOCKS` goes through;
            `chunk`: how many of them one program goes through;
            `rows`, `columns`: the lengths of the tensor's two matrix axes;
            `outer`, `inner`, `out_turn`, `out_far`, `out_near`, `in_turn`, `in_far`, `in_near`: see form `SLICES`.
        name: which array or fold, empty for the other roles.
    """

    role: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel and when it runs.

    Attributes:
        kernel: its name in the generated module.
        form: `BLOCKS`, `SLICES` or `NUMBER`.
        domain: kind of the numbers it goes through; of a `NUMBER`, `tensor` or `global`. A launch for `global` runs
            once, after every tensor has come this far.
        extent: of `SLICES`, what it folds over: `rows`, `columns` or `other_axes`; of native kernels also `lines`, rows
            to a number for each column and columns to one for each row.
        arguments: in order; compile-time constants follow by keyword (`constants`).
        constants: `_NAME_type` (how an array is stored), `_NAME_format` (whether that is a format of states, see
            `STATE_FORMATS`), `SCALED` (see `UNSCALE`), `WIDE` (whether all arrays are aligned, see the generated
            `_array`), `BLOCK` (numbers per block), `OUTER` and `INNER` (tile of a fold), `RANK` (axes of the tensor).
        folds: folds of which it stores partial results.
        totals: folds whose partial results it adds up.
        again: states of which it reads the new value where another launch has stored the state.
    """

    kernel: str
    form: str
    domain: Kind
    extent: str
    arguments: tuple[KernelArgument, ...]
    constants: tuple[str, ...]
    folds: tuple[str, ...] = ()
    totals: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[KernelArgument, ...]:
        """Of a Triton kernel, what a tensor's row of its table holds."""
        return tuple(argument for argument in self.arguments if argument.role not in WHOLE)


@dataclass(frozen=True, slots=True)
class StatePlan:
    """A state of one case.

    Attributes:
        kind: see `optgen.contract.kinds.Kind`.
        depth: how many earlier values are kept; above 1 they form a ring along a leading axis: the value of step `t`
            stands at place `(t - 1) % depth`.
        new: the name of the value that replaces it.
    """

    name: str
    kind: Kind
    depth: int
    new: str

    def older(self, lag: int) -> str:
        """The name of the value `lag` steps back."""
        return self.name if lag == 1 else f"{self.name}_lag{lag}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its values, the new one last."""
        return (*(self.older(lag) for lag in range(1, self.depth + 1)), self.new)


@dataclass(frozen=True, slots=True)
class Buffer:
    """An array by name, and the kind of what it holds: an input, or memory that is needed during a step only."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold over a tensor or the model, computed from partial results, or along axes: `sum`, `max` or `min`.

    Attributes:
        kind: what it leaves.
    """

    name: str
    operation: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class CasePlan:
    """How one case of a variant is run.

    Attributes:
        step: computes the numbers of the step, None if there are none to compute.
        inputs: names and kinds of the values that the caller passes at every step.
        launches: in order.
    """

    step: HostFunction | None
    states: tuple[StatePlan, ...]
    inputs: tuple[Buffer, ...]
    buffers: tuple[Buffer, ...]
    folds: tuple[Fold, ...]
    launches: tuple[Launch, ...]

    @property
    def read_again(self) -> frozenset[str]:
        """States of elements whose new values a kernel reads from where another one has stored them.

        They have to be stored in the precision of the arithmetic, since rounded they would be other numbers. See
        `VariantPlan.cases_for`.
        """
        return frozenset(name for launch in self.launches for name in launch.again)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each array, by its name in launches; arrays that are not listed are per element."""
        found = {state_name: state.kind for state in self.states for state_name in state.names}
        return found | {array.name: array.kind for array in (*self.buffers, *self.inputs)}


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """One choice of options.

    Attributes:
        cases: by their places in the manifest.
        rounding: the same cases where a state of elements is stored in less than the precision of the arithmetic: no
            kernel reads what another has rounded, but computes it again. Empty if `cases` are so themselves.
    """

    name: str
    matrix_axes: str
    cases: tuple[CasePlan, ...]
    rounding: tuple[CasePlan, ...] = ()

    def cases_for(self, narrow: Collection[str]) -> tuple[CasePlan, ...]:
        """The cases for a model of which some states are stored in less than the precision of the arithmetic."""
        is_read_again = any(not case.read_again.isdisjoint(narrow) for case in self.cases)
        return self.rounding if is_read_again else self.cases

    @property
    def all_cases(self) -> tuple[CasePlan, ...]:
        """Every case, in both forms."""
        return (*self.cases, *self.rounding)


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """A generated module; `digest` is the sha256 of the text of the spec at `spec`.

    Attributes:
        scalars, tensor_numbers, model_numbers: names of the numbers in the arrays that kernels read them from, in
            order; those of the step, of one tensor and of the model.
        variants: see there.
    """

    format: int
    spec: str
    digest: str
    scalars: tuple[str, ...]
    tensor_numbers: tuple[str, ...]
    model_numbers: tuple[str, ...]
    variants: tuple[VariantPlan, ...]

    def variant(self, name: str) -> VariantPlan:
        """The variant of that name; raises KeyError if there is none."""
        return {variant.name: variant for variant in self.variants}[name]


def write_plan(plan: KernelPlan) -> str:
    """The plan as the text of its file."""
    return to_json(plan)


def read_plan(data: bytes) -> KernelPlan:
    """The plan from the bytes of its file.

    Raises:
        ValueError: the bytes are no plan of this version.
    """
    return from_json(data, KernelPlan, FORMAT)
