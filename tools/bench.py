"""How long a step takes on this CPU, next to optax's under jit, torch's, and a copy of as many bytes.

    python tools/bench.py                               everything but torch.compile, half an hour
    python tools/bench.py --workload large --optimizer adamw --library jax

All that is compared runs in one process, in turns of a few steps, of which the first is not counted: it finds threads
and caches as the one before has left them. What is told is the median of optgen's steps in milliseconds, and how many
times that the others take: the peers (below 1 they are faster), then

    arrays      optgen's jax target, without kernels
    two calls   optgen by `update` and `optax.apply_updates`, as optax is called; optgen itself is called by
                `apply_gradients`, which does both in one pass
    nothing     a step that returns what it is given: jax's own time for as many arrays
    16 bits     optgen with `state_dtype="bfloat16_nearest"`, what torch keeps beside parameters in bfloat16
    copy        a copy that reads and writes as many bytes as the step has to

and how many seconds the first step takes, with all that is compiled for it.

The workloads are one tensor of 30 M numbers (large), a transformer of 90 M in 145 tensors (model), 300 tensors of 64x64
(small), and two tensors of 55 numbers in all (tiny). Nothing else should run meanwhile. With --out a JSON file is
written and a chart beside it; what the file says of other comparisons stays.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import math
import os
import statistics
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from rich.console import Console
from rich.table import Table

import optgen
import optgen.optax
import optgen.torch
from optgen.runtime.native.processor import processor

#: A layer of a transformer: norms, attention, and what comes after it.
_LAYER: list[tuple[int, ...]] = [
    *((768,), (768,), (768, 2304), (2304,), (768, 768), (768,)),
    *((768,), (768,), (768, 3072), (3072,), (3072, 768), (768,)),
]

#: Shapes of the parameters, by the name of the workload. `model` is a transformer of 12 layers and 90 M parameters.
WORKLOADS: dict[str, list[tuple[int, ...]]] = {
    "large": [(30_000_000,)],
    "model": [(7000, 768), *_LAYER * 12],
    "small": [(64, 64)] * 300,
    "tiny": [(50,), (5,)],
}

#: Who is told in a column of its own: optgen in other ways, and what no step goes without.
SIXTEEN, NOTHING = "optgen, 16 bits", "nothing"
BESIDE = ("optgen arrays", "optgen, two calls", SIXTEEN, NOTHING, "copy")

#: What was seen on one machine.
SEEN = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "cpu.json"

CUSTOM = optgen.define(
    "capped",
    """
    m[t] = beta1*m[t-1] + (1 - beta1)*g
    h[t] = beta2*h[t-1] + (1 - beta2)*g**2
    theta[t] = theta[t-1] - lr*clip(m[t]/max(gamma*h[t], eps), -1, 1)
    """,
    lr=1e-3,
    beta1=0.96,
    beta2=0.99,
    gamma=0.01,
    eps=1e-12,
)


def capped_by_hand(learning_rate: float) -> optax.GradientTransformation:
    """The custom rule as one would write it for optax."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        m = jax.tree.map(lambda g, m: 0.96 * m + 0.04 * g, updates, state[0])
        h = jax.tree.map(lambda g, h: 0.99 * h + 0.01 * g**2, updates, state[1])
        step = jax.tree.map(lambda m, h: -learning_rate * jnp.clip(m / jnp.maximum(0.01 * h, 1e-12), -1, 1), m, h)
        return step, (m, h)

    return optax.GradientTransformation(
        lambda params: (jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)), update
    )


