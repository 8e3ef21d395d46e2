"""The record of a build: digests of what was read and written, so that nothing is generated twice or overwritten."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from optgen._cache import cache_root, write_whole


class Record:
    """The sources and files of the last build, kept in the cache folder so that nothing volatile is checked in."""

    def __init__(self, output: Path) -> None:
        self._name = f"{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:16]}.json"
        self._entries: dict[str, tuple[str, dict[str, str]]] = {}
        try:
            found = self._path().read_bytes()
            self._entries = msgspec.json.decode(found, type=dict[str, tuple[str, dict[str, str]]])
        except (OSError, msgspec.MsgspecError):
            self._entries = {}  # no record, or one of another version: everything is compiled

    def _path(self) -> Path:
        """Where it is kept.

        Raises:
            OSError: there is no cache folder.
        """
        return cache_root() / "builds" / self._name

    def matches(self, name: str, key: str, folder: Path) -> bool:
        """Whether a folder holds what the last build made of the same key."""
        return self._entries.get(name) == (key, _digests(folder))

    def note(self, name: str, key: str, folder: Path) -> None:
        """Note that a folder holds what was made of a key."""
        self._entries[name] = (key, _digests(folder))
        self._save()

    def forget(self, name: str) -> None:
        """Drop the entry of a spec that is gone."""
        if self._entries.pop(name, None) is not None:
            self._save()

    def _save(self) -> None:
        # Without a record the next build only takes longer.
        with contextlib.suppress(OSError):
            write_whole(self._path(), msgspec.json.encode(self._entries))


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files_in(folder)}


def files_in(folder: Path) -> list[Path]:
    """The files directly in a folder, where all generated ones are."""
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def write_file(path: Path, text: str) -> bool:
    """Replace a file in one step, so that whoever reads it sees the old or the new one; False if it is the same."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    write_whole(path, data, 0o644)
    return True
