"""Settings of every test: float64 in jax, so that targets can be compared to 1e-12; and one thread for each process."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Two test processes with a thread for each core would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import pytest


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    # Around each test, not once: importing brainstate switches float64 off.
    with jax.enable_x64(True):
        yield
