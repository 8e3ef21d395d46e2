"""optgen compiles the update rule of an optimizer, written as equations, into the code that runs it.

from optgen.optax import adamw     # optax gradient transformations
from optgen.optim import AdamW     # stateful optimizers over State objects
optgen.define(name, equations, **defaults)
optgen.load("my_optimizer.toml")
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optgen.custom import CustomOptimizer as CustomOptimizer
    from optgen.custom import define as define
    from optgen.custom import load as load

__all__ = ["CustomOptimizer", "define", "load"]

#: The modules that are imported by themselves, since each needs its library.
_FRONT_ENDS = ("brainpy", "lucid", "optax", "optim", "schedules", "torch")

try:
    __version__ = metadata.version("optgen")
except metadata.PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    # The compiler is loaded when it is used, not when a front-end is imported.
    if name in __all__:
        from optgen import custom

        return getattr(custom, name)
    import sys

    from optgen.suggestions import did_you_mean, no_attribute

    hint = did_you_mean(name, __all__, f"there are: {', '.join(__all__)}")
    hint = f"first: import optgen.{name}" if name in _FRONT_ENDS else hint
    raise no_attribute(__name__, name, hint, sys._getframe(1))
