"""Libraries that were compiled when the package was built, once for each level of a processor's abilities.

All levels give the same bits, see the flags in build.py: the level is only a matter of speed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from optgen.runtime.native.c_compiler import CSource, compile_to, digest, is_whole
from optgen.runtime.native.processor import processor

#: Where a package has them.
FOLDER = Path(__file__).parent / "lib"

#: Machine → levels, the fastest first: what the compiler is told, and what the processor has to say of itself. They are
#: the levels of the x86-64 psABI.
LEVELS: dict[str, dict[str, frozenset[str]]] = {
    "x86_64": {
        "x86-64-v4": frozenset("avx512f avx512bw avx512cd avx512dq avx512vl".split()),
        "x86-64-v3": frozenset("avx avx2 bmi1 bmi2 f16c fma abm movbe xsave".split()),
        "x86-64": frozenset(),
    },
}


def levels() -> list[str]:
    """The levels that this machine's processor reaches, the fastest first; one without a name on other machines."""
    known = LEVELS.get(platform.machine())
    if known is None:
        return [""]
    found, wanted = [], frozenset[str]()
    for level, own in reversed(known.items()):
        wanted |= own
        if wanted <= processor().abilities:
            found.append(level)
    return found[::-1]


def found(source: CSource) -> Path | None:
    """The fastest library that the package has of a source and that runs on this machine.

    None where the environment says how to compile: then everything is compiled.
    """
    if os.environ.get("CC") or os.environ.get("OPTGEN_CFLAGS"):
        return None
    paths = (place(level, source) for level in levels())
    return next((path for path in paths if is_whole(path)), None)


def place(level: str, source: CSource, folder: Path = FOLDER) -> Path:
    """Where a library is put: beside the others of its level."""
    return folder / (level or platform.machine()) / f"{source.name}-{digest(source)}.so"


def compile_all(sources: Sequence[CSource], folder: Path) -> list[Path]:
    """Compile for every level of this kind of machine.

    Args:
        sources: what to compile.
        folder: where the libraries go.

    Raises:
        NoCompiler: there is no C compiler, or it fails.
    """

    def one(level: str, source: CSource) -> Path:
        path = place(level, source, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        compile_to(path, source, [f"-march={level}"] if level else [])
        return path

    wanted = [(level, source) for level in LEVELS.get(platform.machine(), {"": frozenset()}) for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda each: one(*each), wanted))
