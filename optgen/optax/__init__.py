"""Generated optimizers as optax gradient transformations, and learning-rate schedules as optax's functions.

`from optgen.optax import adamw` gives a factory with optax's arguments and defaults; what it returns is an
`optax.GradientTransformationExtraArgs` and goes wherever one does. `__init__.pyi` lists the factories for editors and
type checkers; `optgen docs` writes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from optgen._lazy import lazy_names
from optgen.frontends.names import dialects_of, for_each_dialect
from optgen.optax._apply import apply_gradients as apply_gradients
from optgen.optax._factory import factory
from optgen.schedules.schedule import optax_factories


@functools.cache
def _factories() -> dict[str, Callable[..., Any]]:
    return {**for_each_dialect(dialects_of("optax"), factory), **optax_factories()}


__getattr__, __dir__ = lazy_names(__name__, _factories, ("apply_gradients",), "optax")
