"""Generated optimizers as optax gradient transformations, and learning-rate schedules as optax's functions.

`from optgen.optax import adamw` gives a factory with optax's arguments and defaults; what it returns is an
`optax.GradientTransformationExtraArgs` and goes wherever one does. optax.pyi lists the factories for editors and type
checkers; `optgen docs` writes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from optgen.runtime.catalogue_module import dialects_of, for_each_dialect, lazy_names
from optgen.runtime.lr_schedules import optax_factories
from optgen.runtime.transformation import apply_gradients as apply_gradients
from optgen.runtime.transformation import factory


@functools.cache
def _factories() -> dict[str, Callable[..., Any]]:
    return {**for_each_dialect(dialects_of("optax"), factory), **optax_factories()}


__getattr__, __dir__ = lazy_names(__name__, _factories, ("apply_gradients",), "optax")
