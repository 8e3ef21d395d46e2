"""The interface of kernels that change arrays in place, on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optgen.runtime.state import ModelState
from optgen.runtime.threads import Team


class PreparedStep(Protocol):
    """A step whose arrays are known."""

    def run(self, t: int, hyperparameters: Mapping[str, Any], team: Team) -> None:
        """Make the step.

        Args:
            t: its number, counted from 1.
            hyperparameters: a value for each that the variant uses, and for inputs that are single numbers.
            team: the threads that work, where these are the CPU's.
        """

    def prepare_for_device(self) -> bool:
        """Make what `run_on_device` needs besides, none of which could be made while a graph captures it.

        Returns:
            whether there is such a way to make the step.
        """

    @property
    def can_skip(self) -> bool:
        """Whether that can leave a step out."""

    def run_on_device(
        self,
        t: Any,
        hyperparameters: Mapping[str, Any],
        numbers: Mapping[str, Any],
        scale: Any = None,
        skip: Any = None,
    ) -> dict[str, Any]:
        """Make a step whose number is known on the device alone, see `optgen.runtime.torch.triton.Prepared`."""

    def move_gradients(self, addresses: Sequence[int]) -> bool:
        """Have the steps to come read gradients, of the same shapes, dtypes and strides, at other places.

        Returns:
            whether they can.
        """


class InPlaceRule(Protocol):
    """One variant, ready to run."""

    def takes(self, formats: Mapping[str, str], shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether it can make a step on tensors of some shapes whose states are in formats of states."""

    def prepared(
        self,
        parameters: Sequence[Any],
        gradients: Sequence[Any],
        state: ModelState,
        inputs: Mapping[str, Any] | None = None,
    ) -> PreparedStep:
        """A step with all but the numbers.

        Args:
            parameters: of any real floating-point dtype.
            gradients: of the parameters' shapes, of any real floating-point dtype.
            state: arrays that can be written; numbers of the step are arrays of numpy.
            inputs: the extra values that the rule asks for; one per tensor where its kind is tensor or element.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together.
        """


def single(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of which there is one number for the model."""
    return {name: value for name, value in inputs.items() if not isinstance(value, list | tuple)}
