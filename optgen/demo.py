"""A small training run on real data: the handwritten digits that scikit-learn ships.

Trains the same network from the same start with the generated AdamW, with optax's AdamW and with an optimizer defined
here from its equations, and compares them. All in float64: in float32 the rounding of one step grows to visible
differences over hundreds of steps, and would hide a wrong rule.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import optgen
from optgen.optax import adamw

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend has to be chosen first

#: A custom rule: Adam with the mean size of the gradient in the place of its root mean square.
EQUATIONS = """
m[t] = beta1*m[t-1] + (1 - beta1)*g
s[t] = beta2*s[t-1] + (1 - beta2)*abs(g)
m_hat = m[t]/(1 - beta1**t)
s_hat = s[t]/(1 - beta2**t)
theta[t] = theta[t-1] - lr*(m_hat/(s_hat + eps) + weight_decay*theta[t-1])
"""

BATCH = 64
#: AdamW twice, from two sources: rounding, 1e-16 in one step, grows about 1e5 times over the run.
LOSS_TOLERANCE = 1e-9
ACCURACY = 0.95


@dataclass(frozen=True, slots=True)
class Run:
    """What one optimizer did: the training loss of every step, the final test accuracy, seconds per step."""

    name: str
    losses: list[float]
    accuracy: float
    step_seconds: float


def run_demo(steps: int, enough: int, picture: Path, console: Console) -> bool:
    """Train, print a table, write a picture of the loss curves.

    Args:
        steps: of each run.
        enough: how many reach the accuracy; a run of fewer is not judged by it.
        picture: where to write it.
        console: where to print.

    Returns:
        whether the generated AdamW follows optax's, and every run reaches the accuracy.
    """
    mean_size = optgen.define("mean_size", EQUATIONS, lr=2e-3, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.01)
    with jax.enable_x64(True):
        runs = [
            _train("optgen AdamW", adamw(2e-3, weight_decay=0.01), steps),
            _train("optax AdamW", optax.adamw(2e-3, weight_decay=0.01), steps),
            _train("custom: mean_size", mean_size.optax(learning_rate=1e-3), steps),
        ]
    console.print("custom: mean_size, defined here from its equations:", EQUATIONS, sep="\n", markup=False)
    console.print(_table(runs))
    _draw(runs, picture)
    console.print(f"loss curves: {picture}", markup=False)
    difference = max(abs(a - b) for a, b in zip(runs[0].losses, runs[1].losses, strict=True))
    console.print(f"largest difference of loss between the two AdamWs: {difference:.1e}")
    same = difference <= LOSS_TOLERANCE
    if not same:
        console.print(f"the two AdamWs differ by more than {LOSS_TOLERANCE}", style="red")
    weak = [run for run in runs if run.accuracy < ACCURACY]
    for run in weak:
        told = f"{run.name} reached {run.accuracy:.3f}"
        if steps < enough:
            console.print(f"{told}: too few steps for the {ACCURACY} that {enough} reach")
        else:
            console.print(f"{told}, less than {ACCURACY}", style="red")
    return same and (not weak or steps < enough)


def _train(name: str, optimizer: Any, steps: int) -> Run:
    images, labels, test_images, test_labels = _digits()
    params = _network(jax.random.key(0))
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any, batch: Any, targets: Any) -> Any:
        loss, grads = jax.value_and_grad(_loss)(params, batch, targets)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    batches = np.random.default_rng(0).integers(0, len(images), size=(steps, BATCH))
    losses, seconds = [], []
    for chosen in batches:
        started = time.perf_counter()
        params, state, loss = step(params, state, images[chosen], labels[chosen])
        losses.append(float(loss))
        seconds.append(time.perf_counter() - started)
    accuracy = float(jnp.mean(jnp.argmax(_logits(params, test_images), axis=1) == test_labels))
    return Run(name, losses, accuracy, statistics.median(seconds))


def _digits() -> tuple[Any, Any, Any, Any]:
    """1,797 images of 8×8 pixels: 1,437 to train on, 360 to test with."""
    data = load_digits()
    order = np.random.default_rng(1).permutation(len(data.images))
    images = (data.data / 16.0).astype(np.float64)[order]
    labels = data.target.astype(np.int32)[order]
    return images[:1437], labels[:1437], images[1437:], labels[1437:]


def _network(key: jax.Array) -> list[dict[str, jax.Array]]:
    sizes = (64, 128, 64, 10)
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(k, (a, b)) * np.sqrt(2 / a), "b": jnp.zeros(b)}
        for k, a, b in zip(keys, sizes, sizes[1:], strict=False)
    ]


def _logits(params: list[dict[str, jax.Array]], images: Any) -> jax.Array:
    hidden = images
    for layer in params[:-1]:
        hidden = jax.nn.relu(hidden @ layer["w"] + layer["b"])
    return jnp.add(hidden @ params[-1]["w"], params[-1]["b"])


def _loss(params: Any, images: Any, labels: Any) -> jax.Array:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(_logits(params, images), labels))


def _table(runs: list[Run]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("optimizer")
    for column in ("first loss", "last loss", "test accuracy", "step"):
        table.add_column(column, justify="right")
    for run in runs:
        table.add_row(
            run.name,
            f"{run.losses[0]:.4f}",
            f"{statistics.mean(run.losses[-20:]):.4f}",
            f"{run.accuracy:.3f}",
            f"{run.step_seconds * 1e6:.0f} µs",
        )
    return table


def _draw(runs: list[Run], picture: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for run, style in zip(runs, ("-", "--", "-"), strict=True):
        smooth = np.convolve(run.losses, np.ones(10) / 10, mode="valid")
        axes.semilogy(smooth, style, label=f"{run.name}, test accuracy {run.accuracy:.3f}")
    axes.set_xlabel("step")
    axes.set_ylabel("training loss, mean of 10 steps")
    axes.set_title("Handwritten digits, network 64-128-64-10")
    axes.legend()
    axes.grid(alpha=0.3)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
