"""How a library lays out an optimizer's state: its objects, their fields, and what stands in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from optgen.contract.declarations import OptionValue


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
class GivenTransformation:
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
class LibraryStateLayout:
    """A library's state beyond the numbers of a rule, described so that it can be exchanged with optgen's.

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
    transformations: Mapping[str, GivenTransformation] = field(default_factory=dict)
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


#: What may stand in a field besides the name of a state, a hyperparameter or a transformation argument.
COUNT = re.compile(r"t(?: \+ (?P<ahead>[1-9]\d*)| == (?P<first>0)| % (?P<period>[a-z]\w*))?")
