"""A dialect: the arguments, defaults and state names that a library has for an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from optgen.contract.declarations import OptionValue
from optgen.contract.domain import Domain
from optgen.contract.library_state import LibraryStateLayout

#: The libraries whose spelling of an optimizer a spec may hold.
DIALECTS = ("optax", "torch", "braintools", "brainpy", "lucid")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a dialect's constructor.

    Attributes:
        name: as the library spells it.
        targets: the hyperparameter or option it sets; several for a tuple such as `betas`; none for one that is the
            front-end's own, such as the variables to train, or `foreach`.
        defaults: the library's default for each target; of one without targets, its own unless that is None.
        packed: it is given as a tuple, one value for each target.
        required: it has no default.
        keyword_only: it cannot be given by position.
        instead: for one that is deprecated, the argument to give in its place. It sets its target when it is given,
            and its default is None.
    """

    name: str
    targets: tuple[str, ...]
    defaults: tuple[float | OptionValue | None, ...]
    packed: bool = False
    required: bool = False
    keyword_only: bool = False
    instead: str = ""

    @property
    def default(self) -> object:
        """The default as the caller sees it: a tuple for a packed argument, None for the front-end's own."""
        if self.packed:
            return self.defaults
        return self.defaults[0] if self.defaults else None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one library spells the optimizer, and which of its formulas that is.

    Attributes:
        library: one of `DIALECTS`.
        name: what the library calls it.
        arguments: in the library's order.
        options: option values that select the library's formula.
        hyperparameters: defaults for hyperparameters that the library does not expose; None means absent.
        states: state → the library's name for it.
        count: the library's name for the number of steps that a parameter has made, empty if it keeps none.
        sparse: what the library does with sparse gradients: `entries` for changing those that are there, `dense` for
            the same as with dense ones; empty if it refuses them.
        missing: what it takes for the gradient of a parameter that has none: `zeros`; empty if that makes no step.
        domains: hyperparameter → the values that the library takes, where they are fewer than the rule's.
        demands: option → the domains that hyperparameters must have where it is chosen, as (hyperparameter, domain).
        note: what the library does differently, one line.
        layout: what the library's state looks like, for one whose state is exchanged with ours.
        counts: of a schedule, what moves it on where a library knows two sorts: `calls` of the optimizer; empty if
            the user does.
        instead: for a name that is deprecated, the one to use in its place.
    """

    library: str
    name: str
    arguments: tuple[Argument, ...]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    hyperparameters: Mapping[str, float | None] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    count: str = "step"
    sparse: str = ""
    missing: str = ""
    domains: Mapping[str, Domain] = field(default_factory=dict)
    demands: Mapping[str, tuple[tuple[str, Domain], ...]] = field(default_factory=dict)
    note: str = ""
    layout: LibraryStateLayout | None = None
    counts: str = ""
    instead: str = ""


def spelling(dialects: Iterable[Dialect], library: str, name: str = "") -> Dialect | None:
    """A library's spelling of an optimizer: that of the given name, or else its first; None if it has none."""
    return next((d for d in dialects if d.library == library and name in ("", d.name)), None)
