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
    ("adam", "optax", "amsgrad"): [
        {},
        {"eps_root": 1e-3, "b1": 0.5, "b2": 0.6, "eps": 0.1},
        {"bias_correction_mu": False},
        {"bias_correction_nu": False, "b1": 0.5, "b2": 0.6},
    ],
    ("adam", "optax", "nadam"): [{}, {"nesterov": False}, {"eps_root": 1e-3, "b1": 0.5, "b2": 0.6, "eps": 0.1}],
    ("adamw", "optax", "nadamw"): [
        {},
        {"nesterov": False},
        {"eps_root": 1e-3, "weight_decay": 0.0},
        {"weight_decay": 0.5},
    ],
    ("nadam", "torch", "NAdam"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"momentum_decay": 0.3, "betas": (0.5, 0.6), "eps": 0.1},
    ],
    ("radam", "optax", "radam"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"threshold": 7.0, "b1": 0.5, "b2": 0.9, "eps": 0.1, "nesterov": True},
    ],
    ("radam", "torch", "RAdam"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.5, 0.9), "eps": 0.1},
    ],
    ("adamax", "optax", "adamax"): [{}, {"b1": 0.5, "b2": 0.6, "eps": 0.1}],
    ("adamax", "optax", "adamaxw"): [
        {},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamax", "torch", "Adamax"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1, "betas": (0.5, 0.6), "eps": 0.1},
    ],
    ("yogi", "optax", "yogi"): [{}, {"b1": 0.5, "b2": 0.6, "eps": 0.1}],
    ("adabelief", "optax", "adabelief"): [
        {},
        {"nesterov": True},
        {"eps_root": 0.0},
        {"eps_root": 0.1, "b1": 0.5, "b2": 0.6, "eps": 0.1, "nesterov": True},
    ],
    ("adan", "optax", "adan"): [
        {},
        {"eps_root": 0.0},
        {"weight_decay": 0.1},
        {"b1": 0.5, "b2": 0.6, "b3": 0.7, "eps": 0.1, "weight_decay": 0.5},
    ],
    ("ademamix", "optax", "ademamix"): [
        {},
        {"eps_root": 1e-3},
        {"weight_decay": 0.1, "b1": 0.5, "b2": 0.6, "b3": 0.8, "alpha": 2.0, "eps": 0.1},
    ],
    ("optimistic_gradient_descent", "optax", "optimistic_gradient_descent"): [{}, {"alpha": 0.5, "beta": 2.0}],
    ("optimistic_adam", "optax", "optimistic_adam_v2"): [
        {},
        {"nesterov": False},
        {"eps_root": 1e-3},
        {"alpha": 0.5, "beta": 2.0, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
}
