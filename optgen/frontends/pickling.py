"""How what is made of an optimizer is pickled: as what it was made from, since compiled code belongs to a process.

An `Entry` is the catalogue's name, or the definition of a user's own; a class or factory of a user's own is an
attribute of what was defined; and what computes steps is the arguments that it was built with.
"""

from __future__ import annotations

import copyreg
from typing import Any, Self


class PickledAsBuilt:
    """Base of objects that are built anew, from the arguments of their constructor, when they are unpickled.

    An empty object comes first and its arguments afterwards, so that these may lead back to it.
    """

    _built_from: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An object that remembers its arguments."""
        made = super().__new__(cls)
        made._built_from = args, kwargs
        return made

    def __getstate__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self._built_from

    def __setstate__(self, built_from: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self._built_from = args, kwargs = built_from
        self.__init__(*args, **kwargs)  # type: ignore[misc]  # unpickling calls no constructor


class DefinedType(type):
    """The type of the classes of users' own optimizers, which no module lists by name."""


def _reduced(cls: DefinedType) -> Any:
    owner = vars(cls)["entry"].owner if "entry" in vars(cls) else None
    # A class that a user derives stands in a module.
    return cls.__qualname__ if owner is None else (getattr, (owner, cls.__module__.rpartition(".")[2]))


copyreg.pickle(DefinedType, _reduced)
