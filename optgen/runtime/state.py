"""Stored arrays: a model's states between steps, and how array functions take and give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optgen.contract.manifest import StateInfo
from optgen.runtime.arrays import Places

#: A state as it is stored: an array, or for a vector per axis a tuple of arrays.
Stored = Any

#: The forms in which a step may be asked for, and the result of a rule that adds something to its parameter.
UPDATE_FORM, PARAMETER_FORM = "update", "theta_new"
UPDATE = "theta_update"


@dataclass(frozen=True, slots=True)
class ModelState:
    """All that a rule keeps: a mapping per tensor, and what is kept once for the model.

    Histories may be longer than the rule needs, and their places run ahead of the steps, where a library keeps them so.
    States that `formats` names are stored as `optgen.runtime.formats` says; they have one number per element. `numbers`
    are those of the tensors, where these are some of a larger model. `axes` are of a mesh of jax: over these, devices
    have parts of tensors, see `optgen.runtime.jax.split`; `places` say which parts, for random bits, of each tensor.
    """

    tensors: tuple[Mapping[str, Stored], ...]
    shared: Mapping[str, Stored]
    ahead: int = 0
    formats: Mapping[str, str] = field(default_factory=dict)
    numbers: Sequence[int] = ()
    axes: tuple[str, ...] = ()
    places: Sequence[Places | None] = ()

    def number(self, index: int) -> int:
        """The number of a tensor among all that one optimizer steps, from which its random bits follow."""
        return self.numbers[index] if self.numbers else index


def unpacked(state: StateInfo, stored: Stored, t: Any) -> dict[str, Any]:
    """A state's earlier values by the names they have in the functions."""
    if state.depth == 1:
        return {state.name: stored}
    return {name: _entry(stored, t - 1 - lag) for lag, name in enumerate(value_names(state), start=1)}


def value_names(state: StateInfo) -> list[str]:
    """The names of a state's earlier values in the functions, the newest first."""
    return [state.name, *(f"{state.name}_lag{lag}" for lag in range(2, state.depth + 1))]


def _entry(stored: Stored, step: Any) -> Any:
    if isinstance(stored, tuple):
        return tuple(ring[step % ring.shape[0]] for ring in stored)
    return stored[step % stored.shape[0]]
