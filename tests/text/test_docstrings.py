"""Docstrings name what there is or say what is done: none begins with "The same" or "What"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "optgen"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def docstrings(module: str) -> Iterator[tuple[str, str]]:
    """Every docstring of a module, with the name of what it is about."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "name", module), ast.get_docstring(node) or ""


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_begin_with_a_verb_or_a_noun(module: str) -> None:
    assert {name: text for name, text in docstrings(module) if re.match(r"(The same|What)\b", text)} == {}
