"""The architecture as imports show it: which folder may import which, no cycles, and one meaning for each name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "optgen"

#: Folders and modules of the package, the lowest first: each imports from its own layer's folder and from lower layers.
LAYERS = (
    ("escaping", "suggestions"),
    ("errors",),
    ("_cache", "_paths", "_moved"),
    ("_lazy",),
    ("contract",),
    ("language", "arguments", "runtime"),
    ("compiler",),
    ("targets", "reference"),
    ("schedules",),
    ("pipeline",),
    ("catalogue",),
    ("frontends",),
    ("optax", "torch", "lucid"),
    ("optim", "brainpy"),
    ("custom",),
    ("docs",),
    ("cli",),
    ("__main__",),
)
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}

#: The parts whose imports are fewer than their layer allows: a training step loads no compiler.
NARROW = {
    "contract": {"errors"},
    "runtime": {"contract", "errors", "_cache"},
    "arguments": {"contract", "errors", "escaping", "suggestions"},
}

#: Beside `import optgen`, which hands out what is defined in `custom` when it is asked for.
ROOT = "optgen"


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    paths = sorted(PACKAGE.rglob("*.py"))
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """The modules of the package that a module imports, wherever in its text."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES:
                    yield inner
                elif node.module in MODULES:
                    yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


IMPORTS = {name: set(imports(name)) - {name, ROOT} for name in MODULES if name != ROOT}


def part(name: str) -> str:
    return name.split(".")[1]


def test_every_module_is_found() -> None:
    assert len(IMPORTS) > 200
    assert "optgen.runtime.state" in IMPORTS["optgen.runtime.variant"]
    assert {part(name) for name in IMPORTS} == set(LAYER)


@pytest.mark.parametrize("name", sorted({part(name) for name in IMPORTS}))
def test_imports_go_down(name: str) -> None:
    up = {
        (importing, imported)
        for importing, all_imported in IMPORTS.items()
        for imported in all_imported
        if part(importing) == name != part(imported) and LAYER[part(imported)] >= LAYER[name]
    }
    assert not up


@pytest.mark.parametrize("name", NARROW)
def test_parts_that_training_loads_import_little(name: str) -> None:
    allowed = NARROW[name] | {name}
    others = {
        (importing, imported)
        for importing, all_imported in IMPORTS.items()
        for imported in all_imported
        if part(importing) == name and part(imported) not in allowed
    }
    assert not others


def test_no_cycle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_a_cycle_is_found() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


#: Base classes of the front-ends, which are called what they are called in each library.
ONE_IN_EACH_LIBRARY = {"Optimizer"}


def test_a_class_has_a_name_of_its_own() -> None:
    found = defaultdict(list)
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(name)
    twice = {name: places for name, places in found.items() if len(places) > 1 and name not in ONE_IN_EACH_LIBRARY}
    assert not twice


@pytest.mark.parametrize("suffix", ["py", "c", "h"])
def test_files_are_short(suffix: str) -> None:
    lengths = {path.relative_to(PACKAGE): len(path.read_text().splitlines()) for path in PACKAGE.rglob(f"*.{suffix}")}
    assert lengths
    assert not {path: length for path, length in lengths.items() if length > 400}
