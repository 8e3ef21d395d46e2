"""Schedulers as objects: what optimizers read, what is saved, schedulers made of schedulers, and what is refused."""

from __future__ import annotations

import warnings

import brainstate
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch.optim import lr_scheduler

import optgen
import optgen.optax
import optgen.optim as optim
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter
from optgen.optim._schedule_classes import scheduler_classes


class Weight:
    def __init__(self, value):
        self.value = value


def trained(optimizer, scheduler, steps=6, every=1) -> np.ndarray:
    weights = {"w": Weight(jnp.array([1.0, -2.0]))}
    optimizer.register_trainable_weights(weights)
    for step in range(1, steps + 1):
        optimizer.step({"w": jnp.array([0.5, 0.25])})
        if step % every == 0:
            scheduler.step()
    return np.asarray(weights["w"].value)


def sgd_by_hand(rates) -> np.ndarray:
    return np.array([1.0, -2.0]) - sum(rates) * np.array([0.5, 0.25])


class TestWithAnOptimizer:
    def test_the_rate_is_read_at_every_step(self):
        scheduler = optim.StepLR(0.1, step_size=2, gamma=0.5)
        found = trained(optim.SGD(lr=scheduler), scheduler)
        np.testing.assert_allclose(found, sgd_by_hand([0.1, 0.1, 0.05, 0.05, 0.025, 0.025]), rtol=1e-12)

    def test_it_moves_on_when_it_is_told(self):
        scheduler = optim.ExponentialLR(0.1, gamma=0.5)
        found = trained(optim.SGD(lr=scheduler), scheduler, every=3)
        np.testing.assert_allclose(found, sgd_by_hand([0.1] * 3 + [0.05] * 3), rtol=1e-12)

    def test_the_same_as_an_optax_schedule(self):
        scheduler = optim.CosineAnnealingLR(0.1, T_max=5)
        found = trained(optim.Adam(lr=scheduler), scheduler)
        wanted = {"w": jnp.array([1.0, -2.0])}
        adam = optax.adam(optax.cosine_decay_schedule(0.1, 5))
        state = adam.init(wanted)
        for _ in range(6):
            updates, state = adam.update({"w": jnp.array([0.5, 0.25])}, state)
            wanted = optax.apply_updates(wanted, updates)
        np.testing.assert_allclose(found, wanted["w"], rtol=1e-9)

    def test_lr_says_the_scheduler_s_rate(self):
        scheduler = optim.StepLR(0.1, step_size=1, gamma=0.5)
        optimizer = optim.AdamW(lr=scheduler)
        assert optimizer.lr == 0.1
        scheduler.step()
        assert optimizer.lr == 0.05
        optimizer.register_trainable_weights({"w": Weight(jnp.ones(2))})
        scheduler.step()
        assert optimizer.lr == 0.025

    def test_a_number_takes_its_place(self):
        scheduler = optim.StepLR(0.1, step_size=1, gamma=0.5)
        optimizer = optim.SGD(lr=scheduler)
        optimizer.lr = 1.0
        np.testing.assert_allclose(trained(optimizer, scheduler, 2), sgd_by_hand([1.0, 1.0]), rtol=1e-12)

    def test_attached_later(self):
        scheduler = optim.StepLR(0.1, step_size=1, gamma=0.5)
        optimizer = optim.SGD(lr=3.0)
        scheduler.attach_optimizer(optimizer)
        assert scheduler.optimizer is optimizer
        np.testing.assert_allclose(trained(optimizer, scheduler, 3), sgd_by_hand([0.1, 0.05, 0.025]), rtol=1e-12)

    def test_attached_to_something_else(self):
        with pytest.raises(TypeError, match=r"StepLR: an optimizer of optgen.optim is attached, not 'sgd'"):
            optim.StepLR().attach_optimizer("sgd")

    def test_applied_function(self):
        scheduler = optim.StepLR(0.1, step_size=1, gamma=0.5)
        scheduler.apply(lambda rate: rate * 3)
        np.testing.assert_allclose(trained(optim.SGD(lr=scheduler), scheduler, 2), sgd_by_hand([0.3, 0.05]), rtol=1e-12)

    def test_a_user_s_own_optimizer(self):
        made = optgen.define("plain_descent", "theta[t] = theta[t-1] - lr*g", lr=0.1)
        scheduler = optim.ExponentialLR(0.2, gamma=0.5)
        np.testing.assert_allclose(trained(made.optim(lr=scheduler), scheduler, 2), sgd_by_hand([0.2, 0.1]), rtol=1e-12)

    def test_within_jit_of_brainstate(self):
        scheduler = optim.CosineAnnealingWarmRestarts(0.1, T_0=2, T_mult=2)
        weights = {"w": brainstate.ParamState(jnp.array([1.0, -2.0]))}
        optimizer = optim.SGD(lr=scheduler)
        optimizer.register_trainable_weights(weights)

        @brainstate.transform.jit
        def step():
            optimizer.step({"w": jnp.array([0.5, 0.25])})
            scheduler.step()

        for _ in range(6):
            step()
        angles = [0, 1 / 2, 0, 1 / 4, 1 / 2, 3 / 4]
        rates = [0.1 * (1 + np.cos(np.pi * angle)) / 2 for angle in angles]
        np.testing.assert_allclose(weights["w"].value, sgd_by_hand(rates), rtol=1e-6)
        assert int(scheduler.last_epoch.value) == 6
        np.testing.assert_allclose(scheduler.current_lrs.value[0], 0.1, rtol=1e-6)

    def test_an_optax_optimizer_refuses_it(self):
        with pytest.raises(
            HyperparameterTypeError, match="sgd: learning_rate is a number, an array or a schedule; StepLR"
        ):
            optgen.optax.sgd(optim.StepLR())


