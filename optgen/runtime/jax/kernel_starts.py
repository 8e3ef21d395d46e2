"""A call that XLA makes to start Triton kernels: its arrays as places, and what C is told of it (`native/c/gpu.c`)."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from triton.backends.compiler import GPUTarget

from optgen.errors import NoCompiler
from optgen.runtime.jax.call import REGISTERING, Buffers, known_to_xla, register_function, xla_source
from optgen.runtime.triton.ahead import machine_code
from optgen.runtime.triton.device_arrays import DeviceMemory
from optgen.runtime.triton.sizes import itemsize

_TARGET = "optgen_triton"

#: A place is a buffer, counted from 1, and a byte in it.
BUFFER = 1 << 40

#: As many as `native/c/gpu.c` has room for.
_MOST_ARGUMENTS = 6

#: Memory begins at multiples of this many bytes.
_ALIGNMENT = 256

#: What calls have been registered with: C reads it as long as the process lives.
_REGISTERED: dict[str, tuple[Any, ...]] = {}


@functools.cache
def library() -> ctypes.CDLL:
    """The library whose function XLA calls.

    Raises:
        NoCompiler: it cannot be compiled, or CUDA's driver not be loaded.
    """
    others = ("optgen_gpu_open", "optgen_gpu_register")
    library = known_to_xla(xla_source("gpu"), "optgen_gpu", others, _TARGET, "CUDA")
    # What is traced for a GPU and run on the CPU beside it is told why that fails.
    known_to_xla(xla_source("gpu"), "optgen_gpu", others, _TARGET, "cpu")
    if register_function(library, "optgen_gpu_open")(b"libcuda.so.1"):
        raise NoCompiler("CUDA's driver, libcuda.so.1, cannot be loaded")
    return library


@dataclass(frozen=True, slots=True)
class Start:
    """A kernel as C starts it.

    Attributes:
        code: what Triton has compiled.
        arguments: places.
    """

    code: Any
    programs: int
    arguments: tuple[int, ...]


class CallArrays(Buffers):
    """The arrays of one call, and memory that it needs besides.

    That is one result more, the first one; what does not change from step to step is one argument, the first one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read(None)
        self.made((), jnp.uint8)
        self._size = 0
        self._constants: list[np.ndarray] = []

    def array(self, at: int, dtype: Any, shape: Sequence[int]) -> DeviceMemory:
        """One of the buffers."""
        return DeviceMemory((at + 1) * BUFFER, str(jnp.dtype(dtype)), math.prod(shape))

    def given_array(self, array: Any) -> DeviceMemory:
        """An array that is read."""
        return self.array(self.read(array), array.dtype, array.shape)

    def changed_array(self, array: Any, varying: frozenset[str]) -> DeviceMemory:
        """An array that is read and written over."""
        return self.array(self.changed(array, varying), array.dtype, array.shape)

    def made_array(self, count: int, dtype: str, varying: frozenset[str]) -> DeviceMemory:
        """A vector that is written and read afterwards."""
        return self.array(self.made((count,), jnp.dtype(dtype), None, varying), dtype, (count,))

    def memory(self, count: int, dtype: str) -> DeviceMemory:
        """Memory that nothing outside of the call reads."""
        at, self._size = self._size, self._size + _aligned(count * itemsize(dtype))
        return DeviceMemory(2 * BUFFER + at, dtype, count)

    def filled(self, count: int, dtype: str, value: float) -> DeviceMemory:
        """An array filled with one value, which is read and written over."""
        return self.changed_array(jnp.full(count, value, dtype), frozenset())

    def constant(self, numbers: np.ndarray) -> DeviceMemory:
        """Integers that are the same in every step."""
        at = sum(map(len, self._constants))
        padded = np.zeros(_aligned(8 * numbers.size) // 8, np.int64)
        padded[: numbers.size] = numbers.reshape(-1)
        self._constants.append(padded)
        return DeviceMemory(BUFFER + 8 * at, "int64", numbers.size)

    def finish(self, table: np.ndarray, places: Sequence[int], starts: Sequence[Start]) -> Any:
        """The call.

        Args:
            table: what is written to the memory that was asked for last; int64.
            places: which of its words are places.
            starts: the kernels, in order.

        Returns:
            the results.
        """
        at = self._size - _aligned(table.nbytes)
        self.outputs[0] = jax.ShapeDtypeStruct((max(1, self._size),), jnp.uint8)  # type: ignore[no-untyped-call]
        self.given[0] = np.concatenate([*self._constants, np.zeros(1, np.int64)])
        return self.call(_TARGET, _registered(at, table, places, starts))


def compiled(
    kernel: Any,
    types: tuple[str, ...],
    constants: Mapping[str, Any],
    target: GPUTarget,
    options: Mapping[str, Any],
) -> Any:
    """A kernel as machine code; see `machine_code`. Triton keeps what it has compiled."""
    free = [name for name in kernel.arg_names if name not in constants]
    return machine_code(kernel, dict(zip(free, types, strict=True)), constants, target, options)


def _registered(at: int, table: np.ndarray, places: Sequence[int], starts: Sequence[Start]) -> str:
    """The key by which a call finds what it does; see `native/c/gpu.c`."""
    codes = {id(start.code): start.code for start in starts}
    numbers = {one: index for index, one in enumerate(codes)}
    told = [table.size, 0, at, len(places), len(codes), len(starts), *table.tolist(), *places]
    for start in starts:
        made = start.code.metadata
        assert not made.global_scratch_size, "a kernel asks for memory besides"
        assert len(start.arguments) <= _MOST_ARGUMENTS
        threads = made.target.warp_size * made.num_warps
        told += [numbers[id(start.code)], start.programs, threads, made.shared, len(start.arguments), *start.arguments]
    words = np.array(told, np.int64)
    images = [code.asm["cubin"] for code in codes.values()]
    names = [code.metadata.name.encode() for code in codes.values()]
    key = hashlib.sha256(b"".join([words.tobytes(), *images, *names])).hexdigest()
    with REGISTERING:
        if key in _REGISTERED:
            return key
        of_images = (ctypes.c_char_p * len(images))(*images)
        of_names = (ctypes.c_char_p * len(names))(*names)
        register = register_function(
            library(), "optgen_gpu_register", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        if register(key.encode(), words.ctypes.data, ctypes.addressof(of_images), ctypes.addressof(of_names)):
            raise MemoryError("there is no memory for a table of kernels")
        _REGISTERED[key] = (words, images, of_images, of_names)
    return key


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
