"""CONTRIBUTING.md: its tree and its table name every folder of the package, and all paths exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
TREE = PAGE.split("## The tree")[1].split("```")[1]
TABLE = PAGE.split("## Changed X")[1].split("\n## ")[0]
FOLDERS = sorted(path.parent.name for path in ROOT.glob("optgen/*/__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_in_the_tree_and_in_the_table(folder):
    assert re.search(rf"\b{folder}/", TREE)
    assert f"`optgen/{folder}/`" in TABLE


def test_the_tree_and_the_table_name_nothing_else():
    inside = TREE.split("specs/")[0]
    named = set(re.findall(r"^  ([a-z]+/(?: [a-z]+/)*)", inside, re.MULTILINE))
    assert {name.strip("/") for names in named for name in names.split()} == set(FOLDERS)
    assert set(re.findall(r"`optgen/([a-z]+)/", TABLE)) == set(FOLDERS)


def test_every_path_exists():
    for path in re.findall(r"\b(?:tests|tools)/[\w/.]*\w", PAGE):
        assert (ROOT / path).exists() or "LIBRARY" in path or "FOLDER" in path, path
    named = re.findall(r"`((?:[a-z]+/)+[a-z_]+\.(?:py|h|py\.jinja))`", PAGE)
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "optgen" / path).exists(), path
    assert len(named) > 20
