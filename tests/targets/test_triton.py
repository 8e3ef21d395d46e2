"""The generated Triton kernels compute what the equations say, and compile for the GPUs that they are meant for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optgen.errors import SpecError
from optgen.language.definition import define_spec
from optgen.pipeline.optimizer import compile_optimizer
from optgen.targets.triton.emit import emit_triton
from tests.targets.triton_rules import batches, catalogue_names, small_rules

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

REPOSITORY = Path(__file__).parents[2]


def run_script(name: str, *arguments: str) -> Any:
    """What one of the scripts beside this file prints."""
    command = [sys.executable, "-m", f"tests.targets.{name}", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def joined(names: list[str]) -> str:
    return "-".join(names)


@pytest.mark.parametrize("names", batches(6), ids=joined)
def test_interpreted_kernels_follow_the_equations(names):
    found = run_script("triton_interpreted", "ahead", *names)
    assert {key.split()[0] for key in found} == set(names)
    # A fraction of what float32 may lose, or a difference in float64.
    assert {
        key: value for key, value in found.items() if not value <= (1.0 if key.endswith("float32") else 1e-12)
    } == {}


def test_powers_are_rounded_as_they_should_be():
    found = run_script("triton_power")
    assert {exponent: error for exponent, error in found.items() if error > 0.51} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue_names())
def test_every_other_choice_follows_the_equations(name):
    found = run_script("triton_interpreted", "others", name)
    assert {key: value for key, value in found.items() if not value <= 1e-12} == {}


def check_compiled(found: dict[str, Any], names: list[str]) -> None:
    assert {one["optimizer"] for one in found["kernels"]} == set(names)
    # CUDA's sine computes in float64, and with memory of its own, for large angles.
    assert [one for one in found["kernels"] if one["optimizer"] != "functions" and one["problems"]] == []
    assert [one for one in found["bytes"] if one[-2] != one[-1]] == []


@pytest.mark.parametrize("names", batches(4), ids=joined)
def test_kernels_compile_ahead_of_time(names):
    check_compiled(run_script("triton_compiled", "default", *names), names)


def test_kernels_compile_for_other_precisions():
    names = ["lion", "per_axis", "functions"]
    found = run_script("triton_compiled", "all", *names)
    check_compiled(found, names)
    # 0.1 and 0.7 went into float64 kernels as they were written.
    of_rule = [one for one in found["kernels"] if not one["kernel"].endswith("_step_numbers")]
    wide = [one for one in of_rule if (one["optimizer"], one["precision"]) == ("functions", "float64")]
    assert len(wide) == 4
    for one in wide:
        near = {abs(x) for x in one["literals"] if any(abs(abs(x) / w - 1) < 1e-7 for w in (0.1, 0.7))}
        assert near == {0.1, 0.7}


@pytest.mark.slow
@pytest.mark.parametrize("names", batches(4), ids=joined)
def test_all_kernels_compile_for_other_precisions(names):
    check_compiled(run_script("triton_compiled", "all", *names), names)


def test_text_is_reproducible_and_self_contained():
    for spec in small_rules().values():
        text = emit_triton(compile_optimizer(spec)).text
        assert text == emit_triton(compile_optimizer(spec)).text
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        assert imports[-2:] == ["import triton", "import triton.language as tl"]
        assert imports[:-2] in ([], ["import math"])


def test_variants_share_kernels():
    spec = define_spec(
        "shared",
        "m[t] = beta*m[t-1] + g\nif amsgrad:\n    d = m[t]\nelse:\n    d = m[t]\ntheta[t] = theta[t-1] - lr*d",
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
    assert text[text.index("@triton.jit\ndef _default_elements_block") :] == EXPECTED


EXPECTED = '''\
@triton.jit
def _default_elements_block(
    theta_ptr, g_ptr, m_ptr, _m_scales_ptr, _m_stream, beta, lr, _unscale, _seed, _m_format: tl.constexpr,
    SCALED: tl.constexpr, _number: tl.constexpr, _offsets, _mask,
):
    g = _gradient(g_ptr, _offsets, _mask, _unscale, SCALED, _number)
    m = _loaded(m_ptr, _m_scales_ptr, _offsets, _mask, _m_format, _number)
    m_new = beta*m + g
    theta_update = -lr*m_new
    theta = tl.load(theta_ptr + _offsets, _mask).to(_number)
    _stored(m_ptr, _m_scales_ptr, _m_stream, _seed, _offsets, m_new, _mask, _m_format)
    tl.store(theta_ptr + _offsets, theta + theta_update, _mask)


@triton.jit
def default_elements(
    _rows_ptr, _chunks_ptr, scalars_ptr, _theta_type: tl.constexpr, _g_type: tl.constexpr,
    _m_type: tl.constexpr, _m_format: tl.constexpr, SCALED: tl.constexpr, WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """All elements of a tensor: m_new, theta_update."""
    _number = scalars_ptr.dtype.element_ty
    _program = tl.program_id(0).to(tl.int64)
    _row_ptr = _rows_ptr + tl.load(_chunks_ptr + 2*_program)*7
    theta_ptr = _array(_row_ptr + 0, _theta_type, WIDE)
    g_ptr = _array(_row_ptr + 1, _g_type, WIDE)
    m_ptr = _array(_row_ptr + 2, _m_type, WIDE)
    _m_scales_ptr = _array(_row_ptr + 3, tl.float32, False)
    _m_stream = tl.load(_row_ptr + 4)
    _n = tl.load(_row_ptr + 5)
    _size = tl.multiple_of(tl.load(_row_ptr + 6), BLOCK)
    beta = tl.load(scalars_ptr + 0)
    lr = tl.load(scalars_ptr + 1)
    _unscale = tl.load(scalars_ptr + 2)
    _seed = tl.load(scalars_ptr + 3)
    _skip = tl.load(scalars_ptr + 5)
    if SCALED:
        _n = tl.where(_skip != 0.0, 0, _n)
    _chunk = tl.load(_chunks_ptr + 2*_program + 1)
    _first = _chunk*_size
    # A whole chunk needs no mask, and without one its loads and stores are as wide as can be.
    if _first + _size <= _n:
        for _start in range(0, _size, BLOCK):
            _offsets = _first + _start + tl.arange(0, BLOCK)
            _default_elements_block(
                theta_ptr, g_ptr, m_ptr, _m_scales_ptr, _m_stream, beta, lr, _unscale, _seed, _m_format,
                SCALED, _number, _offsets, None,
            )
    else:
        for _start in range(_first, _n, BLOCK):
            _offsets = _start + tl.arange(0, BLOCK)
            _default_elements_block(
                theta_ptr, g_ptr, m_ptr, _m_scales_ptr, _m_stream, beta, lr, _unscale, _seed, _m_format,
                SCALED, _number, _offsets, _offsets < _n,
            )
'''


@pytest.mark.parametrize("name", ["g_ptr", "BLOCK", "scalars", "WIDE", "SCALED", "float"])
def test_names_that_kernels_need_are_refused(name):
    with pytest.raises(SpecError, match=rf"^<taken>:1:1: '{name}' is a "):
        define_spec("taken", f"theta[t] = theta[t-1] - {name}*g", {name: 0.1})


@pytest.mark.parametrize("name", ["chunks", "table", "number", "stored"])
def test_a_state_may_be_called_like_a_table(name):
    """No argument of the kernel is overwritten."""
    rule = f"{name}[t] = 0.9*{name}[t-1] + g\ntheta[t] = theta[t-1] - lr*{name}[t]/(1 + max(abs({name}[t])))"
    text = emit_triton(compile_optimizer(define_spec("named", rule, {"lr": 0.1}))).text
    for kernel in text[text.index("@triton.jit\ndef _default") :].split("@triton.jit")[1:]:
        arguments, _, body = kernel.partition('"""')
        given = re.findall(r"(\w+)(?:: tl\.constexpr)?[,)]", arguments.partition("(")[2])
        assert not set(given) & set(re.findall(r"^    (\w+) = ", body, re.MULTILINE))
