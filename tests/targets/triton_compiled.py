"""Compiles generated Triton kernels ahead of time, without a GPU, and prints what became of them.

    python -m tests.targets.triton_compiled (default|all) NAME...

A process of its own: see `triton_interpreted`. Prints a JSON list with one entry per kernel, target and precision.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from optgen._paths import specs_folder
from optgen.compiler.pipeline import compile_optimizer
from optgen.compiler.wrapping import wrapped_rule
from optgen.runtime.modules import module_from_text
from optgen.runtime.triton_launch import LAUNCH_OPTIONS, Sizes
from optgen.targets.kernels.plan import BLOCKS, KernelPlan, Launch
from optgen.targets.triton.emit import emit_triton
from tests.targets.triton_rules import spec_named

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
#: Storage of parameters and gradients, and arithmetic and state.
PRECISIONS = {
    "float32": (tl.float32, tl.float32),
    "bfloat16": (tl.bfloat16, tl.float32),
    "float64": (tl.float64, tl.float64),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def launches(plan: KernelPlan) -> dict[str, Launch]:
    """Every kernel of a plan, with one launch of it."""
    found = {}
    for variant in plan.variants:
        for case in variant.cases:
            found |= {launch.kernel: launch for launch in case.launches}
    return found


def compile_kernel(module: types.ModuleType, launch: Launch, target: GPUTarget, precision: str) -> Any:
    """The compiled kernel, with pointers as well aligned as torch's are."""
    stored, arithmetic = PRECISIONS[precision]
    kernel = getattr(module, launch.kernel)
    pointers = {"rows_ptr": "*i64", "chunks_ptr": "*i64"}
    signature = {name: pointers.get(name, f"*{arithmetic}") for name in kernel.arg_names}
    sizes = Sizes()
    outer, inner = sizes.tiles.get(launch.extent, (0, 0))
    values = {"BLOCK": sizes.block, "RANK": 3, "OUTER": outer, "INNER": inner, "WIDE": True}
    values |= {"_theta_type": stored, "_g_type": stored}
    constants = {(kernel.arg_names.index(name),): values.get(name, arithmetic) for name in launch.constants}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if name not in launch.constants
    }
    signature |= dict.fromkeys(launch.constants, "constexpr")
    return triton.compile(ASTSource(kernel, signature, constants, aligned), target=target, options=dict(LAUNCH_OPTIONS))


def stack_bytes(cubin: bytes) -> int:
    """What a kernel spills to memory of its own."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        shown = subprocess.run(
            [CUOBJDUMP, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        )
    return max(map(int, re.findall(r"STACK:(\d+)", shown.stdout)))


def literals_near(text: str, *wanted: float) -> list[float]:
    """The float literals of a kernel that round to one of these in float32."""
    found = {abs(float(number)) for number in re.findall(r"-?\d\.\d+(?:e[+-]\d+)?", text)}
    return sorted(x for x in found if any(abs(x / w - 1) < 1e-7 for w in wanted))


def facts(name: str, targets: list[str], precisions: list[str]) -> Iterator[dict[str, Any]]:
    """What became of each kernel of a rule."""
    spec = spec_named(name)
    generated = emit_triton(compile_optimizer(spec, None, wrapped_rule(spec, specs_folder())))
    module = module_from_text(f"test.{name}", generated.text, f"<test {name}>")
    for kernel, launch in launches(generated.plan).items():
        for target in targets:
            for precision in precisions:
                made = compile_kernel(module, launch, TARGETS[target], precision)
                text = made.asm["ptx" if "ptx" in made.asm else "amdgcn"]
                found = {"name": name, "kernel": kernel, "target": target, "precision": precision, "form": launch.form}
                found |= {"float64": "f64" in text, "shared": made.metadata.shared, "atomic": "atom" in text}
                found["literals"] = literals_near(made.asm["ttir"], 0.1, 0.7)
                if "ptx" in made.asm and launch.form == BLOCKS and launch.domain == "element":
                    found["wide_loads"] = len(re.findall(r"ld\.global\S*\.v4", text))
                    found["wide_stores"] = len(re.findall(r"st\.global\S*\.v4", text))
                    found["stack"] = stack_bytes(made.asm["cubin"])
                yield found


if __name__ == "__main__":
    everything = sys.argv[1] == "all"
    chosen = (list(TARGETS), list(PRECISIONS)) if everything else (list(TARGETS), ["float32"])
    sys.stdout.write(json.dumps([fact for name in sys.argv[2:] for fact in facts(name, *chosen)]))
