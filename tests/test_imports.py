"""What a training script loads when it imports a front-end."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("sympy", "jinja2", "triton", "torch", "click", "rich")


@pytest.mark.parametrize("front_end", ["optgen.optax", "optgen.optim", "optgen.brainpy"])
def test_a_front_end_loads_neither_compiler_nor_torch(front_end):
    script = f"""
import sys
import {front_end}
from optgen.optax import adamw
from optgen.optim import AdamW
adamw(0.1).init(__import__("jax").numpy.ones(3))
print([name for name in {HEAVY!r} if name in sys.modules])
print(sorted(name for name in sys.modules if name.startswith(("optgen.compiler.analyse", "optgen.compiler.simplify"))))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_errors_load_no_table_of_entities():
    script = "import sys, optgen.errors; print('html' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
