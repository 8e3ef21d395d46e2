"""The generated Triton kernels compute what the equations say, and compile for the GPUs that they are meant for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optgen.compiler.pipeline import compile_optimizer
from optgen.spec.definition import define_spec
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.triton.emit import emit_triton
from tests.targets.triton_rules import all_names, small_rules

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

REPOSITORY = Path(__file__).parents[2]


def run_script(name: str, *arguments: str) -> Any:
    """What one of the scripts beside this file prints."""
    command = [sys.executable, "-m", f"tests.targets.{name}", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", all_names())
def test_interpreted_kernels_follow_the_equations(name):
    found = run_script("triton_interpreted", name)
    assert found
    # A fraction of what float32 may lose, or a difference in float64.
    assert {
        key: value for key, value in found.items() if not value <= (1.0 if key.endswith("float32") else 1e-12)
    } == {}


def check_compiled(found: list[dict[str, Any]]) -> None:
    assert found
    assert [f for f in found if f["atomic"]] == []
    # No literal or function makes float32 kernels compute in float64.
    assert [f for f in found if f["float64"] != (f["precision"] == "float64")] == []
    whole = [f for f in found if f.get("stack") is not None]
    assert [f for f in whole if f["stack"]] == []
    assert [f for f in whole if f["precision"] == "float32" and not (f["wide_loads"] and f["wide_stores"])] == []


@pytest.mark.parametrize("name", all_names())
def test_kernels_compile_ahead_of_time(name):
    check_compiled(run_script("triton_compiled", "default", name))


@pytest.mark.slow
@pytest.mark.parametrize("name", all_names())
def test_kernels_compile_in_every_precision(name):
    check_compiled(run_script("triton_compiled", "all", name))


def test_other_precisions_of_a_few_rules():
    check_compiled(run_script("triton_compiled", "all", "lion", "lamb", "per_axis", "factored"))


def test_text_is_reproducible_and_self_contained():
    for spec in small_rules().values():
        text = emit_triton(compile_optimizer(spec)).text
        assert text == emit_triton(compile_optimizer(spec)).text
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        assert imports[-2:] == ["import triton", "import triton.language as tl"]
        assert imports[:-2] in ([], ["import math"])


def test_variants_share_kernels():
    spec = define_spec(
        "shared", "m[t] = beta*m[t-1] + g\nif amsgrad:\n    d = m[t]\nelse:\n    d = m[t]\ntheta[t] = theta[t-1] - lr*d",
        {"lr": 0.1, "beta": 0.9, "amsgrad": False},
    )  # fmt: skip
    plan = emit_triton(compile_optimizer(spec)).plan
    kernels = {variant.name: [launch.kernel for launch in variant.cases[0].launches] for variant in plan.variants}
    assert kernels == {"default": ["default_elements"], "amsgrad": ["default_elements"]}


def test_the_kernel_of_a_rule():
    """One pass: every array is read once and written once, in place."""
    spec = define_spec(
        "heavy_ball", "m[t] = beta*m[t-1] + g\ntheta[t] = theta[t-1] - lr*m[t]", {"lr": 0.1, "beta": 0.9}
    )
    text = emit_triton(compile_optimizer(spec)).text
    assert text[text.index("@triton.jit") :] == EXPECTED


EXPECTED = '''\
@triton.jit
def _default_elements_block(theta_ptr, g_ptr, m_ptr, scalars_ptr, program, offsets, mask):
    _number = scalars_ptr.dtype.element_ty
    beta = tl.load(scalars_ptr + 0)
    lr = tl.load(scalars_ptr + 1)
    g = tl.load(g_ptr + offsets, mask).to(_number)
    m = tl.load(m_ptr + offsets, mask).to(_number)
    m_new = beta*m + g
    update = -lr*m_new
    theta = tl.load(theta_ptr + offsets, mask).to(_number)
    tl.store(m_ptr + offsets, m_new, mask)
    tl.store(theta_ptr + offsets, theta + update, mask)


@triton.jit(do_not_specialize=["n"])
def default_elements(theta_ptr, g_ptr, m_ptr, scalars_ptr, n, BLOCK: tl.constexpr):
    """All elements of a tensor: m_new, update."""
    program = tl.program_id(0).to(tl.int64)
    offsets = program*BLOCK + tl.arange(0, BLOCK)
    if (program + 1)*BLOCK <= n:
        _default_elements_block(theta_ptr, g_ptr, m_ptr, scalars_ptr, program, offsets, None)
    else:
        _default_elements_block(theta_ptr, g_ptr, m_ptr, scalars_ptr, program, offsets, offsets < n)
'''


@pytest.mark.parametrize("name", ["g_ptr", "BLOCK", "scalars"])
def test_names_that_kernels_need_are_refused(name):
    spec = define_spec("taken", f"theta[t] = theta[t-1] - {name}*g", {name: 0.1})
    with pytest.raises(UnsupportedByTarget, match=name):
        emit_triton(compile_optimizer(spec))
