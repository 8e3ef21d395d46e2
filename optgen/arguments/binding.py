"""A constructor's signature in a dialect's spelling, and its arguments bound to that."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from optgen.contract.dialects import Dialect
from optgen.suggestions import did_you_mean


def signature(dialect: Dialect, *extra: inspect.Parameter) -> inspect.Signature:
    """The constructor's signature in a library's spelling, followed by what the front-end adds."""
    parameters = [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.KEYWORD_ONLY if argument.keyword_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if argument.required else argument.default,
        )
        for argument in dialect.arguments
    ]
    return inspect.Signature(sorted([*parameters, *extra], key=lambda p: p.kind))


def bind(label: str, called: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, as Python binds them.

    Raises:
        TypeError: in Python's words, with the optimizer's name and, for an unknown argument, the nearest known one.
    """
    try:
        return dict(called.bind(*args, **kwargs).arguments)
    except TypeError as error:
        unknown = next((name for name in kwargs if name not in called.parameters), None)
        # Of a misspelt argument Python says that the right one is missing.
        told = f"got an unexpected keyword argument {unknown!r}" if unknown else str(error)
        takes = f"it takes {', '.join(called.parameters)}"
        hint = did_you_mean(unknown, called.parameters, takes) if unknown else takes
        raise TypeError(f"{label}: {told}; {hint}") from None
