"""The rest of the catalogue, written in the language and run: every stage takes it, and its numbers are right.

The reference is a library where one has the same rule, else the rule transcribed by hand in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from optgen.compiler.analyse import analyse
from optgen.compiler.passes import schedule
from optgen.compiler.simplify import simplify
from optgen.compiler.specialise import specialise
from optgen.contract.choice import choose
from optgen.contract.kinds import Kind
from optgen.errors import SpecError
from optgen.language.model import Spec
from optgen.language.reader import parse_spec, read_spec
from tests.language.trajectories import (
    Array,
    Trajectory,
    difference,
    distance,
    problem,
    rule_of,
    run_optax,
    run_rule,
    run_torch,
)

SPECS = Path(__file__).parents[2] / "specs"
TOLERANCE = 1e-9


def spec_of(name: str) -> Spec:
    return read_spec(SPECS / f"{name}.toml")


def ours(
    name: str,
    parameters: list[Array],
    gradients: Trajectory,
    options: Mapping[str, Any] | None = None,
    **values: float,
) -> Trajectory:
    rule, numbers = rule_of(spec_of(name), options, values)
    return run_rule(rule, numbers, parameters, gradients)


# Rules that a library has.

OPTAX: list[tuple[str, dict[str, Any], dict[str, float], Callable[[], optax.GradientTransformation]]] = [
    ("adadelta", {}, {"eps": 1e-3}, lambda: optax.adadelta(1.0, eps=1e-3)),
    ("adadelta", {}, {"weight_decay": 0.1}, lambda: optax.adadelta(1.0, weight_decay=0.1)),
    ("adamax", {"eps_in_maximum": True}, {"eps": 0.1}, lambda: optax.adamax(2e-3, eps=0.1)),
    ("radam", {}, {"lr": 0.1}, lambda: optax.radam(0.1, threshold=4.0)),
    ("radam", {}, {"lr": 0.1, "beta2": 0.9, "eps": 0.1}, lambda: optax.radam(0.1, b2=0.9, eps=0.1, threshold=4.0)),
    ("yogi", {}, {"lr": 0.1}, lambda: optax.yogi(0.1)),
    ("adabelief", {}, {"lr": 0.1}, lambda: optax.adabelief(0.1)),
    ("adabelief", {}, {"lr": 0.1, "eps": 0.1}, lambda: optax.adabelief(0.1, eps=0.1, eps_root=0.1)),
    ("novograd", {}, {"lr": 0.1}, lambda: optax.novograd(0.1, 0.95, 0.98, eps=1e-8)),
    (
        "novograd",
        {},
        {"lr": 0.1, "beta2": 0.25, "eps_root": 0.1, "weight_decay": 0.1},
        lambda: optax.novograd(0.1, 0.95, 0.25, eps=1e-8, eps_root=0.1, weight_decay=0.1),
    ),
    ("fromage", {}, {}, lambda: optax.fromage(1e-2)),
    ("fromage", {}, {"lr": 0.5, "min_norm": 2.0}, lambda: optax.fromage(0.5, min_norm=2.0)),
]


@pytest.mark.parametrize(("name", "options", "values", "make"), OPTAX)
def test_equals_optax(
    name: str, options: dict[str, Any], values: dict[str, float], make: Callable[[], optax.GradientTransformation]
) -> None:
    parameters, gradients = problem()
    theirs = run_optax(make(), parameters, gradients)
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours(name, parameters, gradients, options, **values), theirs) < TOLERANCE


TORCH: list[tuple[str, dict[str, Any], dict[str, float], Callable[[list[torch.Tensor]], torch.optim.Optimizer]]] = [
    ("adadelta", {}, {"weight_decay": 0.1}, lambda p: torch.optim.Adadelta(p, weight_decay=0.1)),
    ("adamax", {"eps_in_maximum": True}, {"weight_decay": 0.1}, lambda p: torch.optim.Adamax(p, weight_decay=0.1)),
    ("nadam", {}, {"lr": 0.1}, lambda p: torch.optim.NAdam(p, lr=0.1)),
    (
        "nadam",
        {},
        {"momentum_decay": 0.3, "weight_decay": 0.1},
        lambda p: torch.optim.NAdam(p, momentum_decay=0.3, weight_decay=0.1),
    ),
    ("rprop", {}, {}, lambda p: torch.optim.Rprop(p)),
    (
        "rprop",
        {},
        {"lr": 0.5, "eta_minus": 0.3, "eta_plus": 1.7, "step_min": 0.1, "step_max": 1.0},
        lambda p: torch.optim.Rprop(p, lr=0.5, etas=(0.3, 1.7), step_sizes=(0.1, 1.0)),
    ),
]


@pytest.mark.parametrize(("name", "options", "values", "make"), TORCH)
def test_equals_torch(
    name: str,
    options: dict[str, Any],
    values: dict[str, float],
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer],
) -> None:
    parameters, gradients = problem()
    theirs = run_torch(make, parameters, gradients)
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours(name, parameters, gradients, options, **values), theirs) < TOLERANCE


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lars_equals_optax_where_no_norm_is_zero(weight_decay: float) -> None:
    parameters, gradients = problem(zeros=False)
    theirs = run_optax(optax.lars(1.0, weight_decay, eps=1e-8), parameters, gradients)
    assert difference(ours("lars", parameters, gradients, weight_decay=weight_decay), theirs) < TOLERANCE


def test_sm3_equals_optax() -> None:
    # optax has no SM3 of a single number.
    parameters, gradients = problem(shapes=((3,), (4, 5), (2, 3, 4)))
    gradients[1][1] = np.zeros((4, 5))
    theirs = run_optax(optax.sm3(0.5), parameters, gradients)
    assert difference(ours("sm3", parameters, gradients, lr=0.5), theirs) < TOLERANCE


def test_sm3_of_a_single_number_is_adagrad() -> None:
    parameters, gradients = problem(shapes=((), (1,)), zeros=False)
    assert difference(
        ours("sm3", parameters, gradients, lr=0.5, momentum=0.0),
        run_optax(optax.adagrad(0.5, 0.0, 1e-8), parameters, gradients),
    ) < TOLERANCE  # fmt: skip


@pytest.mark.parametrize("memory_size", [1, 3, 10])
@pytest.mark.parametrize("scale_init_precond", [False, True])
def test_lbfgs_equals_optax(memory_size: int, scale_init_precond: bool) -> None:
    """On a quadratic, whose gradients are functions of the parameters: pairs of random gradients make no sense."""
    shapes = ((), (3,), (4, 5))
    random = np.random.default_rng(1)
    curvature = [random.uniform(0.5, 3.0, size=shape) for shape in shapes]
    parameters = [random.normal(size=shape) for shape in shapes]
    with jax.enable_x64(True):
        solver = optax.lbfgs(0.7, memory_size, scale_init_precond, linesearch=None)
        current = [jnp.asarray(p) for p in parameters]
        state = solver.init(current)
        step = jax.jit(solver.update)
        gradients: Trajectory = []
        theirs: Trajectory = []
        for _ in range(12):
            gradient = [jnp.asarray(c) * p for c, p in zip(curvature, current, strict=True)]
            gradients.append([np.asarray(g) for g in gradient])
            updates, state = step(gradient, state, current)
            current = optax.apply_updates(current, updates)
            theirs.append([np.asarray(p) for p in current])
    options = {"memory_size": memory_size, "scale_init_precond": scale_init_precond}
    assert distance(theirs, parameters) > 0.1
    assert difference(ours("lbfgs", parameters, gradients, options, lr=0.7), theirs) < TOLERANCE


BASES: list[tuple[str, dict[str, float], Callable[[], optax.GradientTransformation]]] = [
    ("sgd", {"lr": 0.1}, lambda: optax.sgd(0.1)),
    ("sgd", {"lr": 0.1, "momentum": 0.9}, lambda: optax.sgd(0.1, 0.9)),
    ("adam", {"lr": 0.1}, lambda: optax.adam(0.1)),
    ("adamw", {"lr": 0.1, "weight_decay": 0.5}, lambda: optax.adamw(0.1, weight_decay=0.5)),
    ("rmsprop", {"lr": 0.1, "initial_scale": 1.0}, lambda: optax.rmsprop(0.1, 0.99, initial_scale=1.0)),
    ("lamb", {"lr": 0.1}, lambda: optax.lamb(0.1)),
]


@pytest.mark.parametrize(("base", "values", "make"), BASES)
def test_lookahead_equals_optax(
    base: str, values: dict[str, float], make: Callable[[], optax.GradientTransformation]
) -> None:
    parameters, gradients = problem()
    inner, inner_values = rule_of(read_spec(SPECS / f"{base}.toml"), {}, values)
    spec = spec_of("lookahead")
    rule = specialise(spec, choose(spec, {}, {}), inner)
    numbers = {spec.wrapped_name(name): value for name, value in inner_values.items()} | {
        "sync_period": 3.0,
        "alpha": 0.8,
    }
    with jax.enable_x64(True):
        transformation = optax.lookahead(make(), sync_period=3, slow_step_size=0.8)
        current = optax.LookaheadParams.init_synced([jnp.asarray(p) for p in parameters])
        state = transformation.init(current)
        step = jax.jit(transformation.update)
        theirs = []
        for gradient in gradients:
            updates, state = step([jnp.asarray(g) for g in gradient], state, current)
            current = optax.apply_updates(current, updates)
            theirs.append([np.asarray(p) for p in current.fast])
    assert difference(run_rule(rule, numbers, parameters, gradients), theirs) < TOLERANCE


def test_lookahead_wraps_lookahead() -> None:
    """A wrapped rule may wrap one itself: two periods, checked against two loops written out."""
    parameters, gradients = problem()
    spec = spec_of("lookahead")
    innermost, _ = rule_of(read_spec(SPECS / "sgd.toml"), {}, {})
    rule = specialise(spec, choose(spec, {}, {}), specialise(spec, choose(spec, {}, {}), innermost))
    numbers = {"lr": 0.1, "base_sync_period": 2.0, "base_alpha": 0.7, "sync_period": 5.0, "alpha": 0.4}
    theta = [p.copy() for p in parameters]
    inner_slow = [p.copy() for p in parameters]
    outer_slow = [p.copy() for p in parameters]
    expected: Trajectory = []
    for t, step in enumerate(gradients, start=1):
        for i, g in enumerate(step):
            theta[i] = theta[i] - 0.1 * g
            if t % 2 == 0:
                inner_slow[i] = inner_slow[i] + 0.7 * (theta[i] - inner_slow[i])
                theta[i] = inner_slow[i]
            if t % 5 == 0:
                outer_slow[i] = outer_slow[i] + 0.4 * (theta[i] - outer_slow[i])
                theta[i] = outer_slow[i]
        expected.append([x.copy() for x in theta])
    assert difference(run_rule(rule, numbers, parameters, gradients), expected) < TOLERANCE


# Rules that no library has in this form.


def test_adamax_with_eps_outside_the_maximum() -> None:
    parameters, gradients = problem()
    expected: Trajectory = []
    state = [(p, np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for t, step in enumerate(gradients, start=1):
        for i, ((theta, m, u), g) in enumerate(zip(state, step, strict=True)):
            m = 0.9 * m + 0.1 * g
            u = np.maximum(0.999 * u, np.abs(g))
            state[i] = (theta - 0.1 / (1 - 0.9**t) * m / (u + 0.01), m, u)
        expected.append([theta for theta, _, _ in state])
    assert difference(ours("adamax", parameters, gradients, lr=0.1, eps=0.01), expected) < TOLERANCE


def test_lars_stands_still_where_the_parameter_is_zero() -> None:
    """The paper's ratio, without optax's guard."""
    parameters, gradients = [np.zeros(3)], [[np.ones(3)]]
    assert difference(ours("lars", parameters, gradients), [[np.zeros(3)]]) == 0


def test_fromage_with_momentum() -> None:
    parameters, gradients = problem()
    expected: Trajectory = []
    thetas, means = [p.copy() for p in parameters], [np.zeros_like(p) for p in parameters]
    for step in gradients:
        for i, g in enumerate(step):
            means[i] = 0.9 * means[i] + 0.1 * g
            ratio = max(np.linalg.norm(thetas[i].ravel()), 1e-6) / max(np.linalg.norm(means[i].ravel()), 1e-6)
            thetas[i] = (thetas[i] - 0.1 * ratio * means[i]) / np.sqrt(1.01)
        expected.append([x.copy() for x in thetas])
    assert difference(ours("fromage", parameters, gradients, lr=0.1, momentum=0.9), expected) < TOLERANCE


def adafactor(
    parameters: list[Array],
    gradients: Trajectory,
    lr: float | None = None,
    beta1: float | None = None,
    eps1: float = 1e-30,
    eps2: float = 1e-3,
    clip_threshold: float = 1.0,
    decay_rate: float = 0.8,
    factored: bool = True,
) -> Trajectory:
    """Algorithms 4 and 5 of Shazeer and Stern; a tensor of more axes is a stack of matrices."""
    thetas = list(parameters)
    moments = [np.zeros_like(p) for p in parameters]
    rows = [np.zeros(p.shape[:-1]) for p in parameters]
    columns = [np.zeros(p.shape[:-2] + p.shape[-1:]) if p.ndim >= 2 else np.zeros(()) for p in parameters]
    full = [np.zeros_like(p) for p in parameters]
    found: Trajectory = []
    for t, step in enumerate(gradients, start=1):
        beta2 = 1 - t**-decay_rate
        for i, g in enumerate(step):
            squares = g**2 + eps1
            if factored and g.ndim >= 2:
                rows[i] = beta2 * rows[i] + (1 - beta2) * squares.mean(axis=-1)
                columns[i] = beta2 * columns[i] + (1 - beta2) * squares.mean(axis=-2)
                product = rows[i][..., :, None] * columns[i][..., None, :]
                v = product / rows[i].mean(axis=-1)[..., None, None]
            else:
                full[i] = beta2 * full[i] + (1 - beta2) * squares
                v = full[i]
            u = g / np.sqrt(v)
            u = u / max(1.0, np.sqrt(np.mean(u**2)) / clip_threshold)
            if beta1 is not None:
                moments[i] = beta1 * moments[i] + (1 - beta1) * u
                u = moments[i]
            if lr is None:
                size = max(eps2, np.sqrt(np.mean(thetas[i] ** 2))) * min(0.01, 1 / np.sqrt(t))
            else:
                size = lr
            thetas[i] = thetas[i] - size * u
        found.append(list(thetas))
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"factored": False},
        {"lr": 0.1},
        {"beta1": 0.9},
        {"clip_threshold": 0.5},
        {"clip_threshold": 1e9, "lr": 0.1, "beta1": 0.5, "eps1": 0.01},
        {"eps2": 10.0, "decay_rate": 0.3},
    ],
    ids=str,
)
def test_adafactor(arguments: dict[str, Any]) -> None:
    parameters, gradients = problem(shapes=((), (3,), (4, 5), (2, 3, 4), (2, 3, 2, 2)))
    options = {name: arguments[name] for name in ("factored",) if name in arguments}
    values = {name: value for name, value in arguments.items() if name not in options}
    expected = adafactor(parameters, gradients, **arguments)
    assert distance(expected, parameters) > 1e-3
    assert difference(ours("adafactor", parameters, gradients, options, **values), expected) < TOLERANCE


def rule_text(equations: str) -> Spec:
    return parse_spec(
        f"""[optimizer]
