"""How much memory a native step takes besides parameters, gradients and state, as a part of the state.

    python tools/measure_memory.py

The process's own peak, before and after steps of one tensor of 30 M numbers and of a matrix as large.
"""

from __future__ import annotations

import subprocess
import sys

NAMES = ("AdamW", "SGD", "Lion", "Lamb", "NAdam", "RAdam", "Adafactor", "SM3", "Novograd")

STEPS = """
import resource, sys, torch, optgen.torch
name, shape = sys.argv[1], tuple(map(int, sys.argv[2].split(",")))
p = torch.nn.Parameter(torch.ones(shape))
p.grad = torch.ones(shape)
arguments = {"momentum": 0.9} if name == "SGD" else {}
optimizer = getattr(optgen.torch, name)([p], lr=1e-3, **arguments)
optimizer.step()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
# What the first step took to start the state is gone by now; it is taken up again, so that the peak is of these steps.
open("/proc/self/clear_refs", "w").write("5")
before = peak()
for _ in range(3):
    optimizer.step()
kept = [v for kept in optimizer.state.values() for v in kept.values() if torch.is_tensor(v)]
state = sum(v.numel() * v.element_size() for v in kept)
print((peak() - before) / max(state, p.numel() * 4))
"""


def main() -> None:
    for name in NAMES:
        for shape in ("30000000", "6000,5000"):
            run = [sys.executable, "-c", STEPS, name, shape]
            done = subprocess.run(run, capture_output=True, text=True, check=True)
            print(f"{name} {shape}: {100 * float(done.stdout):.2f} % of the state")


if __name__ == "__main__":
    main()
