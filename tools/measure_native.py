"""How a step by native kernels compares with the jax target's, for every rule of the catalogue.

    python tools/measure_native.py                  about five minutes
    python tools/measure_native.py adam lion

Under jit with donated arrays, float32, in turns in one process; medians. The workloads are the large ones of bench.py.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from typing import Any

import bench
import jax
import jax.numpy as jnp

from optgen.catalogue.entry import catalogue_entry
from optgen.catalogue.manifests import catalogue_names
from optgen.runtime.jax.kernel_variant import KernelJaxVariant
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.state import PARAMETER_FORM, ModelState


def steps(name: str, shapes: list[tuple[int, ...]], made: Any) -> Iterator[float]:
    """The seconds of each step of an optimizer's default variant."""
    entry = catalogue_entry(name)
    values = {h.name: h.default for h in entry.manifest.hyperparameters}
    variant = entry.variant({option.name: option.default for option in entry.manifest.options}, values)
    fixed = {n: 1e-3 if values[n] is None else values[n] for n in variant.info.hyperparameters}
    kinds = {declared.name: declared.kind for declared in entry.manifest.inputs}

    def step(parameters: Any, state: Any, gradients: Any, t: Any, inputs: Any) -> Any:
        found, after = made(variant, gradients, ModelState(*state), parameters, t, fixed, inputs, PARAMETER_FORM)
        return found, (after.tensors, dict(after.shared))

    parameters = bench.arrays(shapes, "float32", 0)
    gradients = bench.arrays(shapes, "float32", 1)
    first = variant.init(parameters, fixed)
    state = (first.tensors, dict(first.shared))
    inputs = {n: gradients if kinds[n] == "element" else jnp.float32(1.5) for n in variant.info.inputs}
    compiled = jax.jit(step, donate_argnums=(0, 1))
    t = 0
    while True:
        t += 1
        parameters, state = yield from bench.timed(compiled, parameters, state, gradients, jnp.int32(t), inputs)


def main() -> None:
    for name in sys.argv[1:] or catalogue_names():
        for workload in ("large", "model"):
            shapes = bench.WORKLOADS[workload]
            if name == "lbfgs":  # its state is twenty times the model
                shapes = [(768, 768)] * 8 if workload == "model" else [(5_000_000,)]
            running = {"native": KernelJaxVariant.step, "jax": JaxVariant.step}
            turns = {who: steps(name, shapes, made) for who, made in running.items()}
            for one in turns.values():
                next(one)
            found: dict[str, list[float]] = {who: [] for who in turns}
            for _ in range(4):
                for who, one in turns.items():
                    found[who] += bench.turn(one)
            native, arrays = (statistics.median(found[who]) for who in turns)
            print(
                f"{name}, {workload}: {native * 1e3:.1f} ms, the jax target {arrays / native:.2f} times that",
                flush=True,
            )


if __name__ == "__main__":
    main()
