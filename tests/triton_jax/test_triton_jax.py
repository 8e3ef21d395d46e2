"""Steps inside jit by Triton kernels: interpreted, and lowered for a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from optgen.catalogue.manifests import catalogue_names
from optgen.runtime.jax.static_arguments import platform

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

REPOSITORY = Path(__file__).parents[2]
BATCHES = [catalogue_names()[start::4] for start in range(4)]


def run_script(name: str, *arguments: str) -> Any:
    """What one of the scripts beside this file prints."""
    command = [sys.executable, "-m", f"tests.triton_jax.{name}", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def check(found: dict[str, Any], tolerance: float) -> None:
    for name, one in found.items():
        assert one["difference"] <= tolerance, name
        # Histories are left to the jax target.
        assert (one["launches"] > 0) is (name != "lbfgs"), name


@pytest.mark.parametrize("names", BATCHES, ids="-".join)
def test_the_same_as_the_jax_target(names: list[str]) -> None:
    """XLA's call, the C that makes it and the kernels, on tensors of every kind of shape; donated arrays in place."""
    found = run_script("interpreted", "float32", *names)
    check(found, 5e-7)
    assert {name.split("(")[0] for name in found} == set(names)
    assert found.get("adamw({})", {"launches": 2})["launches"] == 2


@pytest.mark.parametrize(
    "names", [["adafactor", "lamb", "nadam"], *(pytest.param(b, marks=pytest.mark.slow) for b in BATCHES)], ids="-".join
)
def test_the_same_in_float64(names: list[str]) -> None:
    """The difference is one of rounding."""
    check(run_script("interpreted", "float64", *names), 1e-14)


def test_parts_of_tensors_on_two_devices() -> None:
    """Each device starts kernels of its own, for the numbers of the step and for its parts, where it has all it needs.

    Norms of whole tensors are combined by XLA, and so is everything where only XLA knows how arrays are split.
    """
    found = run_script("interpreted", "shards")
    assert {way: one["launches"] for way, one in found.items()} == {
        "adamw, manual": 4,
        "novograd, manual": 6,
        "adamw, explicit": 4,
        "lamb, explicit": 0,
        "adamw, auto": 0,
    }
    assert max(one["difference"] for one in found.values()) <= 5e-7


def test_a_step_that_is_run_where_it_was_not_traced_for() -> None:
    """The CPU beside a GPU has no kernels."""
    said = run_script("interpreted", "elsewhere")["said"]
    assert "this step was traced for a GPU and is run on another device" in said


def test_the_default_device_is_what_steps_are_traced_for() -> None:
    """As a device, or by name."""
    assert platform() == "cpu"
    for device in (jax.devices()[0], "cpu"):
        with jax.default_device(device):
            assert platform() == "cpu"
    with jax.default_device("gpu"):
        assert platform() == "gpu"


def test_what_xla_is_told_to_call() -> None:
    """Lowered for CUDA: a call for the numbers of the step and one for the tensors, over what is donated."""
    found = run_script("lowered", "adamw", "lamb", "adafactor")
    # Parameters and two moments of three tensors, and the numbers of the step.
    assert found["adamw"] == {"calls": 2, "aliases": 10, "launches": 2, "donated": 11}
    assert found["lamb"] == {"calls": 2, "aliases": 10, "launches": 3, "donated": 11}
    # Two cases: each has numbers of the step. Rows and columns are written anew.
    assert (found["adafactor"]["calls"], found["adafactor"]["aliases"]) == (3, 7)
