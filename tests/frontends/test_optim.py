"""optgen.optim: stateful optimizers over objects with a value."""

from __future__ import annotations

import inspect

import brainstate
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen.optim
from optgen.errors import InvalidHyperparameter, NotRegistered, TreeMismatch
from optgen.optim import SGD, Adam, AdamW


class Box:
    """The least that a weight has to be."""

    def __init__(self, value):
        self.value = value


def weights():
    return {"a": Box(jnp.arange(3.0)), ("b", "w"): Box({"k": jnp.ones((2, 2)), "n": [jnp.asarray(2.0)]})}


def gradients(seed):
    generator = np.random.default_rng(seed)
    return {
        name: jax.tree.map(lambda x: jnp.asarray(generator.normal(size=x.shape)), weight.value)
        for name, weight in weights().items()
    }


CLASSES = [
    (lambda: SGD(lr=0.1, momentum=0.9), optax.sgd(0.1, 0.9)),
    (lambda: SGD(lr=0.1, weight_decay=0.1), optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1))),
    (lambda: Adam(lr=0.1), optax.adam(0.1)),
    (lambda: Adam(lr=0.1, betas=(0.8, 0.9), amsgrad=True), optax.amsgrad(0.1, 0.8, 0.9)),
    (lambda: AdamW(lr=0.1, weight_decay=0.1), optax.adamw(0.1, weight_decay=0.1)),
    (lambda: optgen.optim.Lion(lr=0.1), optax.lion(0.1, weight_decay=0.0)),
    (lambda: optgen.optim.Lamb(lr=0.1, weight_decay=0.1), optax.lamb(0.1, weight_decay=0.1)),
    (lambda: optgen.optim.RMSprop(lr=0.1), optax.rmsprop(0.1, decay=0.99)),
]


@pytest.mark.parametrize(("build", "reference"), CLASSES)
def test_training_is_the_same_as_optax(build, reference):
    held = weights()
    optimizer = build()
    optimizer.register_trainable_weights(held)
    params = {k: w.value for k, w in held.items()}
    params = list(params.values())
    state = reference.init(params)
    for step in range(10):
        grads = gradients(step)
        optimizer.step(grads)
        updates, state = reference.update(list(grads.values()), state, params)
        params = optax.apply_updates(params, updates)
    assert optimizer.step_count == 10
    ours = jax.tree.leaves([w.value for w in held.values()])
    for a, b in zip(ours, jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_signature_is_the_interface_s():
    assert str(inspect.signature(Adam)) == (
        "(lr=0.001, betas=(0.9, 0.999), beta1=None, beta2=None, eps=1e-08, weight_decay=0.0, amsgrad=False, "
        "grad_clip_norm=None, grad_clip_value=None, *, skip_nonfinite=False, state_dtype=None)"
    )
    assert Adam.__name__ == "Adam"


def test_brainstate_states_inside_and_outside_jit():
    model = brainstate.nn.Linear(3, 2)
    states = model.states(brainstate.ParamState)
    start = {k: s.value for k, s in states.items()}
    batch = jnp.ones((4, 3))

    def step(optimizer):
        grads = brainstate.transform.grad(lambda: (model(batch) ** 2).sum(), states)()
        optimizer.step(grads)

    results = []
    for jitted in (False, True):
        for key, value in start.items():
            states[key].value = value
        optimizer = AdamW(lr=0.1)
        optimizer.register_trainable_weights(states)
        run = brainstate.transform.jit(lambda o=optimizer: step(o)) if jitted else (lambda o=optimizer: step(o))
        for _ in range(3):
            run()
        optimizer.lr = 0.01
        for _ in range(3):
            run()
        assert optimizer.step_count == 6
        results.append({k: jax.tree.map(np.asarray, s.value) for k, s in states.items()})
    for key in start:
        for a, b in zip(jax.tree.leaves(results[0][key]), jax.tree.leaves(results[1][key]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
            assert not np.allclose(a, jax.tree.leaves(start[key])[0]) or a.shape != jax.tree.leaves(start[key])[0].shape


def test_learning_rate_is_settable_and_compiles_nothing_new():
    from optgen.frontends.weights.rules import compiled_step

    held = {"w": Box(jnp.ones(3))}
    optimizer = SGD(lr=0.5)
    optimizer.register_trainable_weights(held)
    optimizer.step({"w": jnp.ones(3)})
    run = compiled_step(optimizer.param_groups[0].rule.variant, ())
    compiled = run._cache_size()
    for rate in (0.25, 0.125):
        optimizer.lr = rate
        assert optimizer.lr == rate
        optimizer.step({"w": jnp.ones(3)})
    np.testing.assert_array_equal(held["w"].value, np.full(3, 0.125))
    assert run._cache_size() == compiled


def test_a_schedule_as_learning_rate():
    held = {"w": Box(jnp.zeros(1))}
    optimizer = SGD(lr=lambda count: 1.0 / (count + 1))
    optimizer.register_trainable_weights(held)
    for _ in range(3):
        optimizer.step({"w": jnp.ones(1)})
    np.testing.assert_allclose(held["w"].value, [-(1 + 1 / 2 + 1 / 3)], rtol=1e-6)
    assert optimizer.lr == 1.0 / 4


def test_float32_and_bfloat16_weights_keep_their_dtype():
    held = {"a": Box(jnp.ones(3, jnp.float32)), "b": Box(jnp.ones(3, jnp.bfloat16))}
    optimizer = Adam(lr=0.1)
    optimizer.register_trainable_weights(held)
    optimizer.step({"a": jnp.ones(3, jnp.float32), "b": jnp.ones(3, jnp.bfloat16)})
    assert (held["a"].value.dtype, held["b"].value.dtype) == (jnp.float32, jnp.bfloat16)


class TestBadInput:
    """Mistakes are named, and nothing has changed."""

    def test_step_before_registering(self):
        with pytest.raises(NotRegistered) as caught:
            Adam().step({})
        assert str(caught.value) == "Adam: call register_trainable_weights(weights) first"

    def test_no_weights(self):
        with pytest.raises(TreeMismatch):
            Adam().register_trainable_weights({})

    @pytest.mark.parametrize(
        ("grads", "message"),
        [
            ({}, "SGD: no gradient for ['w']"),
            ({"w": jnp.ones(3), "x": jnp.ones(1)}, "SGD: no weight for ['x']"),
            ({"w": jnp.ones(1)}, "SGD: the gradient of 'w' has shape (1,), its weight (3,)"),
        ],
    )
    def test_gradients_that_do_not_match(self, grads, message):
        held = {"w": Box(jnp.ones(3))}
        optimizer = SGD(lr=0.5)
        optimizer.register_trainable_weights(held)
        with pytest.raises(TreeMismatch) as caught:
            optimizer.step(grads)
        assert str(caught.value) == message
        np.testing.assert_array_equal(held["w"].value, np.ones(3))
        assert optimizer.step_count == 0

    def test_hyperparameters(self):
        with pytest.raises(InvalidHyperparameter) as caught:
            Adam(betas=(0.9, 1.5))
        assert str(caught.value) == "Adam: betas (beta2) = 1.5 is outside its domain: 0 <= beta2 < 1"
        with pytest.raises(InvalidHyperparameter) as caught:
            Adam(betas=0.9)
        assert str(caught.value) == "Adam: betas is a tuple (beta1, beta2), not 0.9"

    def test_unknown_class(self):
        with pytest.raises(AttributeError, match="Adagrad, Adam, "):
            _ = optgen.optim.Zzz
