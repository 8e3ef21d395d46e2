"""Memory traffic and speed of one jitted step, beside optax's same rule.

Traffic is XLA's own count, `compiled.cost_analysis()["bytes accessed"]`, per float32 element: exact and free of noise.
Times are interleaved in one process; the ratio is what counts, since machines are noisy.

Run: python tools/measure_traffic.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from rich.console import Console
from rich.table import Table

import optgen.optax

CASES: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("adam", {}),
    ("adam", {"nesterov": True}),
    ("adamw", {}),
    ("rmsprop", {}),
    ("rmsprop", {"centered": True, "momentum": 0.9}),
    ("adagrad", {}),
    ("lion", {}),
    ("lamb", {"weight_decay": 0.1}),
]
SIZE = 4_000_000
ROUNDS = 30


def step_of(optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """Update and apply under jit, with parameters and state donated."""

    def step(grads: Any, state: Any, params: Any) -> Any:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(1, 2))


def bytes_per_element(optimizer: optax.GradientTransformation) -> float:
    """The slope over two sizes, which leaves out what is accessed once per step."""
    accessed = []
    for size in (65536, 131072):
        params = jnp.ones(size, jnp.float32)
        compiled = jax.jit(optimizer.update).lower(params, optimizer.init(params), params).compile()
        accessed.append(compiled.cost_analysis()["bytes accessed"])
    return float(accessed[1] - accessed[0]) / 65536


def interleaved_ratio(ours: optax.GradientTransformation, theirs: optax.GradientTransformation) -> float:
    """Median of the ratios optax / optgen of step times: above 1, optgen is faster."""
    grads = jnp.ones(SIZE, jnp.float32)
    runs = []
    for optimizer in (ours, theirs):
        params = jnp.ones(SIZE, jnp.float32)
        runs.append([step_of(optimizer), params, optimizer.init(params)])
    ratios = []
    for turn in range(ROUNDS + 2):
        seconds = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):  # neither is always first
            run = runs[which]
            started = time.perf_counter()
            run[1], run[2] = run[0](grads, run[2], run[1])
            jax.block_until_ready(run[1])
            seconds[which] = time.perf_counter() - started
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios[2:])  # the first rounds compile


if __name__ == "__main__":
    table = Table("optimizer", "bytes per element, optgen", "optax", "speed, optax's = 1")
    for name, arguments in CASES:
        pair = [getattr(module, name)(0.01, **arguments) for module in (optgen.optax, optax)]
        label = name + "".join(f", {key}={value}" for key, value in arguments.items())
        table.add_row(
            label, *(f"{bytes_per_element(one):.1f}" for one in pair), f"{interleaved_ratio(pair[0], pair[1]):.2f}"
        )
    Console().print(table)
