"""The folder for what optgen keeps between processes, and the key under which compiled code is kept there."""

from __future__ import annotations

import functools
import hashlib
import os
from importlib import metadata
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """The cache folder; the environment variable `OPTGEN_CACHE` names another."""
    chosen = os.environ.get("OPTGEN_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("optgen"))


@functools.cache
def compiler_key() -> str:
    """What the compiler's output depends on besides the spec: its own source, and the libraries that it works with."""
    libraries = [f"{name} {metadata.version(name)}" for name in ("sympy", "jinja2")]
    return " ".join([_source_digest(), *libraries])


def _source_digest() -> str:
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for folder in ("spec", "compiler", "targets"):
        for path in sorted((package / folder).rglob("*")):
            if path.suffix in (".py", ".jinja", ".toml"):
                digest.update(path.relative_to(package).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
