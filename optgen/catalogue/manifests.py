"""The catalogue's manifests, read from the folder of generated code."""

from __future__ import annotations

import functools

from optgen._paths import generated_folder, not_generated
from optgen.contract.manifest import Manifest, read_manifest
from optgen.errors import UnknownOptimizer


@functools.cache
def catalogue_names() -> tuple[str, ...]:
    """The optimizers of the catalogue, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in generated_folder().glob("*/manifest.json")))


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
