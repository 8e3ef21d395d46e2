"""Front-ends in the hands of real programs: copies, pickles, donated buffers, long runs, models of mixed tensors."""

from __future__ import annotations

import copy
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen
import optgen.optax
import optgen.optim
from optgen.errors import InvalidHyperparameter, StateMismatch, TreeMismatch
from optgen.optim import Adam

TWO_FOLDS = """
x = norm(g, over=model)
if rank >= 2:
    q = g/x
else:
    q = 2*g
y[t] = y[t-1] + norm(q, over=model)
theta[t] = theta[t-1] - lr*g/y[t]
"""


def test_folds_over_the_model_reached_after_different_calls():
    """One case needs the first fold for its part of the second, the other does not."""
    made = optgen.define("two_folds", TWO_FOLDS, lr=0.1).optax()
    generator = np.random.default_rng(0)
    shapes = [(), (7,), (5, 3)]
    theta = [generator.normal(size=shape) for shape in shapes]
    params = [jnp.asarray(p) for p in theta]
    state = made.init(params)
    y = 0.0
    for _ in range(3):
        g = [generator.normal(size=shape) for shape in shapes]
        x = np.sqrt(sum(np.sum(p**2) for p in g))
        q = [p / x if p.ndim >= 2 else 2 * p for p in g]
        y += np.sqrt(sum(np.sum(p**2) for p in q))
        theta = [p - 0.1 * d / y for p, d in zip(theta, g, strict=True)]
        updates, state = made.update([jnp.asarray(p) for p in g], state, params)
        params = optax.apply_updates(params, updates)
    for ours, expected in zip(params, theta, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_states_are_pickled_and_copied():
    optimizer = optgen.optax.adam(0.1)
    _, state = optimizer.update(jnp.ones(3), optimizer.init(jnp.ones(3)), jnp.ones(3))
    for made in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        assert type(made) is type(state)
        np.testing.assert_array_equal(made[0].mu, state[0].mu)
        expected, _ = optimizer.update(jnp.ones(3), state, jnp.ones(3))
        actual, _ = optimizer.update(jnp.ones(3), made, jnp.ones(3))
        np.testing.assert_array_equal(actual, expected)


def test_an_optimizer_is_copied_with_its_state():
    class Box:
        value = jnp.ones(2)

    box = Box()
    optimizer = Adam(lr=0.1)
    optimizer.register_trainable_weights({"w": box})
    optimizer.step({"w": jnp.ones(2)})
    copied = copy.deepcopy(optimizer)
    copied.step({"w": jnp.ones(2)})
    assert (optimizer.step_count, copied.step_count) == (1, 2)


def test_donated_parameters_and_state():
    """A state that starts at the parameter is a buffer of its own."""
    made = optgen.define(
        "anchored", "a[0] = theta[0]\na[t] = a[t-1]\ntheta[t] = theta[t-1] - lr*(g + theta[t-1] - a[t-1])", lr=0.1
    ).optax()

    def step(params, state, grads):
        updates, state = made.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    run = jax.jit(step, donate_argnums=(0, 1))
    params = jnp.arange(3.0)
    state = made.init(params)
    for _ in range(2):
        params, state = run(params, state, jnp.ones(3))
    np.testing.assert_allclose(params, np.arange(3.0) - 0.19, rtol=1e-12)


def test_the_count_stays_at_its_largest():
    params = jnp.ones(3)
    optimizer, reference = optgen.optax.adam(0.1), optax.adam(0.1)
    ours, theirs = optimizer.init(params), reference.init(params)
    last = jnp.asarray(2**31 - 1, jnp.int32)
    ours = (ours[0]._replace(count=last), *ours[1:])
    theirs = (theirs[0]._replace(count=last), *theirs[1:])
    updates, ours = optimizer.update(jnp.ones(3), ours, params)
    expected, _ = reference.update(jnp.ones(3), theirs, params)
    np.testing.assert_allclose(updates, expected, rtol=1e-9)
    assert int(ours[0].count) == 2**31 - 1


def test_states_and_hyperparameters_of_any_name():
    made = optgen.define(
        "named", "count[t] = count[t-1] + 1\ntheta[t] = theta[t-1] - lr*learning_rate*weights*g/count[t]",
        lr=0.1, learning_rate=1.0, weights=1.0,
    )  # fmt: skip
    optimizer = made.optax()
    state = optimizer.init(jnp.ones(1))
    assert state._fields == ("count", "count_state")
    for expected in (-0.1, -0.05):
        updates, state = optimizer.update(jnp.ones(1), state)
        np.testing.assert_allclose(updates, [expected], rtol=1e-12)
    assert made.optim(weights=2.0).argument("weights") == 2.0


def test_hyperparameters_that_are_arrays():
    class Box:
        value = jnp.ones(2)

    box = Box()
    optimizer = Adam(lr=0.1, betas=(jnp.asarray(0.9), 0.99), eps=jnp.asarray(1e-8))
    optimizer.register_trainable_weights({"w": box})
    optimizer.step({"w": jnp.ones(2)})
    np.testing.assert_allclose(box.value, [0.9, 0.9], rtol=1e-6)


def test_a_state_of_the_model_beside_tensors_of_two_precisions():
    made = optgen.define(
        "mixed", "n[t] = 0.5*n[t-1] + norm(g, over=model)\ntheta[t] = theta[t-1] - lr*g/n[t]", lr=0.1
    ).optax()
    params = {"a": jnp.ones(3, jnp.float32), "b": jnp.ones(2, jnp.float64)}

    def body(carry, _):
        params, state = carry
        updates, state = made.update(params, state, params)
        return (optax.apply_updates(params, updates), state), None

    (after, state), _ = jax.lax.scan(body, (params, made.init(params)), length=3)
    theta, n = np.ones(5), 0.0
    for _ in range(3):
        n = 0.5 * n + np.sqrt(np.sum(theta**2))
        theta = theta - 0.1 * theta / n
    assert (after["a"].dtype, after["b"].dtype) == (jnp.float32, jnp.float64)
    np.testing.assert_allclose(after["b"], theta[:2], rtol=1e-6)
    np.testing.assert_allclose(state.n, n, rtol=1e-6)


ROWS = "r[t] = r[t-1] + mean(g**2, over=columns)\ntheta[t] = theta[t-1] - lr*g/sqrt(r[t])"


@pytest.mark.parametrize(("made_for", "used_with"), [((1, 2), (2, 4)), ((2, 4), (1, 4)), ((2, 4), (2, 2, 4))])
def test_a_state_of_any_kind_fits_its_tensor_or_is_refused(made_for, used_with):
    made = optgen.define("rows_only", ROWS, lr=0.1).optax()
    with pytest.raises(TreeMismatch, match=r"state 'r' was made for a parameter of another shape"):
        made.update(jnp.ones(used_with), made.init(jnp.ones(made_for)))


def test_a_weight_that_changed_its_shape_is_refused():
    class Box:
        value = jnp.ones(2)

    box = Box()
    optimizer = Adam(lr=0.1)
    optimizer.register_trainable_weights({"w": box})
    box.value = jnp.ones((3, 2))
    with pytest.raises(TreeMismatch, match=r"state 'm' was made for a parameter of another shape"):
        optimizer.step({"w": jnp.ones((3, 2))})
    box.value = (jnp.ones(2), jnp.ones(2))
    with pytest.raises(TreeMismatch, match=r"Adam: the weights are now w\[0\], w\[1\], and the state was made for w"):
        optimizer.step({"w": (jnp.ones(2), jnp.ones(2))})
    assert optimizer.step_count == 0


def test_nan_in_any_place_is_seen():
    from optgen.reference.bounds import Bounded
    from optgen.reference.compare import fraction_of_bound, relative_difference

    expected = Bounded(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    assert fraction_of_bound(expected, np.array([1.0, np.nan])) == np.inf
    assert fraction_of_bound(expected, np.array([np.inf, 2.0])) == np.inf
    assert relative_difference(np.array([1.0, 2.0]), np.array([1.0, np.nan])) == np.inf


def test_states_made_of_numbers_of_the_step():
    """Outside jit such a value is a Python number, and still an array of the state's dtype afterwards."""
    rule = "k[t] = 2*lr*k[t-1] + lr\nr[t] = lr*rows\ntheta[t] = theta[t-1] - (k[t] + r[t-1])*g"
    optimizer = optgen.define("numbers", rule, lr=1.0).optax()
    params = jnp.ones(2, jnp.float32)
    for update in (optimizer.update, jax.jit(optimizer.update)):
        state = optimizer.init(params)
        for expected in (-1.0, -4.0):
            updates, state = update(params, state, params)
            np.testing.assert_array_equal(updates, [expected, expected])
        assert (state.k.dtype, state.r.dtype) == (jnp.float32, jnp.float32)


def test_lamb_does_not_hide_a_nan():
    optimizer = optgen.optax.lamb(0.1)
    params = jnp.ones(3)
    updates, _ = optimizer.update(jnp.array([1.0, jnp.nan, 1.0]), optimizer.init(params), params)
    assert jnp.isnan(updates).all()


def test_counts_of_numpy():
    assert optgen.optax.lbfgs(0.1, memory_size=np.int64(5), linesearch=None).init(jnp.ones(2))[
        0
    ].weights_memory.shape == (5,)


@pytest.mark.parametrize(
    "value", [jnp.asarray(-1.0), jnp.ones(2), jnp.asarray(1j), jnp.asarray(True), jnp.asarray(jnp.nan)]
)
def test_arrays_are_checked_like_numbers(value):
    with pytest.raises(InvalidHyperparameter, match="learning_rate"):
        optgen.optax.adam(value)
    with pytest.raises(InvalidHyperparameter, match="lr"):
        Adam(lr=value)
    if value.shape:
        with pytest.raises(InvalidHyperparameter, match="learning_rate"):
            jax.jit(lambda rate: optgen.optax.adam(rate).init(jnp.ones(2)))(value)


def test_a_group_without_a_rate_has_the_first_one():
    class Box:
        def __init__(self):
            self.value = jnp.ones(1)

    optimizer = optgen.optim.SGD(lr=0.1)
    optimizer.register_trainable_weights({"a": Box()})
    optimizer.add_param_group({"b": Box()}, lr=0.001)
    optimizer.add_param_group({"c": Box()})
    assert [float(group["lr"].value) for group in optimizer.param_groups] == [0.1, 0.001, 0.1]


@pytest.mark.parametrize(
    ("entry", "value"),
    [("current_lrs", [-5.0]), ("current_lrs", []), ("base_lrs", "x"), ("base_lrs", [0.1, 0.2]), ("last_epoch", "x"),
     ("last_epoch", None), ("last_epoch", 1.5)],
)  # fmt: skip
def test_a_broken_scheduler_is_not_loaded(entry, value):
    class Box:
        def __init__(self):
            self.value = jnp.ones(1)

    box = Box()
    optimizer = Adam(lr=0.1)
    optimizer.register_trainable_weights({"a": box})
    optimizer.step({"a": jnp.ones(1)})
    saved = copy.deepcopy(optimizer.state_dict())
    saved["schedulers"]["0"]["state"][entry] = value
    with pytest.raises(StateMismatch, match=entry if entry != "base_lrs" else "base"):
        optimizer.load_state_dict(saved)
    saved = optimizer.state_dict() | {"step_count": -3}
    with pytest.raises(StateMismatch, match="step_count"):
        optimizer.load_state_dict(saved)


def test_a_mask_of_false_is_a_mask():
    params = {"w": jnp.ones(3)}
    ours, theirs = optgen.optax.adamw(0.1, mask=False), optax.adamw(0.1, mask=False)
    assert jax.tree.structure(ours.init(params)) == jax.tree.structure(theirs.init(params))
    updates, _ = ours.update(params, theirs.init(params), params)
    expected, _ = theirs.update(params, theirs.init(params), params)
    np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-12)


def test_lookahead_leaves_out_a_step_that_is_not_finite():
    params = optax.LookaheadParams.init_synced({"w": jnp.ones(3)})
    optimizer = optgen.optax.lookahead(optax.sgd(0.1), 2, 0.5, skip_nonfinite=True)
    state = optimizer.init(params)
    updates, state = jax.jit(optimizer.update)({"w": jnp.ones(3)}, state, params)
    np.testing.assert_allclose(updates.fast["w"], -0.1 * jnp.ones(3))
    updates, after = optimizer.update({"w": jnp.full(3, jnp.nan)}, state, params)
    assert not updates.fast["w"].any()
    assert int(after.total_notfinite) == 1
    assert int(after.inner_state.steps_since_sync) == int(state.inner_state.steps_since_sync)


@pytest.mark.parametrize("name", ["lamb", "lars", "fromage", "adafactor"])
def test_gradients_at_parameters_that_are_zero(name):
    """A norm has no derivative there; its subgradient 0 is taken, as in optax."""

    def after(module, start):
        optimizer = getattr(module, name)(0.1)
        state, gradients = optimizer.init(start), jnp.array([1.0, 2.0])
        for _ in range(2):
            updates, state = optimizer.update(gradients, state, start)
            start = optax.apply_updates(start, updates)
        return jnp.sum(start * jnp.array([1.0, 3.0]))

    ours, theirs = (jax.grad(functools.partial(after, module))(jnp.zeros(2)) for module in (optgen.optax, optax))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
