"""Rules that need more than arguments and random gradients to be compared with the libraries.

Large matrices, gradients that are functions of the parameters, a Hessian, and optimizers that are wrapped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
import torch

from optgen._paths import specs_folder
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import choose
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.interpret import Interpreter
from tests.catalogue import test_libraries
from tests.catalogue.matrix_cases import FLOAT64
from tests.language.trajectories import (
    STEPS,
    Array,
    Trajectory,
    difference,
    distance,
    in_dialect,
    problem,
    rule_of,
    run_optax,
    run_rule,
    run_torch,
)

TOLERANCE = 1e-9
SHAPES = ((), (3,), (4, 5))


def our_rule(name: str, library: str, spelled: str, arguments: Mapping[str, Any]) -> tuple[Rule, dict[str, float]]:
    """The rule that a library's arguments select, and its hyperparameter values."""
    spec = test_libraries.spec_of(name)
    choice, values = in_dialect(spec, test_libraries.dialect_of(name, library, spelled), arguments)
    return specialise(spec, choice), values


def test_torchs_lbfgs_keeps_more_pairs_unless_told() -> None:
    """The one default that is not the library's, as the note says."""
    arguments = test_libraries.dialect_of("lbfgs", "torch", "LBFGS").arguments
    theirs = inspect.signature(torch.optim.LBFGS).parameters
    left_out = test_libraries.NOT_OF_THE_RULE["torch"]
    assert [a.name for a in arguments] == [name for name in theirs if name not in left_out]
    assert {a.name: (a.default, theirs[a.name].default) for a in arguments} == {
        "lr": (1.0, 1),
        "history_size": (10, 100),
    }
    # It stands behind max_iter and others that no rule has.
    assert [a.name for a in arguments if a.keyword_only] == ["history_size"]


# Gradients that are functions of the parameters.


def bowl() -> tuple[list[Array], Callable[[list[Any]], list[Any]]]:
    """Parameters, and the gradient of a convex function of them."""
    random = np.random.default_rng(1)
    curvature = [random.uniform(0.5, 3.0, size=shape) for shape in SHAPES]
    parameters = [random.normal(size=shape) for shape in SHAPES]
    return parameters, lambda at: [c * p + 0.1 * p**3 for c, p in zip(curvature, at, strict=True)]


def descend(
    transformation: optax.GradientTransformation,
    parameters: list[Array],
    gradient_of: Callable[[list[Any]], list[Any]],
    steps: int,
) -> tuple[Trajectory, Trajectory]:
    """The gradients that an optax transformation meets, and the parameters after each step."""
    with jax.enable_x64(True):
        current = [jnp.asarray(p) for p in parameters]
        state = transformation.init(current)
        update = jax.jit(transformation.update)
        gradients: Trajectory = []
        found: Trajectory = []
        for _ in range(steps):
            gradient = gradient_of(current)
            updates, state = update(gradient, state, current)
            current = optax.apply_updates(current, updates)
            gradients.append([np.asarray(g) for g in gradient])
            found.append([np.asarray(p) for p in current])
    return gradients, found


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"learning_rate": 0.5},
        {"memory_size": 1},
        {"memory_size": 3, "learning_rate": 0.7},
        {"scale_init_precond": False},
        {"scale_init_precond": False, "memory_size": 3, "learning_rate": 0.3},
    ],
    ids=str,
)
def test_lbfgs_equals_optax(arguments: dict[str, Any]) -> None:
    parameters, gradient_of = bowl()
    gradients, theirs = descend(optax.lbfgs(**arguments, linesearch=None), parameters, gradient_of, 12)
    rule, values = our_rule("lbfgs", "optax", "lbfgs", arguments)
    assert distance(theirs, parameters) > 0.1
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


def torch_lbfgs(
    parameters: list[Array], gradient_of: Callable[[list[Any]], list[Any]], steps: int, **arguments: Any
) -> tuple[Trajectory, Trajectory]:
    """The gradients that torch's L-BFGS meets, one iteration to a call, and the parameters after each."""
    current = [torch.tensor(p) for p in parameters]
    optimizer = torch.optim.LBFGS(current, max_iter=1, tolerance_grad=0, tolerance_change=0, **arguments)
    gradients: Trajectory = []
    found: Trajectory = []

    def closure() -> float:
        for parameter, gradient in zip(current, gradient_of([p.numpy() for p in current]), strict=True):
            parameter.grad = torch.tensor(gradient)
        return 0.0

    for _ in range(steps):
        gradients.append(gradient_of([p.numpy() for p in current]))
        optimizer.step(closure)
        found.append([p.numpy().copy() for p in current])
    return gradients, found


