"""torch's tensors as memory: where they stand, which share it, what gradients hold, and what C may change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from optgen.runtime.native.memory import HostMemory
from optgen.runtime.numpy.memory import Spans, image, reach, sharing
from optgen.runtime.torch.sharded import is_sharded

Tensor = torch.Tensor

#: How types of torch are called elsewhere.
NAMES = {
    dtype: str(dtype).rpartition(".")[2] for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
}


def torch_memory(tensor: Tensor) -> HostMemory:
    """The memory of a tensor on the CPU, which has to outlive what is done with it."""
    size = tensor.element_size()
    strides = tuple(size * stride for stride in tensor.stride())
    return HostMemory(tensor.data_ptr(), NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape), strides)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in the memory of a CPU or GPU, in a type that kernels know."""
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.device.type in ("cpu", "cuda")
        and tensor.layout is torch.strided
        and not tensor.is_neg()
        and not tensor.is_conj()
        and (tensor.dtype in NAMES or tensor.is_complex())
    )


def overlapping(parameters: list[Tensor]) -> set[int]:
    """Those that share numbers in memory with one before or after them, by `id`."""
    plain = list(filter(_has_address, parameters))
    found: set[int] = set()
    for device in {p.device for p in plain}:
        there = [p for p in plain if p.device == device]
        found |= {id(there[number]) for number in sharing(list(map(_image, there)))}
    return found


def spans_of(parameters: Iterable[Tensor]) -> Spans:
    """The memory of those that stand in a CPU's or GPU's."""
    return Spans(_image(p) for p in parameters if _has_address(p) and p.device.type in _ONE_SPACE)


def meet(spans: Spans, tensors: list[Tensor]) -> list[bool]:
    """Which tensors have a part of some memory."""
    seen = [_has_address(t) and t.device.type in _ONE_SPACE for t in tensors]
    reaches = [reach(_image(t)) if is_seen else (0, 0) for t, is_seen in zip(tensors, seen, strict=True)]
    starts, ends = np.array(reaches, np.uint64).reshape(-1, 2).T
    found: list[bool] = spans.meet(starts, ends).tolist()
    return found


#: Devices no two of which give out the same address.
_ONE_SPACE = ("cpu", "cuda")


def _has_address(tensor: Tensor) -> bool:
    known = (Tensor, torch.nn.Parameter)
    return type(tensor) in known and tensor.layout is torch.strided and tensor.device.type != "meta"


def _image(tensor: Tensor) -> np.ndarray:
    memory = torch_memory(tensor)
    return image(memory.address, tensor.element_size(), memory.shape, memory.strides)


def can_be_written(parameter: Tensor) -> bool:
    """Whether torch would write to it: no two numbers in one place, and made where it may be changed."""
    overlaps = any(stride == 0 and n > 1 for n, stride in zip(parameter.shape, parameter.stride(), strict=True))
    return not overlaps and (torch.is_inference_mode_enabled() or not parameter.is_inference())


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor as a view with an axis of length 2 at its end; a real one as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def gradient_of(parameter: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


def numbers_of_gradient(parameter: Tensor) -> Tensor:
    """The gradient of a parameter with its numbers as they stand in memory; zeros where it has none.

    Autograd leaves the conjugate of a complex gradient, or a sign, to whoever reads it.
    """
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros_like(parameter)
    return gradient.resolve_conj().resolve_neg() if gradient.is_conj() or gradient.is_neg() else gradient


def is_without_numbers(tensor: Tensor) -> bool:
    """Whether a tensor is a shape alone, as memory estimators take them."""
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return tensor.device.type == "meta" or (module is not None and isinstance(tensor, module.FakeTensor))


def local_numbers(gradient: Any) -> Tensor:
    """The numbers of a gradient that this process holds."""
    if is_sharded(gradient):
        gradient = gradient.to_local()
    found: Tensor = gradient.coalesce().values() if gradient.is_sparse else gradient
    return found


def guard_of(tensors: list[Tensor]) -> Callable[..., bool]:
    """Tells whether as many tensors have the types, dtypes, devices, shapes and strides of these.

    These are the guards of `torch.compile`, which look at hundreds of tensors in the time that Python takes for one
    attribute of each. Where this release of torch has none that are called so, no tensors are told to be alike.
    """
    try:
        from torch._C._dynamo.guards import TensorGuards

        guard = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None)
    except (ImportError, TypeError, RuntimeError):
        return lambda *_: False
    check: Callable[..., bool] = guard.check
    return check
