"""Which schedules a program gets: one, or another for states that are rounded as they are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

import optgen
from optgen.compiler.ahead import choices_ahead
from optgen.contract.kernel_plan import read_plan
from optgen.language.reader import read_spec
from optgen.pipeline.optimizer import compile_variant, generate

SPECS = Path(__file__).parents[2] / "specs"


def cases(name: str, variant: str = "default"):
    spec = read_spec(SPECS / f"{name}.toml")
    return compile_variant(spec, variant, choices_ahead(spec)[variant]).cases


def test_what_is_read_back_and_what_is_computed_again():
    """LAMB's second pass reads two states, or a gradient and two states of which it stores the new values."""
    (lamb,) = cases("lamb")
    assert lamb.rounding is not None
    assert {"m_new", "v_new"} <= set(lamb.schedule.passes[0].writes)
    assert not lamb.rounding.passes[0].writes
    assert {"m_new", "v_new"} <= set(lamb.rounding.passes[-1].writes)
    assert (lamb.schedule.bytes_per_element(), lamb.rounding.bytes_per_element()) == (40, 44)


def test_one_schedule_is_enough():
    """AdamW is one pass; Adafactor's vectors move no more where they compute their second moment again."""
    assert all(case.rounding is None for name in ("adamw", "adafactor") for case in cases(name))
    assert cases("adafactor")[1].schedule.passes[-1].writes == ("v_new", "theta_update")


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.toml")), ids=lambda path: path.stem)
def test_no_kernel_reads_what_may_have_been_rounded(path):
    spec = read_spec(path)
    if spec.wraps:
        pytest.skip("it has the passes of what it wraps")
    files = generate(spec, targets=("native", "triton")).files
    for name in {"native.json", "triton.json"} & files.keys():
        for variant in read_plan(files[name].encode()).variants:
            states = {state.name for case in variant.cases for state in case.states}
            found = variant.cases_for(states)
            assert len(found) == len(variant.cases)
            assert not any(case.read_again for case in found)


def test_a_rule_of_ones_own_keeps_its_kernels():
    """A second pass that needs a fold of a state's new value, and the value."""
    rule = "m[t] = beta*m[t-1] + (1 - beta)*g\ntheta[t] = theta[t-1] - lr*m[t]/max(1, norm(m[t]))"
    made = optgen.define("levelled", rule, lr=0.1, beta=0.9)
    (case,) = compile_variant(made.spec, "default", next(iter(choices_ahead(made.spec).values()))).cases
    assert case.rounding is not None