#: Optimizer → optgen's and optax's transformation, and optgen's and torch's class with what it takes.
OPTIMIZERS: dict[str, tuple[Any, Any, Any, Any, dict[str, Any]]] = {
    "adamw": (optgen.optax.adamw, optax.adamw, optgen.torch.AdamW, torch.optim.AdamW, {}),
    "sgd": (
        lambda lr: optgen.optax.sgd(lr, momentum=0.9),
        lambda lr: optax.sgd(lr, momentum=0.9),
        optgen.torch.SGD,
        torch.optim.SGD,
        {"momentum": 0.9},
    ),
    "lion": (optgen.optax.lion, optax.lion, optgen.torch.Lion, None, {}),
    "adafactor": (optgen.optax.adafactor, optax.adafactor, optgen.torch.Adafactor, torch.optim.Adafactor, {}),
    "lamb": (optgen.optax.lamb, optax.lamb, optgen.torch.Lamb, None, {}),
    "nadam": (optgen.optax.nadam, optax.nadam, optgen.torch.NAdam, torch.optim.NAdam, {}),
    "radam": (optgen.optax.radam, optax.radam, optgen.torch.RAdam, torch.optim.RAdam, {}),
    "custom": (CUSTOM.optax, capped_by_hand, CUSTOM.torch, None, {}),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One contestant: the median and the fastest of its steps, in seconds; the first step with all it compiles."""

    library: str
    optimizer: str
    workload: str
    dtype: str
    who: str
    median: float
    fastest: float
    first: float
    steps: int


def jax_step(tx: Any, apply: Any, shapes: list[tuple[int, ...]], dtype: str) -> Iterator[float]:
    """The seconds of each step under jit, parameters and state donated."""
    params, gradients = arrays(shapes, dtype, 0), arrays(shapes, dtype, 1)
    state = jax.jit(tx.init)(params)
    # jax pairs donated arguments with results of their shape in order: parameters first and state second, in both.
    step = jax.jit(lambda p, s, g: apply(tx, g, s, p), donate_argnums=(0, 1), keep_unused=True)
    while True:
        params, state = yield from timed(step, params, state, gradients)


def arrays(shapes: list[tuple[int, ...]], dtype: str, seed: int) -> list[jax.Array]:
    """Random numbers."""
    random = np.random.default_rng(seed)
    return [jnp.asarray(random.standard_normal(shape, np.float32), dtype) for shape in shapes]


def timed(function: Any, *arguments: Any) -> Generator[float, None, Any]:
    """Yields the seconds that a call takes until all that it returns is there; returns that."""
    start = time.perf_counter()
    found = function(*arguments)
    jax.block_until_ready(found)
    yield time.perf_counter() - start
    return found


def two_calls(tx: Any, gradients: Any, state: Any, params: Any) -> Any:
    """A step as training scripts make it."""
    updates, state = tx.update(gradients, state, params)
    return optax.apply_updates(params, updates), state


def nothing(tx: Any, gradients: Any, state: Any, params: Any) -> Any:
    """A step that changes nothing."""
    return params, state


def torch_step(make: Any, shapes: list[tuple[int, ...]], dtype: str, compiled: bool = False) -> Iterator[float]:
    """The seconds of each step."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape).to(getattr(torch, dtype))) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = make(parameters)
    step = torch.compile(optimizer.step) if compiled else optimizer.step
    while True:
        start = time.perf_counter()
        step()
        yield time.perf_counter() - start


def copying(size: int) -> Iterator[float]:
    """The seconds of a copy that reads and writes as many bytes as a step."""
    source = torch.ones(max(1, size // 8))
    target = torch.zeros_like(source)
    while True:
        start = time.perf_counter()
        target.copy_(source)
        yield time.perf_counter() - start


def bytes_moved(tx: Any, shapes: list[tuple[int, ...]], dtype: str) -> int:
    """What a step has to read and write at least: parameters, gradients and state, and all but the gradients again."""
    params = [jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for shape in shapes]
    size = sum(math.prod(p.shape) * p.dtype.itemsize for p in params)
    kept = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(tx.init, params)))
    return 3 * size + 2 * kept


def contestants(library: str, optimizer: str, workload: str, dtype: str, compiled: bool) -> dict[str, Iterator[float]]:
    """Who takes part, by name; optgen first."""
    own_tx, their_tx, own_class, their_class, extra = OPTIMIZERS[optimizer]
    shapes = WORKLOADS[workload]
    found: dict[str, Iterator[float]] = {}
    if library == "jax":
        found["optgen"] = jax_step(own_tx(1e-3), optgen.optax.apply_gradients, shapes, dtype)
        os.environ["OPTGEN_BACKEND"] = "arrays"
        found["optgen arrays"] = jax_step(own_tx(1e-3), optgen.optax.apply_gradients, shapes, dtype)
        del os.environ["OPTGEN_BACKEND"]
        found["optgen, two calls"] = jax_step(own_tx(1e-3), two_calls, shapes, dtype)
        found[NOTHING] = jax_step(own_tx(1e-3), nothing, shapes, dtype)
        found["optax"] = jax_step(their_tx(1e-3), two_calls, shapes, dtype)
    else:
        found["optgen"] = torch_step(lambda p: own_class(p, lr=1e-3, **extra), shapes, dtype)
        if dtype == "bfloat16":
            narrow = {**extra, "state_dtype": "bfloat16_nearest"}
            found[SIXTEEN] = torch_step(lambda p: own_class(p, lr=1e-3, **narrow), shapes, dtype)
        if their_class is not None:
            kinds = {"foreach": {"foreach": True}}
            if optimizer in ("adamw", "sgd"):
                kinds["fused"] = {"fused": True}
            for kind, arguments in kinds.items():
                found[f"torch {kind}"] = torch_step(
                    lambda p, a=arguments: their_class(p, lr=1e-3, **extra, **a), shapes, dtype
                )
            if compiled:
                torch._dynamo.reset()  # after some programs it would compile no further one
                found["torch.compile"] = torch_step(lambda p: their_class(p, lr=1e-3, **extra), shapes, dtype, True)
    found["copy"] = copying(bytes_moved(own_tx(1e-3), shapes, dtype))
    return found


def turn(step: Iterator[float], seconds: float = 0.02) -> list[float]:
    """The times of two steps at least, and of as many as there is time for, after one that is not counted."""
    next(step)
    found = [next(step), next(step)]
    while sum(found) < seconds:
        found.append(next(step))
    return found


def compare(library: str, optimizer: str, workload: str, dtype: str, seconds: float, compiled: bool) -> list[Measured]:
    """All contestants in turns, for about as long as is asked for and three turns at least."""
    running = contestants(library, optimizer, workload, dtype, compiled)
    first = {who: next(step) for who, step in running.items()}
    for step in running.values():
        next(step)
    found: dict[str, list[float]] = {who: [] for who in running}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found["copy"]) < 6:
        for who, step in running.items():
            found[who] += turn(step)
    return [
        Measured(library, optimizer, workload, dtype, who, statistics.median(s), min(s), first[who], len(s))
        for who, s in found.items()
    ]


