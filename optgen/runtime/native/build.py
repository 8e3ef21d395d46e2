"""Compiling C with the machine's own compiler."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optgen._cache import UNFINISHED
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

#: Seconds after which a compiler is taken for one that never ends: with a file, and asked for its version.
LONGEST = 300.0
LONGEST_VERSION = 30.0

#: Programs that have not ended, and what was said of that: nobody waits for them twice.
_ENDLESS: dict[str, str] = {}


@functools.cache
def compiler() -> tuple[str, ...]:
    """The C compiler, a program and its first arguments: what `CC` says, else `cc`, `gcc` or `clang`.

    Raises:
        NoCompiler: there is none.
    """
    wanted = os.environ.get("CC", "").strip()
    try:
        named = [shlex.split(wanted)] if wanted else [["cc"], ["gcc"], ["clang"]]
    except ValueError as error:
        raise NoCompiler(f"CC is {wanted!r}, which is no command: {error}") from error
    for name, *arguments in named:
        found = shutil.which(name)
        if found:
            return found, *arguments
    raise NoCompiler(
        f"{wanted!r}, which CC names, is no program" if wanted else "there is no C compiler: cc, gcc or clang"
    )


@functools.cache
def version() -> str:
    """What the compiler says of itself, and how it is called."""
    done = _run([*compiler(), "--version"], LONGEST_VERSION)
    return f"{' '.join(compiler())} {done.stdout.partition(chr(10))[0]}"


def _run(
    command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a compiler, with nothing to read, in this process's environment or another.

    Raises:
        NoCompiler: it cannot be started, or has not ended after some seconds; then all that it started is ended.
    """
    if command[0] in _ENDLESS:
        raise NoCompiler(_ENDLESS[command[0]])
    pipe = subprocess.PIPE
    try:
        # A session of its own: what it has started holds the pipes open too.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            start_new_session=True,
            env=environment,
        )
    except OSError as error:
        raise NoCompiler(f"{' '.join(command)}: {error}") from error
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _ENDLESS[command[0]] = f"{' '.join(command)}: it has not ended after {seconds:g} seconds"
        raise NoCompiler(_ENDLESS[command[0]]) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@dataclass(frozen=True, slots=True)
class Source:
    """A C file.

    Attributes:
        name: what its library is called.
        text: what stands in it, and something of every header that is not in `SOURCES`, so that another is noticed.
        include: the folders of headers.
        defines: macros that the compiler is given, `NAME=VALUE`.
    """

    name: str
    text: str
    include: tuple[Path, ...] = (SOURCES,)
    defines: tuple[str, ...] = ()


@functools.cache
def digest(source: Source) -> str:
    """What tells a source apart: its text and macros, the headers of `SOURCES`, and `FLAGS`."""
    headers = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.h")))
    parts = [source.text, headers.decode(), *FLAGS, *source.defines]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _seal(library: bytes) -> bytes:
    """What stands behind the end of a library: loading one that was cut short would end the process."""
    return b"" if sys.platform == "darwin" else hashlib.sha256(library).digest()


def is_whole(path: Path) -> bool:
    """Whether a sealed library is there, all of it, and can be read."""
    try:
        found = path.read_bytes()
    except OSError:
        return False
    length = len(found) - len(_seal(b""))
    return length > 0 and _seal(found[:length]) == found[length:]


def compile_to(path: Path, source: Source, options: Sequence[str]) -> None:
    """Compile a file with some options, and seal the library.

    What is needed on the way lies beside it, the compiler's own files too: there may be no other folder for them.

    Raises:
        NoCompiler: there is no C compiler, it fails, or makes nothing.
        OSError: there is no room.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder:
        file = Path(folder) / f"{source.name}.c"
        file.write_text(source.text, encoding="utf-8")
        given = [*(f"-I{folder}" for folder in source.include), *(f"-D{macro}" for macro in source.defines)]
        command = [*compiler(), *FLAGS, *options, *given, str(file), "-o", str(path), "-lm"]
        done = _run(command, LONGEST, {**os.environ, "TMPDIR": folder})
    if done.returncode:
        raise NoCompiler(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    if not path.is_file() or not path.stat().st_size:
        raise NoCompiler(f"{' '.join(command)}: it made nothing")
    with path.open("ab") as library:
        library.write(_seal(path.read_bytes()))
