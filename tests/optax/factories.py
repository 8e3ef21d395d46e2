"""What the tests of `optgen.optax` compare: optax's factories, with arguments, and small trees to run them on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

import optgen.optax
from tests.catalogue import adam_cases, classic_cases, matrix_cases

SHAPES = {"a": (), "b": (3,), "c": {"d": (4, 3), "e": (2, 3, 2)}}


def is_kernel(params: Any) -> Any:
    """A mask: the tensors of two axes or more."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def decaying(count: Any) -> Any:
    """A schedule."""
    return 0.1 / (1.0 + count)


def hessian() -> optax.GradientTransformation:
    """Stands for an estimate of the Hessian's diagonal."""
    return optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda updates, state, params=None: (jax.tree.map(jnp.abs, updates), state)
    )


#: Arguments that are optax's alone: masks, dtypes, keys, schedules, other transformations.
OWN: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {"learning_rate": decaying},
        {"learning_rate": decaying, "momentum": 0.9, "accumulator_dtype": "bfloat16"},
        {"learning_rate": 0.1, "momentum": 0.0},
    ],
    "adam": [{"learning_rate": decaying}, {"learning_rate": 0.1, "mu_dtype": "bfloat16"}],
    "adamw": [
        {"learning_rate": decaying, "mask": is_kernel},
        {"learning_rate": 0.1, "weight_decay": decaying, "mu_dtype": jnp.bfloat16},
        {"learning_rate": 0.1, "mask": {"a": False, "b": True, "c": {"d": True, "e": False}}},
        {"learning_rate": 0.1, "mask": {"a": False, "b": True, "c": True}},
    ],
    "nadam": [{"learning_rate": decaying, "mu_dtype": "bfloat16"}],
    "nadamw": [{"learning_rate": decaying, "mask": is_kernel}],
    "amsgrad": [{"learning_rate": decaying, "mu_dtype": "bfloat16"}],
    "adadelta": [{"learning_rate": decaying, "weight_decay": 0.1, "weight_decay_mask": is_kernel}],
    "adafactor": [
        {"learning_rate": 0.1, "momentum": 0.9, "dtype_momentum": "bfloat16", "weight_decay_rate": 0.1},
        {
            "learning_rate": decaying,
            "weight_decay_rate": 0.1,
            "weight_decay_mask": is_kernel,
            **matrix_cases.FLOAT64["adafactor", "optax"],
        },
    ],
    "adamaxw": [{"learning_rate": decaying, "mask": is_kernel}],
    "adan": [{"learning_rate": decaying, "weight_decay": 0.1, "mask": is_kernel}],
    "ademamix": [{"learning_rate": decaying, "b3": lambda count: 0.99, "alpha": lambda count: 0.1 * count}],
    "lamb": [{"learning_rate": decaying, "weight_decay": 0.1, "mask": is_kernel}],
    "lars": [
        {"learning_rate": decaying, "weight_decay": 0.1, "weight_decay_mask": is_kernel, "trust_ratio_mask": is_kernel},
        {"learning_rate": 0.1, "weight_decay": 0.1, "trust_ratio_mask": is_kernel},
    ],
    "lbfgs": [
        {"learning_rate": 0.1, "linesearch": None},
        {"memory_size": 3, "linesearch": None},
        {"memory_size": 1, "linesearch": None},
        {},
    ],
    "lion": [{"learning_rate": decaying, "mask": is_kernel, "mu_dtype": "bfloat16"}],
    "lookahead": [
        {"fast_optimizer": optax.sgd(0.1), "sync_period": 3, "slow_step_size": 0.5},
        {"fast_optimizer": optax.adam(decaying), "sync_period": 2, "slow_step_size": 0.25, "reset_state": True},
    ],
    "noisy_sgd": [{"learning_rate": 0.1, "key": 7}, {"learning_rate": decaying}],
    "optimistic_adam": [{"learning_rate": 0.1}, {"learning_rate": 0.1, "optimism": 0.3, "mu_dtype": "bfloat16"}],
    "optimistic_adam_v2": [{"learning_rate": decaying}],
    "polyak_sgd": [{}, {"variant": "sps+"}, {"max_learning_rate": 0.1, "f_min": 0.1, "scaling": decaying}],
    "rmsprop": [{"learning_rate": decaying, "momentum": 0.9}, {"learning_rate": 0.1, "momentum": 0.0}],
    "schedule_free": [
        {"base_optimizer": optax.sgd(0.1), "learning_rate": 0.1},
        {"base_optimizer": optax.adam(decaying), "learning_rate": decaying, "state_dtype": "float32"},
    ],
    "signum": [{"learning_rate": decaying, "accumulator_dtype": "bfloat16"}],
    "rprop": [{"learning_rate": 0.1}],
    "sm3": [{"learning_rate": 0.1}, {"learning_rate": 0.1, "momentum": 0.5}],
    "sophia": [
        {"learning_rate": decaying, "hessian_diagonal_fn": hessian(), "verbose": False},
        {"learning_rate": 0.1, "hessian_diagonal_fn": hessian(), "update_interval": 2, "weight_decay_mask": is_kernel},
        {"learning_rate": 0.1, "hessian_diagonal_fn": hessian(), "mu_dtype": "bfloat16", "verbose": False},
    ],
}
for _case in OWN["sophia"]:
    _case["verbose"] = False