def row(measured: list[Measured]) -> list[str]:
    """A line of the table: optgen's time, and how many times that the others take."""
    times = {one.who: one.median for one in measured}
    peers = peers_of(times)
    one = measured[0]
    cells = [one.library, one.optimizer, one.workload, one.dtype, f"{times['optgen'] * 1e3:.3f}"]
    cells.append(", ".join(f"{who} {t / times['optgen']:.2f}" for who, t in peers.items()) or "none")
    cells.append(best_peer(times) or "")
    for who in BESIDE:
        cells.append(f"{times[who] / times['optgen']:.2f}" if who in times else "")
    first = {one.who: one.first for one in measured}
    cells.append(", ".join(f"{who} {first[who]:.2f}" for who in ("optgen", "torch.compile") if who in first))
    return cells


def chart(results: list[Measured], path: Path) -> None:
    """Peer time ÷ optgen time of each optimizer on each workload, as bars from the line of equal times."""
    import matplotlib
    import matplotlib.ticker

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = [r for r in results if r.dtype == "float32" and (r.who == "copy" or r.who not in BESIDE)]
    libraries, workloads = ([*dict.fromkeys(getattr(r, key) for r in results)] for key in ("library", "workload"))
    figure, axes = plt.subplots(
        len(workloads), len(libraries), figsize=(7 * len(libraries), 2.3 * len(workloads)), squeeze=False
    )
    for row, workload in zip(axes, workloads, strict=True):
        for axis, library in zip(row, libraries, strict=True):
            mine = [r for r in results if (r.library, r.workload) == (library, workload)]
            base = {r.optimizer: r.median for r in mine if r.who == "optgen"}
            places = {name: place for place, name in enumerate(base)}
            # The same ones in all pictures of a library, in the same colours.
            who = [w for w in dict.fromkeys(r.who for r in results if r.library == library) if w != "optgen"]
            for number, one in enumerate(who):
                bars = {places[r.optimizer]: r.median / base[r.optimizer] for r in mine if r.who == one}
                at = [place + (number + 0.5) * 0.8 / len(who) - 0.4 for place in bars]
                axis.bar(
                    at, [ratio - 1 for ratio in bars.values()], 0.8 / len(who), bottom=1, label=one, color=f"C{number}"
                )
            axis.set_yscale("log")
            axis.set_ylim(0.3, 20)
            axis.set_yticks([0.5, 1, 2, 5, 10], minor=False)
            axis.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
            axis.axhline(1, color="black", linewidth=0.8)
            axis.set_xticks(range(len(base)), list(base))
            axis.set_title(f"{library}, {workload}", fontsize=10)
            axis.yaxis.set_major_formatter("{x:g}")
        row[0].set_ylabel("peer ÷ optgen")
    for axis in axes[-1]:
        axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def order(one: Measured) -> tuple[int, ...]:
    """Where a comparison stands in files, tables and charts."""
    places = ["float32", "bfloat16"], ["jax", "torch"], list(WORKLOADS), list(OPTIMIZERS)
    return tuple(
        among.index(name)
        for among, name in zip(places, (one.dtype, one.library, one.workload, one.optimizer), strict=True)
    )


