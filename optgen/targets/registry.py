"""The targets that there are. A further one is a folder beside this file, and a line here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from optgen.targets.target import Target

#: By name, the module and the attribute that hold the target: who asks for the names alone loads no emitter.
TARGETS = {
    "jax": "optgen.targets.arrays.target:JAX",
    "eager": "optgen.targets.arrays.target:EAGER",
    "native": "optgen.targets.native.target:TARGET",
    "triton": "optgen.targets.triton.target:TARGET",
}


def target(name: str) -> Target:
    """A target by its name.

    Raises:
        KeyError: there is none of that name.
    """
    module, _, attribute = TARGETS[name].partition(":")
    return cast("Target", getattr(importlib.import_module(module), attribute))
