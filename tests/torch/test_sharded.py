"""Parameters that two processes share: the step of whole tensors, or a refusal by name in both processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import optgen.torch
from tests.torch.test_front_end import CLASSES

REPOSITORY = Path(__file__).parents[2]

#: What FullyShardedDataParallel's flat parameters cannot give: a tensor as a whole.
OF_TENSORS = {"Adafactor", "Fromage", "Lamb", "Lars", "Novograd", "SM3", "mean", "rows", "largest", "branch", "history"}
OF_MODEL = {"LBFGS", "Prodigy", "clipped"}
#: What has states of another shape than the parameter, which are no DTensors.
APART = {"Adafactor", "LBFGS", "Novograd", "SM3", "history"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Findings of each of two processes."""
    folder = tmp_path_factory.mktemp("sharded")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    script = [sys.executable, "-W", "ignore", "tests/torch/sharded.py"]
    processes = [
        subprocess.Popen(
            [*script, str(rank), str(folder / "init"), str(folder / f"{rank}.json")],
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        told = [process.communicate(timeout=900)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(text[-2000:] for text in told)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def check(found, kind, refused):
    """Refusals happen in both processes and by optgen's own error; all else is what whole tensors give."""
    for results in found:
        told = {name: value for name, value in results[kind].items() if isinstance(value, str)}
        assert set(told) == refused
        assert all(value.startswith("UnsupportedSharding: ") for value in told.values())
        wrong = {n: v for n, v in results[kind].items() if n not in told and not v < 1e-12}
        assert wrong == {}


def test_dtensors(found):
    placed = [f"{label} S(0)" for label in ("even", "uneven", "empty")] + ["even R"]
    check(found, "dtensors", {f"{name} {label}" for name in APART for label in placed} | {"largest empty S(0)"})
    assert {name.split()[0] for name in found[0]["dtensors"]} > set(CLASSES)


def test_fully_shard(found):
    check(found, "fully_shard", APART)


def test_formats_of_dtensors(found):
    check(found, "formats", {"bfloat16", "8bit", "8bit_stochastic"})


@pytest.mark.parametrize("kind", ["flat", "flat with original parameters"])
def test_flat_parameters(found, kind):
    check(found, kind, OF_TENSORS | OF_MODEL)


def test_zero_redundancy_optimizer(found):
    check(found, "zero", OF_MODEL)


def test_steps_that_are_not_finite_are_left_out_by_all_processes_or_none(found):
    for results in found:
        skipping = results["skipping"]
        assert skipping["fully_shard"] == [1, pytest.approx(0.0, abs=1e-12)]
        assert skipping["flat"].startswith("UnsupportedSharding: AdamW: skip_nonfinite=True")
        assert skipping["zero"].startswith("UnsupportedSharding: AdamW: skip_nonfinite=True")


def test_dtensors_beside_plain_tensors(found):
    for results in found:
        assert results["mixed"] == {
            "joint": "UnsupportedSharding: Prodigy: the rule reduces over DTensors and plain tensors of one group "
            "together",
            "gradient": "TreeMismatch: AdamW: a gradient is a plain tensor, and its parameter a DTensor",
            "state": "TreeMismatch: AdamW: the state of parameter 0: 'exp_avg' is a plain tensor, its parameter a "
            "DTensor",
        }


def test_a_group_that_is_refused_is_not_added():
    first, flat = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = optgen.torch.Lamb([first])
    flat._fsdp_flattened = flat._is_flat_param = True
    with pytest.raises(NotImplementedError, match="Lamb: the rule depends on each tensor as a whole"):
        optimizer.add_param_group({"params": [flat]})
    assert [group["params"] for group in optimizer.param_groups] == [[first]]
    first._fsdp_flattened = first._is_flat_param = True
    first.grad = torch.ones(3)
    with pytest.raises(NotImplementedError, match="flat parameter of FullyShardedDataParallel"):
        optimizer.step()
    assert torch.equal(first.detach(), torch.ones(3))
