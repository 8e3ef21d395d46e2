"""Formulas that no library of the test environment computes: brainpy's, lucid's, and those of papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from optgen.compiler.specialise import specialise
from tests.catalogue.test_libraries import dialect_of, spec_of
from tests.language.trajectories import Array, Trajectory, difference, in_dialect, problem, rule_of, run_rule

State = dict[str, Array]
#: Parameter, gradient, states, step and arguments → the parameter after the step; states are changed in place.
Step = Callable[[Array, Array, State, int, Mapping[str, Any]], Array]


def run(step: Step, arguments: Mapping[str, Any], start: float = 0.0) -> Trajectory:
    parameters, gradients = problem()
    theta = [np.array(p) for p in parameters]
    states: list[State] = [{key: np.full_like(p, start) for key in ("m", "v", "top", "n", "g")} for p in theta]
    found: Trajectory = []
    for t, current in enumerate(gradients, start=1):
        theta = [step(x, g, s, t, arguments) for x, g, s in zip(theta, current, states, strict=True)]
        found.append(theta)
    return found


def moments(g: Array, s: State, a: Mapping[str, Any]) -> None:
    s["m"] = a["beta1"] * s["m"] + (1 - a["beta1"]) * g
    s["v"] = a["beta2"] * s["v"] + (1 - a["beta2"]) * g**2


def epsilon_hat(g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """Adam's step as the end of its paper's section 2 has it, with AMSGrad's maximum of the raw second moment."""
    moments(g, s, a)
    s["top"] = np.maximum(s["top"], s["v"])
    size = a["lr"] * np.sqrt(1 - a["beta2"] ** t) / (1 - a["beta1"] ** t)
    return size * s["m"] / (np.sqrt(s["top"] if a.get("amsgrad") else s["v"]) + a["eps"])


