"""Settings of every test: float64 in jax, so that targets can be compared to 1e-12."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    # Around each test, not once: importing brainstate switches float64 off.
    with jax.enable_x64(True):
        yield
