"""Momentum, accumulators, signs and layer-wise rules against the libraries.

Arguments beside a learning rate of 0.1: none, each option, each optional hyperparameter, and what goes together.
"""

from __future__ import annotations

from tests.catalogue.cases import Cases

CASES: Cases = {
    ("sgd", "optax", "sgd"): [
        {},
        {"nesterov": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
    ],
    ("sgd", "torch", "SGD"): [
        {},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"dampening": 0.3},
        {"momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "dampening": 1.0, "weight_decay": 0.1},
    ],
    ("rmsprop", "optax", "rmsprop"): [
        {},
        {"eps": 0.1},
        {"centered": True},
        {"eps_in_sqrt": False},
        {"eps_in_sqrt": False, "centered": True, "eps": 0.1},
        {"bias_correction": True},
        {"bias_correction": True, "centered": True, "eps": 0.1},
        {"initial_scale": 1.0},
        {"nesterov": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "centered": True, "eps": 0.1, "decay": 0.5},
    ],
    ("rmsprop", "torch", "RMSprop"): [
        {},
        {"maximize": True},
        {"eps": 0.1},
        {"weight_decay": 0.1},
        {"centered": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.5},
    ],
    ("adagrad", "optax", "adagrad"): [
        {},
        {"initial_accumulator_value": 0.0},
        {"eps": 0.1},
    ],
    ("adagrad", "torch", "Adagrad"): [
        {},
        {"maximize": True},
        {"lr_decay": 0.3},
        {"weight_decay": 0.1},
        {"initial_accumulator_value": 0.5, "eps": 0.1},
        {"lr_decay": 0.3, "weight_decay": 0.1},
    ],
    ("lion", "optax", "lion"): [
        {},
        {"weight_decay": 0.0},
        {"weight_decay": 0.5, "b1": 0.5, "b2": 0.6},
    ],
    ("lamb", "optax", "lamb"): [
        {},
        {"eps_root": 1e-3},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "eps_root": 1e-3, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("adadelta", "optax", "adadelta"): [{}, {"weight_decay": 0.1}, {"rho": 0.5, "eps": 0.1}],
    ("adadelta", "torch", "Adadelta"): [{}, {"maximize": True}, {"weight_decay": 0.1, "rho": 0.5, "eps": 0.1}],
    ("rprop", "torch", "Rprop"): [
        {},
        {"maximize": True},
        {"etas": (0.3, 1.5), "step_sizes": (1e-2, 0.5)},
    ],
    ("lars", "optax", "lars"): [
        {},
        {"nesterov": True},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "trust_coefficient": 0.5, "eps": 0.1, "momentum": 0.5, "nesterov": True},
    ],
    ("novograd", "optax", "novograd"): [
        {},
        {"eps_root": 1e-3},
        {"weight_decay": 0.1, "b1": 0.5, "b2": 0.6, "eps": 0.1},
    ],
    ("fromage", "optax", "fromage"): [{}, {"min_norm": 5.0}],
    ("sign_sgd", "optax", "sign_sgd"): [{}],
    ("sign_sgd", "optax", "signum"): [{}, {"beta": 0.5}, {"beta": 0.0}],
}
