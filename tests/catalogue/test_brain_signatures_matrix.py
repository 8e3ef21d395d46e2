"""The signatures of braintools that cannot be imported beside the other libraries, copied from its documentation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.catalogue.test_libraries import dialect_of

REQUIRED = object()
CLIPPING = {"grad_clip_norm": None, "grad_clip_value": None}

SIGNATURES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("lbfgs", "braintools", "LBFGS"): {
        "lr": 1.0,
        "memory_size": 10,
        "scale_init_precond": True,
        "linesearch": None,
        **CLIPPING,
    },
    ("adafactor", "braintools", "Adafactor"): {
        "lr": None,
        "eps": (1e-30, 1e-3),
        "clip_threshold": 1.0,
        "decay_rate": -0.8,
        "beta1": None,
        "weight_decay": 0.0,
        "factored": True,
        **CLIPPING,
    },
    ("lookahead", "braintools", "Lookahead"): {
        "base_optimizer": REQUIRED,
        "sync_period": 5,
        "alpha": 0.5,
        "lr": 1e-3,
        "weight_decay": 0.0,
        **CLIPPING,
    },
}
#: A line search, the optimizer that is wrapped, and the learning rate that it has itself.
LEFT_OUT = {"lbfgs": {"linesearch"}, "lookahead": {"base_optimizer", "lr"}}


@pytest.mark.parametrize(("name", "library", "spelled"), SIGNATURES)
def test_signature_is_the_librarys(name: str, library: str, spelled: str) -> None:
    signature = SIGNATURES[name, library, spelled]
    left_out = LEFT_OUT.get(name, set())
    arguments = dialect_of(name, library, spelled).arguments
    assert {a.name: REQUIRED if a.required else a.default for a in arguments} == {
        argument: default for argument, default in signature.items() if argument not in left_out
    }
    order = list(signature)
    assert [a.name for a in arguments] == [argument for argument in order if argument not in left_out]
    # What stands behind an argument that is left out cannot be given by position.
    behind = {argument for left in left_out for argument in order[order.index(left) + 1 :]}
    assert {a.name for a in arguments if a.keyword_only} == behind - left_out
