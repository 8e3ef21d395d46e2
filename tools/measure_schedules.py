"""How closely schedules follow those of other libraries, over their first 1,000 steps.

The largest difference relative to the library's own value in float64: of the plain Python function, of the jitted one
in float64, and of the jitted one in float32, where correct rounding alone makes 6e-8. optax runs in float64; torch's
schedulers are moved on step by step; braintools' and brainpy's values are those that the tests hold. Last, optax's own
float32 beside its float64.

Run: python tools/measure_schedules.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from optgen.schedules.manifests import spelled
from optgen.schedules.schedule import Schedule, spelled_schedule
from tests.schedules import test_brain_schedules, test_optax_schedules, test_torch_schedules
from tests.schedules.comparison import in_every_way, worst

STEPS = range(1001)


def mapped(schedule: Callable[[Any], Any]) -> np.ndarray:
    """The values at all steps, of jax's default dtype; without jit, whose division by constants rounds twice."""
    values = jax.vmap(lambda t: jnp.asarray(schedule(t), float))(jnp.arange(len(STEPS)))
    return np.broadcast_to(np.asarray(values), len(STEPS))


def row(schedule: Schedule, reference: Sequence[float], steps: Sequence[int]) -> list[float]:
    """The differences of one schedule: host, float64, float32."""
    found = in_every_way(schedule, steps)
    scale = max(abs(value) for value in reference)
    return [worst(found[way], reference, scale) for way in ("host", "jit of vmap", "float32")]


def main() -> None:
    """Print the table."""
    seen: dict[tuple[str, str], list[float]] = {}

    def note(library: str, name: str, values: list[float]) -> None:
        key = (spelled(library)[name][0].name, f"{library}.{name}")
        seen[key] = [max(pair) for pair in zip(seen.get(key, [0.0] * len(values)), values, strict=True)]

    with jax.enable_x64(True):
        for name, args, kwargs in test_optax_schedules.CASES:
            theirs = getattr(optax, name)(*args, **kwargs)
            reference = mapped(theirs)
            values = row(spelled_schedule("optax", name)(*args, **kwargs), reference, STEPS)
            with jax.enable_x64(False):
                own = worst(mapped(theirs), reference, float(np.max(np.abs(reference))))
            note("optax", name, [*values, own])
        for name, arguments in test_torch_schedules.CASES:
            reference = test_torch_schedules.recursive(name, arguments)
            note("torch", name, [*row(test_torch_schedules.ours(name, arguments), reference, STEPS), 0.0])
        for case in test_brain_schedules.RECORDED["cases"]:
            library, name = case["library"], case["name"]
            if library == "brainpy":
                schedule = spelled_schedule(library, name)(**case["arguments"])
            else:
                import optgen.optim

                schedule = getattr(optgen.optim, name)(**case["arguments"]).schedule
            note(library, name, [*row(schedule, case["values"], test_brain_schedules.STEPS), 0.0])
    table = Table("schedule", "against", "host", "float64", "float32", "optax's own float32")
    for column in table.columns:
        column.no_wrap = True
    for (schedule_name, other), values in sorted(seen.items()):
        last = f"{values[3]:.1e}" if other.startswith("optax.") else ""
        table.add_row(schedule_name, other, *(f"{value:.1e}" for value in values[:3]), last)
    Console().print(table)


if __name__ == "__main__":
    main()
