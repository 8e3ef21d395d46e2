"""Writing what is generated to disk, and comparing it with what is there."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from optgen._cache import cache_root, compiler_digest
from optgen.spec.reader import read_spec

#: Files that Python makes by itself and no spec is asked for.
_IGNORED = ("__pycache__",)


@dataclass(frozen=True, slots=True)
class Built:
    """What building one spec did: the files that changed, or none; `skipped` if it did not have to be compiled."""

    name: str
    changed: tuple[str, ...]
    skipped: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """A generated file that is not what the specs say: a unified diff, empty lines for a file too many or missing."""

    path: str
    diff: str


def spec_paths(specs: Path) -> dict[str, Path]:
    """The spec files of a folder by name, in alphabetical order."""
    return {path.stem: path for path in sorted(specs.glob("*.toml"))}


def generate_file(path: Path) -> dict[str, str]:
    """The files generated from one spec file, by name.

    Raises:
        SpecError: the spec is wrong, or its name is not its file's.
    """
    from optgen.compiler.pipeline import generate
    from optgen.errors import SpecError

    spec = read_spec(path, f"specs/{path.name}")
    if spec.name != path.stem:
        where = spec.source.location(spec.source.find("optimizer", "name"))
        raise SpecError(f"the name is '{spec.name}' and the file's is '{path.stem}'", where, "make them the same")
    return dict(generate(spec).files)


def build(specs: Path, output: Path, names: tuple[str, ...] = ()) -> Iterator[Built]:
    """Bring a folder of generated files up to date with the specs; yields after each spec.

    A spec is compiled only if it, the compiler or its generated files changed since the last build. Folders of specs
    that are gone are removed when no names are given.

    Raises:
        KeyError: one of `names` is no spec.
        SpecError: a spec is wrong; files of other specs stay as they are.
    """
    paths = spec_paths(specs)
    record = _Record(output)
    for name in names or paths:
        path = paths[name]
        key = hashlib.sha256(path.read_bytes()).hexdigest() + compiler_digest()
        folder = output / name
        if record.matches(name, key, folder):
            yield Built(name, (), skipped=True)
            continue
        files = generate_file(path)
        changed = [file for file, text in files.items() if _write(folder / file, text)]
        changed += [stale.name for stale in _files(folder) if stale.name not in files and _remove(stale)]
        record.note(name, key, folder)
        yield Built(name, tuple(changed), skipped=False)
    if not names:
        for stale in _files(output):
            if stale.parent.name not in paths:
                _remove(stale)
                yield Built(stale.parent.name, (stale.name,), skipped=False)


def check(specs: Path, output: Path, names: tuple[str, ...] = ()) -> list[Difference]:
    """Where the generated files are not what the specs say; empty if they are.

    Raises:
        SpecError: a spec is wrong.
    """
    expected: dict[str, str] = {}
    paths = spec_paths(specs)
    for name in names or paths:
        expected |= {f"{name}/{file}": text for file, text in generate_file(paths[name]).items()}
    present = {path.relative_to(output).as_posix(): path for path in _files(output)}
    if names:
        present = {relative: path for relative, path in present.items() if relative.split("/")[0] in names}
    found = []
    for relative in sorted(expected.keys() | present.keys()):
        new = expected.get(relative, "")
        old = present[relative].read_bytes().decode(errors="replace") if relative in present else ""
        if old != new or (relative in present) != (relative in expected):
            diff = difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                f"generated/{relative}" if relative in present else "/dev/null",
                f"generated/{relative} (from the spec)" if relative in expected else "/dev/null",
            )
            found.append(Difference(relative, "".join(diff)))
    return found


class _Record:
    """What the last build made from what, kept in the cache folder so that nothing volatile is checked in."""

    def __init__(self, output: Path) -> None:
        place = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]
        self._path = cache_root() / "builds" / f"{place}.json"
        self._entries: dict[str, tuple[str, dict[str, str]]] = {}
        try:
            self._entries = msgspec.json.decode(self._path.read_bytes(), type=dict[str, tuple[str, dict[str, str]]])
        except (OSError, msgspec.MsgspecError):
            self._entries = {}  # no record, or one of another version: everything is compiled

    def matches(self, name: str, key: str, folder: Path) -> bool:
        return self._entries.get(name) == (key, _digests(folder))

    def note(self, name: str, key: str, folder: Path) -> None:
        self._entries[name] = (key, _digests(folder))
        try:
            _write(self._path, msgspec.json.encode(self._entries).decode())
        except OSError:
            pass  # without a record the next build only takes longer


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not any(part in _IGNORED for part in p.parts))


def _write(path: Path, text: str) -> bool:
    """Replace a file in one step, so that whoever reads it sees the old or the new one; False if it is the same."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def _remove(path: Path) -> bool:
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True
