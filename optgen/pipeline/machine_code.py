"""Checks of compiled Triton kernels, without a GPU: they move no more memory than the schedule says.

A kernel is compiled ahead of time for each kind of GPU, with arrays as torch aligns them. All have to do without
atomics and, but for float64 parameters, without memory of their own and arithmetic in float64. Those that go through
the elements of tensors have to access them 128 bits at a time, and threads may not exchange what they have loaded.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget

from optgen.compiler.rule import Rule
from optgen.contract.kernel_plan import BLOCKS, STATE_FORMATS, CasePlan, KernelPlan, Launch
from optgen.contract.kinds import Kind
from optgen.language.model import Spec
from optgen.pipeline.optimizer import compile_optimizer
from optgen.runtime.modules import module_from_text
from optgen.runtime.triton.ahead import machine_code
from optgen.runtime.triton.sizes import LAUNCH_OPTIONS, MOST_REGISTERS, NUMBER_OPTIONS, Sizes, options_of
from optgen.targets.code import CompiledOptimizer
from optgen.targets.triton.emit import emit_triton

GPUS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}


@dataclass(frozen=True, slots=True)
class Precision:
    """How arrays are stored.

    Attributes:
        stored: parameters and gradients.
        arithmetic: and states, if these are in no format of states.
        format: of the states that may be, see `STATE_FORMATS`.
    """

    stored: tl.dtype
    arithmetic: tl.dtype
    format: int = 0

    @property
    def state(self) -> tl.dtype:
        """How states are stored."""
        return {0: self.arithmetic, 1: tl.uint16, 2: tl.uint8, 3: tl.uint8}[self.format]

    @property
    def is_narrow(self) -> bool:
        """Whether some arrays have 16 bits."""
        return any(type.primitive_bitwidth == 16 for type in (self.stored, self.state))

    @property
    def has_blocks(self) -> bool:
        """Whether states have scales, which threads have to agree upon, and no wide accesses."""
        return self.format >= STATE_FORMATS["8bit"]


PRECISIONS = {
    "float32": Precision(tl.float32, tl.float32),
    "bfloat16": Precision(tl.bfloat16, tl.float32),
    "float64": Precision(tl.float64, tl.float64),
    "states in bfloat16": Precision(tl.float32, tl.float32, STATE_FORMATS["bfloat16"]),
    "states in 8 bits": Precision(tl.float32, tl.float32, STATE_FORMATS["8bit_stochastic"]),
}
#: Of a thread that rounds states to 8 bits, in bytes.
MOST_OWN_MEMORY = 16

#: Axes of the tensors that kernels are compiled for, where that makes a difference.
_RANK = 3

_CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The machine code of one kernel, and its figures.

    Attributes:
        bytes: of arrays that have a number for each element, what a whole block moves for each of these; None where
            a kernel has no such blocks.
        wide: accesses of 128 bits (64 where numbers have 16), and how many are needed for these arrays at least.
        registers: of each thread, 32 bits each.
        own_memory: bytes that a thread keeps in memory of its own.
        exchanges: how often loaded numbers change hands.
        uses_float64, uses_atomics: whether instructions do.
        literals: numbers that stand in the kernel.
    """

    optimizer: str
    kernel: str
    gpu: str
    precision: str
    bytes: int | None
    wide: tuple[int, int]
    registers: int
    own_memory: int
    exchanges: int
    uses_float64: bool
    uses_atomics: bool
    literals: tuple[float, ...]

    def problems(self) -> list[str]:
        """The problems of a kernel, in words."""
        found = []
        allowed = MOST_OWN_MEMORY if PRECISIONS[self.precision].has_blocks else 0
        if self.own_memory > allowed and self.precision != "float64":
            found.append(f"{self.own_memory} bytes of own memory")
        if self.uses_atomics:
            found.append("atomics")
        if self.precision != "float64" and self.uses_float64:
            found.append("float64")
        if self.bytes is not None and self.precision != "float64":
            if self.registers > MOST_REGISTERS:
                found.append(f"{self.registers} registers")
            has_blocks = PRECISIONS[self.precision].has_blocks
            if self.exchanges and not has_blocks:
                found.append(f"{self.exchanges} exchanges between threads")
            if self.wide[0] < self.wide[1] and not has_blocks:
                found.append(f"{self.wide[0]} of {self.wide[1]} wide accesses")
        return found


