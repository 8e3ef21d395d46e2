"""What a spec file says, read and checked: the value that the rest of optgen starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from optgen.spec.domain import Domain
from optgen.spec.source import Source
from optgen.spec.syntax import Statement

#: The libraries whose spelling of an optimizer a spec may hold.
DIALECTS = ("optax", "torch", "braintools", "brainpy", "lucid")

#: What an option may be set to: a switch, one of some words, or a count.
OptionValue = bool | str | int


#: The hyperparameter that a wrapping optimizer and the wrapped one have together.
SHARED_WITH_WRAPPED = "lr"


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
class StatePart:
    """A part of the state that a library keeps: one object, several beside each other, or an argument's own state.

    Attributes:
        type: what the library's class is called.
        fields: the class's fields in order, each with what stands in it: a state, `t`, a number, see `SOURCES`.
        when: arguments that have to be given for the part to be there, or with "not " before them must not be.
        otherwise: the class that stands there instead if they are not; empty for nothing.
        schedule: an argument that may be a function of the number of steps; if it is, the part is a `scheduled`, which
            holds the count that the function is asked for.
        scheduled: see there.
        mask: an argument with which the part stands inside a `MaskedState`.
        of: the argument whose state the part is.
        parts: the parts of a tuple, if it is one.
    """

    type: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    when: tuple[str, ...] = ()
    otherwise: str = ""
    schedule: str = ""
    scheduled: str = ""
    mask: str = ""
    of: str = ""
    parts: tuple[StatePart, ...] | None = None

    def walk(self) -> Iterator[StatePart]:
        """The part and all parts in it."""
        yield self
        for part in self.parts or ():
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class Transformation:
    """An argument that is a gradient transformation of its own.

    Attributes:
        gives: the input that is its result on the gradients; empty if it runs on the rule's updates.
        every: the hyperparameter that says at which steps it runs; empty for all.
        restarts: the switch with which its state starts anew at every step after which `at` is 0, and that field.
    """

    gives: str = ""
    every: str = ""
    restarts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """How a library keeps the last values of some states.

    Attributes:
        states: which states.
        length: the option that says how many values are kept.
        ahead: by how many steps the places of values run ahead of the steps.
    """

    states: tuple[str, ...]
    length: str
    ahead: int


@dataclass(frozen=True, slots=True)
class StateLayout:
    """What a library keeps and takes besides the numbers of a rule, so that its state can be exchanged with ours.

    Attributes:
        state: the whole state.
        dtypes: argument → the states that are kept in the dtype it names; `default` stands for the default dtype of
            the library, which no argument changes.
        masks: argument → the hyperparameter and option values for tensors that it leaves out.
        transformations: arguments that are transformations.
        draws: an input that is drawn from the normal distribution → the arguments that its key may come from.
        words: option → the library's words for its choices, each with ours.
        schedules: argument → the field that holds the count which it is asked for, if it is a function.
        parameters: the class in which the library keeps the parameters together with states, and its fields.
        history: how histories are kept, None if there are none.
        only: argument → why it can only be what it is by default.
        complex: whether the library's step of complex parameters is this rule with absolute values squared.
    """

    state: StatePart
    dtypes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    masks: Mapping[str, Mapping[str, float | OptionValue | None]] = field(default_factory=dict)
    transformations: Mapping[str, Transformation] = field(default_factory=dict)
    draws: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    schedules: Mapping[str, str] = field(default_factory=dict)
    parameters: StatePart | None = None
    history: History | None = None
    only: Mapping[str, str] = field(default_factory=dict)
    complex: bool = False

    def scheduled(self) -> frozenset[str]:
        """The arguments that may be functions of the number of steps."""
        return frozenset(part.schedule for part in self.state.walk() if part.schedule) | frozenset(self.schedules)


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
    layout: StateLayout | None = None
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

    def wrapped_name(self, name: str) -> str:
        """What a hyperparameter of the wrapped optimizer is called here: there is one learning rate."""
        return name if name == SHARED_WITH_WRAPPED else f"{self.wraps}_{name}"

    def option(self, name: str) -> Option:
        """The option of that name; raises KeyError if there is none."""
        return {item.name: item for item in self.options}[name]
