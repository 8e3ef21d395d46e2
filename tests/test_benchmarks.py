"""What the documents say about speed is what was measured."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def test_tables_are_those_of_the_file(monkeypatch):
    spec = importlib.util.spec_from_file_location("bench", ROOT / "tools" / "bench.py")
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench", bench)
    spec.loader.exec_module(bench)
    results = bench.read(bench.SEEN)
    by_dtype = {dtype: [r for r in results if r.dtype == dtype] for dtype in ("float32", "bfloat16")}
    page = (ROOT / "docs" / "benchmarks" / "README.md").read_text()
    for measured in by_dtype.values():
        assert bench.markdown(measured) in page
    expected = {(o, w) for o in bench.OPTIMIZERS for w in bench.WORKLOADS}
    for library in ("jax", "torch"):
        assert {(r.optimizer, r.workload) for r in by_dtype["float32"] if r.library == library} == expected


def test_the_comparison_for_a_gpu_runs(tmp_path: Path) -> None:
    """On this machine's processor: what it compares is another question."""
    command = [sys.executable, "tools/bench_gpu.py", "--device", "cpu", "--scale", "1e-6", "--turns", "1"]
    command += ["--workload", "large", "--optimizer", "adamw", "--optimizer", "custom", "--dtype", "bfloat16"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "gpu.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert [(one["optimizer"], one["who"]) for one in results] == [
        ("adamw", "optgen"),
        ("adamw", "torch fused"),
        ("adamw", "torch foreach"),
        ("custom", "optgen"),
    ]
    assert all(one["median"] > 0 and one["bandwidth"] > 0 for one in results)
    without = subprocess.run(
        [*command[:2], "--workload", "large"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert torch.cuda.is_available() or (without.returncode == 2 and "there is no GPU" in without.stderr)
