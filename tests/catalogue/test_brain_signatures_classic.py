"""Momentum, accumulators, signs and layer-wise rules as braintools, brainpy and lucid spell them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.catalogue.test_libraries import dialect_of

REQUIRED = "required"
CLIPPING = {"grad_clip_norm": None, "grad_clip_value": None}
STEPS = {"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)}

#: (spec, library, its name for it) → its arguments and their defaults, in its order.
SIGNATURES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("sgd", "braintools", "SGD"): {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False, **CLIPPING},
    ("sgd", "braintools", "Momentum"): {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, **CLIPPING},
    ("sgd", "braintools", "MomentumNesterov"): {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, **CLIPPING},
    ("adagrad", "braintools", "Adagrad"): {
        "lr": 1e-2,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
        **CLIPPING,
    },
    ("adadelta", "braintools", "Adadelta"): {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, **CLIPPING},
    ("rmsprop", "braintools", "RMSprop"): {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
        **CLIPPING,
    },
    ("lion", "braintools", "Lion"): {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, **CLIPPING},
    ("lamb", "braintools", "Lamb"): {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-6,
        "weight_decay": 0.0,
        **CLIPPING,
    },
    ("lars", "braintools", "Lars"): {
        "lr": 1.0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "trust_coefficient": 0.001,
        "eps": 1e-8,
        **CLIPPING,
    },
    ("rprop", "braintools", "Rprop"): {"lr": 1e-2, **STEPS, **CLIPPING},
    ("novograd", "braintools", "Novograd"): {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        **CLIPPING,
    },
    ("sm3", "braintools", "SM3"): {"lr": 1.0, "momentum": 0.9, "eps": 1e-8, "weight_decay": 0.0, **CLIPPING},
    ("fromage", "braintools", "Fromage"): {"lr": 1.0, "momentum": 0.0, **CLIPPING},
    ("sgd", "brainpy", "SGD"): {"lr": REQUIRED, "train_vars": None, "weight_decay": None, "name": None},
    ("sgd", "brainpy", "Momentum"): {
        "lr": REQUIRED,
        "train_vars": None,
        "momentum": 0.9,
        "weight_decay": None,
        "name": None,
    },
    ("sgd", "brainpy", "MomentumNesterov"): {
        "lr": REQUIRED,
        "train_vars": None,
        "weight_decay": None,
        "momentum": 0.9,
        "name": None,
    },
    ("adagrad", "brainpy", "Adagrad"): {
        "lr": REQUIRED,
        "train_vars": None,
        "weight_decay": None,
        "epsilon": 1e-6,
        "name": None,
    },
    ("adadelta", "brainpy", "Adadelta"): {
        "lr": 1.0,
        "train_vars": None,
        "weight_decay": None,
        "epsilon": 1e-6,
        "rho": 0.95,
        "name": None,
    },
    ("rmsprop", "brainpy", "RMSProp"): {
        "lr": REQUIRED,
        "train_vars": None,
        "weight_decay": None,
        "epsilon": 1e-6,
        "rho": 0.9,
        "name": None,
    },
    ("lars", "brainpy", "LARS"): {
        "lr": REQUIRED,
        "train_vars": None,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "tc": 1e-3,
        "eps": 1e-5,
        "name": None,
    },
    ("sgd", "lucid", "SGD"): {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0},
    ("adagrad", "lucid", "Adagrad"): {
        "lr": 1e-2,
        "eps": 1e-10,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
    },
    ("adadelta", "lucid", "Adadelta"): {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    ("rmsprop", "lucid", "RMSprop"): {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
    },
    ("rprop", "lucid", "Rprop"): {"lr": 1e-2, **STEPS},
}


@pytest.mark.parametrize("key", list(SIGNATURES), ids="-".join)
def test_arguments_and_defaults(key: tuple[str, str, str]) -> None:
    dialect = dialect_of(*key)
    assert {a.name: REQUIRED if a.required else a.default for a in dialect.arguments} == SIGNATURES[key]
    assert [a.name for a in dialect.arguments] == list(SIGNATURES[key])