@pytest.mark.parametrize(
    "arguments",
    [{}, {"lr": 0.5}, {"history_size": 1}, {"history_size": 3, "lr": 0.7}, {"history_size": 100, "lr": 0.01}],
    ids=str,
)
def test_lbfgs_equals_torch(arguments: dict[str, Any]) -> None:
    parameters, gradient_of = bowl()
    arguments = {"history_size": 10} | arguments
    gradients, theirs = torch_lbfgs(parameters, gradient_of, 12, **arguments)
    rule, values = our_rule("lbfgs", "torch", "LBFGS", arguments)
    assert distance(theirs, parameters) > 0.1
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


def not_counted(gradients: Trajectory, parameters: list[Array], steps: Trajectory) -> int:
    """How many pairs have a curvature that is not positive."""
    points = [parameters, *steps]
    pairs = zip(points, points[1:], gradients, gradients[1:], strict=False)
    return sum(sum(float(np.sum((b - a) * (h - g))) for a, b, g, h in zip(*four, strict=True)) <= 0 for four in pairs)


def test_lbfgs_leaves_out_the_pairs_that_torch_leaves_out() -> None:
    """As long as memory is not full: there a pair that does not count takes no place, which a history cannot do."""
    random = np.random.default_rng(1)
    parameters = [random.normal(size=shape) for shape in SHAPES]

    def gradient_of(at: list[Any]) -> list[Any]:
        return [-np.sin(2 * p) for p in at]

    for memory, apart in ((12, False), (2, True)):
        arguments = {"lr": 0.1, "history_size": memory}
        gradients, theirs = torch_lbfgs(parameters, gradient_of, 12, **arguments)
        assert not_counted(gradients, parameters, theirs) >= 2
        rule, values = our_rule("lbfgs", "torch", "LBFGS", arguments)
        found = difference(run_rule(rule, values, parameters, gradients), theirs)
        assert found > 1e-3 if apart else found < TOLERANCE


@pytest.mark.parametrize("arguments", [{}, {"weight_decay": 0.1}, {"safeguard_warmup": True, "beta3": 0.9}], ids=str)
def test_prodigy_finds_the_same_distance_as_optax(arguments: dict[str, Any]) -> None:
    """Along a slope, so that the estimate grows from its default of a millionth."""
    parameters, gradient_of = bowl()
    gradients, theirs = descend(optax.contrib.prodigy(**arguments), parameters, gradient_of, 60)
    rule, values = our_rule("prodigy", "optax", "prodigy", arguments)
    assert distance(theirs, parameters) > 0.01
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


def test_prodigy_without_a_gradient_stays_where_it_is() -> None:
    parameters = [np.ones(3)]
    gradients = [[np.zeros(3)], [np.ones(3)]]
    theirs = run_optax(optax.contrib.prodigy(), parameters, gradients)
    assert all(np.isnan(step[0]).all() for step in theirs[1:])
    rule, values = our_rule("prodigy", "optax", "prodigy", {})
    interpreter = Interpreter(rule, values)
    model = interpreter.step(interpreter.init(parameters), gradients[0])
    assert model.shared["d"] == [1e-6]
    model = interpreter.step(model, gradients[1])
    assert np.all(np.asarray(model.tensors[0].theta) < 1)


# Large matrices.

LARGE = ((128, 130), (3, 128, 140), (140, 3, 128), (2, 130), (130,), (3, 2, 129, 128))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"learning_rate": None},
        {"factored": False},
        {"min_dim_size_to_factor": 129},
        {"min_dim_size_to_factor": 1},
        {"momentum": 0.9, "weight_decay_rate": 0.1, "clipping_threshold": None},
        {"eps": 0.01, "decay_offset": -2.0, "multiply_by_parameter_scale": False},
    ],
    ids=str,
)
def test_adafactor_factors_the_axes_that_optax_factors(arguments: dict[str, Any]) -> None:
    parameters, gradients = problem(LARGE)
    gradients = gradients[:8]
    given = {"learning_rate": 0.1} | arguments
    theirs = run_optax(optax.adafactor(**(FLOAT64["adafactor", "optax"] | given)), parameters, gradients)
    rule, values = our_rule("adafactor", "optax", "adafactor", given)
    assert distance(theirs, parameters) > 0.1
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


