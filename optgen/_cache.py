"""The folder for what optgen keeps between processes, and the key under which compiled code is kept there."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import platformdirs

T = TypeVar("T")


def cache_root() -> Path:
    """The cache folder; the environment variable `OPTGEN_CACHE` names another.

    Raises:
        OSError: it lies in the home folder of somebody who has none.
    """
    chosen = os.environ.get("OPTGEN_CACHE")
    try:
        return Path(chosen or platformdirs.user_cache_dir("optgen")).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{chosen or 'the cache folder'}: there is no such home folder") from error


#: How the names of unfinished files and folders begin, and the seconds after which whoever made one is gone.
UNFINISHED = ".new-"
_ABANDONED_AFTER = 3600


def is_own(path: Path) -> bool:
    """Whether a file or folder is this user's, and nobody else may write to it.

    This is asked of every file that is executed, and of the folder that it lies in: whoever can write there could have
    this user run what he likes.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    found = path.stat()
    if sys.platform == "win32":  # modes say nothing there
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def own_folders(name: str) -> Iterator[Path]:
    """Where files that are executed may be kept: in the cache folder, else beside other temporary files.

    Folders are made where they are missing; those that cannot be made or told, and those of others, are left out.
    """
    user = os.getuid() if sys.platform != "win32" else "user"
    places: tuple[Callable[[], Path], ...] = (
        lambda: cache_root() / name,
        lambda: Path(tempfile.gettempdir()) / f"optgen-{user}-{name}",
    )
    for place in places:
        try:
            folder = place()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            usable = is_own(folder)
        except OSError:
            continue  # there is none, it cannot be written, or is no folder
        if usable:
            yield folder


def in_first_that_works(name: str, use: Callable[[Path], T]) -> T:
    """Call a function with each of `own_folders` until it raises no `OSError`, and return its result.

    Raises:
        OSError: it raises one in all of them, or there are none.
    """
    refused = []
    for folder in own_folders(name):
        try:
            return use(folder)
        except OSError as error:
            refused.append(error)
    raise OSError("; ".join(map(str, refused)) or "no folder for it belongs to this user alone") from None


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a file in place in one step, so that a process running beside this one sees all or none of it.

    Args:
        path: of the file.
        data: what it is to hold.
        mode: who may read and write it.

    Raises:
        OSError: it cannot be written; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_abandoned(path.parent)
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(made).chmod(mode)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise


def clear_abandoned(folder: Path) -> None:
    """Remove what processes have left unfinished in a folder that were ended while they wrote."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):  # another process does the same
            if time.time() - path.lstat().st_mtime < _ABANDONED_AFTER:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@functools.cache
def compiler_key() -> str:
    """The digest of the compiler: its own source, and the versions of the libraries that it works with."""
    libraries = [f"{name} {metadata.version(name)}" for name in ("sympy", "jinja2")]
    return " ".join([_source_digest(), *libraries])


def _source_digest() -> str:
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    folders = ("contract", "language", "compiler", "targets", "pipeline", "schedules")
    inside = [path for folder in folders for path in (package / folder).rglob("*")]
    for path in sorted([*inside, package / "_paths.py", package / "escaping.py"]):
        if path.suffix in (".py", ".jinja", ".toml"):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
