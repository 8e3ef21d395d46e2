"""Variants on jax arrays whose steps are kernels where these can run: C's on a CPU, Triton's on a GPU.

Where XLA would have to gather arrays from several devices for them, under vmap and in derivatives the functions of the
jax target compute the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from optgen.runtime.backend import triton_or_told
from optgen.runtime.jax.static_arguments import KernelStep, StaticArguments, platform
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.native.library import Kernels
from optgen.runtime.state import UPDATE_FORM, ModelState

if TYPE_CHECKING:
    from optgen.runtime.triton.launcher import Launcher


class KernelJaxVariant(JaxVariant):
    """A variant whose steps are kernels where these can run, and the generated jax functions elsewhere.

    Args:
        kernels: gives the compiled C file; asked when a step is first made that can use it.
        launcher: the same for Triton's.
        *arguments: see `JaxVariant`.
    """

    def __init__(self, kernels: Callable[[], Kernels], launcher: Callable[[], Launcher], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kernels = kernels
        # A module of its own for every trace would be compiled for every trace.
        self.launcher = functools.cache(launcher)

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
        # Kernels draw random bits for whole tensors.
        if state.axes and (not self.is_elementwise or any(state.places)):
            return super().step(gradients, state, parameters, t, hyperparameters, inputs, form)
        inputs = inputs or {}
        by_kernels = self._by_kernels(gradients, state, parameters, inputs, form)
        if by_kernels is None:
            return super().step(gradients, state, parameters, t, hyperparameters, inputs, form)
        self.check(gradients, state, parameters)
        # Python numbers are part of the program; everything else is an argument of what is called.
        fixed = {name: float(value) for name, value in hyperparameters.items() if isinstance(value, int | float)}
        given = (
            tuple(gradients),
            tuple(dict(kept) for kept in state.tensors),
            dict(state.shared),
            None if parameters is None else tuple(parameters),
            jnp.asarray(t, jnp.int32),
            {name: value for name, value in hyperparameters.items() if name not in fixed},
            dict(inputs),
        )
        # What does not change from step to step.
        numbers = tuple(state.number(index) for index in range(len(gradients)))
        told = StaticArguments(fixed, state.ahead, state.formats, numbers, form)
        arrays = functools.partial(self._by_arrays, told)
        kernels = functools.partial(by_kernels, told)

        @jax.custom_jvp
        def run(given: Any) -> Any:
            return batched(given)

        @jax.custom_batching.custom_vmap
        def batched(given: Any) -> Any:
            return kernels(given)

        @batched.def_vmap
        def _(size: int, is_batched: Any, given: Any) -> tuple[Any, Any]:
            axes = jax.tree.map(lambda one: 0 if one else None, is_batched[0])
            found = jax.vmap(arrays, in_axes=(axes,), axis_size=size)(given)
            return found, jax.tree.map(lambda _: True, found)

        run.defjvp(lambda primals, tangents: jax.jvp(arrays, primals, tangents))
        results, tensors, shared = run(given)
        return tuple(results), ModelState(tuple(tensors), shared, state.ahead, state.formats)

    def _by_kernels(
        self, gradients: Sequence[Any], state: ModelState, parameters: Any, inputs: Mapping[str, Any], form: str
    ) -> KernelStep | None:
        """The step by kernels on these arrays; None if no kernels can run."""
        # A length may be a symbol, which is known when the program that is exported runs.
        lengths = [n for gradient in gradients for n in gradient.shape]
        if not gradients or not all(isinstance(n, int) for n in lengths):
            return None
        if not self.keeps_places(state.formats, [gradient.shape for gradient in gradients]):
            return None
        given = gradients, state, parameters, inputs
        if platform() == "cpu":
            from optgen.runtime.jax.native import by_native

            return by_native(self, self.kernels, *given, form)
        if platform() != "gpu" or parameters is None or form == UPDATE_FORM:
            # These kernels change parameters; they make no updates that something else adds.
            return None

        def by_triton() -> KernelStep | None:
            from optgen.runtime.jax.triton import by_triton

            return by_triton(self, self.launcher, *given)

        return triton_or_told(by_triton)

    def _by_arrays(self, told: StaticArguments, given: Any) -> Any:
        gradients, tensors, shared, parameters, t, varying, inputs = given
        before = ModelState(tensors, shared, told.ahead, told.formats, told.numbers)
        results, after = super().step(gradients, before, parameters, t, {**told.fixed, **varying}, inputs, told.form)
        return tuple(results), tuple(dict(kept) for kept in after.tensors), dict(after.shared)
