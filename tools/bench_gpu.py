"""How long a step takes on this GPU, next to torch's and optax's, and how near it comes to the bandwidth of a copy.

    python tools/bench_gpu.py                            everything, a quarter of an hour
    python tools/bench_gpu.py --workload large --optimizer adamw

All that is compared runs in one process, in turns. Contestants of torch share parameters and gradients, and have a
state of their own. A time is the median of turns of several steps, until the device has done them. For each contestant
are told the milliseconds of a step, how many times optgen's that is, the bytes that a step has to move at least
(parameters, gradients and state, and all but the gradients again) per second, as a part of what a copy on the device
moves, how many kernels a step starts, and whether it waits for the device.

The workloads are one tensor of 2**30 numbers (large), the tensors of a transformer of 1.5 B parameters (model), and
2,000 tensors of 64x64 (small); --scale makes the first two smaller. With --out a JSON file is written.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import logging
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import optax
import torch
from bench import OPTIMIZERS, arrays, two_calls
from rich.console import Console
from rich.table import Table

import optgen.optax

CHOSEN = ("adamw", "lion", "lamb", "adafactor", "nadam", "custom")
WORKLOADS = ("large", "model", "small")

#: Classes of torch with a fused kernel.
FUSED = ("adamw", "sgd")

Step = Callable[[], object]


def shapes_of(workload: str, scale: float) -> list[tuple[int, ...]]:
    """The shapes of a workload; `scale` is the part of its size that is asked for."""
    if workload == "large":
        return [(max(1, int(2**30 * scale)),)]
    if workload == "small":
        return [(64, 64)] * 2000
    width, layers = 1600, max(1, round(48 * scale))
    norm = [(width,), (width,)]
    attention = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    rest = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    vocabulary = max(1, int(50257 * min(1.0, 2 * scale)))
    return [(vocabulary, width), (1024, width), *[*norm, *attention, *norm, *rest] * layers, *norm]


@dataclass(frozen=True, slots=True)
class Measured:
    """One contestant: the median of its steps in seconds, and its first step with all that is compiled for it.

    Attributes:
        bandwidth: of the bytes that a step has to move, as a part of a copy's.
        kernels: that a step starts; None if that cannot be told.
        waits: whether a step waits for the device; None if that cannot be told.
    """

    optimizer: str
    workload: str
    dtype: str
    who: str
    median: float
    first: float
    bandwidth: float
    kernels: int | None
    waits: bool | None


def contestants(
    optimizer: str, shapes: list[tuple[int, ...]], dtype: str, device: str, compiled: bool
) -> tuple[dict[str, Step], Callable[[], int]]:
    """Who takes part, by name, optgen first; and, after a step, the bytes that one of optgen has to move."""
    _, _, own, theirs, extra = OPTIMIZERS[optimizer]
    kind = getattr(torch, dtype)
    parameters = [torch.nn.Parameter(torch.randn(shape, device=device, dtype=kind)) for shape in shapes]
    for p in parameters:
        p.grad = torch.full_like(p, 1e-3)
    ours = own(parameters, lr=1e-5, **extra)
    found: dict[str, Step] = {"optgen": ours.step}
    # Where the dialect has them, steps that the device counts, which graphs can capture.
    if device == "cuda" and "capturable" in own.__signature__.parameters:
        captured = own(parameters, lr=1e-5, **extra, capturable=True)
        captured.step()
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            captured.step()
        found["optgen, graph"] = functools.partial(_replay, graph, captured)
    if theirs is not None:
        for name, arguments in {"fused": {"fused": True}, "foreach": {"foreach": True}}.items():
            if name == "foreach" or optimizer in FUSED:
                found[f"torch {name}"] = theirs(parameters, lr=1e-5, **extra, **arguments).step
        if compiled:
            torch._dynamo.reset()
            found["torch.compile"] = torch.compile(theirs(parameters, lr=1e-5, **extra).step)

    def moved() -> int:
        state = [v for kept in ours.state.values() for v in kept.values() if isinstance(v, torch.Tensor)]
        size = sum(p.numel() * p.element_size() for p in parameters)
        return 3 * size + 2 * sum(v.numel() * v.element_size() for v in state)

    return found, moved


def _replay(graph: torch.cuda.CUDAGraph, _: torch.optim.Optimizer) -> None:
    """A captured step; the optimizer is held since its tables are what the graph reads."""
    graph.replay()


def jax_contestants(optimizer: str, shapes: list[tuple[int, ...]], dtype: str) -> dict[str, Step]:
    """optgen's and optax's transformations under jit, with donated buffers."""
    own, theirs, *_ = OPTIMIZERS[optimizer]
    found: dict[str, Step] = {}
    for who, tx, apply in (
        ("optgen, jax", own(1e-5), optgen.optax.apply_gradients),
        ("optax", theirs(1e-5), two_calls),
    ):
        params, gradients = arrays(shapes, dtype, 0), arrays(shapes, dtype, 1)
        held = [(params, jax.jit(tx.init)(params))]
        step = functools.partial(
            jax.jit(lambda p, s, g, tx=tx, apply=apply: apply(tx, g, s, p), donate_argnums=(0, 1)), g=gradients
        )

        def run(held: list[Any] = held, step: Any = step) -> None:
            held[0] = jax.block_until_ready(step(*held[0]))

        found[who] = run
    return found


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(step: Step, device: str, steps: int) -> float:
    """Seconds of a step, of several in a row."""
    finish(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    finish(device)
    return (time.perf_counter() - start) / steps


def copy_bandwidth(device: str, size: int) -> float:
    """Bytes per second that a copy on the device reads and writes."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    times = [timed(lambda: target.copy_(source), device, 5) for _ in range(10)]
    return 2 * source.numel() * 4 / statistics.median(times[1:])


