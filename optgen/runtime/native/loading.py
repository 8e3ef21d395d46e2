"""Libraries of C files: those that the package brought, or compiled into a folder that later processes find."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterable
from pathlib import Path

from optgen._cache import UNFINISHED, clear_abandoned, in_first_that_works, is_own, own_folders
from optgen.errors import NoCompiler
from optgen.runtime.native import prebuilt
from optgen.runtime.native.build import Source, compile_to, compiler, digest, is_whole, version
from optgen.runtime.native.processor import processor


def compiled(source: Source, functions: Iterable[str]) -> ctypes.CDLL:
    """The library of a C file, compiled unless the package brought it or an earlier process has done so.

    Args:
        source: the file.
        functions: what is called of it.

    Raises:
        NoCompiler: there is no C compiler, it fails, or what it makes cannot be loaded or lacks a function.
    """
    wanted = tuple(functions)
    brought = prebuilt.found(source)
    if brought:
        with contextlib.suppress(OSError):  # it was made for another system, or nothing there may be executed
            library = ctypes.CDLL(str(brought))
            if not _missing(library, wanted):
                return library
    own, here = os.environ.get("OPTGEN_CFLAGS", ""), processor()
    parts = [digest(source), version(), platform.machine(), here.name, *sorted(here.abilities), own]
    # The environment may hold bytes that are no text.
    key = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]
    file = f"{source.name}-{key}.so"
    try:
        return in_first_that_works("native", lambda folder: _loaded(source, folder / file, wanted))
    except OSError as error:
        for folder in own_folders("native"):  # none of them is of use; another compiler of the same name may do better
            with contextlib.suppress(OSError):
                (folder / file).unlink()
        told = f"compiled kernels cannot be kept or loaded ({error})"
        raise NoCompiler(f"{told}; set OPTGEN_CACHE to a folder where they can") from error


def _missing(library: ctypes.CDLL, functions: Iterable[str]) -> list[str]:
    """The functions that a library lacks."""
    return [name for name in functions if not hasattr(library, name)]


def _loaded(source: Source, path: Path, functions: Iterable[str]) -> ctypes.CDLL:
    """The library at a place, compiled if it is not there.

    Raises:
        OSError: it cannot be written, or nothing there may be executed.
        NoCompiler: see `compiled`.
    """
    if not is_whole(path) or not is_own(path):
        _compile(source, path)
    library = ctypes.CDLL(str(path))
    if missing := _missing(library, functions):
        # Whole as it is, it would be found again when the compiler has been put right.
        path.unlink(missing_ok=True)
        command = " ".join([*compiler(), os.environ.get("OPTGEN_CFLAGS", "")]).strip()
        raise NoCompiler(f"{command}: in the library that it made of {source.name}.c there is no {missing[0]}")
    return library


def _compile(source: Source, path: Path) -> None:
    """Compile for this machine beside the library's place, and put it there in one step: others may do the same."""
    clear_abandoned(path.parent)
    own = os.environ.get("OPTGEN_CFLAGS", "").split()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder:
        made = Path(folder) / f"{source.name}.so"
        try:
            compile_to(made, source, ["-march=native", *own])
        except NoCompiler:  # not every compiler knows this processor
            compile_to(made, source, own)
        made.chmod(0o700)  # whatever is usual here: what others may write to is not loaded
        made.replace(path)
