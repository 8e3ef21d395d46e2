"""How long a jitted step takes to trace and compile, by the number of tensors, beside optax's.

python tools/measure_compile.py [--counts 100 300 1000] [--rule adamw] [--length 64]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import optgen.optax
from optgen.optax import apply_gradients


def seconds(step: Callable[..., Any], donated: tuple[int, ...], *arrays: Any) -> tuple[float, float, int]:
    """Of tracing and of XLA, and how many calls of C there are in the program."""
    jax.clear_caches()
    start = time.perf_counter()
    lowered = jax.jit(step, donate_argnums=donated).lower(*arrays)
    traced = time.perf_counter()
    lowered.compile()
    return traced - start, time.perf_counter() - traced, lowered.as_text().count("custom_call @optgen_native")


def measure(rule: str, count: int, length: int, donated: tuple[int, ...]) -> dict[str, tuple[float, float, int]]:
    """The times of optax, of optgen's arrays and of its kernels, by name."""
    params = [jnp.ones(length) for _ in range(count)]
    found = {}

    def step_of_optax(params: Any, state: Any, grads: Any) -> Any:
        updates, state = theirs.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def step_of_optgen(params: Any, state: Any, grads: Any) -> Any:
        return apply_gradients(ours, grads, state, params)

    theirs, ours = getattr(optax, rule)(1e-3), getattr(optgen.optax, rule)(1e-3)
    found["optax"] = seconds(step_of_optax, donated, params, theirs.init(params), params)
    for backend in ("arrays", "native"):
        os.environ["OPTGEN_BACKEND"] = backend
        found[backend] = seconds(step_of_optgen, donated, params, ours.init(params), params)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--rule", default="adamw")
    parser.add_argument("--length", type=int, default=64, help="numbers in each tensor")
    given = parser.parse_args()
    print(f"{given.rule}: seconds of tracing + seconds of XLA")
    for count in given.counts:
        for name, donated in (("donated", (0, 1)), ("kept", ())):
            for by, (traced, compiled, calls) in measure(given.rule, count, given.length, donated).items():
                told = f", {calls} calls of C" if calls else ""
                print(f"{count:6} tensors, {name:8} {by:8} {traced:6.2f} + {compiled:6.2f}{told}", flush=True)


if __name__ == "__main__":
    main()
