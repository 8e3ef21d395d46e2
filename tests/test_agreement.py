"""docs/agreement.md and the command that writes it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from optgen._paths import specs_folder
from optgen.language.reader import read_spec

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "agreement.md").read_text()


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("measure_agreement", ROOT / "tools" / "measure_agreement.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["measure_agreement"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_has_every_optimizer_and_option(tool):
    rows = re.findall(r"^\| (\w+) \| (\w+) \|", PAGE, re.MULTILINE)[1:]
    specs = [read_spec(path) for path in sorted(specs_folder().glob("*.toml"))]
    wanted = [(s.name, case.label) for s in specs if not s.inputs and not s.wraps for case in tool.cases_of(s)]
    assert rows == wanted


def test_generated_code_agrees_with_every_documented_equation():
    rows = [row.split(" | ") for row in re.findall(r"^\| \w+ \| \w+ \| .*$", PAGE, re.MULTILINE)][1:]
    assert {row[2] for row in rows} == {"same"}


@pytest.mark.parametrize(("name", "cell"), [("lion", "same"), ("rprop", r"\*\*\d")])
def test_the_measurement_tells_same_from_different(tool, name, cell):
    """optax's Lion is the documented rule, its Rprop is one call late."""
    row = tool.rows_of(read_spec(specs_folder() / f"{name}.toml"), {"optax": "installed"})[0]
    assert row[2] == "same"
    assert re.match(cell, row[3])
