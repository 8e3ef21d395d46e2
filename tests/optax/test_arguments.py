"""Values that arguments of the front-end may have: masks of any class, arrays of the caller, numbers as arrays."""

from __future__ import annotations

from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen.optax
from optgen.errors import HyperparameterTypeError
from tests.optax.factories import difference, hessian


class Callable(equinox.Module):
    """A model that is called with an input."""

    w: Any
    b: Any

    def __call__(self, x: Any) -> Any:
        raise AssertionError("this is no function of parameters")


MASKS = {
    ("adamw", "mask"): {"weight_decay": 0.5},
    ("adadelta", "weight_decay_mask"): {"weight_decay": 0.5},
    ("adafactor", "weight_decay_mask"): {"weight_decay_rate": 0.5},
    ("adamaxw", "mask"): {"weight_decay": 0.5},
    ("adan", "mask"): {"weight_decay": 0.5},
    ("lamb", "mask"): {"weight_decay": 0.5},
    ("lars", "weight_decay_mask"): {"weight_decay": 0.5},
    ("lars", "trust_ratio_mask"): {"weight_decay": 0.5},
    ("lion", "mask"): {"weight_decay": 0.5},
    ("nadamw", "mask"): {"weight_decay": 0.5},
    ("sophia", "weight_decay_mask"): {"weight_decay": 0.5, "hessian_diagonal_fn": hessian(), "verbose": False},
}


@pytest.mark.parametrize(("name", "argument"), list(MASKS))
def test_masks_of_a_class_that_can_be_called(name: str, argument: str) -> None:
    """A tree of True and False is one, whatever its class; a function of the parameters is called."""
    model = Callable(jnp.linspace(1.0, 2.0, 6).reshape(3, 2), jnp.linspace(2.0, 5.0, 2))
    gradients = Callable(jnp.cos(model.w), jnp.cos(model.b))
    given = MASKS[name, argument]

    def update(module: Any, mask: Any) -> Any:
        tx = getattr(module, name, None) or getattr(optax.contrib, name)
        tx = tx(0.1, **given, **{argument: mask})
        return tx.update(gradients, tx.init(model), model)[0]

    found = update(optgen.optax, Callable(True, False))
    assert difference(found, update(optgen.optax, lambda params: Callable(True, False))) == 0
    assert difference(found, update(optgen.optax, Callable(False, True))) > 1e-8
    if name != "adan":  # optax's formula is another one
        assert difference(found, update(optax, Callable(True, False))) <= 1e-6


def test_trees_of_functions_are_no_masks() -> None:
    params = {"w": jnp.ones(3)}
    tx = optgen.optax.adamw(0.1, mask={"w": jnp.isfinite})
    with pytest.raises(HyperparameterTypeError, match=r"mask\['w'\] is .*, expected True or False"):
        tx.update(params, tx.init(params), params)


def test_states_share_no_memory_with_arguments() -> None:
    """A state may be donated, and another be made after that; the arguments stay the caller's."""
    key, b1, params = jax.random.key(3), jnp.array(0.9), jnp.ones(3)
    for tx in (
        optgen.optax.noisy_sgd(0.1, key=key),
        optgen.optax.noisy_sgd(0.1),
        optgen.optax.schedule_free(optax.sgd(0.1), jnp.array(0.1), b1=b1),
    ):
        step = jax.jit(tx.update, donate_argnums=1)
        first, _ = step(params, tx.init(params), params)
        again, _ = step(params, tx.init(params), params)
        assert difference(first, again) == 0
    assert not key.is_deleted()
    assert not b1.is_deleted()


def test_arrays_for_options() -> None:
    """`inject_hyperparams` makes arrays of all numbers, and where it is called eagerly they are known."""
    params = jnp.ones((4, 3))
    for size, shape in ((2, (3,)), (128, (1,))):
        ours, theirs = (
            optax.inject_hyperparams(module.adafactor)(0.1, min_dim_size_to_factor=size)
            for module in (optgen.optax, optax)
        )
        state = ours.init(params)
        assert optax.tree.get(state, "v_row").shape == shape
        found, wanted = ours.update(params, state, params)[0], theirs.update(params, theirs.init(params), params)[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    with pytest.raises(HyperparameterTypeError, match="min_dim_size_to_factor is an integer"):
        optgen.optax.adafactor(0.1, min_dim_size_to_factor=jnp.array(2.5))
    with pytest.raises(HyperparameterTypeError, match="min_dim_size_to_factor is an integer"):
        jax.jit(lambda size: optgen.optax.adafactor(0.1, min_dim_size_to_factor=size).init(params))(2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_schedule_free_stays_where_it_is(dtype: str) -> None:
    """Without gradient and rate nothing moves, by not so much as a rounding."""
    params = jax.random.normal(jax.random.key(0), (5000,)).astype(dtype)
    tx = optgen.optax.schedule_free(optax.sgd(0.0), 0.0)
    updates, _ = tx.update(0 * params, tx.init(params), params)
    assert not updates.any()
    after, _ = optgen.optax.apply_gradients(tx, 0 * params, tx.init(params), params)
    assert jnp.array_equal(after, params)
