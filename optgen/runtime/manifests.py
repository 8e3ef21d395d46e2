"""The catalogue's manifests, read from the folder of generated code."""

from __future__ import annotations

import functools

from optgen._paths import generated_folder, specs_folder
from optgen.errors import UnknownOptimizer
from optgen.suggestions import folded
from optgen.targets.manifest import Manifest, read_manifest


@functools.cache
def catalogue_names() -> tuple[str, ...]:
    """The optimizers of the catalogue, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in generated_folder().glob("*/manifest.json")))


def not_generated(name: str) -> str:
    """What to tell of a name whose spec is there, but whose code is not; empty for any other.

    Args:
        name: of an optimizer or a schedule, as a spec or as a class has it.
    """
    specs, generated = specs_folder(), generated_folder()
    for path in sorted([*specs.glob("*.toml"), *specs.glob("schedules/*.toml")]):
        relative = path.relative_to(specs).with_suffix("")
        if folded(path.stem) == folded(name) and not (generated / relative / "manifest.json").is_file():
            return f"specs/{relative.as_posix()}.toml is not generated yet; run: optgen build {path.stem}"
    return ""


@functools.cache
def catalogue_manifest(name: str) -> Manifest:
    """The manifest of an optimizer of the catalogue.

    Raises:
        UnknownOptimizer: there is none of that name.
    """
    try:
        return read_manifest((generated_folder() / name / "manifest.json").read_bytes())
    except FileNotFoundError:
        known = ", ".join(catalogue_names()) or "none; run: optgen build"
        told = not_generated(name) or f"no optimizer '{name}' in the catalogue; there are: {known}"
        raise UnknownOptimizer(told) from None
