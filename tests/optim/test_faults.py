"""What goes wrong in braintools' optimizers, and must not here: each test is one finding."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import optgen.brainpy
from optgen.errors import InvalidHyperparameter, NotRegistered, StateMismatch, TreeMismatch
from optgen.optim import LBFGS, SGD, Adam, AdamW, ExponentialLR, Fromage, Lookahead, Rprop, StepLR
from tests.optim.held import Box, box, moved, ones


def pair(optimizer, **group):
    """A weight in the first group and one in a second, both at 1."""
    w, h = box(1.0), box(1.0)
    optimizer.register_trainable_weights({"w": w})
    optimizer.add_param_group({"h": h}, **group)
    return w, h


def step_sizes(optimizer, weights, steps=3, between=lambda: None):
    """How far each weight moves at each step, for a gradient of 1."""
    found = []
    for _ in range(steps):
        before = [np.asarray(w.value) for w in weights.values()]
        optimizer.step(ones(weights))
        found.append([float((b - np.asarray(w.value))[0]) for b, w in zip(before, weights.values(), strict=True)])
        between()
    return np.array(found)


def test_a_second_group_runs_the_optimizer_s_own_rule():
    w, h = Box(jnp.array([1.0, 2.0])), Box(jnp.array([1.0, 2.0]))
    optimizer = SGD(lr=0.1)
    optimizer.register_trainable_weights({"w": w})
    optimizer.add_param_group({"h": h})
    gradient = jnp.array([3.0, -0.5])
    optimizer.step({"w": gradient, "h": gradient})
    np.testing.assert_allclose(w.value, [0.7, 2.05], rtol=1e-6)
    np.testing.assert_allclose(h.value, [0.7, 2.05], rtol=1e-6)


def test_a_second_group_has_the_optimizer_s_betas_and_eps():
    optimizer = Adam(lr=0.1, betas=(0.5, 0.5), eps=1.0)
    weights = dict(zip("wh", pair(optimizer), strict=True))
    np.testing.assert_allclose(step_sizes(optimizer, weights, 1), [[0.05, 0.05]], rtol=1e-6)


def test_a_second_group_s_decay_is_the_rule_s_own():
    w, h = box(1.0), box(100.0)
    optimizer = AdamW(lr=0.1, weight_decay=0.1)
    optimizer.register_trainable_weights({"w": w})
    optimizer.add_param_group({"h": h})
    optimizer.step({"w": jnp.ones(1, jnp.float32), "h": jnp.ones(1, jnp.float32)})
    np.testing.assert_allclose(moved(h, 100.0), [1.1], rtol=1e-5)


def test_the_rate_of_a_group_can_be_set():
    optimizer = SGD(lr=0.1)
    weights = dict(zip("wh", pair(optimizer, lr=0.01), strict=True))
    optimizer.param_groups[1]["lr"] = 5.0
    np.testing.assert_allclose(step_sizes(optimizer, weights, 1), [[0.1, 5.0]], rtol=1e-6)
    optimizer.param_groups[1]["lr"].value = 2.0
    np.testing.assert_allclose(step_sizes(optimizer, weights, 1), [[0.1, 2.0]], rtol=1e-6)


@pytest.mark.parametrize(("lr", "second"), [(None, [0.1, 0.01, 0.001]), (0.5, [0.5, 0.05, 0.005])])
def test_the_scheduler_reaches_every_group(lr, second):
    scheduler = StepLR(0.1, step_size=1, gamma=0.1)
    optimizer = SGD(lr=scheduler)
    weights = dict(zip("wh", pair(optimizer, **({} if lr is None else {"lr": lr})), strict=True))
    found = step_sizes(optimizer, weights, between=scheduler.step)
    np.testing.assert_allclose(found, np.array([[0.1, 0.01, 0.001], second]).T, rtol=1e-4)


def test_a_state_of_two_groups_is_loaded():
    def made():
        optimizer = Adam(lr=0.1)
        return optimizer, dict(zip("wh", pair(optimizer, lr=0.3), strict=True))

    first, weights = made()
    first.step(ones(weights))
    second, others = made()
    for name, weight in weights.items():
        others[name].value = weight.value
    second.load_state_dict(first.state_dict())
    for optimizer, held in ((first, weights), (second, others)):
        optimizer.step(ones(held, -2.0))
    for name in weights:
        np.testing.assert_array_equal(weights[name].value, others[name].value)


def test_a_scheduler_goes_on_where_it_was():
    def made():
        scheduler = StepLR(0.1, step_size=1, gamma=0.1)
        optimizer, weights = SGD(lr=scheduler), {"w": box(0.0)}
        optimizer.register_trainable_weights(weights)
        return optimizer, scheduler, weights

    first, scheduler, _ = made()
    scheduler.step()
    scheduler.step()
    second, other, weights = made()
    second.load_state_dict(first.state_dict())
    assert second.current_lr == pytest.approx(1e-3)
    np.testing.assert_allclose(step_sizes(second, weights, 2, other.step), [[1e-3], [1e-4]], rtol=1e-4)


def test_the_current_rate_can_be_set():
    optimizer, weights = SGD(lr=0.1), {"w": box(0.0)}
    optimizer.register_trainable_weights(weights)
    optimizer.current_lr = 1.0
    assert (optimizer.current_lr, optimizer.lr) == (1.0, 1.0)
    np.testing.assert_allclose(step_sizes(optimizer, weights, 1), [[1.0]])


def test_no_state_before_there_are_weights():
    with pytest.raises(NotRegistered, match=r"Adam: call register_trainable_weights\(weights\) first"):
        Adam().state_dict()


def test_lbfgs_has_update():
    optimizer, weights = LBFGS(lr=1.0), {"w": box(1.0, 2.0)}
    optimizer.register_trainable_weights(weights)
    optimizer.update({"w": weights["w"].value})
    assert optimizer.step_count == 1


@pytest.mark.parametrize("search", ["zoom", "backtracking"])
def test_lbfgs_with_a_line_search(search):
    optimizer, weights = LBFGS(lr=1.0, linesearch=search), {"w": box(2.0, -3.0, 1.5)}
    optimizer.register_trainable_weights(weights)

    def loss(params):
        return jnp.sum(params["w"] ** 4)

    losses = []
    for _ in range(8):
        value = loss({"w": weights["w"].value})
        losses.append(float(value))
        optimizer.update({"w": 4 * weights["w"].value ** 3}, value=value, value_fn=loss)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-2 * losses[0]


@pytest.mark.parametrize("build", [LBFGS, Rprop, Fromage], ids=lambda c: c.__name__)
def test_a_scheduler_is_honoured_once(build):
    def run(rate):
        # Within a step the rate is the only difference: the state does not depend on it.
        optimizer, weights = build(lr=rate), {"w": box(1.0, -2.0)}
        optimizer.register_trainable_weights(weights)
        optimizer.step(ones(weights))
        return moved(weights["w"], [1.0, -2.0])

    scheduler = ExponentialLR(0.1, gamma=0.1)
    scheduler.step()
    np.testing.assert_allclose(run(scheduler), run(0.01), rtol=1e-6)


def test_lookahead_s_lr_is_the_wrapped_optimizer_s():
    for build in (lambda: Lookahead(SGD(lr=3.0), sync_period=2, alpha=0.5, lr=0.1),):
        optimizer, weights = build(), {"w": box(0.0)}
        optimizer.register_trainable_weights(weights)
        assert optimizer.lr == 0.1
        np.testing.assert_allclose(step_sizes(optimizer, weights, 3), [[0.1], [0.0], [0.1]], atol=1e-7)


def test_a_missing_gradient_is_named():
    optimizer = SGD()
    optimizer.register_trainable_weights({"w": box(1.0), "b": box(2.0)})
    with pytest.raises(TreeMismatch, match=r"SGD: no gradient for \['b'\]"):
        optimizer.step({"w": jnp.ones(1, jnp.float32)})


def test_a_closure_is_called():
    optimizer, weights = SGD(lr=0.1), {"w": box(1.0)}
    optimizer.register_trainable_weights(weights)
    assert optimizer.step(ones(weights), closure=lambda: 7.0) == 7.0
    assert optimizer.step(closure=lambda: (8.0, ones(weights))) == 8.0
    np.testing.assert_allclose(weights["w"].value, [0.8], rtol=1e-6)
    with pytest.raises(TypeError, match="the closure returns the loss and the gradients, not float"):
        optimizer.step(closure=lambda: 8.0)


def test_a_second_registration_keeps_what_is_there():
    optimizer, w, b = Adam(lr=0.1), box(1.0), box(1.0)
    optimizer.register_trainable_weights({"w": w})
    optimizer.step({"w": jnp.ones(1, jnp.float32)})
    moments = dict(optimizer.state_dict()["opt_state"])
    optimizer.register_trainable_weights({"b": b})
    after = optimizer.state_dict()["opt_state"]
    assert optimizer.step_count == 1
    assert {name: np.asarray(after[name]) for name in moments} == {n: np.asarray(v) for n, v in moments.items()}
    assert list(optimizer.param_groups[0]["params"]) == ["w", "b"]
    optimizer.step({"w": jnp.ones(1, jnp.float32), "b": jnp.ones(1, jnp.float32)})
    assert float(b.value[0]) < 1


def test_a_negative_rate_is_refused():
    with pytest.raises(InvalidHyperparameter, match="SGD: lr = -1 is outside its domain: lr >= 0"):
        SGD(lr=-1)


def test_a_state_that_is_none():
    optimizer = SGD()
    optimizer.register_trainable_weights({"w": box(1.0)})
    with pytest.raises(StateMismatch, match="has no entry 'format'"):
        optimizer.load_state_dict({"0": "0"})


class Assigned:
    """A weight as keras has it: its value is read, and changed by a method."""

    def __init__(self, value):
        self._value = value

    @property
    def value(self):
        """The array."""
        return self._value

    def assign(self, value):
        """Hold another array of the same shape."""
        assert value.shape == self._value.shape
        self._value = value


class Fixed:
    """An object whose value nobody can change."""

    value = property(lambda self: jnp.ones(3))


def test_weights_that_are_assigned():
    """Also inside jit, in several groups, with steps that are left out, and by brainpy's classes."""
    for kind in (Assigned, Box):
        w, h = kind(jnp.ones(3)), kind(jnp.ones(2))
        optimizer = Adam(lr=0.1, skip_nonfinite=True)
        optimizer.register_trainable_weights({"w": w})
        optimizer.add_param_group({"h": h}, lr=0.2)
        for value in (1.0, jnp.nan, 2.0):
            optimizer.step({"w": jnp.full(3, value), "h": jnp.full(2, value)})
        found = np.concatenate([w.value, h.value])
        # Twice a step of the learning rate, nearly.
        np.testing.assert_allclose(found, [0.8033] * 3 + [0.6066] * 2, atol=1e-3)
        v = kind(jnp.ones(3))
        brain = optgen.brainpy.SGD(0.1, {"v": v})
        brain.update({"v": jnp.ones(3)})
        np.testing.assert_allclose(v.value, 0.9)


def test_a_value_that_cannot_be_changed_is_refused_before_training():
    for register in (Adam(lr=0.1).register_trainable_weights, optgen.brainpy.SGD(0.1).register_train_vars):
        with pytest.raises(TreeMismatch, match="weight 'w', a Fixed, cannot be set"):
            register({"w": Fixed()})
