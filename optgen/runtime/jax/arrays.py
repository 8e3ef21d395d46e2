"""Generated modules on jax arrays. Everything works on tracers, so all of it runs inside jit, vmap, scan and grad."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from optgen.contract.manifest import Function
from optgen.errors import TreeMismatch
from optgen.runtime.arrays import Arrays


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


def arithmetic_dtype(array: jax.Array) -> Any:
    """The precision in which a tensor's step is computed, and its state kept.

    Raises:
        TreeMismatch: the tensor does not hold real floating-point numbers.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TreeMismatch(f"parameters and gradients are floating-point arrays, and this one is {array.dtype}")
    return jnp.dtype("float64") if array.dtype == jnp.float64 else jnp.dtype("float32")


def _narrow(value: Any) -> Any:
    """A Python number as one of 32 bits, whatever the default is."""
    return jnp.float32(value) if isinstance(value, float) else jnp.int32(value) if isinstance(value, int) else value


def _converted(value: Any, dtype: Any) -> Any:
    """A number as an array of a dtype; Python numbers and booleans stay as they are."""
    if not isinstance(value, jax.Array) or jnp.issubdtype(value.dtype, jnp.bool_):
        return value
    # Not `astype`, which would bring float64 back to float32 wherever it is not the default.
    return lax.convert_element_type(value, dtype)