#: Factories whose numbers are not optax 0.2.8's, and why.
CORRECTED = {
    "adan": "optax 0.2.8 weighs the change of the gradient by 1 - b2, its documentation and the paper by b2",
    "rprop": "optax 0.2.8 applies each step one call late",
}


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Every factory that optax has, with the arguments that are tried."""
    found = []
    for (_, library, factory), written in (adam_cases.CASES | classic_cases.CASES | matrix_cases.CASES).items():
        if library == "optax" and factory not in ("lookahead", "schedule_free", "sophia", "lbfgs"):
            found += [(factory, _complete(factory, arguments)) for arguments in written]
    for factory, written in OWN.items():
        found += [(factory, arguments) for arguments in written]
    return found


def _complete(factory: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """With a learning rate where one is needed, and in float64 where optax has to be told so."""
    rate = {} if factory in ("polyak_sgd",) else {"learning_rate": 0.1}
    return matrix_cases.FLOAT64.get((factory, "optax"), {}) | rate | arguments


def theirs(name: str) -> Any:
    """optax's factory."""
    return getattr(optax, name) if hasattr(optax, name) else getattr(optax.contrib, name)


def ours(name: str) -> Any:
    """The generated one."""
    return getattr(optgen.optax, name)


def tree(step: int, dtype: Any = jnp.float64, name: str = "") -> Any:
    """A random tree that a factory takes."""
    random = np.random.default_rng(step)

    def normal(shape: tuple[int, ...]) -> Any:
        values = random.normal(size=shape)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            values = values + 1j * random.normal(size=shape)
        return jnp.asarray(values, dtype)

    # optax's sm3 fails with a parameter of one number.
    shapes = {key: shape for key, shape in SHAPES.items() if name != "sm3" or key != "a"}
    return jax.tree.map(normal, shapes, is_leaf=lambda leaf: isinstance(leaf, tuple))


def parameters(name: str, dtype: Any = jnp.float64) -> Any:
    """Where the test starts, in the form that the factory takes."""
    start = tree(0, dtype, name)
    return optax.LookaheadParams.init_synced(start) if name == "lookahead" else start


def loss(params: Any) -> Any:
    """For factories that evaluate it."""
    leaves = enumerate(jax.tree.leaves(params))
    return sum(jnp.sum(jnp.abs(leaf - 0.5) ** 2 * (1 + index) + 0.1 * jnp.abs(leaf) ** 4) for index, leaf in leaves)


def two_calls(optimizer: Any, gradients: Any, state: Any, params: Any, **extra: Any) -> Any:
    """A step as training scripts make it."""
    updates, state = optimizer.update(gradients, state, params, **extra)
    return optax.apply_updates(params, updates), state


def stepping(name: str, optimizer: Any, apply: Any = two_calls) -> Any:
    """The compiled function of one step: parameters, state, gradients → parameters, state."""

    @jax.jit
    def step(params: Any, state: Any, gradients: Any) -> Any:
        extra: dict[str, Any] = {}
        if name in ("polyak_sgd", "lbfgs"):
            value, gradients = jax.value_and_grad(loss)(params)
            extra = {"value": value, "grad": gradients, "value_fn": loss}
        return apply(optimizer, gradients, state, params, **extra)

    return step


def difference(a: Any, b: Any) -> float:
    """The largest relative difference of two trees of one structure, NaN if they have one that the other has not."""
    found = [0.0]
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        wide = np.complex128 if jnp.iscomplexobj(x) else np.float64
        x, y = np.asarray(x).astype(wide), np.asarray(y).astype(wide)
        if x.size:
            # Infinities of the same sign are the same.
            apart = np.where(x == y, 0.0, np.abs(x - y))
            found.append(float(np.max(apart) / max(1.0, np.max(np.abs(np.where(np.isinf(y), 0, y))))))
    return float(np.max(found))
