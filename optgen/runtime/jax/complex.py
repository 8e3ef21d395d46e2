"""Generated modules on complex jax arrays."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from optgen.contract.manifest import Function
from optgen.runtime.jax.arrays import JaxArrays, arithmetic_dtype


class ComplexArrays(JaxArrays):
    """Jax arrays some of which are complex; hyperparameters, step scalars and reductions are real."""

    def arithmetic_dtype(self, array: jax.Array) -> Any:
        return complex_dtype(array)

    def cast(self, array: jax.Array, dtype: Any) -> jax.Array:
        return array.astype(dtype if jnp.iscomplexobj(array) else _real(dtype))

    def number(self, value: Any, dtype: Any) -> jax.Array:
        return self.cast(jnp.asarray(value), dtype)

    def hyperparameter(self, value: Any, dtype: Any) -> Any:
        return super().hyperparameter(value, _real(dtype))

    def step_number(self, t: Any, dtype: Any) -> jax.Array:
        return super().step_number(t, _real(dtype))

    def call_for_step(self, module: types.ModuleType, function: Function, values: Mapping[str, Any], dtype: Any) -> Any:
        return super().call_for_step(module, function, values, _real(dtype))


class ComplexFunctions:
    """Replacement of jax.numpy for a generated module: squares are those of the absolute value, as in optax."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    @staticmethod
    def square(value: Any) -> Any:
        """The real square of the absolute value."""
        value = jnp.asarray(value)
        return jnp.square(value.real) + jnp.square(value.imag) if jnp.iscomplexobj(value) else jnp.square(value)


def complex_dtype(array: jax.Array) -> Any:
    """The precision in which the step of a tensor is computed that may be complex."""
    if jnp.iscomplexobj(array):
        return jnp.dtype("complex128") if array.dtype == jnp.complex128 else jnp.dtype("complex64")
    return arithmetic_dtype(array)


def _real(dtype: Any) -> Any:
    return jnp.zeros((), dtype).real.dtype