name = "trial"
class = "Trial"
title = "Trial"
summary = "A rule to try something with."

[hyperparameters]
lr = {{ default = 0.1 }}

[equations]
rule = '''
{equations}
'''
""",
        "trial.toml",
    )


def test_folds_over_the_model_see_every_tensor() -> None:
    """Also where tensors of different shapes take different branches before and after."""
    spec = rule_text(
        """if rank >= 2:
    d = 2*g
else:
    d = g
scale = min(1, 1/norm(d, over=model))
c[t] = c[t-1] + mean(d, over=model) + max(d, over=model)*rms(theta[t-1], over=model)
largest = max(norm(d), over=model) + mean(norm(d), over=model)
if rank >= 2:
    theta[t] = theta[t-1] - lr*scale*d + c[t]/largest
else:
    theta[t] = theta[t-1] - scale*d"""
    )
    parameters, gradients = problem()
    rule, values = rule_of(spec)
    thetas, c = list(parameters), 0.0
    expected: Trajectory = []
    for step in gradients:
        d = [2 * g if g.ndim >= 2 else g for g in step]
        flat, flat_theta = (np.concatenate([x.ravel() for x in xs]) for xs in (d, thetas))
        scale = min(1.0, 1 / np.linalg.norm(flat))
        c = c + flat.mean() + flat.max() * np.sqrt(np.mean(flat_theta**2))
        norms = [np.linalg.norm(x.ravel()) for x in d]
        largest = max(norms) + sum(norms) / len(norms)
        thetas = [
            theta - 0.1 * scale * x + c / largest if x.ndim >= 2 else theta - scale * x
            for theta, x in zip(thetas, d, strict=True)
        ]
        expected.append(list(thetas))
    assert difference(run_rule(rule, values, parameters, gradients), expected) < TOLERANCE
    states = {state.name: state.kind for state in analyse(rule)[0].states}
    assert states == {"c": Kind.GLOBAL}


def test_a_fold_over_the_model_under_a_condition_on_the_shape_is_refused() -> None:
    spec = rule_text(
        """if rank >= 2:
    d = g/norm(g, over=model)
