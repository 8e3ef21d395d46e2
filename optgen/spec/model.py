"""What a spec file says, read and checked: the value that the rest of optgen starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from optgen.spec.domain import Domain
from optgen.spec.source import Source
from optgen.spec.syntax import Statement

#: The libraries whose spelling of an optimizer a spec may hold.
DIALECTS = ("optax", "torch", "braintools", "brainpy", "lucid")

#: What an option may be set to: a switch, one of some words, or a count.
OptionValue = bool | str | int


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A number that the user chooses.

    Attributes:
        default: its value when the user gives none; None when it is then absent.
        symbol: LaTeX.
        domain: the values it may take.
        meaning: one line.
        optional: whether it may be absent (`None`), which equations ask by its bare name: `if weight_decay:`.
        absent: a value that means the same as absence, usually 0; None if there is none.
        varies: whether it may change at every step, so that nothing derived from it is computed ahead.
    """

    name: str
    default: float | None
    symbol: str
    domain: Domain
    meaning: str
    optional: bool = False
    absent: float | None = None
    varies: bool = False

    def present(self, value: object) -> bool:
        """Whether a value given for it counts as there; an array always does, since its value is not known yet."""
        if not self.optional:
            return True
        if value is None:
            return False
        return self.absent is None or not isinstance(value, int | float) or value != self.absent


@dataclass(frozen=True, slots=True)
class Option:
    """A choice fixed when the optimizer is built.

    Attributes:
        default: False or True for a switch, one of `choices`, or an integer for a count.
        choices: the words it may be set to; empty for a switch or a count.
        meaning: one line.
        requires: an option or optional hyperparameter without which this one has no effect.
    """

    name: str
    default: OptionValue
    choices: tuple[str, ...]
    meaning: str
    requires: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """A value besides the gradient that the caller passes at every step: a loss, a Hessian estimate."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StateEntry:
    """What a spec says of a state for the reader: its LaTeX symbol and meaning. The state itself is inferred."""

    name: str
    symbol: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a dialect's constructor.

    Attributes:
        name: as the library spells it.
        targets: the hyperparameter or option it sets; several for a tuple such as `betas`; none for one that is the
            front-end's own, such as the variables to train.
        defaults: the library's default for each target.
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
        note: what the library does differently, one line.
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
    note: str = ""
    counts: str = ""
    instead: str = ""


def spelling(dialects: Iterable[Dialect], library: str, name: str = "") -> Dialect | None:
    """A library's spelling of an optimizer: that of the given name, or else its first; None if it has none."""
    return next((d for d in dialects if d.library == library and name in ("", d.name)), None)


@dataclass(frozen=True, slots=True)
class Reference:
    """A publication: what a reader would look up."""

    text: str
    url: str = ""


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

    def option(self, name: str) -> Option:
        """The option of that name; raises KeyError if there is none."""
        return {item.name: item for item in self.options}[name]
