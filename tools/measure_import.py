"""How long importing a front-end takes beyond jax and optax: medians over fresh processes.

Run: python tools/measure_import.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from rich.console import Console
from rich.table import Table

RUNS = 7
SCRIPT = """
import time
import jax, jax.numpy, optax
started = time.perf_counter()
import {module}
dir({module})
print(time.perf_counter() - started)
"""


def seconds(module: str) -> float:
    """The median time to import a module and make its optimizers known, once jax and optax are loaded."""
    times = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(module=module)], capture_output=True, text=True, check=True
        )
        times.append(float(done.stdout))
    return statistics.median(times)


if __name__ == "__main__":
    table = Table("front-end", "seconds beyond jax and optax")
    for name in ("optgen.optax", "optgen.optim"):
        table.add_row(name, f"{seconds(name):.3f}")
    Console().print(table)
