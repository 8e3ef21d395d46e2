"""From the equations of a rule to the end of its first step on a model of 145 tensors, 90 M parameters: seconds.

    python tools/measure_first_step.py

Each figure is of a process of its own and an empty cache, with the compiler of C in it. A step of another rule comes
first: what that imports, and the driver that it compiles, are the same for all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

PARTS = {
    "torch": """
params = [torch.nn.Parameter(torch.zeros(s)) for s in shapes]
other = torch.nn.Parameter(torch.zeros(5000))
other.grad = torch.ones(5000)
optgen.torch.SGD([other]).step()
for p in params: p.grad = torch.ones_like(p)
start = time.perf_counter()
made = optgen.define(*RULE, lr=1e-3, beta1=0.96, beta2=0.99, gamma=0.01, eps=1e-12)
made.torch(params).step()
""",
    "jax": """
params, grads = [jnp.zeros(s) for s in shapes], [jnp.ones(s) for s in shapes]
tx = optgen.optax.sgd(0.1)
first = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p))
jax.block_until_ready(first(params, tx.init(params), grads))
start = time.perf_counter()
made = optgen.define(*RULE, lr=1e-3, beta1=0.96, beta2=0.99, gamma=0.01, eps=1e-12)
tx = made.optax()
state = jax.jit(tx.init)(params)
step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
jax.block_until_ready(step(params, state, grads))
""",
}

HEAD = '''
import time, warnings
import jax, jax.numpy as jnp, torch, optgen, optgen.optax, optgen.torch
layer = [(768,), (768,), (768, 2304), (2304,), (768, 768), (768,)]
layer += [(768,), (768,), (768, 3072), (3072,), (3072, 768), (768,)]
shapes = [(7000, 768), *layer * 12]
RULE = ("capped", """
m[t] = beta1*m[t-1] + (1 - beta1)*g
h[t] = beta2*h[t-1] + (1 - beta2)*g**2
theta[t] = theta[t-1] - lr*clip(m[t]/max(gamma*h[t], eps), -1, 1)
""")
'''


def main() -> None:
    for library, part in PARTS.items():
        seconds = []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as cache:
                text = f"{HEAD}{part}print(time.perf_counter() - start)"
                environment = {**os.environ, "OPTGEN_CACHE": cache}
                run = [sys.executable, "-c", text]
                done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
                seconds.append(float(done.stdout))
        print(f"{library}: {sorted(seconds)[1]:.2f} s")


if __name__ == "__main__":
    main()