def kernels_of(step: Step) -> int:
    """How many kernels a step starts."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        step()
        torch.cuda.synchronize()
    return sum(event.device_type == DeviceType.CUDA and "Mem" not in event.name for event in seen.events())


def waits(step: Step) -> bool:
    """Whether a step waits for the device."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def compare(
    optimizer: str, workload: str, dtype: str, device: str, scale: float, turns: int, compiled: bool
) -> list[Measured]:
    """All contestants in turns."""
    shapes = shapes_of(workload, scale)
    running, moved = contestants(optimizer, shapes, dtype, device, compiled)
    if jax.default_backend() == "gpu":
        running |= jax_contestants(optimizer, shapes, dtype)
    first = {who: timed(step, device, 1) for who, step in running.items()}
    size = sum(math.prod(shape) for shape in shapes)
    steps = 5 if size > 10**8 else 20
    copied = copy_bandwidth(device, min(2**32, max(2**20, 4 * size)))
    times: dict[str, list[float]] = {who: [] for who in running}
    for _ in range(turns):
        for who, step in running.items():
            times[who].append(timed(step, device, steps))
    found = []
    for who, step in running.items():
        median = statistics.median(times[who])
        is_torch = device == "cuda" and who not in ("optgen, jax", "optax")
        found.append(
            Measured(
                optimizer,
                workload,
                dtype,
                who,
                median,
                first[who],
                moved() / median / copied,
                kernels_of(step) if is_torch else None,
                waits(step) if is_torch else None,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizer", choices=CHOSEN, action="append")
    parser.add_argument("--workload", choices=WORKLOADS, action="append")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], action="append")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the large workloads: 0.1 for a tenth of the memory"
    )
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--device", default="cuda", help="cpu to see whether it runs")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well: up to minutes each")
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU; --device cpu tries the comparison out")
    # What jax takes of the memory beforehand, torch would lack.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)
    columns = (
        "optimizer",
        "workload",
        "dtype",
        "who",
        "ms",
        "times optgen's",
        "of a copy",
        "kernels",
        "waits",
        "first s",
    )
    table = Table(*columns)
    results: list[Measured] = []
    for dtype in chosen.dtype or ["float32", "bfloat16"]:
        for workload in chosen.workload or WORKLOADS:
            for optimizer in chosen.optimizer or CHOSEN:
                found = compare(optimizer, workload, dtype, chosen.device, chosen.scale, chosen.turns, chosen.compile)
                results += found
                for one in found:
                    table.add_row(
                        optimizer,
                        workload,
                        dtype,
                        one.who,
                        f"{one.median * 1e3:.3f}",
                        f"{one.median / found[0].median:.2f}",
                        f"{one.bandwidth:.2f}",
                        "" if one.kernels is None else str(one.kernels),
                        "" if one.waits is None else "yes" if one.waits else "no",
                        f"{one.first:.2f}",
                    )
                if chosen.out:
                    write(results, chosen)
    Console(width=150).print(table)


def write(results: list[Measured], chosen: argparse.Namespace) -> None:
    """Put what has been measured into a file."""
    machine = {
        "device": torch.cuda.get_device_name() if chosen.device == "cuda" else "cpu",
        "date": datetime.date.today().isoformat(),
        "scale": chosen.scale,
        "torch": torch.__version__,
        "jax": jax.__version__,
        "optax": optax.__version__,
    }
    try:
        import triton

        machine["triton"] = triton.__version__
    except ImportError:
        pass
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
