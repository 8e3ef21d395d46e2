"""A spec file as a value, read and checked: the rest of optgen starts from it."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.declarations import SHARED_WITH_WRAPPED, Hyperparameter, Input, Option, Reference, StateEntry
from optgen.contract.dialects import Dialect
from optgen.language.source import Source
from optgen.language.syntax import Statement


@dataclass(frozen=True, slots=True)
class Preamble:
    """Equations that precede a spec's own: the gradient transformations that all rules share.

    Attributes:
        names: the hyperparameters and options that they stand under; none is there by default.
        body: the equations.
        source: the text that the equations stand in.
    """

    names: tuple[str, ...]
    body: tuple[Statement, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Spec:
    """An optimizer as its file states it; names are checked, equations are parsed, nothing is decided yet.

    `hyperparameters` and `options` are the spec's own, followed by those of its preamble. `wraps` is the name under
    which the equations call another optimizer, `wrapped` which one that is unless the user names another.
    """

    name: str
    class_name: str
    title: str
    summary: str
    references: tuple[Reference, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    options: tuple[Option, ...]
    inputs: tuple[Input, ...]
    states: tuple[StateEntry, ...]
    wraps: str
    wrapped: str
    equations: str
    body: tuple[Statement, ...]
    dialects: tuple[Dialect, ...]
    source: Source
    preamble: Preamble

    @property
    def own_hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Those that the spec declares itself."""
        return tuple(h for h in self.hyperparameters if h.name not in self.preamble.names)

    @property
    def own_options(self) -> tuple[Option, ...]:
        """Those that the spec declares itself."""
        return tuple(o for o in self.options if o.name not in self.preamble.names)

    def hyperparameter(self, name: str) -> Hyperparameter:
        """The hyperparameter of that name; raises KeyError if there is none."""
        return {item.name: item for item in self.hyperparameters}[name]

    def wrapped_name(self, name: str) -> str:
        """The name here of the wrapped optimizer's hyperparameter; there is one learning rate."""
        return name if name == SHARED_WITH_WRAPPED else f"{self.wraps}_{name}"

    def option(self, name: str) -> Option:
        """The option of that name; raises KeyError if there is none."""
        return {item.name: item for item in self.options}[name]