def kernels_of(plan: KernelPlan) -> dict[str, tuple[Launch, CasePlan]]:
    """Every kernel of a plan, with one launch of it and the case that this is of."""
    return {
        launch.kernel: (launch, case)
        for variant in plan.variants
        for case in variant.all_cases
        for launch in case.launches
    }


@dataclass(frozen=True, slots=True)
class Verified:
    """The results for the kernels of a spec.

    Attributes:
        kernels: all that are generated ahead, or the default's if these are too long to be.
        bytes: for each variant's cases what its kernels move for an element, and what the schedule says, in float32;
            without cases that fold along axes, where a kernel for each reads once more what the schedule reads once.
    """

    kernels: tuple[Compiled, ...]
    bytes: tuple[tuple[str, int, int], ...]


def verify(
    spec: Spec, wrapped: Rule | None, gpus: Sequence[str] = tuple(GPUS), precisions: Sequence[str] = ("float32",)
) -> Verified:
    """Compile the kernels of a spec; float32 is among the precisions.

    Raises:
        UnsupportedByTarget: a rule asks for something that these kernels have no form of.
        triton.CompilationError: a kernel does not compile.
    """
    optimizer = compile_optimizer(spec, None, wrapped)
    generated = emit_triton(optimizer)
    module = module_from_text(f"optgen_verified.{spec.name}", generated.text, f"<verified {spec.name}>")
    found = tuple(
        _compiled(spec.name, module, launch, case, gpu, precision)
        for launch, case in kernels_of(generated.plan).values()
        for gpu in gpus
        for precision in precisions
        # A kernel that reads what another stores runs where that is not rounded; see `VariantPlan.cases_for`.
        if not (PRECISIONS[precision].format and case.read_again)
    )
    steps = {
        case.step.kernel for variant in generated.plan.variants for case in variant.all_cases if case.step is not None
    }
    numbers = tuple(_compiled_numbers(spec.name, module, kernel, gpu) for kernel in sorted(steps) for gpu in gpus)
    return Verified((*found, *numbers), tuple(_bytes(optimizer, generated.plan, found)))


def _bytes(optimizer: CompiledOptimizer, plan: KernelPlan, found: Sequence[Compiled]) -> Iterator[tuple[str, int, int]]:
    moved = {one.kernel: one.bytes for one in found if one.precision == "float32"}
    for variant, planned in zip(optimizer.variants, plan.variants, strict=True):
        schedules = [(case.schedule, plan) for case, plan in zip(variant.cases, planned.cases, strict=True)]
        schedules += [(c.rounding, p) for c, p in zip(variant.cases, planned.rounding, strict=False) if c.rounding]
        for schedule, case in schedules:
            ours = [launch for launch in case.launches if launch.domain is Kind.ELEMENT]
            if all(launch.form == BLOCKS for launch in ours):
                total = sum(moved[launch.kernel] or 0 for launch in ours)
                yield variant.name, total, schedule.bytes_per_element()