class TestGroups:
    def test_a_rate_for_each(self):
        scheduler = optim.StepLR([0.1, 0.2], step_size=1, gamma=0.5)
        scheduler.step()
        assert scheduler.base_lrs == [0.1, 0.2]
        assert scheduler.get_last_lr() == [0.05, 0.1]

    def test_another_hyperparameter_for_each(self):
        scheduler = optim.OneCycleLR(max_lr=[1.0, 2.0], total_steps=10)
        assert scheduler.get_last_lr() == [1.0 / 25, 2.0 / 25]

    def test_lists_of_two_lengths(self):
        with pytest.raises(
            InvalidHyperparameter, match="CyclicLR: there is one value for each group, and base_lr has 2, max_"
        ):
            optim.CyclicLR([0.1, 0.2], [0.3, 0.4, 0.5])


class TestSaving:
    @pytest.mark.parametrize("name", sorted(scheduler_classes().keys() - {"LRScheduler"}))
    def test_it_goes_on_from_there(self, name):
        made = {
            "ChainedScheduler": lambda: optim.ChainedScheduler([optim.StepLR(0.3, 4), optim.ExponentialLR(0.3)]),
            "SequentialLR": lambda: optim.SequentialLR([optim.StepLR(0.3, 4), optim.ExponentialLR(0.5)], [6]),
            "OneCycleLR": lambda: optim.OneCycleLR(total_steps=20),
            "ReduceLROnPlateau": lambda: optim.ReduceLROnPlateau(0.3, patience=1),
        }.get(name, lambda: getattr(optim, name)())
        more = (1.0,) if name == "ReduceLROnPlateau" else ()
        first, second = made(), made()
        for _ in range(9):
            first.step(*more)
        saved = first.state_dict()
        second.load_state_dict(saved)
        assert second.state_dict() == saved
        for _ in range(5):
            first.step(*more)
            second.step(*more)
            assert [float(rate) for rate in second.get_last_lr()] == [float(rate) for rate in first.get_last_lr()]

    def test_another_base_rate_is_restored(self):
        first, second = optim.StepLR(0.5, 1, 0.1), optim.StepLR(0.1, 1, 0.1)
        second.load_state_dict(first.state_dict())
        second.step()
        assert second.get_last_lr() == [0.05]

    def test_a_state_of_another_number_of_schedulers(self):
        chain = optim.ChainedScheduler([optim.StepLR()])
        saved = {**chain.state_dict(), "schedulers": []}
        with pytest.raises(
            InvalidHyperparameter, match="ChainedScheduler: the state is of 0 schedulers, and there are 1"
        ):
            chain.load_state_dict(saved)
        assert chain.last_epoch.value == 0


def torch_rates(make, steps=300) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return found


def our_rates(scheduler, steps=300) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.step()
    return found


class TestComposition:
    def test_one_after_the_other(self):
        def make(optimizer):
            parts = [
                lr_scheduler.LinearLR(optimizer, 0.1, total_iters=50),
                lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 30, 2, 0.001),
                lr_scheduler.StepLR(optimizer, 20, 0.5),
            ]
            return lr_scheduler.SequentialLR(optimizer, parts, [50, 200])

        ours = optim.SequentialLR(
            [
                optim.LinearLR(0.3, 0.1, total_iters=50),
                optim.CosineAnnealingWarmRestarts(0.3, 30, 2, 0.001),
                optim.StepLR(0.3, 20, 0.5),
            ],
            [50, 200],
        )
        np.testing.assert_allclose(our_rates(ours), torch_rates(make), rtol=1e-9)

    def test_all_at_once(self):
        def make(optimizer):
            parts = [lr_scheduler.ConstantLR(optimizer, 0.1, 40), lr_scheduler.ExponentialLR(optimizer, 0.99)]
            return lr_scheduler.ChainedScheduler(parts)

        ours = optim.ChainedScheduler([optim.ConstantLR(0.3, 0.1, 40), optim.ExponentialLR(0.3, 0.99)])
        np.testing.assert_allclose(our_rates(ours), torch_rates(make), rtol=1e-9)

    def test_within_jit_of_brainstate(self):
        plain = optim.SequentialLR([optim.LinearLR(0.3, 0.1, total_iters=3), optim.StepLR(0.3, 2, 0.5)], [3])
        traced = optim.SequentialLR([optim.LinearLR(0.3, 0.1, total_iters=3), optim.StepLR(0.3, 2, 0.5)], [3])
        step = brainstate.transform.jit(traced.step)
        for _ in range(9):
            plain.step()
            step()
            np.testing.assert_allclose(traced.get_last_lr(), plain.get_last_lr(), rtol=1e-6)
        assert [int(part.last_epoch.value) for part in traced.schedulers] == [2, 6]

    def test_a_jump_to_a_step(self):
        scheduler = optim.SequentialLR([optim.ConstantLR(0.3), optim.ExponentialLR(0.3, 0.5)], [10])
        scheduler.step(12)
        assert scheduler.get_last_lr() == [0.3 * 0.25]
        scheduler.step(2)
        assert scheduler.get_last_lr() == [0.3 / 3]


