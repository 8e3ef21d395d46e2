"""What formats of states cost and save: memory, time of a step, how averages follow, accuracy of a small network.

    python tools/measure_state_formats.py

Prints a table for AdamW. Times are medians of steps that take turns, on a tensor of 30 M numbers, relative to float32.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import optgen.optax
import optgen.torch
from optgen.contract.formats import FORMATS
from optgen.runtime.formats.bits import key_of
from optgen.runtime.formats.codes import decoded, encoded
from optgen.runtime.numpy.arrays import NumpyArrays

SIZE = 30_000_000
STEPS = 9
SEEDS = 5
EVERY: tuple[str | None, ...] = (None, *FORMATS)


class Digits:
    """A network of 64-128-128-10 that is to know handwritten digits, 1,400 of them in batches of 64.

    Args:
        seed: of its weights and of the order of the images.
    """

    def __init__(self, seed: int) -> None:
        images, labels = load_digits(return_X_y=True)
        self._generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images), generator=self._generator)
        self._x = torch.tensor(images / 16, dtype=torch.float32)[order]
        self._y = torch.tensor(labels)[order]
        sizes = [(64, 128), (128, 128), (128, 10)]
        self.weights = [torch.nn.Parameter(torch.randn(s, generator=self._generator) * s[0] ** -0.5) for s in sizes]
        self.biases = [torch.nn.Parameter(torch.zeros(s[1])) for s in sizes]

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """All that is trained."""
        return [*self.weights, *self.biases]

    def _logits(self, batch: torch.Tensor) -> torch.Tensor:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            batch = torch.relu(batch @ weight + bias)
        return batch @ self.weights[-1] + self.biases[-1]

    def epoch(self) -> Iterator[torch.Tensor]:
        """The loss of each batch in turn, with its gradients in the parameters."""
        for chosen in torch.randperm(1400, generator=self._generator).split(64):
            for parameter in self.parameters:
                parameter.grad = None
            loss = torch.nn.functional.cross_entropy(self._logits(self._x[chosen]), self._y[chosen])
            loss.backward()
            yield loss.detach()

    def accuracy(self) -> float:
        """The share of the other 397 digits that it knows."""
        return float((self._logits(self._x[1400:]).argmax(1) == self._y[1400:]).float().mean())


def accuracy(state_dtype: str | None, seed: int) -> float:
    """Share of digits that a network knows after 30 epochs."""
    digits = Digits(seed)
    optimizer = optgen.torch.AdamW(digits.parameters, lr=1e-3, state_dtype=state_dtype)
    for _ in range(30):
        for _ in digits.epoch():
            optimizer.step()
    return digits.accuracy()


def followed(state_dtype: str | None) -> float:
    """How far 4,096 averages of noisy squares, each to fall or rise to another level, are from these after 8,000 steps.

    The geometric mean of average over level; levels lie between 1e-2 and 1, averages start in the opposite order.
    """
    arrays, random = NumpyArrays(), np.random.default_rng(0)
    level = np.logspace(-2, 0, 4096, dtype=np.float32)
    average = level[::-1].copy()
    for t in range(1, 8001):
        square = level * random.standard_normal(4096, np.float32) ** 2
        average = np.float32(0.999) * average + np.float32(0.001) * square
        if state_dtype is not None:
            average = decoded(arrays, encoded(arrays, average, state_dtype, key_of(t, 0, 0)))
    return float(np.exp(np.log(average / level).mean()))


def torch_step(state_dtype: str | None) -> tuple[Callable[[], None], float]:
    """A step of torch, and bytes of state for each parameter."""
    parameter = torch.nn.Parameter(torch.ones(SIZE))
    parameter.grad = torch.sin(torch.arange(SIZE, dtype=torch.float32))
    optimizer = optgen.torch.AdamW([parameter], lr=1e-3, state_dtype=state_dtype)
    optimizer.step()
    kept = [value for name, value in optimizer.state[parameter].items() if name != "step"]
    return optimizer.step, sum(value.numel() * value.element_size() for value in kept) / SIZE


def jax_step(state_dtype: str | None) -> Callable[[], None]:
    """A step inside jit, with donated buffers."""
    tx = optgen.optax.adamw(1e-3, state_dtype=state_dtype)
    gradient = jnp.sin(jnp.arange(SIZE, dtype=jnp.float32))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(theta: Any, state: Any, gradient: Any) -> Any:
        return optgen.optax.apply_gradients(tx, gradient, state, theta)

    theta = jnp.ones(SIZE, jnp.float32)
    held = [step(theta, tx.init(theta), gradient)]

    def run() -> None:
        held[0] = jax.block_until_ready(step(*held[0], gradient))

    return run


def medians(steps: dict[str | None, Callable[[], None]]) -> dict[str | None, float]:
    """The time of each, in turns."""
    times: dict[str | None, list[float]] = {name: [] for name in steps}
    for _ in range(STEPS):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    made = {name: torch_step(name) for name in EVERY}
    of_torch = medians({name: step for name, (step, _) in made.items()})
    of_jax = medians({name: jax_step(name) for name in EVERY})
    table = Table(box=None, pad_edge=False)
    for column in ("states", "bytes", "torch", "JAX", "averages", "accuracy"):
        table.add_column(column, justify="left" if column == "states" else "right")
    for name in EVERY:
        known = statistics.mean(accuracy(name, seed) for seed in range(SEEDS))
        table.add_row(
            name or "float32",
            f"{made[name][1]:.2f}",
            f"{of_torch[name] / of_torch[None]:.2f}",
            f"{of_jax[name] / of_jax[None]:.2f}",
            f"{followed(name):.3f}",
            f"{100 * known:.2f} %",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