def _compiled(
    name: str, module: types.ModuleType, launch: Launch, case: CasePlan, gpu: str, precision: str
) -> Compiled:
    made = _compile(module, launch, gpu, precision)
    is_cuda = "ptx" in made.asm
    text = made.asm["ptx" if is_cuda else "amdgcn"]
    whole = launch.form == BLOCKS and launch.domain is Kind.ELEMENT
    loads, stores = _unmasked(made.asm["ttir"])
    kinds = [case.kinds.get(a.name, Kind.ELEMENT) for a in launch.columns if a.role == "array"]
    # One number for several elements is loaded for each nevertheless, and those of the axes one after the other.
    others = sum(_RANK if kind is Kind.AXIS else 1 for kind in kinds if kind is not Kind.ELEMENT)
    needed = 0
    if whole:
        threads = LAUNCH_OPTIONS["num_warps"] * GPUS[gpu].warp_size
        # A number that is stored where it was loaded from is left where it is by some compilers.
        changed = [one for one in stores if (one.value, one.pointer) not in {(a.value, a.pointer) for a in loads}]
        needed = (len(loads) - others + len(changed)) * max(1, Sizes().block // threads // 4)
    itemsize = PRECISIONS[precision].arithmetic.primitive_bitwidth // 8
    size = sum(one.size for one in (*loads, *stores)) - itemsize * others if whole else None
    wide = _wide(text, is_cuda, PRECISIONS[precision]), needed
    return _found(made, (name, launch.kernel, gpu, precision), size, wide)


def _compiled_numbers(name: str, module: types.ModuleType, kernel: str, gpu: str) -> Compiled:
    """A kernel for the numbers of a step: one program, in float64."""
    made = machine_code(getattr(module, kernel), {"_numbers_ptr": "fp64"}, {}, GPUS[gpu], NUMBER_OPTIONS)
    return _found(made, (name, kernel, gpu, "float64"), None, (0, 0))


def _found(made: Any, what: tuple[str, str, str, str], bytes: int | None, wide: tuple[int, int]) -> Compiled:
    """The figures of one kernel's machine code."""
    is_cuda = "ptx" in made.asm
    text = made.asm["ptx" if is_cuda else "amdgcn"]
    registers, own_memory = _resources(made, text, is_cuda)
    return Compiled(
        *what,
        bytes,
        wide,
        registers,
        own_memory,
        made.asm["ttgir"].count("convert_layout"),
        re.search(r"\.f64|_f64", text) is not None,
        re.search(r"\b(atom|red)\.|_atomic_", text) is not None,
        tuple(map(float, re.findall(r"-?\d\.\d+(?:e[+-]\d+)?", made.asm["ttir"]))),
    )


def _compile(module: types.ModuleType, launch: Launch, gpu: str, precision: str) -> Any:
    chosen = PRECISIONS[precision]
    kernel = getattr(module, launch.kernel)
    tables = {"_rows_ptr": "i64", "_chunks_ptr": "i64"}
    sizes = Sizes()
    outer, inner = sizes.tiles.get(launch.extent, (0, 0))
    values = {
        "BLOCK": sizes.block_of([chosen.format]),
        "RANK": _RANK,
        "OUTER": outer,
        "INNER": inner,
        "WIDE": True,
        "SCALED": False,
    }
    values |= {"_theta_type": chosen.stored, "_g_type": chosen.stored}
    for name in launch.constants:
        if name.endswith("_format"):
            values |= {name: chosen.format, f"{name.removesuffix('_format')}_type": chosen.state}
    constants = {name: values.get(name, chosen.arithmetic) for name in launch.constants}
    pointers = {name: tables.get(name, str(chosen.arithmetic)) for name in kernel.arg_names if name not in constants}
    return machine_code(kernel, pointers, constants, GPUS[gpu], options_of(launch, GPUS[gpu].backend))


@dataclass(frozen=True, slots=True)
class _Access:
    """A load or a store of a block: what, where, and how many bytes a number has."""

    value: str
    pointer: str
    size: int


def _unmasked(ttir: str) -> tuple[list[_Access], list[_Access]]:
    """The loads and the stores of a whole block."""
    shape = r"tensor<\d+x!tt\.ptr<[a-z]+(\d+)>>"
    loads = re.findall(rf"(%\w+) = tt\.load (%\w+) (?:\{{[^}}]*\}} )?: {shape}", ttir)
    stores = re.findall(rf"tt\.store (%\w+), (%\w+) (?:\{{[^}}]*\}} )?: {shape}", ttir)
    return (
        [_Access(value, pointer, int(bits) // 8) for value, pointer, bits in loads],
        [_Access(value, pointer, int(bits) // 8) for pointer, value, bits in stores],
    )


def _wide(text: str, is_cuda: bool, precision: Precision) -> int:
    if not is_cuda:
        return len(re.findall(r"(?:global|buffer)_(?:load|store)_(?:dwordx4|b128)", text)) + (
            len(re.findall(r"(?:global|buffer)_(?:load|store)_(?:dwordx2|b64)", text)) if precision.is_narrow else 0
        )
    wide = r"(?:ld|st)\.global\S*\.(?:v4\.b32|v2\.b64)"
    return len(re.findall(rf"{wide}|(?:ld|st)\.global\S*\.v2\.b32" if precision.is_narrow else wide, text))


def _resources(made: Any, text: str, is_cuda: bool) -> tuple[int, int]:
    """Registers of a thread, and bytes that it keeps in memory of its own."""
    if not is_cuda:
        registers = int(re.findall(r"\.vgpr_count:\s+(\d+)", text)[0])
        own = re.findall(r"\.private_segment_fixed_size:\s+(\d+)|\.[sv]gpr_spill_count:\s+(\d+)", text)
        return registers, sum(int(a or b) for a, b in own)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        shown = subprocess.run(
            [_CUOBJDUMP, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    used = {key: max(map(int, re.findall(rf"\b{key}:(\d+)", shown))) for key in ("REG", "STACK", "LOCAL")}
    return used["REG"], used["STACK"] + used["LOCAL"]
