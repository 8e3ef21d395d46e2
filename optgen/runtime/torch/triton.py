"""A generated variant as Triton kernels that change torch tensors in place, all tensors of a model in each launch.

Nothing is read back from the device, and nothing waits for it: numbers of the step are computed on the host and sent,
everything else stays there. Sums have a fixed order, so a step repeated on the same values gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from optgen.contract.formats import BLOCK as FORMAT_BLOCK
from optgen.contract.kernel_plan import SKIP, STATE_FORMATS, UNSCALE
from optgen.contract.kinds import Kind
from optgen.errors import TreeMismatch
from optgen.runtime.in_place import single
from optgen.runtime.state import ModelState
from optgen.runtime.torch.launch import arithmetic_dtype, on_device
from optgen.runtime.torch.phase import DeviceModel, Phase
from optgen.runtime.triton.launcher import Launcher
from optgen.runtime.variant import ArrayVariant

Tensor = torch.Tensor


class TritonRule:
    """One variant, ready to run.

    Args:
        launcher: of the generated module.
        variant: the same variant on torch tensors: it says which case a shape takes, and makes the first state.
    """

    def __init__(self, launcher: Launcher, variant: ArrayVariant) -> None:
        self.variant = variant
        self.launcher = launcher
        self.plan = launcher.plan.variant(variant.info.name)

    def step(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        state: ModelState,
        t: int,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """One step on all tensors; parameters and state change in place.

        Args:
            parameters: of any real floating-point dtype, on one device.
            gradients: of the parameters' shapes, of any real floating-point dtype.
            state: of tensors on that device; numbers of the step are arrays of numpy that can be written.
            t: the number of this step, counted from 1.
            hyperparameters: a value for each that the variant uses.
            inputs: the extra values that the rule asks for; one per tensor where its kind is tensor or element.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together; nothing has been changed.
        """
        if parameters:
            prepared = self.prepared(parameters, gradients, state, inputs)
            prepared.run(t, {**hyperparameters, **single(inputs or {})})

    def takes(self, formats: Mapping[str, str], shapes: Sequence[tuple[int, ...]]) -> bool:
        """See `InPlaceRule.takes`."""
        fits = self.launcher.sizes.block_of(STATE_FORMATS[f] for f in formats.values()) % FORMAT_BLOCK == 0
        return fits and self.variant.keeps_places(formats, shapes)

    def prepared(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        state: ModelState,
        inputs: Mapping[str, Any] | None = None,
    ) -> PreparedLaunches:
        """A step with all but the numbers; for the arguments see `step`.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together.
        """
        self.variant.check(gradients, state, parameters)
        for index, (theta, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            if theta.device != parameters[0].device or gradient.device != theta.device:
                raise TreeMismatch(
                    f"tensor {index} is on another device than the first parameter, {parameters[0].device}"
                )
            arithmetic_dtype(gradient)
        return PreparedLaunches(self, parameters, gradients, state, inputs or {})


class PreparedLaunches:
    """A step whose arrays are known.

    Args:
        rule: what is run.
        parameters, gradients, state, inputs: see `TritonRule.step`.
    """

    def __init__(
        self,
        rule: TritonRule,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        state: ModelState,
        inputs: Mapping[str, Any],
    ) -> None:
        self.rule = rule
        self.cases = rule.plan.cases_for(_narrow(parameters, state))
        given = [theta.detach() for theta in parameters], [gradient.detach() for gradient in gradients]
        self.model = DeviceModel(*given, state, inputs)
        #: Values of histories stand elsewhere in each step.
        self._has_history = any(entry.depth > 1 for case in self.cases for entry in case.states)
        self._phase: Phase | None = None

    def run(self, t: int, hyperparameters: Mapping[str, Any], team: object = None) -> None:
        """Make the step.

        Args:
            t: its number, counted from 1.
            hyperparameters: a value for each that the variant uses, and for inputs that are single numbers.
            team: is for kernels of the CPU.
        """
        with torch.no_grad(), on_device(self.model.parameters[0]):
            phase = self._phase or Phase(self.rule.launcher, self.rule.variant, self.cases, self.model, t)
            if not self._has_history and self._phase is None:
                self._phase = phase
                # Whoever drops them gets their memory back.
                self.model.gradients = []
            phase.run(t, {name: float(value) for name, value in hyperparameters.items()})

    def prepare_for_device(self) -> bool:
        """See `PreparedStep`: not if places depend on the number of the step. It comes after a first `run`."""
        if self._phase is None or self.model.inputs:
            return False
        with torch.no_grad(), on_device(self.model.parameters[0]):
            self._phase.prepare_for_device()
        return True

    @property
    def can_skip(self) -> bool:
        """Whether the device can leave out a step: not where a state is a single number or one of a row or column."""
        kinds = {entry.kind for case in self.cases for entry in case.states}
        return kinds <= {Kind.ELEMENT, Kind.STEP}

    def run_on_device(
        self,
        t: Tensor | float,
        hyperparameters: Mapping[str, float | Tensor],
        numbers: Mapping[str, Tensor],
        scale: Tensor | None = None,
        skip: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Make a step whose number is known on the device alone: nothing waits for it, and graphs can capture it.

        A captured step keeps the hyperparameters that are Python numbers as it was captured with. Tensors are read anew
        in every step.

        Args:
            t: the number of the step, counted from 1; one number on the device, as all tensors here.
            hyperparameters: a value for each that the variant uses.
            numbers: the states that are numbers of the step.
            scale: what the gradients have been multiplied by.
            skip: not 0 if the step is to leave everything as it is.

        Returns:
            the states that are numbers of the step, after it.

        Raises:
            RuntimeError: a second graph captures the step without a step between them.
        """
        assert self._phase is not None, "prepare_for_device comes first"
        with torch.no_grad(), on_device(self.model.parameters[0]):
            given = {**hyperparameters, "t": t, **numbers}
            if scale is not None or skip is not None:
                given[UNSCALE] = 1.0 if scale is None else scale.double().reciprocal()
                given[SKIP] = 0.0 if skip is None else skip
            return self._phase.run_on_device(given)

    def move_gradients(self, addresses: Sequence[int]) -> bool:
        """Have the steps to come read gradients, of the same shapes and dtypes and without gaps, at other places.

        Returns:
            whether they can: not before the first step, where one is a copy or less aligned, or the rule has histories.
        """
        if self._phase is None or not self._phase.can_move or any(address % 16 for address in addresses):
            return False
        self._phase.move_gradients(np.array(addresses, np.uint64))
        return True


def _narrow(parameters: Sequence[Tensor], state: ModelState) -> set[str]:
    """The states that are stored in less than the precision of the arithmetic."""
    return set(state.formats) | {
        name
        for theta, kept in zip(parameters, state.tensors, strict=True)
        for name, value in kept.items()
        if isinstance(value, Tensor) and value.element_size() < arithmetic_dtype(theta).itemsize
    }
