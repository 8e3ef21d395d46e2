"""A call of a Triton kernel on torch tensors, with its tables on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np
import torch

from optgen.errors import TreeMismatch
from optgen.runtime.torch.host_values import Sent, sent
from optgen.runtime.torch.memory import NAMES
from optgen.runtime.triton.device_arrays import DeviceMemory, KernelCall
from optgen.runtime.triton.sizes import options_of

Tensor = torch.Tensor

_NAMES = {**NAMES, torch.uint16: "uint16", torch.uint8: "uint8", torch.int64: "int64"}


class DeviceCall:
    """One kernel on several tensors of a device.

    Args:
        call: what is called.
        whole: the numbers of the step and of the model, by role.
    """

    def __init__(self, call: KernelCall, whole: Mapping[str, Tensor]) -> None:
        self.call = call
        self.options = options_of(call.launch, "hip" if torch.version.hip else "cuda")
        device = whole["scalars"].device
        self.rows = Sent(call.rows, device)
        chunks = [] if call.chunks is None else [sent(call.chunks, None, device)]
        self.rest = [*chunks, *(whole[role] for role in call.rest)]

    def start(self, scaled: bool = False) -> None:
        """Start the kernel; `scaled`: gradients are multiplied by a number, and the step may be left out."""
        given = self.call.constants
        constants = {**given, "SCALED": True} if scaled and "SCALED" in given else given
        self.call.kernel[(self.call.programs,)](self.rows.there, *self.rest, **constants, **self.options)

    def move_gradients(self, addresses: np.ndarray) -> None:
        """Have it read gradients at other places, uint64."""
        if self.call.gradients is None:
            return
        column, tensors = self.call.gradients
        self.call.rows[:, column] = addresses[tensors].view(np.int64)
        self.rows.send(self.call.rows)


def memory_of(tensor: Tensor) -> DeviceMemory:
    """Where a tensor without gaps stands; it has to outlive what is done with that."""
    return DeviceMemory(tensor.data_ptr(), _NAMES[tensor.dtype], tensor.numel())


def arithmetic_dtype(tensor: Tensor) -> torch.dtype:
    """The precision in which a tensor's step is computed, and its state kept.

    Raises:
        TreeMismatch: the tensor does not hold real floating-point numbers.
    """
    if not tensor.is_floating_point():
        raise TreeMismatch(f"parameters and gradients hold floating-point numbers, and this one is {tensor.dtype}")
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def on_device(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Kernels are started on the current device, which has to be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
