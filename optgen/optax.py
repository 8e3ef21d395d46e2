"""Generated optimizers as optax gradient transformations, and learning-rate schedules as optax's functions.

`from optgen.optax import adamw` gives a factory with optax's arguments and defaults; what it returns is an
`optax.GradientTransformationExtraArgs` and goes wherever one does. optax.pyi lists the factories for editors and type
checkers; `optgen docs` writes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from optgen.runtime.entry import catalogue_entry
from optgen.runtime.lr_schedules import optax_factories
from optgen.runtime.manifests import catalogue_names
from optgen.runtime.names import no_attribute
from optgen.runtime.transformation import factory


@functools.cache
def _factories() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for name in catalogue_names():
        entry = catalogue_entry(name)
        for dialect in entry.manifest.dialects:
            if dialect.library == "optax":
                found[dialect.name] = factory(entry, dialect)
    return found | optax_factories()


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_factories())
    if name.startswith("_") or name not in _factories():
        raise no_attribute(__name__, name, _factories())
    return _factories()[name]


def __dir__() -> list[str]:
    return sorted(_factories())
