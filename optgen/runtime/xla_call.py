"""One call that XLA makes from inside jit: the arrays that it is given, and those that it makes or changes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import ManualAxisType, NamedSharding, PartitionSpec

from optgen.errors import NoCompiler
from optgen.runtime.native.build import SOURCES, Source
from optgen.runtime.native.loading import compiled

#: Held by whoever makes something known to C: threads may trace the same step, and what C keeps is the first one's.
REGISTERING = threading.RLock()


def xla_source(name: str, defines: tuple[str, ...] = ()) -> Source:
    """A C file that XLA calls functions of, compiled against the interface of the jax that is installed.

    Raises:
        NoCompiler: this jax has been installed without it.
    """
    include = Path(jax.ffi.include_dir())
    try:
        interface = hashlib.sha256((include / "xla/ffi/api/c_api.h").read_bytes()).hexdigest()
    except OSError as error:
        raise NoCompiler(f"jax's headers cannot be read: {error}") from error
    text = (SOURCES / f"{name}.c").read_text()
    return Source(name, f"/* xla/ffi/api/c_api.h: {interface} */\n{text}", (SOURCES, include), defines)


@functools.cache
def known_to_xla(source: Source, function: str, others: tuple[str, ...], target: str, platform: str) -> ctypes.CDLL:
    """The library of a C file, one function of which XLA calls by a name from then on.

    Args:
        source: the file.
        function: which function that is.
        others: what else is called of it.
        target: the name.
        platform: where XLA knows it.

    Raises:
        NoCompiler: it cannot be compiled, or lacks a function.
    """
    library = compiled(source, (function, *others))
    capsule = jax.ffi.pycapsule(getattr(library, function))  # type: ignore[no-untyped-call]
    jax.ffi.register_ffi_target(target, capsule, platform=platform)
    return library


def register_function(library: ctypes.CDLL, name: str, *arguments: Any) -> Callable[..., int]:
    """A function of a library that makes something known under a key, its first argument; it returns 0 if it could."""
    function: Callable[..., int] = getattr(library, name)
    function.restype = ctypes.c_int64  # type: ignore[attr-defined]
    function.argtypes = [ctypes.c_char_p, *arguments]  # type: ignore[attr-defined]
    return function


class Buffers:
    """The arrays of one call. C counts them as XLA does, arguments by even numbers and results by odd ones.

    Attributes:
        given: arguments.
        outputs: shapes and dtypes of results.
        aliased: for each result the argument whose memory it is made in.
    """

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.outputs: list[Any] = []
        self.aliased: list[int | None] = []

    def read(self, array: Any) -> int:
        """An array that is read; which of the buffers it is."""
        self.given.append(array)
        return 2 * len(self.given) - 2

    def made(
        self, shape: tuple[int, ...], dtype: Any, over: int | None = None, varying: frozenset[str] = frozenset()
    ) -> int:
        """An array that is written; which of the buffers it is.

        Args:
            shape: its shape.
            dtype: its dtype.
            over: the argument in whose memory it is made.
            varying: along which axes of a mesh the devices of a `shard_map` have others.
        """
        kind: dict[str, Any] = {}
        if varying:
            whole = PartitionSpec(*[None] * len(shape))  # type: ignore[no-untyped-call]
            kind["sharding"] = NamedSharding(jax.sharding.get_abstract_mesh(), whole)
            kind["manual_axis_type"] = ManualAxisType(varying=varying)  # type: ignore[no-untyped-call]
        self.outputs.append(jax.ShapeDtypeStruct(shape, dtype, **kind))  # type: ignore[no-untyped-call]
        self.aliased.append(None if over is None else over // 2)
        return 2 * len(self.outputs) - 1

    def changed(self, array: Any, varying: frozenset[str] = frozenset()) -> int:
        """An array that is read and written over; which of the buffers it is then."""
        return self.made(array.shape, array.dtype, self.read(array), varying)

    def call(self, target: str, key: str, *first: Any) -> Any:
        """Have XLA call a function, with some arguments before these.

        Returns:
            the results.
        """
        aliases = {len(first) + at: out for out, at in enumerate(self.aliased) if at is not None}
        # Batches are taken apart before.
        function = jax.ffi.ffi_call(target, self.outputs, vmap_method="sequential", input_output_aliases=aliases)
        return function(*first, *self.given, key=key)
