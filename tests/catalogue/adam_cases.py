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
    ("adam", "optax", "amsgrad"): [
        {},
        {"eps_root": 1e-3},
        {"bias_correction_mu": False},
        {"bias_correction_nu": False},
        {"b1": 0.5, "b2": 0.6, "eps": 0.1},
        {"b2": 0.6, "bias_correction_mu": False, "bias_correction_nu": False, "eps_root": 1e-3},
    ],
    ("adam", "torch", "Adam"): [
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {},
        {"maximize": True},
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"betas": (0.5, 0.6), "eps": 0.1},
        {"betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1},
        {"amsgrad": True, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    ("adamw", "optax", "adamw"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "nesterov": True, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamw", "optax", "nadamw"): [
        {},
        {"nesterov": False},
        {"eps_root": 1e-3},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "eps_root": 1e-3, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamw", "torch", "AdamW"): [
        {},
        {"maximize": True},
        {"amsgrad": True},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "amsgrad": True, "betas": (0.5, 0.6), "eps": 0.1},
    ],
    ("nadam", "optax", "nadam"): [
        {},
        {"nesterov": False},
        {"eps_root": 1e-3},
        {"b1": 0.5, "b2": 0.6, "eps": 0.1, "eps_root": 1e-3},
    ],
    ("nadam", "torch", "NAdam"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"momentum_decay": 0.0},
        {"momentum_decay": 0.5, "betas": (0.5, 0.6), "eps": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    ("radam", "optax", "radam"): [
        {},
        {"nesterov": True},
        {"eps_root": 1e-3},
        {"threshold": 4.0},
        {"threshold": 8.0, "nesterov": True, "eps_root": 1e-3, "b1": 0.5, "b2": 0.95, "eps": 0.1},
        {"b2": 0.5},
    ],
    ("radam", "torch", "RAdam"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"betas": (0.5, 0.95), "eps": 0.1, "weight_decay": 0.1, "maximize": True},
        {"betas": (0.9, 0.5)},
    ],
    ("adamax", "optax", "adamax"): [
        {},
        {"b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamax", "optax", "adamaxw"): [
        {},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adamax", "torch", "Adamax"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"betas": (0.5, 0.6), "eps": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    ("yogi", "optax", "yogi"): [
        {},
        {"b1": 0.5, "b2": 0.6, "eps": 0.1},
        {"eps": 1e-8},
    ],
    ("adabelief", "optax", "adabelief"): [
        {},
        {"nesterov": True},
        {"eps_root": 0.0},
        {"eps": 0.1},
        {"eps_root": 1e-3, "nesterov": True, "b1": 0.5, "b2": 0.6},
    ],
    ("ademamix", "optax", "ademamix"): [
        {},
        {"eps_root": 1e-3},
        {"weight_decay": 0.1},
        {"b1": 0.5, "b2": 0.6, "b3": 0.7, "alpha": 2.0, "eps": 0.1, "eps_root": 1e-3, "weight_decay": 0.1},
    ],
    ("optimistic_gradient_descent", "optax", "optimistic_gradient_descent"): [
        {},
        {"alpha": 0.5, "beta": 2.0},
        {"beta": 0.0},
    ],
    ("optimistic_adam", "optax", "optimistic_adam_v2"): [
        {},
        {"nesterov": False},
        {"eps_root": 1e-3},
        {"alpha": 0.5, "beta": 2.0, "b1": 0.5, "b2": 0.6, "eps": 0.1, "nesterov": False},
    ],
}
