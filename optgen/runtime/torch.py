"""Generated modules on torch tensors, on any device: computed as they are called, one operation after the other.

What runs where no kernel does: without a compiler, on devices without Triton, and where autograd is to see the step.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from optgen.errors import TreeMismatch
from optgen.runtime.arrays import Arrays
from optgen.runtime.numpy import call_in_float64
from optgen.runtime.numpy import namespace as numpy_namespace
from optgen.runtime.variant import ArrayVariant
from optgen.targets.manifest import Function, VariantInfo

Tensor = torch.Tensor


def _tensor(value: Any, like: Tensor | None = None) -> Tensor:
    """A tensor; of a Python number one without axes, which takes part in other tensors' precision."""
    if isinstance(value, Tensor):
        return value
    if like is not None:
        return torch.as_tensor(value, dtype=like.dtype, device=like.device)
    # Not on the default device: numbers on the host go with tensors of any.
    return torch.as_tensor(value, dtype=torch.float64, device="cpu")


def _of_one(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Tensor]:
    return lambda x: function(_tensor(x))


def _of_two(function: Callable[..., Tensor]) -> Callable[[Any, Any], Tensor]:
    def call(a: Any, b: Any) -> Tensor:
        like = a if isinstance(a, Tensor) else b if isinstance(b, Tensor) else None
        found: Tensor = function(_tensor(a, like), _tensor(b, like))
        return found

    return call


def _sign(x: Tensor) -> Tensor:
    # torch's sign of NaN is 0.
    return torch.where(torch.isnan(x), x, torch.sign(x))


def _where(condition: Any, a: Any, b: Any) -> Any:
    like = next((x for x in (a, b) if isinstance(x, Tensor)), None)
    if not isinstance(condition, Tensor):
        chosen, other = (a, b) if condition else (b, a)
        if like is None:
            return chosen
        # As many numbers as both have, since they may be reduced.
        chosen = _tensor(chosen, like)
        return torch.broadcast_tensors(chosen, _tensor(other, like))[0]  # type: ignore[no-untyped-call]
    found: Tensor = torch.where(condition, _tensor(a, like), _tensor(b, like))
    return found


def _power(base: Any, exponent: Any) -> Tensor:
    if not isinstance(base, Tensor) and not isinstance(exponent, Tensor):
        base = _tensor(base)
    found: Tensor = torch.pow(base, exponent)
    return found


