"""Save, stop, start again in a new process, load, go on: bit for bit what a run gives that never stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(mode, file):
    command = [sys.executable, str(Path(__file__).with_name("resume.py")), mode, str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(line.split() for line in done.stdout.splitlines())


def test_every_factory_goes_on_where_it_stopped(tmp_path):
    without_a_stop = run("run", tmp_path / "saved")
    assert len(without_a_stop) > 35
    assert run("resume", tmp_path / "saved") == without_a_stop
