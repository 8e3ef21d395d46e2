"""Bringing a tensor's matrix axes to its end and back, for rules whose rows and columns are not the last two axes.

State of which there is one number per element is kept in the parameter's own layout; numbers per row, column or matrix
are kept for the transposed shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optgen.contract.kinds import Kind, inverse_order, matrix_order

#: An array and the order of its axes → the array with its axes in that order.
Transpose = Callable[[Any, tuple[int, ...]], Any]


@dataclass(frozen=True, slots=True)
class AxisOrder:
    """How one tensor's axes are ordered while a rule works on it.

    Attributes:
        order: the tensor's axes in the rule's order.
        transpose: how the framework's arrays are transposed.
    """

    order: tuple[int, ...]
    transpose: Transpose

    @classmethod
    def of(cls, matrix_axes: str, shape: Sequence[int], transpose: Transpose) -> AxisOrder:
        """The layout of a tensor of a shape."""
        return cls(matrix_order(matrix_axes, shape), transpose)

    @property
    def is_plain(self) -> bool:
        """Whether the axes stay as they are."""
        return self.order == tuple(range(len(self.order)))

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A tensor's shape as the rule sees it."""
        return tuple(shape[axis] for axis in self.order)

    def into(self, array: Any) -> Any:
        """An array of the tensor's shape, or a history of such, as the rule sees it."""
        return self._ordered(array, self.order)

    def back(self, array: Any) -> Any:
        """The opposite of `into`."""
        return self._ordered(array, inverse_order(self.order))

    def states(self, kinds: Mapping[str, Kind], values: Mapping[str, Any], *, back: bool = False) -> dict[str, Any]:
        """A tensor's states, those of one number per element in the rule's layout; `back`: in the tensor's."""
        move = self.back if back else self.into
        return {name: move(v) if kinds[name] is Kind.ELEMENT else v for name, v in values.items()}

    def _ordered(self, array: Any, order: tuple[int, ...]) -> Any:
        if self.is_plain:
            return array
        # A history has an axis before the tensor's own.
        before = len(array.shape) - len(order)
        return self.transpose(array, (*range(before), *(axis + before for axis in order)))
