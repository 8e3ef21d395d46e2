"""The same comparison as in the interpreter, on a GPU."""

from __future__ import annotations

import os

import pytest
import torch

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead
from optgen.compiler.specialise import specialise
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.compare import follow_float64, within_float32
from tests.targets.triton_rules import catalogue_names, small_rules, spec_named

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="Triton interprets"),
]


@pytest.mark.parametrize("name", [n for n in (*catalogue_names(), *small_rules()) if n != "given_values"])
def test_kernels_follow_the_equations_on_the_gpu(name):
    from tests.targets.triton_target import compile_target, hyperparameters_of

    spec = spec_named(name)
    for variant, choice in choices_ahead(spec).items():
        wrapped = wrapped_rule(spec, specs_folder())
        rule = specialise(spec, choice, wrapped)
        values = {h.name: h.default for h in rule.hyperparameters} | hyperparameters_of(spec, choice)
        target = compile_target(spec, variant, choice, values, wrapped, device="cuda")
        # Sums are taken in another order, and functions are not numpy's.
        assert follow_float64(rule, values, target) <= 1e-12
        assert within_float32(rule, values, target, steps=8) <= 1.0
