"""Runs optimizers of `optgen.lucid` beside lucid's own on lucid's parameters, and prints how far apart they are.

    python tests/lucid/library.py

For an interpreter that has lucid; prints one JSON object: check → largest difference relative to the parameter.
"""

from __future__ import annotations

import copy
import inspect
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import lucid.nn
import lucid.optim
import lucid.optim.lr_scheduler
import numpy as np

import optgen.lucid

#: Calls of both, by name. lucid's SGD leaves the decay out of the first gradient that it sums up; its Rprop and AMSGrad
#: forget what they adapt.
CALLS = {
    "SGD": [{}, {"lr": 0.1, "momentum": 0.9}, {"weight_decay": 0.1}],
    "Adam": [{}, {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}],
    "AdamW": [{}, {"lr": 0.01, "weight_decay": 0.2}],
    "NAdam": [{}, {"weight_decay": 0.1, "momentum_decay": 0.01}],
    "RAdam": [{}, {"weight_decay": 0.1}],
    "RMSprop": [{}, {"momentum": 0.9}, {"centered": True, "weight_decay": 0.1}, {"centered": True, "momentum": 0.5}],
    "Adagrad": [{}, {"initial_accumulator_value": 0.1, "weight_decay": 0.1}],
    "Adadelta": [{}, {"rho": 0.95, "weight_decay": 0.1}],
    "Adamax": [{}, {"weight_decay": 0.1}],
}
SHAPES = ((3,), (4, 5), (2, 3, 4))


def pair(name, kwargs, dtype=np.float64):
    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype(dtype) for shape in SHAPES]
    both = []
    for module in (lucid.optim, optgen.lucid):
        parameters = [lucid.nn.Parameter(p.copy()) for p in start]
        both.append((parameters, getattr(module, name)(parameters, **copy.deepcopy(kwargs))))
    return both


def step(both, seed):
    random = np.random.default_rng(seed)
    gradients = [random.normal(size=shape) for shape in SHAPES]
    for parameters, optimizer in both:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.astype(p.data.dtype)
        optimizer.step()


def apart(both):
    (a, _), (b, _) = both
    return max(float(np.abs(p.data - q.data).max() / np.abs(p.data).max()) for p, q in zip(a, b, strict=True))


def main():
    found = {}
    for name, calls in CALLS.items():
        for kwargs in calls:
            both = pair(name, kwargs)
            for seed in range(10):
                step(both, seed)
            found[f"{name} {kwargs}"] = apart(both)
        saved = [optimizer.state_dict() for _, optimizer in both]
        entries = [{i: sorted(kept) for i, kept in one["state"].items()} for one in saved]
        assert entries[0] == entries[1], (name, entries)
        # Each goes on from the other's checkpoint.
        both[0][1].load_state_dict(copy.deepcopy(saved[1]))
        both[1][1].load_state_dict(copy.deepcopy(saved[0]))
        for seed in range(20, 23):
            step(both, seed)
        found[f"{name} checkpoints"] = apart(both)
        signatures = [inspect.signature(getattr(m, name)).parameters for m in (lucid.optim, optgen.lucid)]
        ours = {n: p.default for n, p in signatures[1].items() if n not in ("skip_nonfinite", "state_dtype")}
        assert ours == {n: p.default for n, p in signatures[0].items()}, name
    both = pair("Adam", {"lr": 0.1})
    schedulers = [lucid.optim.lr_scheduler.StepLR(optimizer, step_size=2) for _, optimizer in both]
    for seed in range(6):
        step(both, seed)
        for scheduler in schedulers:
            scheduler.step()
    found["StepLR"] = apart(both)
    # A whole model, trained by lucid's own backward.
    losses = []
    for module in (lucid.optim, optgen.lucid):
        lucid.random.seed(0)
        np.random.seed(0)
        model = lucid.nn.Linear(3, 1)
        for p in model.parameters():
            p.data = np.full_like(p.data, 0.1)
        optimizer = module.Adam(model.parameters(), lr=0.1)
        x = lucid.Tensor(np.random.default_rng(1).normal(size=(8, 3)))
        for _ in range(20):
            optimizer.zero_grad()
            loss = ((model(x) - 1.0) ** 2).mean()
            loss.backward()
            optimizer.step()
        losses.append(float(loss.data))
    found["training"] = abs(losses[0] - losses[1]) / losses[0]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
