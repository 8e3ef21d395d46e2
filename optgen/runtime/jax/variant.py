"""A generated variant on jax arrays."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
from jax import lax

from optgen.contract.kinds import SIZE_SYMBOLS, Kind
from optgen.contract.manifest import VariantInfo
from optgen.errors import TreeMismatch
from optgen.runtime.jax.arrays import JaxArrays
from optgen.runtime.jax.mesh import split_along
from optgen.runtime.jax.split import SplitFunctions
from optgen.runtime.state import UPDATE_FORM, ModelState
from optgen.runtime.variant import ArrayVariant


class JaxVariant(ArrayVariant):
    """One generated variant, ready to run on jax arrays.

    Args:
        optimizer: the optimizer's name, for messages.
        info: the variant.
        module: the generated module that holds its functions.
        arrays: how it computes on them.
        load: gives the module anew, for the same variant on tensors that are split over devices.
    """

    def __init__(
        self,
        optimizer: str,
        info: VariantInfo,
        module: types.ModuleType,
        arrays: JaxArrays | None = None,
        load: Callable[[], types.ModuleType] | None = None,
    ) -> None:
        super().__init__(optimizer, info, module, arrays or JaxArrays())
        self._load = load
        self._split: dict[tuple[str, ...], JaxVariant] = {}

    def step(
        self,
        gradients: Sequence[jax.Array],
        state: ModelState,
        parameters: Sequence[jax.Array] | None,
        t: Any,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        form: str = UPDATE_FORM,
    ) -> tuple[tuple[jax.Array, ...], ModelState]:
        """See `ArrayVariant.step`."""
        if state.axes:
            return self._split_over(state.axes).step(
                gradients, replace(state, axes=()), parameters, t, hyperparameters, inputs, form
            )
        return super().step(gradients, state, parameters, t, hyperparameters, inputs, form)

    @functools.cached_property
    def is_elementwise(self) -> bool:
        """Whether a part of a tensor is stepped as all of it is: nothing is folded, and no shape is asked for."""
        kinds = {state.kind for case in self.info.cases for state in case.states}
        asked = {name for case in self.info.cases for function in case.jax for name in function.arguments}
        is_one_pass = all(case.passes == 1 for case in self.info.cases)
        is_plain = kinds <= {Kind.ELEMENT, Kind.STEP} and asked.isdisjoint(SIZE_SYMBOLS)
        return is_one_pass and is_plain and not self.is_joint

    def _split_over(self, axes: tuple[str, ...]) -> JaxVariant:
        """The variant for tensors that are split over devices.

        Raises:
            TreeMismatch: some tensors are complex.
        """
        if self._load is None:
            raise TreeMismatch(f"{self.optimizer}: axis_name is for real parameters")
        if axes not in self._split:
            self._split[axes] = SplitVariant(axes, self.optimizer, self.info, self._load())
        return self._split[axes]


class SplitVariant(JaxVariant):
    """A variant on parts of tensors.

    Args:
        axes: of the mesh over which tensors are split.
        optimizer, info: see `JaxVariant`.
        module: the generated module, of which this may change what it calls.
    """

    def __init__(self, axes: tuple[str, ...], optimizer: str, info: VariantInfo, module: types.ModuleType) -> None:
        vars(module)["jnp"] = SplitFunctions(optimizer, axes)
        super().__init__(optimizer, info, module)
        self._axes = axes

    def shape_numbers(self, gradient: Any) -> dict[str, int]:
        """See `ArrayVariant.shape_numbers`; the size and the counts are those of the whole tensor."""
        parts = math.prod(map(lax.axis_size, split_along(gradient, self._axes)))
        found = super().shape_numbers(gradient)
        return {name: n * parts if name == "size" or name.endswith("_count") else n for name, n in found.items()}
