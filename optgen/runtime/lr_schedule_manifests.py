"""The catalogue of learning-rate schedules: their manifests and their generated functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optgen._paths import generated_folder
from optgen.errors import UnknownSchedule
from optgen.runtime.manifests import not_generated
from optgen.runtime.modules import module_from_text
from optgen.spec.model import Dialect
from optgen.targets.lr_schedule_manifest import LrScheduleManifest, read_schedule_manifest

_FOLDER = "schedules"


def schedule_names() -> tuple[str, ...]:
    """The schedules of the catalogue, in alphabetical order."""
    return _names_in(generated_folder() / _FOLDER)


@functools.cache
def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in folder.glob("*/manifest.json")))


@functools.cache
def schedule_manifest(name: str) -> LrScheduleManifest:
    """The manifest of a schedule of the catalogue.

    Raises:
        UnknownSchedule: there is none of that name.
        ValueError: it was written by another version of optgen.
    """
    try:
        return read_schedule_manifest((generated_folder() / _FOLDER / name / "manifest.json").read_bytes())
    except FileNotFoundError:
        known = ", ".join(schedule_names()) or "none; run: optgen build"
        told = not_generated(name) or f"no schedule '{name}' in the catalogue; there are: {known}"
        raise UnknownSchedule(told) from None


@functools.cache
def spelled(library: str) -> dict[str, tuple[LrScheduleManifest, Dialect]]:
    """What a library calls each schedule that it has: its name there → the schedule and how it is spelled."""
    found = {}
    for name in schedule_names():
        manifest = schedule_manifest(name)
        for dialect in manifest.dialects:
            if dialect.library == library:
                found[dialect.name] = (manifest, dialect)
    return found


@functools.cache
def generated_function(name: str, target: str) -> Callable[..., Any]:
    """The generated function of a schedule: `jax` for the one that can be traced, `host` for that of Python floats."""
    path = generated_folder() / _FOLDER / name / f"{target}.py"
    module = module_from_text(f"optgen_generated.{_FOLDER}.{name}.{target}", path.read_text(), str(path))
    return module.learning_rate  # type: ignore[no-any-return]
