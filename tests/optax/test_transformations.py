"""Generated factories inside what optax, jax, flax and equinox build around a gradient transformation."""

from __future__ import annotations

import functools
from typing import NamedTuple

import equinox
import flax.nnx
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest

import optgen.optax
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, TreeMismatch
from tests.optax.factories import decaying, difference, is_kernel, tree


def run(optimizer, params, steps=6, start=1):
    """The parameters and the state after some steps."""
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for step in range(start, start + steps):
        gradients = jax.tree.map(lambda leaf, new: new, params, tree(step))
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def injected(module):
    return optax.inject_hyperparams(module.adamw)(learning_rate=decaying, weight_decay=0.1)


BUILT = {
    "chain": lambda module: optax.chain(optax.clip_by_global_norm(0.5), module.adam(0.1), optax.add_noise(0.1, 0.5, 3)),
    "masked": lambda module: optax.masked(module.lamb(0.1, weight_decay=0.1), is_kernel),
    "partition": lambda module: optax.partition(
        {"one": module.adam(0.1), "other": module.sgd(0.1, momentum=0.9)},
        {"a": "one", "b": "other", "c": {"d": "one", "e": "other"}},
    ),
    "MultiSteps": lambda module: optax.MultiSteps(module.adamw(0.1), 2).gradient_transformation(),
    "apply_if_finite": lambda module: optax.apply_if_finite(module.nadam(0.1), 3),
    "inject_hyperparams": injected,
    "lookahead inside": lambda module: optax.chain(module.rmsprop(0.1, momentum=0.9), optax.ema(0.9)),
    "conditionally_mask": lambda module: optax.conditionally_mask(module.lion(0.1), lambda step: step < 3),
}


@pytest.mark.parametrize("name", list(BUILT))
def test_inside_optax(name):
    ours, theirs = run(BUILT[name](optgen.optax), tree(0)), run(BUILT[name](optax), tree(0))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert difference(ours, theirs) <= 1e-12


def test_leaves_that_are_none():
    params = {"w": jnp.ones(3), "none": None, "deep": {"v": jnp.ones((2, 2)), "none": None}}
    ours, theirs = optgen.optax.adamw(0.1), optax.adamw(0.1)
    state, other = ours.init(params), theirs.init(params)
    assert jax.tree.structure(state) == jax.tree.structure(other)
    updates, _ = ours.update(params, state, params)
    expected, _ = theirs.update(params, other, params)
    assert jax.tree.structure(updates) == jax.tree.structure(expected)
    assert difference(updates, expected) <= 1e-12


@pytest.mark.parametrize("name", ["adamw", "lamb", "adafactor", "prodigy"])
def test_vmap_over_hyperparameters(name):
    rates = jnp.array([0.1, 0.2, 0.4])
    extra = {"dtype_momentum": "float64", "decay_rate": np.float64(0.8)} if name == "adafactor" else {}

    def final(rate, module):
        return run(getattr(module, name)(rate, **extra), tree(0), 3)[0]

    theirs = optax.contrib if name == "prodigy" else optax
    ours = jax.vmap(functools.partial(final, module=optgen.optax))(rates)
    assert difference(ours, jax.vmap(functools.partial(final, module=theirs))(rates)) <= 1e-12


def test_shards_stay_where_they_are():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    params = jax.device_put({"w": jnp.ones((4, 2))}, sharding)
    for optimizer in (optgen.optax.adamw(0.1), optgen.optax.lion(0.1)):
        state = optimizer.init(params)
        updates, after = jax.jit(optimizer.update)(params, state, params)
        assert updates["w"].sharding.is_equivalent_to(sharding, 2)
        shards = [leaf.sharding for leaf in jax.tree.leaves(after) if leaf.shape == (4, 2)]
        assert shards
        assert all(shard.is_equivalent_to(sharding, 2) for shard in shards)


def test_a_step_that_is_not_finite_is_left_out():
    params = tree(0)
    optimizer = optgen.optax.adam(0.1, skip_nonfinite=True)
    state = optimizer.init(params)
    _, state = optimizer.update(tree(1), state, params)
    bad = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].set(jnp.nan), tree(2))
    updates, after = optimizer.update(bad, state, params)
    assert all(not leaf.any() for leaf in jax.tree.leaves(updates))
    assert difference(after.inner_state, state.inner_state) == 0
    assert (int(after.total_notfinite), bool(after.last_finite)) == (1, False)
    # Without it, the equation is computed.
    plain = optgen.optax.adam(0.1)
    updates, _ = plain.update(bad, plain.init(params), params)
    assert all(jnp.isnan(leaf).any() for leaf in jax.tree.leaves(updates))


def test_flax_train_state():
    def make(tx):
        return flax.training.train_state.TrainState.create(apply_fn=lambda x: x, params=tree(0), tx=tx)

    ours, theirs = make(optgen.optax.adamw(0.1)), make(optax.adamw(0.1))
    for step in (1, 2, 3):
        ours, theirs = ours.apply_gradients(grads=tree(step)), theirs.apply_gradients(grads=tree(step))
    assert difference(ours.params, theirs.params) <= 1e-12
    assert difference(ours.opt_state, theirs.opt_state) <= 1e-12


