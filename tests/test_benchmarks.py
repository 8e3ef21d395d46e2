"""What the documents say about speed is what was measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

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
    assert bench.markdown(by_dtype["float32"]) in (ROOT / "README.md").read_text()
    assert bench.markdown(by_dtype["bfloat16"]) in (ROOT / "docs" / "native.md").read_text()
    expected = {(o, w) for o in bench.OPTIMIZERS for w in bench.WORKLOADS}
    for library in ("jax", "torch"):
        assert {(r.optimizer, r.workload) for r in by_dtype["float32"] if r.library == library} == expected
