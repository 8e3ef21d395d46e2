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
#: Where nothing is wrapped, it is Adam; where no learning rate is given, it is the wrapped optimizer's.
OTHER_DEFAULTS = {"lookahead": {"base_optimizer": None, "lr": None}}


@pytest.mark.parametrize(("name", "library", "spelled"), SIGNATURES)
def test_signature_is_the_librarys(name: str, library: str, spelled: str) -> None:
    signature = SIGNATURES[name, library, spelled] | OTHER_DEFAULTS.get(name, {})
    arguments = dialect_of(name, library, spelled).arguments
    assert [(a.name, REQUIRED if a.required else a.default) for a in arguments] == list(signature.items())
    assert not any(a.keyword_only for a in arguments)
