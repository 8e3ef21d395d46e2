"""`optgen.torch` by Triton kernels, in Triton's interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import optgen.torch
from optgen.errors import NoCompiler

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

REPOSITORY = Path(__file__).parents[2]

#: Class → launches of one step for the whole model; None: it depends on the shapes. Where a rule folds over tensors,
#: they are for partial results, and for the parameters.
LAUNCHES = {"AdamW": 1, "SGD": 1, "Lion": 1, "NAdam": 1, "Rprop": 1, "Lamb": 2, "Adafactor": None, "SM3": None}


@pytest.mark.parametrize("names", [["AdamW", "NAdam", "Lamb"], ["SGD", "Lion", "Rprop"], ["Adafactor", "SM3"]])
def test_steps_are_those_of_torchs_own_functions(names):
    command = [sys.executable, "-m", "tests.torch.triton_steps", *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for name, found in json.loads(done.stdout).items():
        for way in ("plain", "apart", "unaligned"):
            assert found[way] <= 2e-15, (name, way)
        # Also in the mixed model, where no number lies so near a tie that float16 would round it in two ways.
        assert max(found["float32"], found["mixed"]) <= 5e-7, name
        assert (found["run"], found["held"], found["sent"]) == (4, 0, 0)
        for parameters, differing, numbers, run in found["formats"].values():
            assert run == 2
            assert parameters <= 2e-6
            assert differing <= 0.005 * numbers
            assert numbers > 5000
        if LAUNCHES[name] is not None:
            assert (found["start"], found["prepared"]) == (4 * LAUNCHES[name], 1)


def test_where_kernels_cannot_run(monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    with pytest.raises(NoCompiler, match="Triton kernels run on a GPU; on the CPU TRITON_INTERPRET=1"):
        optgen.torch.SGD([weight], lr=0.1).step()
    assert torch.equal(weight.detach(), torch.ones(3))


@pytest.mark.parametrize("names", [["AdamW", "NAdam"], ["SGD", "Lamb"]])
def test_steps_that_the_device_alone_counts(names):
    """`capturable=True` and `fused=True`: the same numbers, and nothing asks the host, nor where a step is left out."""
    command = [sys.executable, "-m", "tests.torch.triton_device", *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for name, ways in json.loads(done.stdout).items():
        for way, found in ways.items():
            if (name, way) == ("SGD", "capturable"):
                # torch's SGD knows no such argument.
                continue
            assert found["difference"] <= 1e-6, (name, way)
            # All but the first, and one more after a checkpoint is loaded; and none where counts differ.
            numbered = {"saved": 4, "counts changed": 5 if name == "SGD" else 2}.get(way, 5)
            assert found["numbered"] == numbered, (name, way)
            assert found["asked"] == 0, (name, way)


def test_what_no_graph_can_capture(monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    with pytest.raises(NotImplementedError, match=r"Prodigy: no graph can capture .* numbers of the whole model"):
        optgen.torch.Prodigy([weight], capturable=True).step()
    monkeypatch.setenv("OPTGEN_BACKEND", "auto")
    with pytest.raises(AssertionError, match="capturable=True takes parameters on an accelerator, not on cpu"):
        optgen.torch.AdamW([weight], capturable=True).step()
