"""A generated optimizer as an optax gradient transformation: the factories of `optgen.optax`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import optax

from optgen.arguments.binding import bind
from optgen.arguments.docstrings import described
from optgen.arguments.settings import Settings, settings
from optgen.arguments.spelling import dialect_of
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.optax._arguments import NOTHING, counted_as_given, extras, front_end_signature
from optgen.optax._skipping import Skipping
from optgen.optax._transformation import Transformation

Factory = Callable[..., optax.GradientTransformationExtraArgs]


class DefinedFactory:
    """The factory of an optimizer that a user defined; functions are pickled by names, which it has none of.

    Args:
        owner: what was defined, which has this under `optax`.
        build: the function.
    """

    def __init__(self, owner: Any, build: Factory) -> None:
        functools.update_wrapper(self, build)
        self._owner = owner
        self._build = build

    def __call__(self, /, *args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        """The transformation for some arguments."""
        return self._build(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return getattr, (self._owner, "optax")


def factory(entry: Entry, dialect: Dialect | None = None) -> Factory:
    """The factory of one optimizer, in optax's spelling; in the first where optax has several names for it."""
    manifest = entry.manifest
    dialect = dialect or dialect_of(manifest, "optax")
    call_signature = front_end_signature(dialect)

    def build(*args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        if dialect.instead:
            what = f"{dialect.name} is deprecated, use `{dialect.instead}` instead"
            warnings.warn(what, DeprecationWarning, stacklevel=2)
        given = bind(dialect.name, call_signature, args, kwargs)
        own = extras(dialect, call_signature, given)
        chosen = counted_as_given(manifest, dialect, settings(manifest, dialect, own.spelled), given)
        made = Transformation(entry, dialect, chosen, own)
        whole = Skipping(made) if own.skip_nonfinite else made
        return optax.GradientTransformationExtraArgs(whole.init, whole.update)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = "optgen.optax"
    build.__doc__ = described(manifest, dialect)
    build.__signature__ = call_signature.replace(  # type: ignore[attr-defined]
        return_annotation=optax.GradientTransformationExtraArgs
    )
    return build if entry.owner is None else DefinedFactory(entry.owner, build)


def transformation(
    entry: Entry,
    chosen: Settings,
    dialect: Dialect,
    inputs: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The gradient transformation for checked settings, whose state has a field for each state of the spec.

    Args:
        entry: the optimizer.
        chosen: its settings.
        dialect: whose spelling errors use.
        inputs: inputs of the rule that other transformations give, made of the gradients.
    """
    own = replace(NOTHING, transformations=dict(inputs or {}), gives={name: (name, "") for name in inputs or {}})
    made = Transformation(entry, replace(dialect, layout=None), chosen, own)
    return optax.GradientTransformationExtraArgs(made.init, made.update)
