"""Pickles, by pickle or as clusters make them by cloudpickle, go on with the same bits in another process."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brainstate
import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState

import optgen
import optgen.brainpy
import optgen.lucid
import optgen.optax
import optgen.optim
import optgen.torch
from optgen._paths import specs_folder
from tests.frontends import trainings
from tests.frontends.trainings import BrainPy, Lucid, Optax, Optim, Torch, Training

REPOSITORY = Path(__file__).parents[2]
RULE = """
m[t] = beta*m[t-1] + (1 - beta)*g
if signed:
    d = sign(m[t])
else:
    d = m[t]
theta[t] = theta[t-1] - lr*d
"""
AROUND = """
fast = base(g)
theta[t] = theta[t-1] + share*(fast - theta[t-1])
"""
LIBRARIES = {"pickle": pickle, "cloudpickle": cloudpickle}

mine = optgen.define("mine", RULE, lr=0.01, beta=0.9, signed=True)


class Derived(mine.torch):  # type: ignore[misc]
    """A class of one's own, found by its name."""


def names(module: Any, *apart: str) -> list[str]:
    """The optimizers of a front-end that start from a learning rate alone."""
    made = {name: getattr(module, name) for name in dir(module) if name[0].isupper() and name not in apart}
    return [name for name, one in made.items() if issubclass(one, module.Optimizer) and one is not module.Optimizer]


