"""Every schedule that torch has: the same values as its scheduler objects, step by step, and as its closed forms."""

from __future__ import annotations

import inspect
import warnings

import jax
import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from optgen.errors import InvalidHyperparameter, UnknownSchedule
from optgen.schedules import spelled_schedule
from optgen.schedules.manifests import spelled
from tests.schedules.comparison import assert_follows

BASE = 0.3

CASES = [
    ("ConstantLR", {"factor": 0.4, "total_iters": 37}),
    ("ConstantLR", {}),
    ("LinearLR", {"start_factor": 0.25, "end_factor": 0.8, "total_iters": 333}),
    ("LinearLR", {}),
    ("PolynomialLR", {"total_iters": 700, "power": 1.7}),
    ("PolynomialLR", {}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("ExponentialLR", {"gamma": 1.001}),
    ("StepLR", {"step_size": 30}),
    ("StepLR", {"step_size": 7, "gamma": 0.93}),
    ("MultiStepLR", {"milestones": [30, 80, 81, 999], "gamma": 0.3}),
    ("MultiStepLR", {"milestones": [0]}),
    ("CosineAnnealingLR", {"T_max": 400, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("CosineAnnealingWarmRestarts", {"T_0": 50, "eta_min": 0.002}),
    ("CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 2}),
    ("CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 3, "eta_min": 0.1}),
    ("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 2}),
    ("OneCycleLR", {"max_lr": BASE, "total_steps": 1001}),
    ("OneCycleLR", {"max_lr": BASE, "total_steps": 1001, "pct_start": 0.217, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": BASE, "total_steps": 1001, "three_phase": True, "final_div_factor": 30.0}),
    ("OneCycleLR", {"max_lr": BASE, "total_steps": 1001, "three_phase": True, "anneal_strategy": "linear"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": BASE, "step_size_up": 50}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": BASE, "step_size_up": 50, "step_size_down": 21}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": BASE, "step_size_up": 37, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": BASE, "step_size_up": 20, "mode": "exp_range", "gamma": 0.995}),
]


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


def recursive(name, arguments, steps=1001) -> list[float]:
    """The rates of torch's scheduler, moved on step by step."""
    cycled = {"cycle_momentum": False} if name in ("OneCycleLR", "CyclicLR") else {}
    stepped = optimizer()
    scheduler = getattr(lr_scheduler, name)(stepped, **arguments, **cycled)
    found = []
    for _ in range(steps):
        found.append(float(stepped.param_groups[0]["lr"]))
        stepped.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if len(found) < steps:
                scheduler.step()
    return found


def ours(name, arguments):
    """Our schedule of torch's; with torch's base rate where it takes none."""
    schedule = spelled_schedule("torch", name)(**arguments)
    return schedule if name in ("OneCycleLR", "CyclicLR") else schedule.with_base(BASE)


def test_there_is_a_case_for_every_schedule():
    assert {name for name, _ in CASES} == set(spelled("torch"))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_values(name, arguments):
    reference = recursive(name, arguments)
    assert_follows(ours(name, arguments), reference, range(1001))


@pytest.mark.parametrize(
    ("name", "arguments"), [(n, a) for n, a in CASES if hasattr(getattr(lr_scheduler, n), "_get_closed_form_lr")]
)
def test_closed_form(name, arguments):
    scheduler = getattr(lr_scheduler, name)(optimizer(), **arguments)
    reference = []
    for step in range(1001):
        scheduler.last_epoch = step
        reference.append(scheduler._get_closed_form_lr()[0])
    assert_follows(ours(name, arguments), reference, range(1001))


@pytest.mark.parametrize("t_0", [1, 3, 10, 1000])
@pytest.mark.parametrize("t_mult", [1, 2, 3, 7, 10])
def test_restarts_are_exact(t_0, t_mult):
    schedule = spelled_schedule("torch", "CosineAnnealingWarmRestarts")(T_0=t_0, T_mult=t_mult, eta_min=0.25)
    start, length = 0, t_0
    counts, wanted = [], []
    while start < 2**30 and len(counts) < 300:
        middle = [(start + length // 2, 0.25 + 0.75 * (1 + np.cos(np.pi * (length // 2) / length)) / 2)]
        last = [(start + length - 1, 0.25 + 0.75 * (1 + np.cos(np.pi * (length - 1) / length)) / 2)]
        for count, value in [(start, 1.0), *middle, *last]:
            counts.append(count)
            wanted.append(value)
        start, length = start + length, length * t_mult
    counts = [count for count in counts if count < 2**31]
    assert_follows(schedule, wanted[: len(counts)], counts)
    with jax.enable_x64(False):
        starts = np.asarray(counts[::3], np.int32)
        np.testing.assert_array_equal(jax.jit(schedule)(starts), np.ones(len(starts), np.float32))


def test_arguments_are_those_of_torch():
    left_out = {"optimizer", "last_epoch"}
    for name in spelled("torch"):
        theirs = inspect.signature(getattr(lr_scheduler, name)).parameters
        mine = inspect.signature(spelled_schedule("torch", name)).parameters
        assert set(mine) <= set(theirs)
        extra = set(theirs) - set(mine) - left_out
        momentum = {"cycle_momentum", "base_momentum", "max_momentum"}
        more = {
            "CyclicLR": {"scale_fn", "scale_mode", *momentum},
            "OneCycleLR": {"epochs", "steps_per_epoch", *momentum},
        }
        assert extra == more.get(name, set())
        for parameter in mine:
            if name != "OneCycleLR" or parameter != "total_steps":  # required, where torch may compute it
                assert mine[parameter].default == theirs[parameter].default, (name, parameter)
        order = [p for p in theirs if p in mine]
        assert list(mine) == order


def test_torch_optimizer_follows_a_schedule():
    schedule = spelled_schedule("torch", "CosineAnnealingLR")(T_max=7)
    stepped = optimizer()
    scheduler = lr_scheduler.LambdaLR(stepped, schedule.factor)
    reference = recursive("CosineAnnealingLR", {"T_max": 7}, 20)
    found = []
    for _ in range(20):
        found.append(stepped.param_groups[0]["lr"])
        stepped.step()
        scheduler.step()
    np.testing.assert_allclose(found, reference, rtol=1e-9, atol=1e-14)


def test_factor_is_relative_to_the_base_rate():
    import optgen.optax

    schedule = optgen.optax.warmup_cosine_decay_schedule(0.0, 0.2, 10, 100)
    assert schedule.factor(10) == 1.0
    assert schedule.factor(5) == 0.5
    with pytest.raises(InvalidHyperparameter, match="cosine_decay_schedule: there is no factor on init_value = 0"):
        optgen.optax.cosine_decay_schedule(0.0, 10).factor(3)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("StepLR", {"step_size": 0}, "StepLR: step_size = 0 is outside its domain: step_size > 0"),
        ("CosineAnnealingLR", {"T_max": 0}, "CosineAnnealingLR: T_max = 0 is outside its domain: T_max > 0"),
        ("CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 0}, "T_mult = 0 is outside its domain: T_mult >= 1"),
        ("CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 1.5}, "T_mult = 1.5 is no whole number"),
        ("MultiStepLR", {"milestones": [30, 30]}, "MultiStepLR: milestones has to increase, and 30 follows 30"),
        ("MultiStepLR", {"milestones": [30, 20]}, "MultiStepLR: milestones has to increase, and 20 follows 30"),
        ("MultiStepLR", {"milestones": [-1]}, r"milestones\[0\] = -1 is outside its domain: milestones\[0\] >= 0"),
        ("MultiStepLR", {"milestones": 30}, "MultiStepLR: milestones is a list of numbers, not 30"),
        ("LinearLR", {"total_iters": -1}, "LinearLR: total_iters = -1 is outside its domain: total_iters >= 0"),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "mode": "square"}, "mode is one of triangular, triangular2, exp_"),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "pct_start": 1.0}, "pct_start = 1.0 is outside its domain"),
    ],
)
def test_wrong_values_are_refused_by_name(name, arguments, message):
    with pytest.raises(InvalidHyperparameter, match=message):
        spelled_schedule("torch", name)(**arguments)


def test_an_unknown_schedule():
    with pytest.raises(UnknownSchedule, match="no schedule 'zzz' of torch; there are: CosineAnnealingLR"):
        spelled_schedule("torch", "zzz")
