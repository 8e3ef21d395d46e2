"""The folder for what optgen keeps between processes, and the key under which compiled code is kept there."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """The cache folder; the environment variable `OPTGEN_CACHE` names another."""
    chosen = os.environ.get("OPTGEN_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("optgen"))


@functools.cache
def compiler_digest() -> str:
    """A digest of the compiler's own source: what it makes may change when that does."""
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for folder in ("spec", "compiler", "targets"):
        for path in sorted((package / folder).rglob("*")):
            if path.suffix in (".py", ".jinja"):
                digest.update(path.relative_to(package).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
