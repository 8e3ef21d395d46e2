"""Compiling C with the machine's own compiler, into a folder that later processes find."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optgen._cache import cache_root
from optgen.errors import NoCompiler
from optgen.runtime.native import prebuilt

#: Where the driver's sources stand, and what generated files include.
SOURCES = Path(__file__).parent / "c"

#: No option here changes NaN, infinities or signed zeros, and none lets results depend on the processor. Without the
#: two about errno and traps, which nothing reads, square roots and comparisons are not turned into vector instructions.
FLAGS = (
    "-std=c11",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Werror=implicit-function-declaration",
)


@functools.cache
def compiler() -> tuple[str, ...]:
    """The C compiler, a program and its first arguments: what `CC` says, else `cc`, `gcc` or `clang`.

    Raises:
        NoCompiler: there is none.
    """
    wanted = os.environ.get("CC")
    for name, *arguments in [shlex.split(wanted)] if wanted else (["cc"], ["gcc"], ["clang"]):
        found = shutil.which(name)
        if found:
            return found, *arguments
    raise NoCompiler(
        f"{wanted!r}, which CC names, is no program" if wanted else "there is no C compiler: cc, gcc or clang"
    )


@functools.cache
def _version() -> str:
    done = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=False)
    return f"{' '.join(compiler())} {done.stdout.partition(chr(10))[0]}"


@functools.cache
def processor() -> str:
    """What code for this machine's processor may not run without: its name and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines)}
    return f"{platform.machine()} {told.get('model name', '')} {told.get('flags', told.get('Features', ''))}"


@dataclass(frozen=True, slots=True)
class Source:
    """A C file.

    Attributes:
        name: what its library is called.
        text: what stands in it, and something of every header that is not in `SOURCES`, so that another is noticed.
        include: the folders of headers.
    """

    name: str
    text: str
    include: tuple[Path, ...] = (SOURCES,)


def digest(source: Source) -> str:
    """What tells a source apart: its text, the headers of `SOURCES`, and what the compiler is told always."""
    headers = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.h")))
    parts = [source.text, headers.decode(), *FLAGS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def compiled(source: Source) -> ctypes.CDLL:
    """The library of a C file, compiled unless the package brought it or an earlier process has done so.

    Raises:
        NoCompiler: there is no C compiler, or it fails.
    """
    identity, own = digest(source), os.environ.get("OPTGEN_CFLAGS", "")
    brought = prebuilt.found(source.name, identity)
    if brought:
        return ctypes.CDLL(str(brought))
    parts = [identity, _version(), processor(), own]
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


def _seal(library: bytes) -> bytes:
    """What stands behind the end of a library: loading one that was cut short would end the process."""
    return b"" if sys.platform == "darwin" else hashlib.sha256(library).digest()


def is_whole(path: Path) -> bool:
    """Whether a sealed library is there, all of it."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return False
    length = len(found) - len(_seal(b""))
    return length > 0 and _seal(found[:length]) == found[length:]


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


def compile_to(path: Path, source: Source, options: Sequence[str]) -> None:
    """Compile a file with some options, and seal the library.

    Raises:
        NoCompiler: there is no C compiler, or it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{source.name}.c"
        file.write_text(source.text)
        folders = [f"-I{one}" for one in source.include]
        command = [*compiler(), *FLAGS, *options, *folders, str(file), "-o", str(path), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCompiler(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    with path.open("ab") as library:
        library.write(_seal(path.read_bytes()))
