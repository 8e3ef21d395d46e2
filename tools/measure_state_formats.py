"""What formats of states cost and save: memory, time of a step, how averages follow, accuracy of a small network.

    python tools/measure_state_formats.py

Prints a table for AdamW. Times are medians of steps that take turns, on a tensor of 30 M numbers, relative to float32.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
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
from optgen.runtime.formats import FORMATS, decoded, encoded, key_of
from optgen.runtime.numpy import NumpyArrays

SIZE = 30_000_000
STEPS = 9
SEEDS = 5
EVERY: tuple[str | None, ...] = (None, *FORMATS)


def accuracy(state_dtype: str | None, seed: int) -> float:
    """Share of 397 handwritten digits that a network of 64-128-128-10 knows after 30 epochs on 1,400 others."""
    images, labels = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    x, y = torch.tensor(images / 16, dtype=torch.float32)[order], torch.tensor(labels)[order]
    sizes = [(64, 128), (128, 128), (128, 10)]
    weights = [torch.nn.Parameter(torch.randn(s, generator=generator) * s[0] ** -0.5) for s in sizes]
    biases = [torch.nn.Parameter(torch.zeros(s[1])) for s in sizes]
    optimizer = optgen.torch.AdamW([*weights, *biases], lr=1e-3, state_dtype=state_dtype)

    def logits(batch: torch.Tensor) -> torch.Tensor:
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            batch = torch.relu(batch @ weight + bias)
        return batch @ weights[-1] + biases[-1]

    for _ in range(30):
        for chosen in torch.randperm(1400, generator=generator).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return float((logits(x[1400:]).argmax(1) == y[1400:]).float().mean())


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