def go_on_elsewhere(made: dict[str, Training], library: Any, file: Path) -> None:
    """Pickle trainings after two steps, and compare two more with those of another process."""
    for training in made.values():
        training.go_on(2)
    file.write_bytes(library.dumps(made))
    command = [sys.executable, "-m", "tests.frontends.trainings", str(file)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for training in made.values():
        training.go_on(2)
    found = json.loads(done.stdout)
    assert found == {name: training.digest() for name, training in made.items()}


def test_optimizers_of_the_catalogue(tmp_path: Path) -> None:
    """Rules that keep numbers, rows and columns, histories; schedulers are pickled with their optimizers."""
    made: dict[str, Training] = {
        f"optim.{name}": Optim(getattr(optgen.optim, name), optgen.optim.StepLR(0.01, 2))
        for name in ("Adafactor", "Adam", "LBFGS", "SM3")
    }
    for name in ("Adam", "LARS", "SGD"):
        made[f"brainpy.{name}"] = BrainPy(getattr(optgen.brainpy, name), optgen.brainpy.StepLR(0.01, 2), {})
    needing = ("NoisySGD", "PolyakSGD", "Sophia")
    made |= {f"lucid.{name}": Lucid(getattr(optgen.lucid, name)) for name in names(optgen.lucid, *needing)}
    go_on_elsewhere(made, pickle, tmp_path / "trainings")


@pytest.mark.parametrize("module", [optgen.optim, optgen.brainpy], ids=["optim", "brainpy"])
def test_every_class_before_its_first_step(module: Any) -> None:
    """Its settings are those that it had."""
    for name in names(module, "Lookahead", "OptaxOptimizer"):
        optimizer = getattr(module, name)(0.01)
        again = pickle.loads(pickle.dumps(optimizer))
        assert type(again) is type(optimizer)
        # A scheduler of brainpy says where it is.
        assert repr(again).split(" at 0x")[0] == repr(optimizer).split(" at 0x")[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_optimizers_around_others(library: str, tmp_path: Path) -> None:
    """Of optgen, and of optax, whose own transformations are functions inside functions: by cloudpickle alone."""
    made: dict[str, Training] = {
        "a transformation": Optim(optgen.optim.OptaxOptimizer, optgen.optax.adam(0.01)),
        "8 bits": Optim(optgen.optim.AdamW, 0.01, state_dtype="8bit_stochastic", skip_nonfinite=True),
        "a variable": BrainPy(optgen.brainpy.Adam, 0.01, {}, weight_decay=0.1),
    }
    if library == "cloudpickle":
        made["around one of optgen"] = Optim(optgen.optim.Lookahead, optgen.optim.Adam(0.01), sync_period=3)
        made["around one of optax"] = Optim(optgen.optim.Lookahead, optax.adam(0.01), sync_period=3)
    go_on_elsewhere(made, LIBRARIES[library], tmp_path / "trainings")


def test_transformations(tmp_path: Path) -> None:
    """With arguments of every sort; in chains and under schedules."""
    made: dict[str, Training] = {
        name: Optax(getattr(optgen.optax, name)(0.01)) for name in ("adafactor", "lamb", "noisy_sgd", "novograd")
    }
    made["schedule_free"] = Optax(optgen.optax.schedule_free(optax.sgd(0.01), 0.01))
    made["polyak_sgd"] = Optax(optgen.optax.polyak_sgd(0.01), value=jnp.float32(1.5))
    curvature = optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda updates, state, params=None: (jax.tree.map(jnp.abs, updates), state)
    )
    made["sophia"] = Optax(optgen.optax.sophia(0.01, hessian_diagonal_fn=curvature, verbose=False))
    made["chain"] = Optax(optax.chain(optax.clip(0.5), optgen.optax.adamw(lambda count: 0.1 / (count + 1))))
    made["masked"] = Optax(optgen.optax.adamw(optgen.optax.cosine_decay_schedule(0.1, 5), mask={"w": True, "b": False}))
    made["8 bits"] = Optax(optgen.optax.adamw(0.01, skip_nonfinite=True, state_dtype="8bit_stochastic"))
    made["injected"] = Optax(optax.inject_hyperparams(optgen.optax.adam)(0.01))
    go_on_elsewhere(made, cloudpickle, tmp_path / "trainings")


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_users_define(library: str, tmp_path: Path) -> None:
    """In every front-end; also from a spec file that is gone, around another one, and with other options."""
    file = tmp_path / "own.toml"
    file.write_text((specs_folder() / "adam.toml").read_text())
    defined = {
        "defined": mine,
        "around one's own": optgen.define("around", AROUND, wraps={"base": mine}, share=0.5),
        "from a file": optgen.load(file),
        "around the catalogue's": optgen.load("lookahead", wraps="adam"),
        "around": optgen.load("lookahead", wraps=mine),
    }
    file.unlink()
    made: dict[str, Training] = {}
    for name, one in defined.items():
        given = {"slow_step_size": 0.5, "sync_period": 2} if one.spec.name == "lookahead" else {}
        made[f"{name}, torch"] = Torch(one.torch, lr=0.02)
        made[f"{name}, lucid"] = Lucid(one.lucid, lr=0.02)
        made[f"{name}, optim"] = Optim(one.optim, lr=0.02)
        made[f"{name}, optax"] = Optax(one.optax(learning_rate=0.02, **given))
    made["options"] = Torch(mine.torch, lr=0.02, signed=False, state_dtype="bfloat16")
    go_on_elsewhere(made, LIBRARIES[library], tmp_path / "trainings")


def _again(dumps: Callable[[Any], bytes], value: Any) -> Any:
    return pickle.loads(dumps(value))


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_was_defined_is_itself(library: str) -> None:
    """Within a process classes, factories and what was defined are the very objects that they were."""
    dumps = LIBRARIES[library].dumps
    for value in (mine, mine.torch, mine.optim, mine.lucid, mine.optax, Derived):
        assert _again(dumps, value) is value
    for cls in (optgen.torch.AdamW, optgen.optim.AdamW, optgen.brainpy.Adam, optgen.lucid.Adam, optgen.optax.adam):
        assert _again(dumps, cls) is cls
    assert type(_again(dumps, Torch(Derived)).optimizer) is Derived
    assert copy.deepcopy(mine) is mine
    # Numbers that are equal and declare other things.
    one, other = (optgen.define("counted", "theta[t] = theta[t-1] - lr*c*g", lr=0.1, c=c) for c in (1.0, 2.0))
    assert _again(dumps, one) is one
    assert _again(dumps, other) is other


def test_every_transformation() -> None:
    """Both start from the same values."""
    params = {"w": jnp.ones((3, 4)), "b": jnp.ones(3)}
    for name in dir(optgen.optax):
        if name in ("apply_gradients", "lookahead") or hasattr(optax.schedules, name):
            continue
        factory = getattr(optgen.optax, name)
        tx = factory(optax.sgd(0.01), 0.01) if name == "schedule_free" else factory(0.01)
        again = _again(cloudpickle.dumps, tx)
        assert jax.tree.structure(again.init(params)) == jax.tree.structure(tx.init(params))
        assert repr(again.update.__self__._built_from[0][2]) == repr(tx.update.__self__._built_from[0][2])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_train_state(library: str) -> None:
    """As flax has it: the transformation is a field of it."""
    params = {"w": jnp.ones((3, 4)), "b": jnp.ones(3)}
    state = TrainState.create(apply_fn=None, params=params, tx=optgen.optax.adamw(0.1, state_dtype="8bit"))
    state = state.apply_gradients(grads=params)
    again = _again(LIBRARIES[library].dumps, state)
    for _ in range(2):
        state, again = state.apply_gradients(grads=params), again.apply_gradients(grads=params)
    for name in params:
        np.testing.assert_array_equal(again.params[name], state.params[name])
    # One call for a step, as before.
    made, _ = optgen.optax.apply_gradients(again.tx, params, again.opt_state, again.params)
    expected, _ = optgen.optax.apply_gradients(state.tx, params, state.opt_state, state.params)
    np.testing.assert_array_equal(made["w"], expected["w"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_states_of_brainstate_hold_an_optimizers_own(library: str) -> None:
    """Where brainstate is loaded its States hold what changes; they know where they were made, which stays there."""
    assert brainstate.__name__ in sys.modules
    training = Optim(optgen.optim.Adam, optgen.optim.StepLR(0.01, 2))
    training.go_on(2)
    assert isinstance(training.optimizer.opt_state, brainstate.State)
    again = _again(LIBRARIES[library].dumps, training)
    assert isinstance(again.optimizer.opt_state, brainstate.State)
    for one in (training, again):
        one.go_on(3)
    assert training.digest() == again.digest()
    assert isinstance(again, trainings.Optim)
