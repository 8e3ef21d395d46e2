"""Adam and its relatives as braintools, brainpy and lucid spell them: names, order and defaults of the arguments.

`train_vars`, `name` and `params` are not of the rule. braintools' Adam has the undocumented arguments `beta1` and
`beta2` behind `betas`, and brainpy's optimizers have `train_vars` behind `lr`, so what follows is keyword-only.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.catalogue.test_libraries import dialect_of

REQUIRED = "required"
BETAS = {"betas": (0.9, 0.999)}
CLIPPING = {"grad_clip_norm": None, "grad_clip_value": None}

#: (spec, library, its name for it) → its arguments and their defaults, in its order.
SIGNATURES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("adam", "braintools", "Adam"): {
        "lr": 1e-3,
        **BETAS,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        **CLIPPING,
    },
    ("adamw", "braintools", "AdamW"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.01, **CLIPPING},
    ("adamax", "braintools", "Adamax"): {"lr": 2e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0, **CLIPPING},
    ("nadam", "braintools", "Nadam"): {
        "lr": 2e-3,
        **BETAS,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum_decay": 4e-3,
        **CLIPPING,
    },
    ("radam", "braintools", "RAdam"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0, **CLIPPING},
    ("yogi", "braintools", "Yogi"): {"lr": 1e-3, **BETAS, "eps": 1e-3, "weight_decay": 0.0, **CLIPPING},
    ("adabelief", "braintools", "AdaBelief"): {"lr": 1e-3, **BETAS, "eps": 1e-16, "weight_decay": 0.0, **CLIPPING},
    ("adam", "brainpy", "Adam"): {"lr": REQUIRED, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": None},
    ("adamw", "brainpy", "AdamW"): {
        "lr": REQUIRED,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.01,
        "amsgrad": False,
    },
    ("adan", "brainpy", "Adan"): {
        "lr": 1e-3,
        "betas": (0.02, 0.08, 0.01),
        "eps": 1e-8,
        "weight_decay": 0.02,
        "no_prox": False,
    },
    ("adam", "lucid", "Adam"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False},
    ("adamw", "lucid", "AdamW"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False},
    ("nadam", "lucid", "NAdam"): {"lr": 2e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3},
    ("radam", "lucid", "RAdam"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0},
    ("adamax", "lucid", "Adamax"): {"lr": 2e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0},
}

#: The last argument that may be given by position, where that is not the last one.
LAST_POSITIONAL = {
    ("adam", "braintools"): "betas",
    ("adam", "brainpy"): "lr",
    ("adamw", "brainpy"): "lr",
    ("adan", "brainpy"): "lr",
}


@pytest.mark.parametrize(("name", "library", "spelled"), list(SIGNATURES), ids=str)
def test_signature_is_the_librarys(name: str, library: str, spelled: str) -> None:
    arguments = dialect_of(name, library, spelled).arguments
    wanted = SIGNATURES[name, library, spelled]
    assert [(a.name, REQUIRED if a.required else a.default) for a in arguments] == list(wanted.items())
    positional = [a.name for a in arguments if not a.keyword_only]
    last = LAST_POSITIONAL.get((name, library), list(wanted)[-1])
    assert positional == list(wanted)[: list(wanted).index(last) + 1]