def test_cyclic_with_a_function_of_the_user_s():
    halved = optim.CyclicLR(0.1, 0.5, 20, scale_fn=lambda cycle: 0.5 ** (cycle - 1))
    np.testing.assert_allclose(
        our_rates(halved), our_rates(optim.CyclicLR(0.1, 0.5, 20, mode="triangular2")), rtol=1e-12
    )
    decayed = optim.CyclicLR(0.1, 0.5, 20, scale_fn=lambda step: 0.99**step, scale_mode="iterations")
    wanted = our_rates(optim.CyclicLR(0.1, 0.5, 20, mode="exp_range", gamma=0.99))
    np.testing.assert_allclose(our_rates(decayed), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.StepLR(0.1, 0), "StepLR: step_size = 0 is outside its domain: step_size > 0"),
        (lambda: optim.CosineAnnealingLR(T_max=0), "CosineAnnealingLR: T_max = 0 is outside its domain: T_max > 0"),
        (lambda: optim.StepLR(last_epoch=-1), "StepLR: last_epoch = -1 is below 0, the first step"),
        (lambda: optim.StepLR(last_epoch=1.5), "StepLR: last_epoch is an integer, not 1.5"),
        (lambda: optim.StepLR().step(-2), "StepLR: step -2 is below 0, the first one"),
        (lambda: optim.OneCycleLR(), "OneCycleLR: give total_steps, or epochs and steps_per_epoch"),
        (lambda: optim.OneCycleLR(epochs=3), "OneCycleLR: give total_steps, or epochs and steps_per_epoch"),
        (
            lambda: optim.OneCycleLR(epochs=0, steps_per_epoch=3),
            "OneCycleLR: epochs = 0 is outside its domain: epochs > 0",
        ),
        (lambda: optim.CyclicLR(scale_mode="epochs"), "CyclicLR: scale_mode is one of cycle, iterations, not 'epochs'"),
        (
            lambda: optim.PiecewiseConstantSchedule(boundaries=[5], values=[1.0]),
            r"values has 1 entries and should have len",
        ),
        (
            lambda: optim.PiecewiseConstantSchedule(boundaries=[5, 5], values=[1, 2, 3]),
            "has to increase, and 5 follows 5",
        ),
        (
            lambda: optim.WarmupCosineSchedule(warmup_steps=5, total_steps=5),
            "warmup_steps < total_steps must hold, and they",
        ),
        (lambda: optim.SequentialLR([optim.StepLR()], [3]), "SequentialLR: milestones has 1 entries and should have 0"),
        (
            lambda: optim.SequentialLR([optim.StepLR()] * 3, [3, 3]),
            r"milestones has to increase from 0 on, not \[3, 3\]",
        ),
        (lambda: optim.ChainedScheduler([]), "ChainedScheduler: there are no schedulers"),
        (
            lambda: optim.ReduceLROnPlateau(factor=1.0),
            "ReduceLROnPlateau: factor = 1.0 is outside its domain: 0 < factor < 1",
        ),
        (lambda: optim.ReduceLROnPlateau(patience=-1), "ReduceLROnPlateau: patience = -1 is outside its domain"),
        (lambda: optim.ReduceLROnPlateau(mode="less"), "ReduceLROnPlateau: mode is one of min, max, not 'less'"),
    ],
)
def test_wrong_values_are_refused_by_name(make, message):
    with pytest.raises(InvalidHyperparameter, match=message):
        make()


@pytest.mark.parametrize("composed", [optim.ChainedScheduler, lambda parts: optim.SequentialLR(parts, [])])
def test_what_cannot_be_composed(composed):
    with pytest.raises(TypeError, match=r"schedulers\[0\] waits for a metric, which \w+.step does not take"):
        composed([optim.ReduceLROnPlateau()])
    with pytest.raises(TypeError, match=r"schedulers\[0\] is no scheduler of optgen.optim: 0.1"):
        composed([0.1])
