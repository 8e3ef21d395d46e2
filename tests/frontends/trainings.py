"""Trainings that are pickled in the middle and go on in another process: `python -m tests.frontends.trainings FILE`.

Prints a digest of each training's numbers after two more steps.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import optgen.optax

SHAPES = {"w": (4, 70), "b": (5,)}


def gradients(t: int) -> dict[str, np.ndarray]:
    """Those of a step, float32."""
    random = np.random.default_rng(t)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


class Box:
    """A weight as brainpy, braintools and lucid have it."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.data, self.grad = np.array(value), None


class Training:
    """Weights, their optimizer, and the number of the next step."""

    t = 0

    def __init__(self, optimizer: Any, weights: dict[str, Any]) -> None:
        self.optimizer, self.weights = optimizer, weights

    def go_on(self, count: int) -> None:
        """Make some steps."""
        for _ in range(count):
            self.t += 1
            self.step(gradients(self.t))

    def step(self, given: dict[str, np.ndarray]) -> None:
        """One step with given gradients."""
        raise NotImplementedError

    def values(self) -> list[Any]:
        """The weights' numbers."""
        return [weight.value for weight in self.weights.values()]

    def digest(self) -> str:
        """Of all bits of the weights."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.values())]
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


def boxes() -> dict[str, Box]:
    """Weights to start from."""
    return {name: Box(jnp.asarray(value)) for name, value in gradients(0).items()}


class Optim(Training):
    """By a class of `optgen.optim`."""

    def __init__(self, make: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(make(*args, **kwargs), boxes())
        self.optimizer.register_trainable_weights(self.weights)

    def step(self, given: dict[str, np.ndarray]) -> None:
        """One step, and one of its scheduler."""
        inputs = {"hessian": given} if type(self.optimizer).__name__ == "Sophia" else {}
        self.optimizer.step(given, **inputs)
        if self.optimizer.lr_scheduler is not None:
            self.optimizer.lr_scheduler.step()


class BrainPy(Training):
    """By a class of `optgen.brainpy`."""

    def __init__(self, make: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(make(*args, **kwargs), boxes())
        self.optimizer.register_train_vars(self.weights)

    def step(self, given: dict[str, np.ndarray]) -> None:
        """One step, and an epoch of its scheduler."""
        self.optimizer.update(given)
        self.optimizer.lr.step_epoch()


class Lucid(Training):
    """By a class of `optgen.lucid`."""

    def __init__(self, make: Any, **kwargs: Any) -> None:
        weights = boxes()
        super().__init__(make(list(weights.values()), **kwargs), weights)

    def step(self, given: dict[str, np.ndarray]) -> None:
        """One step."""
        for name, weight in self.weights.items():
            weight.grad = given[name]
        self.optimizer.step()

    def values(self) -> list[Any]:
        """The weights' numbers."""
        return [weight.data for weight in self.weights.values()]


class Torch(Training):
    """By a class of `optgen.torch`."""

    def __init__(self, make: Any, **kwargs: Any) -> None:
        weights = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in gradients(0).items()}
        super().__init__(make(list(weights.values()), **kwargs), weights)

    def step(self, given: dict[str, np.ndarray]) -> None:
        """One step."""
        for name, weight in self.weights.items():
            weight.grad = torch.tensor(given[name])
        self.optimizer.step()

    def values(self) -> list[Any]:
        """The weights' numbers."""
        return [weight.detach().numpy() for weight in self.weights.values()]


class Optax(Training):
    """By a gradient transformation."""

    def __init__(self, tx: Any, **extra: Any) -> None:
        self.extra = extra
        super().__init__(tx, {name: jnp.asarray(value) for name, value in gradients(0).items()})
        self.state = tx.init(self.weights)

    def go_on(self, count: int) -> None:
        """Make some steps, each in one call of a jitted function."""

        @jax.jit
        def step(grads: Any, state: Any, params: Any) -> Any:
            return optgen.optax.apply_gradients(self.optimizer, grads, state, params, **self.extra)

        for _ in range(count):
            self.t += 1
            grads = jax.tree.map(jnp.asarray, gradients(self.t))
            self.weights, self.state = step(grads, self.state, self.weights)

    def values(self) -> list[Any]:
        """The weights' numbers."""
        return list(self.weights.values())


def main() -> None:
    # As in the process that tests run in.
    jax.config.update("jax_enable_x64", True)
    found = {}
    for name, training in pickle.loads(Path(sys.argv[1]).read_bytes()).items():
        training.go_on(2)
        found[name] = training.digest()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