def _fold(function: Callable[..., Tensor], neutral: float) -> Callable[..., Tensor]:
    def fold(x: Any, axis: Any = None, keepdims: bool = False, initial: float | None = None) -> Tensor:
        given = _tensor(x)
        axes = tuple(range(given.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if not axes:
            return given
        if any(given.shape[a] == 0 for a in axes):
            gone = {a % given.ndim for a in axes}
            shape = [1 if a in gone else n for a, n in enumerate(given.shape) if keepdims or a not in gone]
            return torch.full(shape, neutral, dtype=given.dtype, device=given.device)
        folded: Tensor = function(given, dim=axes, keepdim=keepdims)
        return folded

    return fold


def namespace() -> types.SimpleNamespace:
    """What an eager module finds under `xp`: numpy's names over torch tensors."""
    one = ("abs", "exp", "expm1", "log", "sin", "cos", "tanh", "floor", "ceil", "sqrt", "square", "logical_not")
    two: dict[str, Callable[..., Tensor]] = {
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "mod": torch.remainder,
        "add": torch.add,
        "divide": torch.divide,
    }
    return types.SimpleNamespace(
        **{name: _of_one(getattr(torch, name)) for name in one},
        **{name: _of_two(function) for name, function in two.items()},
        sign=_of_one(_sign),
        where=_where,
        power=_power,
        asarray=_tensor,
        sum=_fold(torch.sum, 0.0),
        max=_fold(torch.amax, -math.inf),
        min=_fold(torch.amin, math.inf),
        inf=math.inf,
        is_array=lambda value: isinstance(value, Tensor),
    )


class TorchArrays(Arrays):
    """Tensors of torch. Numbers of the step are Python floats, or tensors where autograd follows a hyperparameter.

    Args:
        host: the same module with numpy's functions, for numbers of the step.
    """

    def __init__(self, host: types.ModuleType) -> None:
        self._host = host

    def arithmetic_dtype(self, array: Tensor) -> Any:
        if not array.dtype.is_floating_point:
            raise TreeMismatch(f"parameters and gradients are floating-point tensors, and this one is {array.dtype}")
        return torch.float64 if array.dtype == torch.float64 else torch.float32

    def widest(self, dtypes: Sequence[Any]) -> Any:
        return torch.float64 if torch.float64 in dtypes else torch.float32

    def cast(self, array: Any, dtype: Any) -> Any:
        return array.to(dtype) if isinstance(array, Tensor) else array

    def number(self, value: Any, dtype: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) else torch.as_tensor(value, dtype=dtype, device="cpu")

    def hyperparameter(self, value: Any, dtype: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(torch.float64) if value.requires_grad else value.item()
        return float(value)

    def step_number(self, t: Any, dtype: Any) -> float:
        return float(t)

    def kept_step_number(self, stored: Any, dtype: Any) -> Any:
        return stored if isinstance(stored, Tensor) else float(stored)

    def spread(self, value: Any, shape: tuple[int, ...], dtype: Any, like: Tensor) -> Tensor:
        if not isinstance(value, Tensor):
            value = torch.as_tensor(value, dtype=dtype, device=like.device)
        full: Tensor = value if tuple(value.shape) == shape else value.expand(shape)
        return full

    def apart(self, value: Tensor, given: Sequence[Any]) -> Tensor:
        # An expanded tensor has one place in memory for several numbers.
        shares = 0 in value.stride() or any(isinstance(x, Tensor) and _may_share_memory(value, x) for x in given)
        return value.clone(memory_format=torch.contiguous_format) if shares else value

    def filled(self, start: Any, shape: tuple[int, ...], dtype: Any, like: Tensor) -> Tensor:
        if isinstance(start, Tensor):
            return start.to(dtype).expand(shape).clone(memory_format=torch.contiguous_format)
        if tuple(like.shape) == shape:  # the parameter's strides are the best ones for what goes with it
            return torch.full_like(like, start, dtype=dtype, memory_format=torch.preserve_format, requires_grad=False)
        return torch.full(shape, start, dtype=dtype, device=like.device)

    def filled_on_host(self, start: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        if is_followed(start):
            return start.to(torch.float64).expand(shape)
        return np.array(np.broadcast_to(np.asarray(start, np.float64), shape))

    def as_stored(self, value: Any, stored: Any) -> Any:
        if isinstance(stored, Tensor):
            return value.to(stored.dtype) if isinstance(value, Tensor) else torch.full_like(stored, value)
        if is_followed(value):
            return value.to(torch.float64)
        return np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, stored.dtype)

    def replaced(self, ring: Any, place: Any, value: Any) -> Any:
        if torch.is_grad_enabled():
            # Autograd has kept what the step has read of it.
            ring = ring.clone() if isinstance(ring, Tensor) else torch.tensor(ring) if is_followed(value) else ring
        ring[place] = value
        return ring

    def transpose(self, array: Tensor, order: tuple[int, ...]) -> Tensor:
        return torch.permute(array, order)

    def combined(self, operation: str, first: Tensor, second: Tensor) -> Tensor:
        if operation == "sum":
            return first + second
        return torch.maximum(first, second) if operation == "max" else torch.minimum(first, second)

    def bits(self, array: Tensor) -> Tensor:
        return array.contiguous().view(torch.int32)

    def floats(self, bits: Tensor) -> Tensor:
        return bits.contiguous().view(torch.float32)

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        return torch.where(condition, _narrow(a, condition), _narrow(b, condition))

    def places(self, count: int, like: Tensor) -> Tensor:
        return torch.arange(count, dtype=torch.int64, device=like.device).to(torch.int32)

    def to(self, array: Tensor, dtype: str) -> Tensor:
        return array.to(getattr(torch, dtype))

    def rows(self, array: Tensor, length: int) -> Tensor:
        flat = array.reshape(-1)
        return torch.nn.functional.pad(flat, (0, -flat.numel() % length)).reshape(-1, length)

    def largest(self, array: Tensor) -> Tensor:
        return array.amax(dim=1, keepdim=True)

    def call_for_step(self, module: types.ModuleType, function: Function, values: Mapping[str, Any], dtype: Any) -> Any:
        if not any(isinstance(value, Tensor) for value in values.values()):
            return call_in_float64(self._host, function, values)
        wide = {name: _wide(value) for name, value in values.items()}
        return getattr(module, function.name)(*(wide[name] for name in function.arguments))


def is_followed(value: Any) -> bool:
    """Whether autograd follows a value, here and now."""
    return isinstance(value, Tensor) and value.requires_grad and torch.is_grad_enabled()


def _wide(value: Any) -> Any:
    """A number of the step in float64: hyperparameters stay Python floats, everything else becomes a tensor."""
    if isinstance(value, Tensor):
        return value.to(torch.float64)
    return value if type(value) is float else _tensor(float(value))


def _may_share_memory(a: Tensor, b: Tensor) -> bool:
    plain = (Tensor, torch.nn.Parameter)
    if type(a) not in plain or type(b) not in plain:
        return True  # what a subclass keeps its numbers in is its own affair
    return bool(a.untyped_storage()._cdata == b.untyped_storage()._cdata)


def _narrow(value: Any, like: Tensor) -> Tensor:
    """A Python number as a tensor of 32 bits."""
    if isinstance(value, Tensor):
        return value
    dtype = torch.float32 if isinstance(value, float) else torch.int32
    return torch.full((), value, dtype=dtype, device=like.device)


class TorchVariant(ArrayVariant):
    """One generated variant, ready to run on torch tensors.

    Args:
        optimizer: the optimizer's name, for messages.
        info: the variant.
        load: makes the generated eager module with what it is given as `xp`.
    """

    def __init__(self, optimizer: str, info: VariantInfo, load: Callable[[Any], types.ModuleType]) -> None:
        super().__init__(optimizer, info, load(namespace()), TorchArrays(load(numpy_namespace())))
