"""Folders of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from optgen.language.starter import starter_spec
from tests.cli.specs import PLAIN


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "40")  # nothing that is piped may depend on it


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "plain.toml").write_text(PLAIN)
    (folder / "starter.toml").write_text(starter_spec("starter"))
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "generated"
