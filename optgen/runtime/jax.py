"""Generated modules on jax arrays. Everything works on tracers, so all of it runs inside jit, vmap, scan and grad."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from optgen.contract.manifest import Function, VariantInfo
from optgen.errors import TreeMismatch
from optgen.runtime.arrays import Arrays
from optgen.runtime.variant import PARAMETER_FORM, UPDATE, UPDATE_FORM, ArrayVariant, ModelState

__all__ = ["PARAMETER_FORM", "UPDATE", "UPDATE_FORM", "JaxArrays", "JaxVariant", "ModelState", "arithmetic_dtype"]


class JaxArrays(Arrays):
    """Arrays of jax."""

    def arithmetic_dtype(self, array: jax.Array) -> Any:
        return arithmetic_dtype(array)

    def widest(self, dtypes: Sequence[Any]) -> Any:
        return jnp.result_type(*dtypes) if dtypes else jnp.float32

    def cast(self, array: jax.Array, dtype: Any) -> jax.Array:
        return array.astype(dtype)

    def number(self, value: Any, dtype: Any) -> jax.Array:
        return jnp.asarray(value, dtype)

    def hyperparameter(self, value: Any, dtype: Any) -> Any:
        return float(value) if isinstance(value, int | float) else jnp.asarray(value, dtype)

    def step_number(self, t: Any, dtype: Any) -> jax.Array:
        return jnp.asarray(t, dtype)

    def kept_step_number(self, stored: Any, dtype: Any) -> jax.Array:
        return self.cast(stored, dtype)

    def spread(self, value: Any, shape: tuple[int, ...], dtype: Any, like: jax.Array) -> jax.Array:
        array = value if isinstance(value, jax.Array) else jnp.asarray(value, dtype)
        return array if array.shape == shape else jnp.broadcast_to(array, shape)

    def apart(self, value: jax.Array, given: Sequence[Any]) -> jax.Array:
        return value  # nothing is changed in place

    def filled(self, start: Any, shape: tuple[int, ...], dtype: Any, like: jax.Array) -> jax.Array:
        if isinstance(start, int | float) and shape == like.shape:
            return jnp.full_like(like, start, dtype=dtype)  # laid out over devices as the parameter is
        # A copy: a state that starts at the parameter must not be the parameter's own buffer, which may be donated.
        return jnp.array(jnp.broadcast_to(jnp.asarray(start, dtype), shape))

    def filled_on_host(self, start: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jnp.array(jnp.broadcast_to(jnp.asarray(start, dtype), shape))

    def as_stored(self, value: Any, stored: jax.Array) -> jax.Array:
        return jnp.asarray(value, stored.dtype)

    def replaced(self, ring: jax.Array, place: Any, value: jax.Array) -> jax.Array:
        return ring.at[place].set(value)

    def transpose(self, array: jax.Array, order: tuple[int, ...]) -> jax.Array:
        return jnp.transpose(array, order)

    def combined(self, operation: str, first: jax.Array, second: jax.Array) -> jax.Array:
        if operation == "sum":
            return first + second
        return jnp.maximum(first, second) if operation == "max" else jnp.minimum(first, second)

    def bits(self, array: jax.Array) -> jax.Array:
        return lax.bitcast_convert_type(array, jnp.int32)

    def floats(self, bits: jax.Array) -> jax.Array:
        return lax.bitcast_convert_type(bits, jnp.float32)

    def where(self, condition: jax.Array, a: Any, b: Any) -> jax.Array:
        return jnp.where(condition, _narrow(a), _narrow(b))

    def places(self, count: int, like: jax.Array) -> jax.Array:
        return lax.iota(jnp.int32, count)

    def to(self, array: jax.Array, dtype: str) -> jax.Array:
        return array.astype(dtype)

    def rows(self, array: jax.Array, length: int) -> jax.Array:
        return jnp.pad(array.reshape(-1), (0, -array.size % length)).reshape(-1, length)

    def largest(self, array: jax.Array) -> jax.Array:
        return jnp.max(array, axis=1, keepdims=True)

    def call_for_step(self, module: types.ModuleType, function: Function, values: Mapping[str, Any], dtype: Any) -> Any:
        with jax.enable_x64(True):
            wide = {name: _converted(value, jnp.float64) for name, value in values.items()}
            if "t" in wide:
                wide["t"] = _converted(jnp.asarray(values["t"]), jnp.float64)
            found = getattr(module, function.name)(*(wide[name] for name in function.arguments))
            return [_converted(value, dtype) for value in found]


class ComplexArrays(JaxArrays):
    """The same where some tensors are complex; hyperparameters, numbers of the step and folds are real."""

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
    """What a generated module calls in place of jax.numpy: squares are those of the absolute value, as in optax."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    @staticmethod
    def square(value: Any) -> Any:
        """The real square of the absolute value."""
        value = jnp.asarray(value)
        return jnp.square(value.real) + jnp.square(value.imag) if jnp.iscomplexobj(value) else jnp.square(value)


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

    def _split_over(self, axes: tuple[str, ...]) -> JaxVariant:
        """The same variant where devices have parts of tensors.

        Raises:
            TreeMismatch: some tensors are complex.
        """
        from optgen.runtime.split import SplitVariant

        if self._load is None:
            raise TreeMismatch(f"{self.optimizer}: axis_name is for real parameters")
        if axes not in self._split:
            self._split[axes] = SplitVariant(axes, self.optimizer, self.info, self._load())
        return self._split[axes]


def arithmetic_dtype(array: jax.Array) -> Any:
    """The precision in which a tensor's step is computed, and its state kept.

    Raises:
        TreeMismatch: the tensor does not hold real floating-point numbers.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TreeMismatch(f"parameters and gradients are floating-point arrays, and this one is {array.dtype}")
    return jnp.dtype("float64") if array.dtype == jnp.float64 else jnp.dtype("float32")


def complex_dtype(array: jax.Array) -> Any:
    """The precision in which the step of a tensor is computed that may be complex."""
    if jnp.iscomplexobj(array):
        return jnp.dtype("complex128") if array.dtype == jnp.complex128 else jnp.dtype("complex64")
    return arithmetic_dtype(array)


def _narrow(value: Any) -> Any:
    """A Python number as one of 32 bits, whatever the default is."""
    return jnp.float32(value) if isinstance(value, float) else jnp.int32(value) if isinstance(value, int) else value


def _real(dtype: Any) -> Any:
    return jnp.zeros((), dtype).real.dtype


def _converted(value: Any, dtype: Any) -> Any:
    """A number as an array of a dtype; Python numbers and booleans stay as they are."""
    if not isinstance(value, jax.Array) or jnp.issubdtype(value.dtype, jnp.bool_):
        return value
    # Not `astype`, which would bring float64 back to float32 wherever it is not the default.
    return lax.convert_element_type(value, dtype)


def varying_of(arrays: Any) -> frozenset[str]:
    """Along which axes of a mesh the devices of a `shard_map` have other values, of some array of a tree."""
    kinds = [jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(arrays)]
    return frozenset().union(*kinds)