@pytest.mark.parametrize("arguments", [{}, {"eps": (0.5, 0.9), "lr": 0.5}], ids=str)
def test_adafactor_factors_the_axes_that_torch_factors(arguments: dict[str, Any]) -> None:
    parameters, gradients = problem(LARGE)
    gradients = gradients[:8]
    theirs = run_torch(lambda p: torch.optim.Adafactor(p, **arguments), parameters, gradients)
    rule, values = our_rule("adafactor", "torch", "Adafactor", arguments)
    assert distance(theirs, parameters) > 0.01
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


def test_torchs_adafactor_takes_the_machine_epsilon_of_the_dtype() -> None:
    """Where the note says that ours does not: gradients too small for float32 to tell from 0."""
    parameters, gradients = problem()
    gradients = [[1e-9 * g for g in step] for step in gradients]
    theirs = run_torch(lambda p: torch.optim.Adafactor(p, eps=(None, 1e-3)), parameters, gradients)
    rule, values = our_rule("adafactor", "torch", "Adafactor", {})
    assert difference(run_rule(rule, values, parameters, gradients), theirs) > 1e-3
    rule, values = our_rule("adafactor", "torch", "Adafactor", {"eps": (float(np.finfo(np.float64).eps), 1e-3)})
    assert difference(run_rule(rule, values, parameters, gradients), theirs) < TOLERANCE


# A Hessian.


