"""A group's step as an operator of torch, `torch.ops.optgen.step`: what `torch.compile` puts into its graphs.

The operator says which tensors it changes, and is not looked into. What else a step needs (the rule, hyperparameters as
they are when it runs) is found under the number of the optimizer, so that no new value compiles anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol
from weakref import WeakValueDictionary

import torch

Tensor = torch.Tensor


class Steps(Protocol):
    """An optimizer whose groups can make a step on given tensors."""

    def step_on(self, group: int, parameters: list[Tensor], gradients: list[Tensor], states: list[Tensor]) -> None:
        """Make the step of a group.

        Args:
            group: which it is.
            parameters: those of the group that have a gradient, or other tensors with their values.
            gradients: theirs.
            states: what is kept for each, one parameter after the other, each by name in alphabetical order.
        """


_OPTIMIZERS: WeakValueDictionary[int, Steps] = WeakValueDictionary()
_NUMBERS = itertools.count()


def number_of(optimizer: Steps) -> int:
    """A number under which the operator finds an optimizer as long as that lives."""
    number = next(_NUMBERS)
    _OPTIMIZERS[number] = optimizer
    return number


# Annotations are read by torch.
def _step(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], states: Sequence[Tensor], optimizer: int, group: int
) -> None:
    _OPTIMIZERS[optimizer].step_on(group, list(parameters), list(gradients), list(states))


step = torch.library.custom_op(
    "optgen::step",
    _step,
    mutates_args=("parameters", "states"),
    schema="(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] states, int optimizer, int group) -> ()",
)


@step.register_fake
def _(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], states: Sequence[Tensor], optimizer: int, group: int
) -> None:
    """Without values nothing is changed."""