def test_flax_nnx():
    def trained(module):
        model = flax.nnx.Linear(3, 2, rngs=flax.nnx.Rngs(0), param_dtype=jnp.float64)
        optimizer = flax.nnx.Optimizer(model, module.adam(0.1), wrt=flax.nnx.Param)

        @flax.nnx.jit
        def step(model, optimizer, x):
            gradients = flax.nnx.grad(lambda m: jnp.mean((m(x) - 1.0) ** 2))(model)
            optimizer.update(model, gradients)

        for count in range(3):
            step(model, optimizer, jnp.full((4, 3), 1.0 + count))
        return model.kernel.value

    np.testing.assert_allclose(trained(optgen.optax), trained(optax), rtol=1e-12)


def test_equinox():
    def trained(module):
        model = equinox.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
        optimizer = module.adamw(0.1)
        state = optimizer.init(equinox.filter(model, equinox.is_inexact_array))

        @equinox.filter_jit
        def step(model, state, x):
            gradients = equinox.filter_grad(lambda m: jnp.mean((jax.vmap(m)(x) - 1.0) ** 2))(model)
            updates, state = optimizer.update(gradients, state, equinox.filter(model, equinox.is_inexact_array))
            return equinox.apply_updates(model, updates), state

        for count in range(3):
            model, state = step(model, state, jnp.full((4, 3), 1.0 + count))
        return equinox.filter(model, equinox.is_inexact_array)

    assert difference(trained(optgen.optax), trained(optax)) <= 1e-12


@pytest.mark.parametrize(("saving", "loading"), [(optgen.optax, optax), (optax, optgen.optax)])
def test_orbax_checkpoints_of_one_are_the_others(tmp_path, saving, loading):
    saver, loader = saving.adamw(decaying), loading.adamw(decaying)
    params, state = run(saver, tree(0))
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", {"params": params, "state": state})
        checkpointer.wait_until_finished()
        target = {"params": tree(0), "state": loader.init(tree(0))}
        restored = checkpointer.restore(tmp_path / "run", jax.tree.map(jnp.zeros_like, target))
    assert jax.tree.structure(restored) == jax.tree.structure({"params": params, "state": state})
    updates, _ = loader.update(tree(9), restored["state"], restored["params"])
    expected, _ = saver.update(tree(9), state, params)
    assert difference(updates, expected) <= 1e-12


class TestBadInput:
    """A mistake in an argument of optax's own is told before anything is computed."""

    @pytest.mark.parametrize(
        ("factory", "arguments", "error", "message"),
        [
            ("adamw", {"mask": 0.5}, HyperparameterTypeError, "mask is a tree of True and False"),
            (
                "adamw",
                {"mu_dtype": "int32"},
                HyperparameterTypeError,
                "mu_dtype is a floating-point dtype, not 'int32'",
            ),
            ("adamw", {"mu_dtype": "f99"}, HyperparameterTypeError, "mu_dtype is a floating-point dtype, not 'f99'"),
            ("adam", {"skip_nonfinite": 1}, HyperparameterTypeError, "skip_nonfinite is True or False, not 1"),
            ("noisy_sgd", {"key": "a"}, HyperparameterTypeError, "key is an integer or a key of jax.random"),
            ("noisy_sgd", {"key": 1, "seed": 2}, InvalidHyperparameter, "only one of key and seed can be given"),
        ],
    )
    def test_arguments(self, factory, arguments, error, message):
        with pytest.raises(error, match=message):
            getattr(optgen.optax, factory)(0.1, **arguments)

    def test_wrapped_transformations(self):
        with pytest.raises(HyperparameterTypeError, match="fast_optimizer is a gradient transformation, not 3"):
            optgen.optax.lookahead(3, 5, 0.5)
        optimizer = optgen.optax.lookahead(optax.sgd(0.1), 5, 0.5)
        with pytest.raises(TreeMismatch, match="expected LookaheadParams with fast, slow"):
            optimizer.update(tree(1), optimizer.init(optax.LookaheadParams.init_synced(tree(0))), tree(0))

    def test_states_of_other_arguments(self):
        params = tree(0)
        state = optgen.optax.sgd(0.1, momentum=0.9).init(params)
        with pytest.raises(TreeMismatch, match=r"^sgd: state\[0\] is TraceState"):
            optgen.optax.sgd(0.1).update(params, state, params)
        with pytest.raises(
            TreeMismatch, match=r"^amsgrad: state\[0\] is ScaleByAdamState, expected ScaleByAmsgradState"
        ):
            optgen.optax.amsgrad(0.1).update(params, optgen.optax.adam(0.1).init(params), params)

    def test_a_mask_of_another_tree(self):
        optimizer = optgen.optax.adamw(0.1, mask={"a": True})
        with pytest.raises(TreeMismatch, match="mask"):
            optimizer.update(tree(1), optimizer.init(tree(0)), tree(0))

    def test_a_mask_where_a_norm_of_the_whole_model_is_taken(self):
        """Masks part the tensors, each part's norm would be clipped by itself."""
        factory = optgen.load("adamw").optax
        with pytest.raises(InvalidHyperparameter, match="a rule with a number of the whole model"):
            factory(0.1, mask={"w": True, "b": False}, grad_clip_norm=1.0)


class Racing(NamedTuple):
    """Parameters of a model, of which one happens to be called as lookahead's are."""

    fast: jax.Array
    wild: jax.Array


def test_a_parameter_called_as_a_state_beside_the_parameters():
    params = Racing(jnp.ones(2), jnp.ones(3))
    state = optgen.optax.lookahead(optgen.optax.sgd(0.1, momentum=0.9), 2, 0.5).init(params)
    assert [leaf.shape for leaf in jax.tree.leaves(state.fast_state[0].trace)] == [(2,), (3,)]
