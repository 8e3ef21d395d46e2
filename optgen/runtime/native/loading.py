"""Libraries of C files: those that the package brought, or compiled into a folder that later processes find."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import stat
import tempfile
from pathlib import Path

from optgen._cache import cache_root
from optgen.errors import NoCompiler
from optgen.runtime.native import prebuilt
from optgen.runtime.native.build import Source, compile_to, digest, is_whole, version
from optgen.runtime.native.processor import processor


def compiled(source: Source) -> ctypes.CDLL:
    """The library of a C file, compiled unless the package brought it or an earlier process has done so.

    Raises:
        NoCompiler: there is no C compiler, or it fails.
    """
    brought = prebuilt.found(source)
    if brought:
        return ctypes.CDLL(str(brought))
    own, here = os.environ.get("OPTGEN_CFLAGS", ""), processor()
    parts = [digest(source), version(), platform.machine(), here.name, *sorted(here.abilities), own]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    for folder in (cache_root() / "native", Path(tempfile.gettempdir()) / f"optgen-{os.getuid()}"):
        path = folder / f"{source.name}-{key}.so"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_own(folder):
                continue
            if not is_whole(path):
                _compile(source, path)
        except OSError:
            continue  # it cannot be written, or is no folder
        return ctypes.CDLL(str(path))
    raise NoCompiler("no folder can be written for compiled kernels; set OPTGEN_CACHE to one")


def _is_own(folder: Path) -> bool:
    """Whether nobody else can put a library there."""
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _compile(source: Source, path: Path) -> None:
    """Compile for this machine beside the library's place, and put it there in one step: others may do the same."""
    own = os.environ.get("OPTGEN_CFLAGS", "").split()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        made = Path(folder) / f"{source.name}.so"
        try:
            compile_to(made, source, ["-march=native", *own])
        except NoCompiler:  # not every compiler knows this processor
            compile_to(made, source, own)
        made.replace(path)
