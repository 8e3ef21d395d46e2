"""Rules whose names are chosen, with every function of the language around them, and their steps in the front-ends."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

from optgen.custom import CustomOptimizer, OptimizerDefinition

PARAMETERS = (np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), np.linspace(0.5, 1.5, 4, dtype=np.float32))
GRADIENTS = (np.cos(np.arange(6, dtype=np.float32)).reshape(2, 3), np.sin(np.arange(4, dtype=np.float32) + 1))
STEPS = 3

#: Whatever a kernel or a function of arrays calls stands beside the names.
_AROUND = """\
q1z = where(g > 0, exp(-abs(g)), tanh(g)) + sqrt(abs(g)) + log(1 + abs(g)) + floor(g) + ceil(g) + sin(g) + cos(g)
q2z = sign(g) + g % 0.7 + abs(g)**1.5 + max(g, 0.1) + norm(g) + mean(g, over=rows) + max(g, over=columns)
q3z = max(abs(g), over=other_axes)
q4z = min(q3z, over=axes) + rms(g, over=model) + sin(t)*exp(lr) + max(lr, 1/t) + where(lr > t, sqrt(lr), log(t))
"""


def rule(role: str, names: Sequence[str]) -> str:
    """The text of a spec in which each name has a role and counts in the result."""
    declared = {"hyperparameter": "default = {}", "switch": "default = true", "count": "default = 2"}
    tables: dict[str, list[str]] = {"hyperparameters": ["lr = { default = 0.1 }"], "options": [], "inputs": []}
    table = {"hyperparameter": "hyperparameters", "switch": "options", "count": "options", "input": "inputs"}.get(role)
    lines = ["q0q = g"]
    for i, name in enumerate(names):
        before, after, factor = f"q{i}q", f"q{i + 1}q", f"{i % 7 + 1}.25"
        if table == "inputs":
            tables[table].append(f'{name} = {{ kind = "{("step", "element")[i % 2]}" }}')
        elif table:
            tables[table].append(f"{name} = {{ {declared[role].format(0.3 + 0.05 * i)} }}")
        match role:
            case "switch":
                lines += [f"if {name}:", f"    {after} = {before} + {factor}*g", "else:", f"    {after} = {before}"]
            case "state":
                value = ("g", "sum(g)", "g")[i % 3]
                lines += [f"{name}[t] = 0.5*{name}[t-1] + {factor}*{value}", f"{after} = {before} + 0.25*{name}[t]"]
            case "intermediate":
                value = ("g**2", "norm(g)", "lr/t", "sum(abs(g), over=columns)")[i % 4]
                lines += [f"{name} = {factor}*{value}", f"{after} = {before} + sqrt(abs({name}))*g"]
            case _:
                lines.append(f"{after} = {before} + {factor}*{name}*g")
    lines += [_AROUND, f"theta[t] = theta[t-1] - 0.01*lr*(q{len(names)}q + q1z + q2z + q4z)"]
    head = ['[optimizer]\nname = "named"\nclass = "Named"\ntitle = "Named"\nsummary = "Named."']
    head += ["\n".join([f"[{name}]", *entries]) for name, entries in tables.items() if entries]
    return "\n".join([*head, "[equations]", "rule = '''", *lines, "'''", ""])


def made(role: str, names: Sequence[str]) -> CustomOptimizer:
    """The optimizer of `rule`.

    Raises:
        SpecError: one of the names is refused.
    """
    return CustomOptimizer(OptimizerDefinition(rule(role, names), "named.toml", None))


def inputs(optimizer: CustomOptimizer, each: Callable[[str, np.ndarray], Any]) -> dict[str, Any]:
    """A value for each input, of one per tensor as `each` gathers them."""
    declared = optimizer.spec.inputs
    return {
        one.name: float(i + 2) if one.kind == "step" else each(one.name, np.float32(0.5 + i))
        for i, one in enumerate(declared)
    }


def by_optax(optimizer: CustomOptimizer) -> list[np.ndarray]:
    tx = optimizer.optax()
    params = [jnp.asarray(a) for a in PARAMETERS]
    state = tx.init(params)
    for _ in range(STEPS):
        extra = inputs(optimizer, lambda _, x: [jnp.full(a.shape, x) for a in PARAMETERS])
        updates, state = tx.update([jnp.asarray(a) for a in GRADIENTS], state, params, **extra)
        params = [a + b for a, b in zip(params, updates, strict=True)]
    return [np.asarray(a) for a in params]


def by_optim(optimizer: CustomOptimizer) -> list[np.ndarray]:
    weights = {str(i): types.SimpleNamespace(value=jnp.asarray(a)) for i, a in enumerate(PARAMETERS)}
    made = optimizer.optim().register_trainable_weights(weights)
    for _ in range(STEPS):
        extra = inputs(optimizer, lambda _, x: {k: jnp.full(w.value.shape, x) for k, w in weights.items()})
        made.step({str(i): jnp.asarray(a) for i, a in enumerate(GRADIENTS)}, **extra)
        assert repr(made)
        made.load_state_dict(made.state_dict())
    return [np.asarray(w.value) for w in weights.values()]


def by_torch(optimizer: CustomOptimizer, **arguments: Any) -> list[np.ndarray]:
    params = [torch.nn.Parameter(torch.tensor(a)) for a in PARAMETERS]
    made = optimizer.torch(params, **arguments)
    for _ in range(STEPS):
        for p, g in zip(params, GRADIENTS, strict=True):
            p.grad = torch.tensor(g)
        made.step(**inputs(optimizer, lambda _, x: {p: torch.full_like(p, float(x)) for p in params}))
        assert repr(made)
        made.load_state_dict(made.state_dict())
    return [p.detach().numpy() for p in params]


def by_lucid(optimizer: CustomOptimizer, **arguments: Any) -> list[np.ndarray]:
    params = [_Parameter(a.copy(), g) for a, g in zip(PARAMETERS, GRADIENTS, strict=True)]
    made = optimizer.lucid(params, **arguments)
    for _ in range(STEPS):
        made.step(**inputs(optimizer, lambda _, x: {p: np.full(p.data.shape, x) for p in params}))
        assert repr(made)
        made.load_state_dict(made.state_dict())
    return [p.data for p in params]


class _Parameter:
    def __init__(self, data: np.ndarray, grad: np.ndarray) -> None:
        self.data, self.grad = data, grad


def on_arrays(step: Callable[[CustomOptimizer], list[np.ndarray]]) -> Callable[[CustomOptimizer], list[np.ndarray]]:
    """Have a step made without kernels."""

    def run(optimizer: CustomOptimizer) -> list[np.ndarray]:
        before = os.environ.get("OPTGEN_BACKEND")
        os.environ["OPTGEN_BACKEND"] = "arrays"
        try:
            return step(optimizer)
        finally:
            if before is None:
                del os.environ["OPTGEN_BACKEND"]
            else:
                os.environ["OPTGEN_BACKEND"] = before

    return run


FRONT_ENDS: Mapping[str, Callable[[CustomOptimizer], list[np.ndarray]]] = {
    "optax": by_optax,
    "optim": by_optim,
    "torch": by_torch,
    "torch on arrays": on_arrays(by_torch),
    "lucid": by_lucid,
    "lucid on arrays": on_arrays(by_lucid),
}