def read(path: Path) -> list[Measured]:
    """What a file says."""
    return [Measured(**one) for one in json.loads(path.read_text())["results"]] if path.exists() else []


def markdown(results: list[Measured]) -> str:
    """Peer time ÷ optgen time, for the fastest peer and for the copy: a table with a line per optimizer and type.

    In parentheses those of optgen with its states in 16 bits.
    """
    lines = [
        "| from | optimizer | parameters | " + " | ".join(WORKLOADS) + " |",
        "|---|---|---|" + "---|" * len(WORKLOADS),
    ]
    for library, optimizer, dtype in dict.fromkeys((r.library, r.optimizer, r.dtype) for r in results):
        cells = []
        for workload in WORKLOADS:
            times = {
                r.who: r.median
                for r in results
                if (r.library, r.optimizer, r.dtype, r.workload) == (library, optimizer, dtype, workload)
            }
            best = best_peer(times)
            narrow = f" ({times[best] / times[SIXTEEN]:.2f})" if best and SIXTEEN in times else ""
            told = [f"{times[best] / times['optgen']:.2f}{narrow} {best}"] if best else []
            cells.append(", ".join([*told, f"{times['copy'] / times['optgen']:.2f} copy"]) if times else "")
        lines.append(f"| {library} | {optimizer} | {dtype} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def best_peer(times: dict[str, float]) -> str | None:
    """The fastest of the others; None if there is none."""
    peers = peers_of(times)
    return min(peers, key=peers.__getitem__) if peers else None


def peers_of(times: dict[str, float]) -> dict[str, float]:
    """The times of the others that make the same step."""
    return {who: time for who, time in times.items() if who != "optgen" and who not in BESIDE}


def write(measured: list[Measured], path: Path) -> None:
    """Puts one comparison into a file, in the place of what was measured of it before, and draws the file's chart."""
    compared = {(one.library, one.optimizer, one.workload, one.dtype) for one in measured}
    results = [o for o in read(path) if (o.library, o.optimizer, o.workload, o.dtype) not in compared] + measured
    results.sort(key=order)
    machine = {
        "processor": processor().name,
        "cores": os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "jax": jax.__version__,
        "optax": optax.__version__,
        "torch": torch.__version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=1) + "\n")
    chart(results, path.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=["jax", "torch"], action="append")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), action="append")
    parser.add_argument("--workload", choices=list(WORKLOADS), action="append")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], action="append")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each comparison, compilation aside")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well: half a minute each")
    parser.add_argument("--out", type=Path, help="a JSON file to write; the chart goes beside it")
    parser.add_argument("--markdown", action="store_true", help="measure nothing, print the file's results as a table")
    chosen = parser.parse_args()
    if chosen.markdown:
        print(markdown(read(chosen.out or SEEN)))
        return
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)
    console = Console(width=170)
    table = Table(
        "library",
        "optimizer",
        "workload",
        "dtype",
        "optgen ms",
        "peers, times slower",
        "best peer",
        "arrays",
        "two calls",
        "16 bits",
        "nothing",
        "copy",
        "first step s",
    )
    for dtype in chosen.dtype or ["float32", "bfloat16"]:
        for library in chosen.library or ["jax", "torch"]:
            for workload in chosen.workload or list(WORKLOADS):
                for optimizer in chosen.optimizer or list(OPTIMIZERS):
                    found = compare(library, optimizer, workload, dtype, chosen.seconds, chosen.compile)
                    table.add_row(*row(found))
                    console.print(*row(found), sep=" | ")
                    if chosen.out:
                        write(found, chosen.out)
    console.print(table)


if __name__ == "__main__":
    main()