def run_sophia(arguments: dict[str, Any], hessians: Trajectory) -> tuple[list[Array], Trajectory]:
    """optax's Sophia, told the Hessians one after the other as it asks for them."""
    parameters, gradients = problem()
    with jax.enable_x64(True):
        stacked = [jnp.stack([jnp.asarray(h) for h in tensor]) for tensor in zip(*hessians, strict=True)]
        given = optax.GradientTransformation(
            lambda params: jnp.zeros([], jnp.int32),
            lambda updates, count, params=None: ([all_steps[count] for all_steps in stacked], count + 1),
        )
        transformation = optax.contrib.sophia(0.1, hessian_diagonal_fn=given, **arguments)
    return parameters, run_optax(transformation, parameters, gradients)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"update_interval": 1},
        {"update_interval": 3, "gamma": 0.9},
        {"clip_threshold": None, "eps": 0.1},
        {"clip_threshold": 0.3, "update_interval": 4},
        {"weight_decay": 0.0},
        {"b1": 0.5, "b2": 0.6, "eps": 0.2, "weight_decay": 0.5, "gamma": 0.8, "update_interval": 2},
    ],
    ids=str,
)
def test_sophia_equals_optax(arguments: dict[str, Any]) -> None:
    """Where no estimate is asked for, ours is given NaN, which must not matter."""
    random = np.random.default_rng(7)
    parameters, gradients = problem()
    hessians = [[random.normal(size=p.shape) for p in parameters] for _ in range(STEPS)]
    _, theirs = run_sophia(arguments, hessians)
    rule, values = our_rule("sophia", "optax", "sophia", {"learning_rate": 0.1} | arguments)
    interval = int(values["update_interval"])
    nothing = [np.full_like(p, np.nan) for p in parameters]
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    ours: Trajectory = []
    for t, gradient in enumerate(gradients):
        hessian = hessians[t // interval] if t % interval == 0 else nothing
        model = interpreter.step(model, gradient, {"hessian": hessian})
        ours.append([np.asarray(tensor.theta) for tensor in model.tensors])
    assert distance(theirs, parameters) > 1e-3
    assert difference(ours, theirs) < TOLERANCE


def test_sophia_is_the_papers() -> None:
    """Algorithm 3 of Liu et al.: the momentum as it is, and each Hessian from its own step on."""
    random = np.random.default_rng(7)
    parameters, gradients = problem()
    rule, values = rule_of(test_libraries.spec_of("sophia"), {}, {"lr": 0.1, "update_interval": 3.0, "gamma": 0.8})
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    state = [(p, np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for t, gradient in enumerate(gradients, start=1):
        hessian = [random.normal(size=p.shape) for p in parameters]
        model = interpreter.step(model, gradient, {"hessian": hessian})
        for i, ((theta, m, h), g) in enumerate(zip(state, gradient, strict=True)):
            m = 0.96 * m + 0.04 * g
            if t % 3 == 1:
                h = 0.99 * h + 0.01 * hessian[i]
            theta = theta - 0.1 * 0.2 * theta
            theta = theta - 0.1 * np.clip(m / np.maximum(0.8 * h, 1e-12), -1, 1)
            state[i] = (theta, m, h)
        ours = [[np.asarray(tensor.theta) for tensor in model.tensors]]
        assert difference(ours, [[theta for theta, _, _ in state]]) < TOLERANCE


# Optimizers that are wrapped.

BASES: list[tuple[str, dict[str, float], Callable[[], optax.GradientTransformation]]] = [
    ("sgd", {"lr": 0.1}, lambda: optax.sgd(0.1)),
    ("sgd", {"lr": 0.1, "momentum": 0.9}, lambda: optax.sgd(0.1, 0.9)),
    ("adam", {"lr": 0.1}, lambda: optax.adam(0.1)),
    ("adam", {"lr": 0.1, "beta1": 0.0}, lambda: optax.adam(0.1, 0.0)),
    ("adamw", {"lr": 0.1, "weight_decay": 0.5}, lambda: optax.adamw(0.1, weight_decay=0.5)),
    ("lamb", {"lr": 0.1}, lambda: optax.lamb(0.1)),
]


def around(
    name: str, base: str, base_values: dict[str, float], arguments: dict[str, Any], options: dict[str, Any]
) -> tuple[Rule, dict[str, float]]:
    """A rule around another one, with optax's arguments."""
    spec = test_libraries.spec_of(name)
    inner, inner_values = rule_of(test_libraries.spec_of(base), {}, base_values)
    choice, values = in_dialect(spec, test_libraries.dialect_of(name, "optax", name), arguments)
    rule = specialise(spec, choose(spec, options, values), inner)
    assert not options or choice != choose(spec, options, values)
    return rule, values | {spec.wrapped_name(key): value for key, value in inner_values.items()}


@pytest.mark.parametrize(("base", "base_values", "make"), BASES)
@pytest.mark.parametrize(("sync_period", "slow_step_size"), [(3, 0.8), (1, 0.5), (7, 0.1)])
def test_lookahead_equals_optax(
    base: str,
    base_values: dict[str, float],
    make: Callable[[], optax.GradientTransformation],
    sync_period: int,
    slow_step_size: float,
) -> None:
    parameters, gradients = problem()
    fast, slow = run_lookahead(make(), parameters, gradients, sync_period, slow_step_size)
    arguments = {"sync_period": sync_period, "slow_step_size": slow_step_size}
    rule, values = around("lookahead", base, base_values, arguments, {})
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    ours: Trajectory = []
    ours_slow: Trajectory = []
    for gradient in gradients:
        model = interpreter.step(model, gradient)
        ours.append([np.asarray(tensor.theta) for tensor in model.tensors])
        ours_slow.append([np.asarray(tensor.history["slow"][0]) for tensor in model.tensors])
    assert distance(fast, parameters) > 1e-3
    assert difference(ours, fast) < TOLERANCE
    assert difference(ours_slow, slow) < TOLERANCE


def run_lookahead(
    fast_optimizer: optax.GradientTransformation,
    parameters: list[Array],
    gradients: Trajectory,
    sync_period: int,
    slow_step_size: float,
) -> tuple[Trajectory, Trajectory]:
    """The fast and the slow parameters of optax's Lookahead after each step."""
    with jax.enable_x64(True):
        transformation = optax.lookahead(fast_optimizer, sync_period, slow_step_size)
        current = optax.LookaheadParams.init_synced([jnp.asarray(p) for p in parameters])
        state = transformation.init(current)
        step = jax.jit(transformation.update)
        fast: Trajectory = []
        slow: Trajectory = []
        for gradient in gradients:
            updates, state = step([jnp.asarray(g) for g in gradient], state, current)
            current = optax.apply_updates(current, updates)
            fast.append([np.asarray(p) for p in current.fast])
            slow.append([np.asarray(p) for p in current.slow])
    return fast, slow


def test_lookaheads_weight_decay_goes_into_the_gradient() -> None:
    parameters, gradients = problem()
    base = optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.1))
    fast, _ = run_lookahead(base, parameters, gradients, 3, 0.8)
    spec = test_libraries.spec_of("lookahead")
    inner, inner_values = rule_of(test_libraries.spec_of("adam"), {}, {"lr": 0.1})
    values = {"weight_decay": 0.1, "sync_period": 3.0, "alpha": 0.8}
    rule = specialise(spec, choose(spec, {}, values), inner)
    values |= {spec.wrapped_name(key): value for key, value in inner_values.items()}
    assert difference(run_rule(rule, values, parameters, gradients), fast) < TOLERANCE


@pytest.mark.parametrize("keep_average", [False, True])
@pytest.mark.parametrize(("base", "base_values", "make"), BASES)
@pytest.mark.parametrize("arguments", [{}, {"b1": 0.5}, {"b1": 1.0, "weight_lr_power": 0.5}], ids=str)
def test_schedule_free_equals_optax(
    arguments: dict[str, Any],
    base: str,
    base_values: dict[str, float],
    make: Callable[[], optax.GradientTransformation],
    keep_average: bool,
) -> None:
    parameters, gradients = problem()
    given = {"learning_rate": 0.1} | arguments
    theirs, points, averages = run_schedule_free(optax.contrib.schedule_free(make(), **given), parameters, gradients)
    options = {"keep_average": True} if keep_average else {}
    rule, values = around("schedule_free", base, base_values, given, options)
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    for gradient, theta, z, x in zip(gradients, theirs, points, averages, strict=True):
        model = interpreter.step(model, gradient)
        assert difference([[np.asarray(tensor.theta) for tensor in model.tensors]], [theta]) < TOLERANCE
        assert difference([[np.asarray(tensor.history["z"][0]) for tensor in model.tensors]], [z]) < TOLERANCE
        if keep_average:
            assert difference([[np.asarray(tensor.history["x"][0]) for tensor in model.tensors]], [x]) < TOLERANCE
    assert distance(theirs, parameters) > 1e-3


def run_schedule_free(
    transformation: optax.GradientTransformation, parameters: list[Array], gradients: Trajectory
) -> tuple[Trajectory, Trajectory, Trajectory]:
    """The parameters of optax's Schedule-Free after each step, the point that is moved, and what it evaluates at."""
    with jax.enable_x64(True):
        current: Any = [jnp.asarray(p) for p in parameters]
        state = transformation.init(current)
        step = jax.jit(transformation.update)
        found: tuple[Trajectory, Trajectory, Trajectory] = ([], [], [])
        for gradient in gradients:
            updates, state = step([jnp.asarray(g) for g in gradient], state, current)
            current = optax.apply_updates(current, updates)
            average = optax.contrib.schedule_free_eval_params(state, current)
            for list_, values in zip(found, (current, state.z, average), strict=True):
                list_.append([np.asarray(p) for p in values])
    return found


def test_schedule_free_with_a_learning_rate_that_starts_at_zero() -> None:
    """The weight's schedule is one step ahead of the wrapped optimizer's, and starts here with a weight of 0."""
    parameters, gradients = problem()

    def schedule(count: Any) -> Any:
        return 0.05 * jnp.clip(count - 2, 0, 5) - 0.01 * jnp.clip(count - 10, 0, 20)

    with jax.enable_x64(True):
        transformation = optax.contrib.schedule_free(optax.sgd(schedule), schedule)
        rates = [float(schedule(count)) for count in range(STEPS + 1)]
    theirs, _, _ = run_schedule_free(transformation, parameters, gradients)
    spec = test_libraries.spec_of("schedule_free")
    dialect = test_libraries.dialect_of("schedule_free", "optax", "schedule_free")
    choice, values = in_dialect(spec, dialect, {"learning_rate": 0.1})
    rule = specialise(spec, choice, wrapped_rule(spec, specs_folder()))
    model = Interpreter(rule, values).init(parameters)
    for count, (gradient, theta) in enumerate(zip(gradients, theirs, strict=True)):
        now = Interpreter(rule, values | {"lr": rates[count + 1]})
        model = now.step(model, gradient, {"given_step": [-rates[count] * g for g in gradient]})
        assert difference([[np.asarray(tensor.theta) for tensor in model.tensors]], [theta]) < TOLERANCE
    assert distance(theirs, parameters) > 1e-3


@pytest.mark.parametrize(("name", "wrapped"), [("lookahead", "adam"), ("schedule_free", "sgd")])
def test_what_is_wrapped_unless_another_is_named(name: str, wrapped: str) -> None:
    spec = test_libraries.spec_of(name)
    inner = wrapped_rule(spec, specs_folder())
    assert inner is not None
    assert inner.name == wrapped