else:
    d = g
theta[t] = theta[t-1] - lr*d"""
    )
    with pytest.raises(SpecError, match="is a reduction over the model, but under a condition on the shape"):
        analyse(rule_of(spec)[0])


#: For each case of a default rule: its states and how often it goes through a tensor.
EXPECTED: dict[str, list[tuple[dict[str, Kind], int]]] = {
    "adabelief": [({"m": Kind.ELEMENT, "s": Kind.ELEMENT}, 1)],
    "adadelta": [({"v": Kind.ELEMENT, "u": Kind.ELEMENT}, 1)],
    "adafactor": [({"R": Kind.ROW, "C": Kind.COLUMN}, 3), ({"v": Kind.ELEMENT}, 2)],
    "adamax": [({"m": Kind.ELEMENT, "u": Kind.ELEMENT}, 1)],
    "fromage": [({}, 2)],
    "lars": [({"v": Kind.ELEMENT}, 2)],
    "lookahead": [({"slow": Kind.ELEMENT, "base_m": Kind.ELEMENT, "base_v": Kind.ELEMENT}, 1)],
    "nadam": [({"product": Kind.STEP, "m": Kind.ELEMENT, "v": Kind.ELEMENT}, 1)],
    "novograd": [({"v": Kind.TENSOR, "m": Kind.ELEMENT}, 2)],
    "radam": [({"m": Kind.ELEMENT, "v": Kind.ELEMENT}, 1)],
    "rprop": [({"delta": Kind.ELEMENT, "g_last": Kind.ELEMENT}, 1)],
    "sm3": [({"V": Kind.AXIS, "m": Kind.ELEMENT}, 1)],
    "yogi": [({"m": Kind.ELEMENT, "v": Kind.ELEMENT}, 1)],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_states_and_passes(name: str) -> None:
    spec = spec_of(name)
    wrapped = rule_of(read_spec(SPECS / "adam.toml"))[0] if spec.wraps else None
    programs = analyse(specialise(spec, choose(spec, {}, {}), wrapped))
    found = [({s.name: s.kind for s in p.states}, schedule(simplify(p)).element_passes) for p in programs]
    assert found == EXPECTED[name]


def test_lbfgs_keeps_one_pair_less_than_it_uses() -> None:
    """The newest pair is made in the step itself; its folds over the model follow one another."""
    program = analyse(rule_of(spec_of("lbfgs"), {"memory_size": 4})[0])[0]
    kept = {state.name: (state.kind, state.depth) for state in program.states}
    assert kept == {
        "s": (Kind.ELEMENT, 3),
        "y": (Kind.ELEMENT, 3),
        "rho": (Kind.GLOBAL, 3),
        "theta_old": (Kind.ELEMENT, 1),
        "g_old": (Kind.ELEMENT, 1),
    }
    # A pass for each pair on the way down, one for each on the way up, and one for the step.
    assert schedule(simplify(program)).element_passes == 9


def test_a_kind_that_never_fits_is_reported_in_place() -> None:
    """Kinds that are not settled yet are no mistake; those that stay wrong are."""
    text = (SPECS / "sm3.toml").read_text().replace("max(nu, over=other_axes)", "nu")
    with pytest.raises(SpecError, match=r"'min' .*one number per element") as caught:
        analyse(rule_of(parse_spec(text, "sm3.toml"))[0])
    assert caught.value.location.line_text == "        nu = min(V[t-1], over=axes) + g**2"
