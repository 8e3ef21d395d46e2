"""The interface to a library of arrays: jax, torch or numpy."""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optgen.contract.manifest import Function

#: An array of some library.
Array = Any

#: Gives the places of so many numbers of an array, see `Arrays.places`.
Places = Callable[[int, Array], Array]


class Arrays(ABC):
    """The functions of a library of arrays that running a rule needs."""

    @abstractmethod
    def arithmetic_dtype(self, array: Array) -> Any:
        """The precision in which a tensor's step is computed, and its state kept: float64 or float32.

        Raises:
            TreeMismatch: the tensor does not hold real floating-point numbers.
        """

    @abstractmethod
    def widest(self, dtypes: Sequence[Any]) -> Any:
        """The widest of some precisions; float32 if there are none."""

    @abstractmethod
    def cast(self, array: Array, dtype: Any) -> Array:
        """An array in another dtype."""

    @abstractmethod
    def number(self, value: Any, dtype: Any) -> Any:
        """A number as functions of tensors take it; Python numbers may stay what they are."""

    @abstractmethod
    def hyperparameter(self, value: Any, dtype: Any) -> Any:
        """A hyperparameter's value; Python numbers stay, so that what they determine is folded in float64."""

    @abstractmethod
    def step_number(self, t: Any, dtype: Any) -> Any:
        """The number of the step as functions of tensors take it."""

    @abstractmethod
    def kept_step_number(self, stored: Any, dtype: Any) -> Any:
        """A number of the step that is kept, as functions of tensors take it."""

    @abstractmethod
    def spread(self, value: Any, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
        """A value, perhaps a single number of Python's, as an array of a shape; where `like` is."""

    @abstractmethod
    def apart(self, value: Array, given: Sequence[Any]) -> Array:
        """An array, or a copy of it where it may share memory with one of those that are given."""

    @abstractmethod
    def filled(self, start: Any, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
        """A new array of one number, or a copy of an array, of a shape; where `like` is."""

    @abstractmethod
    def filled_on_host(self, start: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """A new array of one number for step scalars, which stay on the host."""

    @abstractmethod
    def as_stored(self, value: Any, stored: Array) -> Array:
        """A new value of a state, in the dtype in which it is stored."""

    @abstractmethod
    def replaced(self, ring: Array, place: Any, value: Array) -> Array:
        """A history with one of its entries replaced."""

    @abstractmethod
    def transpose(self, array: Array, order: tuple[int, ...]) -> Array:
        """An array with its axes in another order."""

    @abstractmethod
    def combined(self, operation: str, first: Array, second: Array) -> Array:
        """The sum, maximum or minimum of two parts of a fold."""

    @abstractmethod
    def bits(self, array: Array) -> Array:
        """The bits of a float32 array, int32."""

    @abstractmethod
    def floats(self, bits: Array) -> Array:
        """The opposite."""

    @abstractmethod
    def where(self, condition: Array, a: Any, b: Any) -> Array:
        """One or the other; Python numbers are float32 or int32."""

    @abstractmethod
    def places(self, count: int, like: Array) -> Array:
        """0, 1, ... as int32, where `like` is; beyond 2**31 they wrap around."""

    @abstractmethod
    def to(self, array: Array, dtype: str) -> Array:
        """An array in another dtype, by name."""

    @abstractmethod
    def rows(self, array: Array, length: int) -> Array:
        """An array's numbers in rows of a length, with zeros behind them."""

    @abstractmethod
    def largest(self, array: Array) -> Array:
        """The largest number of each row of an int32 array, in a column."""

    @abstractmethod
    def call_for_step(
        self, modules: types.ModuleType, function: Function, values: Mapping[str, Any], dtype: Any
    ) -> Any:
        """Call a function that computes numbers of the step, in float64."""
