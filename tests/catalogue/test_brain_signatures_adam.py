"""Adam and its relatives as braintools, brainpy and lucid spell them: names, order and defaults of the arguments.

lucid's `params` is not of the rule. Some arguments are the front-end's own: brainpy's `train_vars` and `name`.
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
        "beta1": None,
        "beta2": None,
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
    ("adam", "brainpy", "Adam"): {
        "lr": REQUIRED,
        "train_vars": None,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": None,
        "name": None,
    },
    ("adamw", "brainpy", "AdamW"): {
        "lr": REQUIRED,
        "train_vars": None,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.01,
        "amsgrad": False,
        "name": None,
    },
    ("adan", "brainpy", "Adan"): {
        "lr": 1e-3,
        "train_vars": None,
        "betas": (0.02, 0.08, 0.01),
        "eps": 1e-8,
        "weight_decay": 0.02,
        "no_prox": False,
        "name": None,
    },
    ("adam", "lucid", "Adam"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False},
    ("adamw", "lucid", "AdamW"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False},
    ("nadam", "lucid", "NAdam"): {"lr": 2e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3},
    ("radam", "lucid", "RAdam"): {"lr": 1e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0},
    ("adamax", "lucid", "Adamax"): {"lr": 2e-3, **BETAS, "eps": 1e-8, "weight_decay": 0.0},
}


@pytest.mark.parametrize(("name", "library", "spelled"), list(SIGNATURES), ids=str)
def test_signature_is_the_librarys(name: str, library: str, spelled: str) -> None:
    arguments = dialect_of(name, library, spelled).arguments
    wanted = SIGNATURES[name, library, spelled]
    assert [(a.name, REQUIRED if a.required else a.default) for a in arguments] == list(wanted.items())
    assert not any(a.keyword_only for a in arguments)
