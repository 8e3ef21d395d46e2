"""Save, stop, start again in a new process, load, go on: bit for bit what a run gives that never stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def told(*arguments: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(Path(__file__).with_name("resume.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize(("front_end", "least"), [("optim", 29), ("brainpy", 12)])
def test_every_optimizer_goes_on_as_if_it_had_not_stopped(front_end, least, tmp_path):
    file = str(tmp_path / "saved")
    whole = told("run", front_end, file)
    assert "not finite" not in whole.values()
    assert len(whole) >= least
    assert told("resume", front_end, file) == whole