def brainpy_adam(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    return (1 - (a["weight_decay"] or 0.0)) * x - epsilon_hat(g, s, t, a)


def shrinking_adamw(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """brainpy's and lucid's."""
    return x * (1 - a["lr"] * a["weight_decay"]) - epsilon_hat(g, s, t, a)


def brainpy_adan(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    w1, w2, w3 = a["betas"]
    change = g - (s["g"] if t > 1 else g)
    s["g"] = g
    s["m"] = s["m"] * (1 - w1) + w1 * g
    s["v"] = s["v"] * (1 - w2) + w2 * change
    s["n"] = s["n"] * (1 - w3) + w3 * (g + (1 - w2) * change) ** 2
    m, v, n = (s[key] / (1 - (1 - w) ** t) for key, w in zip("mvn", (w1, w2, w3), strict=True))
    step = a["lr"] * (m + (1 - w2) * v) / (np.sqrt(n) + a["eps"])
    shrink = a["lr"] * a["weight_decay"]
    return x * (1 - shrink) - step if a["no_prox"] else (x - step) / (1 + shrink)


def lucid_adam(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    return x - epsilon_hat(g + a["weight_decay"] * x, s, t, a)


def lucid_nadam(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    g = g + a["weight_decay"] * x
    s["m"] = s["m"] * (1 - a["momentum_decay"])
    moments(g, s, a)
    c1, c2 = 1 - a["beta1"] ** t, 1 - a["beta2"] ** t
    ahead = a["beta1"] * s["m"] / c1 + (1 - a["beta1"]) * g / c1
    return x - a["lr"] * np.sqrt(c2) / c1 * ahead / (np.sqrt(s["v"] / c2) + a["eps"])


def lucid_radam(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    moments(g + a["weight_decay"] * x, s, a)
    c1, c2 = 1 - a["beta1"] ** t, 1 - a["beta2"] ** t
    longest = 2 / (1 - a["beta2"]) - 1
    rho = longest - 2 * t * a["beta2"] ** t / c2
    if rho <= 4:
        return x - a["lr"] * s["m"] / c1
    r = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2)))
    return x - a["lr"] * r * s["m"] / c1 / (np.sqrt(s["v"] / c2) + a["eps"])


def adamax(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """The paper's with eps where braintools' documentation and lucid add it."""
    g = g + a["weight_decay"] * x
    s["m"] = a["beta1"] * s["m"] + (1 - a["beta1"]) * g
    s["v"] = np.maximum(a["beta2"] * s["v"], np.abs(g))
    return x - a["lr"] / (1 - a["beta1"] ** t) * s["m"] / (s["v"] + a["eps"])


SMALL: dict[str, Any] = {"beta1": 0.5, "beta2": 0.6, "eps": 0.1}
BETAS: dict[str, Any] = {"betas": (0.5, 0.95), "eps": 0.1}

CASES: list[tuple[str, str, str, Step, list[dict[str, Any]]]] = [
    ("adam", "brainpy", "Adam", brainpy_adam, [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, **SMALL}]),
    (
        "adamw",
        "brainpy",
        "AdamW",
        shrinking_adamw,
        [{}, {"amsgrad": True}, {"weight_decay": 0.5, "amsgrad": True, **SMALL}],
    ),
    ("adan", "brainpy", "Adan", brainpy_adan, [{}, {"no_prox": True}, {"betas": (0.5, 0.4, 0.3), "weight_decay": 0.5}]),
    ("adam", "lucid", "Adam", lucid_adam, [{}, {"amsgrad": True}, {"weight_decay": 0.1, "amsgrad": True, **BETAS}]),
    ("adamw", "lucid", "AdamW", shrinking_adamw, [{}, {"amsgrad": True}, {"weight_decay": 0.5, **BETAS}]),
    ("nadam", "lucid", "NAdam", lucid_nadam, [{}, {"momentum_decay": 0.5, "weight_decay": 0.1, **BETAS}]),
    ("radam", "lucid", "RAdam", lucid_radam, [{}, {"weight_decay": 0.1, **BETAS}]),
    ("adamax", "lucid", "Adamax", adamax, [{}, {"weight_decay": 0.1, **BETAS}]),
    ("adamax", "braintools", "Adamax", adamax, [{}, {"weight_decay": 0.1, **BETAS}]),
]


@pytest.mark.parametrize(
    ("name", "library", "spelled", "step", "arguments"),
    [(*case, arguments) for *case, all_arguments in CASES for arguments in all_arguments],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_dialect_is_the_librarys_formula(
    name: str, library: str, spelled: str, step: Step, arguments: dict[str, Any]
) -> None:
    spec, dialect = spec_of(name), dialect_of(name, library, spelled)
    full = {a.name: a.default for a in dialect.arguments if a.targets} | {"lr": 0.1} | arguments
    choice, values = in_dialect(spec, dialect, full)
    parameters, gradients = problem()
    ours = run_rule(specialise(spec, choice), values, parameters, gradients)
    if name != "adan" and "betas" in full:
        full |= dict(zip(("beta1", "beta2"), full["betas"], strict=True))
    assert difference(ours, run(step, full)) < 1e-12


def adamw_of_the_paper(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """Algorithm 2, line 12: the schedule multiplies both terms, the learning rate only one."""
    moments(g, s, a)
    m, v = s["m"] / (1 - a["beta1"] ** t), s["v"] / (1 - a["beta2"] ** t)
    return x - (a["lr"] * m / (np.sqrt(v) + a["eps"]) + a["weight_decay"] * x)


def amsgrad_of_the_paper(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """Algorithm 2: neither moment is corrected for its start."""
    moments(g, s, a)
    s["top"] = np.maximum(s["top"], s["v"])
    return x - a["lr"] * s["m"] / (np.sqrt(s["top"]) + a["eps"])


def yogi_of_the_paper(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """Algorithm 2: as above."""
    s["m"] = a["beta1"] * s["m"] + (1 - a["beta1"]) * g
    s["v"] = s["v"] - (1 - a["beta2"]) * np.sign(s["v"] - g**2) * g**2
    return x - a["lr"] * s["m"] / (np.sqrt(s["v"]) + a["eps"])


def adabelief_of_the_paper(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """Algorithm 2, with the paper's one eps in both places."""
    s["m"] = a["beta1"] * s["m"] + (1 - a["beta1"]) * g
    s["v"] = a["beta2"] * s["v"] + (1 - a["beta2"]) * (g - s["m"]) ** 2 + a["eps"]
    m, v = s["m"] / (1 - a["beta1"] ** t), s["v"] / (1 - a["beta2"] ** t)
    return x - a["lr"] * m / (np.sqrt(v) + a["eps"])


def radam_of_the_paper(x: Array, g: Array, s: State, t: int, a: Mapping[str, Any]) -> Array:
    """Algorithm 2, with eps added to the corrected root."""
    moments(g, s, a)
    m, v = s["m"] / (1 - a["beta1"] ** t), s["v"] / (1 - a["beta2"] ** t)
    longest = 2 / (1 - a["beta2"]) - 1
    rho = longest - 2 * t * a["beta2"] ** t / (1 - a["beta2"] ** t)
    if rho <= 4:
        return x - a["lr"] * m
    r = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
    return x - a["lr"] * r * m / (np.sqrt(v) + a["eps"])


@pytest.mark.parametrize(
    ("name", "step", "options", "start"),
    [
        ("adamw", adamw_of_the_paper, {"unscaled_weight_decay": True}, 0.0),
        ("adam", amsgrad_of_the_paper, {"amsgrad": True, "bias_correction_m": False, "bias_correction_v": False}, 0.0),
        ("yogi", yogi_of_the_paper, {"bias_correction": False}, 1e-6),
        ("adabelief", adabelief_of_the_paper, {}, 0.0),
        ("radam", radam_of_the_paper, {}, 0.0),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
@pytest.mark.parametrize("constants", [{}, {"beta1": 0.5, "beta2": 0.95, "eps": 0.1}], ids=str)
def test_options_give_the_papers_formula(
    name: str, step: Step, options: dict[str, Any], start: float, constants: dict[str, float]
) -> None:
    spec = spec_of(name)
    rule, values = rule_of(spec, options, {"lr": 0.1} | constants)
    parameters, gradients = problem()
    assert difference(run_rule(rule, values, parameters, gradients), run(step, values, start)) < 1e-12
