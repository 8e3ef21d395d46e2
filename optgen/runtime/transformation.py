"""A generated optimizer as an optax gradient transformation: the factories of `optgen.optax`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optax

from optgen.runtime.arguments import Settings, bind, dialect_of, settings
from optgen.runtime.docstrings import described
from optgen.runtime.entry import Entry
from optgen.runtime.optax_arguments import NOTHING, counted_as_given, extras, front_end_signature
from optgen.runtime.optax_transformation import Transformation
from optgen.spec.model import Dialect

Factory = Callable[..., optax.GradientTransformationExtraArgs]

#: More steps in a row than any run has: a step that is not finite is never applied.
_NEVER = 2**31 - 1


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
        transformation = optax.GradientTransformationExtraArgs(made.init, made.update)
        if not own.skip_nonfinite:
            return transformation
        skipping = optax.apply_if_finite(transformation, _NEVER)
        return optax.GradientTransformationExtraArgs(skipping.init, skipping.update)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = "optgen.optax"
    build.__doc__ = described(manifest, dialect)
    build.__signature__ = call_signature.replace(  # type: ignore[attr-defined]
        return_annotation=optax.GradientTransformationExtraArgs
    )
    return build


def transformation(entry: Entry, chosen: Settings, dialect: Dialect) -> optax.GradientTransformationExtraArgs:
    """The gradient transformation for checked settings, whose state has a field for each state of the spec."""
    made = Transformation(entry, replace(dialect, layout=None), chosen, NOTHING)
    return optax.GradientTransformationExtraArgs(made.init, made.update)
