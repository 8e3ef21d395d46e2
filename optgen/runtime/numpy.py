"""Generated modules on numpy arrays: computed as they are called, one operation after the other."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optgen.errors import TreeMismatch
from optgen.runtime.arrays import Arrays
from optgen.runtime.variant import ArrayVariant
from optgen.targets.manifest import Function, VariantInfo

#: What generated functions call, by the names that numpy and jax.numpy share.
FUNCTIONS = (
    *("abs", "sign", "exp", "expm1", "log", "sin", "cos", "tanh", "floor", "ceil", "sqrt", "square"),
    *("maximum", "minimum", "mod", "power", "add", "divide", "where", "logical_not", "asarray"),
    *("sum", "max", "min", "inf"),
)


def namespace() -> types.SimpleNamespace:
    """What an eager module finds under `xp`."""
    found = {name: getattr(np, name) for name in FUNCTIONS}
    return types.SimpleNamespace(**found, is_array=lambda value: isinstance(value, np.ndarray | np.generic))


class NumpyArrays(Arrays):
    """Arrays of numpy. Numbers of the step are Python floats, which take the precision of the arrays they meet."""

    def arithmetic_dtype(self, array: np.ndarray) -> Any:
        return arithmetic_of(array.dtype)

    def widest(self, dtypes: Sequence[Any]) -> Any:
        return np.dtype(np.float64) if np.dtype(np.float64) in dtypes else np.dtype(np.float32)

    def cast(self, array: Any, dtype: Any) -> Any:
        return array.astype(dtype, copy=False) if isinstance(array, np.ndarray) else dtype.type(array)

    def number(self, value: Any, dtype: Any) -> Any:
        return np.asarray(value, dtype)

    def hyperparameter(self, value: Any, dtype: Any) -> float:
        return float(value)

    def step_number(self, t: Any, dtype: Any) -> Any:
        return dtype.type(t)

    def kept_step_number(self, stored: Any, dtype: Any) -> float:
        return float(stored)

    def spread(self, value: Any, shape: tuple[int, ...], dtype: Any, like: np.ndarray) -> np.ndarray:
        array = np.asarray(value, None if isinstance(value, np.ndarray | np.generic) else dtype)
        return array if array.shape == shape else np.array(np.broadcast_to(array, shape))

    def apart(self, value: np.ndarray, given: Sequence[Any]) -> np.ndarray:
        shares = any(isinstance(other, np.ndarray) and np.may_share_memory(value, other) for other in given)
        return value.copy() if shares else value

    def filled(self, start: Any, shape: tuple[int, ...], dtype: Any, like: np.ndarray) -> np.ndarray:
        return np.array(np.broadcast_to(np.asarray(start, dtype), shape))

    def filled_on_host(self, start: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.array(np.broadcast_to(np.asarray(start, np.float64), shape))

    def as_stored(self, value: Any, stored: np.ndarray) -> np.ndarray:
        return np.asarray(value, stored.dtype)

    def replaced(self, ring: np.ndarray, place: Any, value: np.ndarray) -> np.ndarray:
        ring[place] = value
        return ring

    def transpose(self, array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
        return np.transpose(array, order)

    def combined(self, operation: str, first: Any, second: Any) -> Any:
        return {"sum": np.add, "max": np.maximum, "min": np.minimum}[operation](first, second)

    def bits(self, array: np.ndarray) -> Any:
        return array.view(np.int32)

    def floats(self, bits: np.ndarray) -> np.ndarray:
        return np.asarray(bits, np.int32).view(np.float32)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return np.where(condition, _narrow(a), _narrow(b))

    def places(self, count: int, like: np.ndarray) -> np.ndarray:
        return np.arange(count, dtype=np.int64).astype(np.int32)

    def to(self, array: np.ndarray, dtype: str) -> Any:
        return array.astype(_dtype(dtype), copy=False)

    def rows(self, array: np.ndarray, length: int) -> np.ndarray:
        return np.pad(array.reshape(-1), (0, -array.size % length)).reshape(-1, length)

    def largest(self, array: np.ndarray) -> Any:
        return array.max(axis=1, keepdims=True)

    def call_for_step(self, module: types.ModuleType, function: Function, values: Mapping[str, Any], dtype: Any) -> Any:
        return call_in_float64(module, function, values)


@functools.cache
def arithmetic_of(dtype: np.dtype) -> np.dtype:
    """The dtype of the arithmetic on arrays of a dtype, of whatever byte order.

    Raises:
        TreeMismatch: there is none, for numbers of more than 64 bits for one.
    """
    # bfloat16 is a type that other libraries add to numpy.
    if not (np.issubdtype(dtype, np.floating) or dtype.name == "bfloat16"):
        raise TreeMismatch(f"parameters and gradients are floating-point arrays, and this one is {dtype}")
    if dtype.itemsize > 8:
        raise TreeMismatch(f"parameters are of at most 64 bits, and this one is {dtype}")
    return np.dtype(np.float64) if dtype.itemsize == 8 else np.dtype(np.float32)


def _narrow(value: Any) -> Any:
    """A Python number as one of 32 bits."""
    return np.float32(value) if isinstance(value, float) else np.int32(value) if isinstance(value, int) else value


def _dtype(name: str) -> Any:
    """A dtype by name; bfloat16 is one that ml_dtypes adds to numpy, which comes with jax."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def call_in_float64(module: types.ModuleType, function: Function, values: Mapping[str, Any]) -> list[Any]:
    """Call a function of numbers of the step, and give Python numbers."""
    wide = {name: np.float64(value) if name == "t" else _float64(value) for name, value in values.items()}
    with np.errstate(all="ignore"):
        found = getattr(module, function.name)(*(wide[name] for name in function.arguments))
    return [value.item() if isinstance(value, np.generic | np.ndarray) else value for value in found]


def _float64(value: Any) -> Any:
    """Hyperparameters stay Python floats, on which the host's functions are called; states become numbers of numpy."""
    return value if isinstance(value, float | bool | int) else np.float64(value)


class NumpyVariant(ArrayVariant):
    """One generated variant, ready to run on numpy arrays.

    Args:
        optimizer: the optimizer's name, for messages.
        info: the variant.
        module: the generated eager module, with `xp` from `namespace`.
    """

    def __init__(self, optimizer: str, info: VariantInfo, module: types.ModuleType) -> None:
        super().__init__(optimizer, info, module, NumpyArrays())

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """See `ArrayVariant.step`; what IEEE arithmetic answers with Inf or NaN raises no warning."""
        with np.errstate(all="ignore"):
            return super().step(*args, **kwargs)
