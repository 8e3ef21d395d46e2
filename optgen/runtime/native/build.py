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
from pathlib import Path

from optgen._cache import cache_root
from optgen.errors import NoCompiler

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


def compiled(name: str, text: str, include: Sequence[Path] = (SOURCES,)) -> ctypes.CDLL:
    """A library from the text of a C file, compiled unless an earlier process has done so.

    Args:
        name: what it is called.
        text: the source.
        include: folders that its own headers come from; those of `SOURCES` count for what is compiled.

    Raises:
        NoCompiler: there is no C compiler, or it fails.
    """
    headers = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.h")))
    parts = [text, headers.decode(), _version(), processor(), *FLAGS, os.environ.get("OPTGEN_CFLAGS", "")]
    parts += [str(folder) for folder in include if folder != SOURCES]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    for folder in (cache_root() / "native", Path(tempfile.gettempdir()) / f"optgen-{os.getuid()}"):
        path = folder / f"{name}-{key}.so"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_own(folder):
                continue
            if not _is_whole(path):
                _compile(name, text, include, path)
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


def _is_whole(path: Path) -> bool:
    """Whether a library is there, all of it."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return False
    length = len(found) - len(_seal(b""))
    return length > 0 and _seal(found[:length]) == found[length:]


def _compile(name: str, text: str, include: Sequence[Path], path: Path) -> None:
    """Compile beside the library's place and put it there in one step: other processes may be doing the same."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        source, made = Path(folder) / f"{name}.c", Path(folder) / f"{name}.so"
        source.write_text(text)
        folders = [f"-I{one}" for one in include]
        own = os.environ.get("OPTGEN_CFLAGS", "").split()
        for native in (["-march=native"], []):  # which not every compiler knows
            command = [*compiler(), *FLAGS, *native, *own, *folders, str(source), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                with made.open("ab") as file:
                    file.write(_seal(made.read_bytes()))
                made.replace(path)
                return
    raise NoCompiler(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
