"""Training that stops and goes on in another process: run as a script, by test_resume.py.

resume.py run FILE     10 steps of every factory, its state after 5 saved to FILE and the end printed
resume.py resume FILE  the last 5 steps of each from what FILE holds, the end printed
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optgen.optax
from optgen.catalogue.entry import catalogue_entry
from optgen.catalogue.manifests import catalogue_names

STEPS = 10


def schedule(count):
    return 0.05 * 0.9**count


def optimizer(dialect):
    """Two groups with a rate of their own, of which one has a schedule where the factory takes one."""
    factory = getattr(optgen.optax, dialect.name)
    required = {argument.name for argument in dialect.arguments if argument.required}
    fixed = {name: optax.adam(0.1) for name in ("fast_optimizer", "base_optimizer") if name in required}
    fixed |= {"sync_period": 3, "slow_step_size": 0.5} if dialect.name == "lookahead" else {}
    fixed |= {"linesearch": None} if dialect.name == "lbfgs" else {}
    fixed |= {"hessian_diagonal_fn": curvature(), "verbose": False} if dialect.name == "sophia" else {}
    rate = "learning_rate" if "learning_rate" in {argument.name for argument in dialect.arguments} else None
    scheduled = {rate: schedule} if rate in dialect.layout.scheduled() else {rate: 0.05} if rate else {}
    plain = {rate: 0.02} if rate else {}
    if dialect.layout.parameters is not None:
        return factory(**fixed, **plain)
    return optax.partition(
        {"one": factory(**fixed, **scheduled), "other": factory(**fixed, **plain)}, {"w": "one", "b": "other"}
    )


def curvature():
    return optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda updates, state, params=None: (jax.tree.map(jnp.abs, updates), state)
    )


def start(dialect):
    random = np.random.default_rng(0)
    params = {name: jnp.asarray(random.normal(size=(3, 2)), jnp.float32) for name in ("w", "b")}
    return optax.LookaheadParams.init_synced(params) if dialect.layout.parameters is not None else params


def run(dialect, params, state, first):
    made = optimizer(dialect)
    halfway = None

    @jax.jit
    def step(params, state, gradients):
        extra = {"value": jnp.float32(1.5)} if dialect.name == "polyak_sgd" else {}
        updates, state = made.update(gradients, state, params, **extra)
        return optax.apply_updates(params, updates), state

    for count in range(first, STEPS):
        random = np.random.default_rng(count + 1)
        gradients = {name: jnp.asarray(random.normal(size=(3, 2)), jnp.float32) for name in ("w", "b")}
        if count == STEPS // 2:
            halfway = jax.tree.map(stored, (params, state))
        params, state = step(params, state, gradients)
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.tree.map(stored, (params, state))):
        digest.update(np.asarray(leaf).tobytes())
    sys.stdout.write(f"{dialect.name} {digest.hexdigest()}\n")
    return halfway


def stored(leaf):
    """As numpy has it; a key as its data."""
    if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf)


def restored(leaf, like):
    if jnp.issubdtype(jnp.asarray(like).dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(leaf)
    return jnp.asarray(leaf)


def main():
    mode, file = sys.argv[1], Path(sys.argv[2])
    saved = pickle.loads(file.read_bytes()) if mode == "resume" else {}
    for name in catalogue_names():
        for dialect in catalogue_entry(name).manifest.dialects:
            if dialect.library != "optax":
                continue
            params = start(dialect)
            state = optimizer(dialect).init(params)
            if mode == "resume":
                params, state = jax.tree.map(restored, saved[dialect.name], (params, state))
                run(dialect, params, state, STEPS // 2)
            else:
                saved[dialect.name] = run(dialect, params, state, 0)
    if mode == "run":
        file.write_bytes(pickle.dumps(saved))


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    main()
