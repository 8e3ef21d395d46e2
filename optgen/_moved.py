"""Modules under the names that they once had: pickles and checkpoints hold the names of classes and functions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: By a module's former name, the modules that hold what was pickled from it.
MOVED: dict[str, tuple[str, ...]] = {
    "optgen.runtime.cells": ("optgen.frontends.weights.cells",),
    "optgen.runtime.lr_schedule_arguments": ("optgen.schedules.arguments",),
    "optgen.runtime.lr_schedules": ("optgen.schedules.schedule",),
    "optgen.runtime.optax_layout": ("optgen.optax._layout",),
    "optgen.spec": (),
    "optgen.spec.domain": ("optgen.contract.domain",),
    "optgen.spec.model": ("optgen.contract.declarations", "optgen.contract.dialects"),
    "optgen.targets.lr_schedule_manifest": ("optgen.schedules.manifest",),
}


class _FormerNames(MetaPathFinder, Loader):
    """Finds a module of `MOVED` where there is none of that name any more."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MOVED:
            return None
        return ModuleSpec(fullname, self, is_package=not MOVED[fullname])

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        def attribute(name: str) -> Any:
            for place in MOVED[module.__name__]:
                moved = importlib.import_module(place)
                if hasattr(moved, name):
                    return getattr(moved, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        module.__getattr__ = attribute  # type: ignore[method-assign]


def install() -> None:
    """Have Python find modules of `MOVED`, after all others."""
    if not any(isinstance(finder, _FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(_FormerNames())
