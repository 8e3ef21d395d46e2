"""CONTRIBUTING.md: its tree and its table name every folder of the package. All paths in hand-written pages exist."""

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


PAGES = ("CONTRIBUTING.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")))
#: Where a path in a page may start.
BASES = [ROOT, ROOT / "optgen", ROOT / "optgen" / "runtime", ROOT / "optgen" / "targets", ROOT / "optgen" / "frontends"]
#: Names in capitals stand for any; what is made elsewhere is not in the repository.
ELSEWHERE = re.compile(r"[A-Z]{4,}|^benchmarks/|^build/|^dist/")


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|h|c|toml|json|py\.jinja))?)`", text))
    missing = {path for path in named if not any((base / path).exists() for base in BASES)}
    assert {path for path in missing if not ELSEWHERE.search(path)} == set()
