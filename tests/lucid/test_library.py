"""`optgen.lucid` beside lucid itself, where an interpreter that has lucid is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

#: Where lucid is looked for: where the user says, what `make lucid` made, and this interpreter.
PLACES = [os.environ.get("LUCID_PYTHON", ""), str(REPOSITORY / ".venv-lucid/bin/python"), sys.executable]


def interpreter():
    """An interpreter that imports lucid and what optgen needs; None if there is none."""
    for place in PLACES:
        if place and (place == sys.executable or Path(place).is_file()):
            command = [place, "-c", "import lucid.optim, msgspec, platformdirs"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return place
    return None


def test_equals_lucid():
    python = interpreter()
    if python is None:
        pytest.skip("lucid is not here: it needs Python 3.13; `make lucid` sets it up in .venv-lucid")
    done = subprocess.run(
        [python, str(Path(__file__).with_name("library.py"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) > 25
    assert {key: value for key, value in found.items() if not value <= 1e-12} == {}
