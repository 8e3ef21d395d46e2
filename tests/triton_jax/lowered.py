"""Steps lowered for a GPU where there is none: what XLA is told to call, and what stands behind the call.

    python -m tests.triton_jax.lowered NAME...

Prints one JSON object: for each transformation of optgen.optax how many calls a step makes, how many of their results
are made over arguments, how many launches of machine code stand behind them, and how many arrays the step may write
over.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
from triton.backends.compiler import GPUTarget

import optgen.optax
from optgen.runtime.jax import kernel_starts
from optgen.runtime.jax import kernel_variant as jax_kernels
from optgen.runtime.jax import triton as triton_jax

SHAPES = {"w": (130, 140), "b": (37,), "s": ()}


def main() -> None:
    # This machine stands for one with a GPU, where nothing runs.
    jax_kernels.platform = lambda: "gpu"
    triton_jax.gpu = lambda: GPUTarget("cuda", 90, 32)
    kernel_starts.library = lambda: None
    kernel_starts.register_function = lambda *_: lambda *_: 0
    found: dict[str, Any] = {}
    for name in sys.argv[1:]:
        kernel_starts._REGISTERED.clear()
        tx = getattr(optgen.optax, name)(lambda count: 0.1 / (1 + count))
        params = {key: jnp.ones(shape) for key, shape in SHAPES.items()}
        state = tx.init(params)
        step = jax.jit(lambda p, s, g, tx=tx: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
        text = step.trace(params, state, params).lower(lowering_platforms=("cuda",)).as_text()
        calls = re.findall(r"custom_call @optgen_triton.*", text)
        told, images, *_ = zip(*kernel_starts._REGISTERED.values(), strict=True)
        assert all(image[:4] == b"\x7fELF" for some in images for image in some)
        found[name] = {
            "calls": len(calls),
            "aliases": sum(call.count("output_operand_alias<") for call in calls),
            "launches": sum(int(words[5]) for words in told),
            "donated": text.count("tf.aliasing_output") + text.count("jax.buffer_donor"),
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
