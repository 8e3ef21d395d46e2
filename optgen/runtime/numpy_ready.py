"""A step that goes on from the one before: what numpy's arrays are is compared, not looked up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, starmap
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

from optgen.runtime.in_place import PreparedStep
from optgen.runtime.native.library import Team
from optgen.runtime.numpy_memory import Spans, addresses_of
from optgen.runtime.state_layout import Kept, StateLayout

_data, _grad = attrgetter("data"), attrgetter("grad")
_shape, _strides, _dtype = attrgetter("shape"), attrgetter("strides"), attrgetter("dtype")
_bytes = methodcaller("tobytes")

#: Shapes, strides and dtypes of arrays.
_Form = tuple[list[tuple[int, ...]], list[tuple[int, ...]], list[np.dtype]]


@dataclass(slots=True, eq=False)
class NumpyReady:
    """A group's step by kernels as it was made last: where nothing has moved, only the gradients are looked up.

    What is compared is compared list by list: a loop over the parameters would take longer than the step.

    Attributes:
        layout: the variant that the group asked for.
        prepared: the call.
        t: the number of the step that comes next.
        parameters: all that have made the step, which also keeps them from being given to others.
        gradients: what form those of the last step had.
        sizes: bytes of each gradient.
        kept: what is kept for each.
        names: under which the rule keeps its own of that, one list for each parameter.
        is_state, is_count: which of that is an array, or a count of steps.
        numbers: the numbers of the step by the names under which they are kept, as the call knows them.
        arrays: those of the parameters and then of what is kept; so their memory is given to no others.
        form, addresses: what form these had, and where they stood.
        places: the addresses of the gradients that come next.
    """

    layout: StateLayout
    prepared: PreparedStep
    t: int
    parameters: list[Any]
    gradients: _Form
    sizes: np.ndarray
    kept: list[Kept]
    names: list[list[str]]
    is_state: list[bool]
    is_count: list[bool]
    numbers: Mapping[str, np.ndarray]
    arrays: list[np.ndarray]
    form: _Form
    addresses: list[int]
    places: list[int] = field(default_factory=list)

    @classmethod
    def after(
        cls,
        layout: StateLayout,
        parameters: list[Any],
        kept: list[Kept],
        prepared: PreparedStep,
        shared: Mapping[str, np.ndarray],
    ) -> NumpyReady | None:
        """What the next step can go on from; None where it has to look at everything again.

        Args:
            layout: the variant.
            parameters: all that have made the step.
            kept: what is kept for each.
            prepared: the step that has been made.
            shared: the numbers of the step after it.
        """
        if layout.of_model or layout.variant.info.inputs:
            return None
        # Entries of others, a subclass among them, may be replaced at will.
        names = list(map(layout.kept_names, parameters))
        values = _values(kept, names)
        numbers = {layout.names[name]: array for name, array in shared.items()}
        is_count = [bool(layout.count) and name == layout.count for name in chain.from_iterable(names)]
        is_state = [
            not count and name not in numbers for name, count in zip(chain.from_iterable(names), is_count, strict=True)
        ]
        gradients = list(map(_grad, parameters))
        states = list(compress(values, is_state))
        # Of a gradient with gaps the first address does not tell where it stands.
        if set(map(type, states)) - {np.ndarray} or not all(gradient.flags.c_contiguous for gradient in gradients):
            return None
        arrays = [*map(_data, parameters), *states]
        return cls(
            layout,
            prepared,
            layout.steps_done(parameters[0], kept[0]) + 1,
            parameters,
            _form_of(gradients),
            np.array([gradient.nbytes for gradient in gradients], np.uint64),
            kept,
            names,
            is_state,
            is_count,
            numbers,
            arrays,
            _form_of(arrays),
            addresses_of(arrays),
        )

    def is_as_before(self, parameters: list[Any], state: Mapping[Any, Kept]) -> bool:
        """Whether parameters and states are the same, in the same memory, and the gradients laid out like them.

        Then the step reads these gradients.
        """
        if list(map(id, parameters)) != list(map(id, self.parameters)):
            return False
        gradients = list(map(_grad, parameters))
        if set(map(type, gradients)) != {np.ndarray} or _form_of(gradients) != self.gradients:
            return False
        arrays = list(map(_data, parameters))
        if self.layout.has_state:
            states = self._states(state)
            if states is None:
                return False
            arrays += states
        if set(map(type, arrays)) != {np.ndarray} or _form_of(arrays) != self.form:
            return False
        self.places = addresses_of(gradients)
        return addresses_of(arrays, written=True) == self.addresses and self.prepared.move_gradients(self.places)

    def is_apart(self, spans: Spans) -> bool:
        """Whether the gradients that come next have no part of some memory, which is about to be written."""
        starts = np.array(self.places, np.uint64)
        return not spans.meet(starts, starts + self.sizes).any()

    def _states(self, state: Mapping[Any, Kept]) -> list[Any] | None:
        """The arrays that are kept; None if counts, or numbers of the step, are not what the last step has left."""
        kept = list(map(state.get, self.parameters))
        if list(map(id, kept)) != list(map(id, self.kept)):
            return None
        values = _values(self.kept, self.names)
        counts = list(compress(values, self.is_count))
        if not set(map(type, counts)) <= {int} or counts != [self.t - 1] * len(counts):  # True is 1, and no count
            return None
        if not all(starmap(self._are, self.numbers.items())):
            return None
        return list(compress(values, self.is_state))

    def _are(self, name: str, array: np.ndarray) -> bool:
        """Whether every parameter keeps a number of the step as the call knows it."""
        found = [kept.get(name) for kept in self.kept]
        if set(map(type, found)) != {np.ndarray} or set(map(_dtype, found)) != {array.dtype}:
            return False
        return set(map(_bytes, found)) == {array.tobytes()}

    def run(self, hyperparameters: Mapping[str, Any], team: Team) -> None:
        """Make the step, on parameters for which `is_as_before` is true.

        Args:
            hyperparameters: a value for each that the variant uses.
            team: the threads that work.
        """
        self.prepared.run(self.t, hyperparameters, team)
        if self.layout.count:
            for kept in self.kept:
                kept[self.layout.count] = self.t
            self.t += 1
        for name, array in self.numbers.items():
            for kept in self.kept:
                kept[name] = array.copy()


def _values(kept: list[Kept], names: list[list[str]]) -> list[Any]:
    """What is kept under the names of each parameter, one after the other; None for what is missing."""
    return [k.get(name) for k, own in zip(kept, names, strict=True) for name in own]


def _form_of(arrays: Sequence[np.ndarray]) -> _Form:
    return list(map(_shape, arrays)), list(map(_strides, arrays)), list(map(_dtype, arrays))
