"""Adam and its relatives against the libraries.

Arguments beside a learning rate of 0.1: none, each option, each optional hyperparameter, and what goes together.
"""

from __future__ import annotations

from tests.catalogue.cases import Cases

CASES: Cases = {
    ("adam", "optax", "adam"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"b1": 0.5, "b2": 0.6, "eps": 0.1},
        {"b1": 0.0, "eps_root": 1e-3, "nesterov": True},
    ],
    ("adam", "torch", "Adam"): [
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {},
        {"maximize": True},
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"betas": (0.5, 0.6), "eps": 0.1},
        {"betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1},
    ],
    ("adamw", "optax", "adamw"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "nesterov": True, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamw", "torch", "AdamW"): [
        {},
        {"maximize": True},
        {"amsgrad": True},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "amsgrad": True, "betas": (0.5, 0.6), "eps": 0.1},
    ],
}
