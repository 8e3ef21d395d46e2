"""Adafactor and Prodigy against the libraries.

Arguments beside a learning rate of 0.1: none, each option, each optional hyperparameter, and what goes together. What
optax's Adafactor computes in float32 unless it is given in float64 is given so (`FLOAT64`), and it factors small
tensors in some cases only; `test_libraries_matrix` has large ones. Prodigy's first estimate is one that moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.catalogue.cases import Cases

#: Arguments that make a library compute in float64 what it otherwise computes in float32.
FLOAT64: dict[tuple[str, str], dict[str, Any]] = {
    ("adafactor", "optax"): {"dtype_momentum": "float64", "decay_rate": np.float64(0.8)},
}

CASES: Cases = {
    ("adafactor", "optax", "adafactor"): [
        {},
        {"learning_rate": None},
        {"min_dim_size_to_factor": 2},
        {"min_dim_size_to_factor": 2, "factored": False},
        {"multiply_by_parameter_scale": False},
        {"multiply_by_parameter_scale": False, "learning_rate": None},
        {"clipping_threshold": None},
        {"clipping_threshold": 2.0, "min_dim_size_to_factor": 1},
        {"momentum": 0.9},
        {"weight_decay_rate": 0.1},
        {"eps": 0.1},
        {"decay_rate": np.float64(0.3), "decay_offset": -3.0},
        {"momentum": 0.5, "weight_decay_rate": 0.1, "min_dim_size_to_factor": 2, "learning_rate": 0.5, "eps": 0.01},
    ],
    ("adafactor", "torch", "Adafactor"): [
        {},
        {"lr": 0.4},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"eps": (0.3, 1e-3)},
        {"eps": (None, 2.0)},
        {"d": 2.5},
        {"beta2_decay": -0.3},
        {"lr": 0.5, "beta2_decay": -0.5, "eps": (0.7, 0.9), "d": 1.5, "weight_decay": 0.3, "maximize": True},
    ],
    ("prodigy", "optax", "prodigy"): [
        {"estim_lr0": 0.1},
        {"estim_lr0": 0.1, "beta3": 0.5},
        {"estim_lr0": 0.1, "weight_decay": 0.5},
        {"estim_lr0": 0.1, "safeguard_warmup": True},
        {"estim_lr0": 0.1, "estim_lr_coef": 50.0},
        {"estim_lr0": 0.1, "eps": 0.3, "estim_lr_coef": 50.0},
        {
            "estim_lr0": 0.5,
            "estim_lr_coef": 20.0,
            "betas": (0.5, 0.6),
            "beta3": 0.7,
            "eps": 0.1,
            "weight_decay": 0.1,
            "safeguard_warmup": True,
        },
    ],
}
