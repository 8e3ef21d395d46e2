"""Writing what is generated to disk, and comparing it with what is there."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from optgen._cache import UNFINISHED, cache_root, compiler_key, write_whole
from optgen._paths import SCHEDULES as SCHEDULES
from optgen._paths import spec_label
from optgen.compiler.wrapping import wrapped_rule
from optgen.errors import OptgenError, SpecError
from optgen.spec.reader import read_spec

#: Folders that Python makes by itself and no spec is asked for.
_IGNORED = "__pycache__"


@dataclass(frozen=True, slots=True)
class Built:
    """What building one spec did.

    Attributes:
        name: the spec's.
        written, removed: names of files that changed.
        skipped: nothing had changed since the last build, so it was not compiled.
        error: what is wrong with the spec; its files are left as they were.
    """

    name: str
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    skipped: bool = False
    error: OptgenError | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where generated code is not what the specs say.

    Attributes:
        path: relative to the folder of generated code; that of a folder ends with a slash.
        diff: a unified diff from what is there to what should be, or a line in words where no lines differ.
        foreign: no spec makes it and optgen did not write it, so that building again does not remove it.
    """

    path: str
    diff: str
    foreign: bool = False


def spec_paths(specs: Path) -> dict[str, Path]:
    """The spec files of optimizers in a folder by name, in alphabetical order."""
    found = sorted(path for path in specs.glob("*.toml") if path.is_file() and not path.name.startswith("."))
    return {path.stem: path for path in found}


def all_paths(specs: Path) -> dict[str, Path]:
    """The spec files of optimizers and of learning-rate schedules, by the folder that their code is generated into."""
    return spec_paths(specs) | {f"{SCHEDULES}/{name}": path for name, path in spec_paths(specs / SCHEDULES).items()}


def generate_schedule_file(path: Path) -> dict[str, str]:
    """The files generated from the spec file of a learning-rate schedule, by name.

    Raises:
        SpecError: the spec is wrong, or its name is not its file's.
    """
    from optgen.compiler.lr_schedule_pipeline import generate_schedule
    from optgen.spec.lr_schedule_reader import schedule_at

    return dict(generate_schedule(schedule_at(path)))


def _generated(name: str, path: Path) -> dict[str, str]:
    return generate_schedule_file(path) if name.startswith(f"{SCHEDULES}/") else generate_file(path)


def generate_file(path: Path) -> dict[str, str]:
    """The files generated from the spec file of an optimizer, by name.

    Raises:
        SpecError: the spec is wrong, or its name is not its file's.
    """
    from optgen.compiler.pipeline import generate

    spec = read_spec(path, spec_label(path))
    if spec.name != path.stem:
        where = spec.source.location(spec.source.find("optimizer", "name"))
        raise SpecError(f"the name is '{spec.name}' and the file's is '{path.stem}'", where, "make them the same")
    return dict(generate(spec, wrapped=wrapped_rule(spec, path.parent)).files)


def build(specs: Path, output: Path, names: tuple[str, ...] = ()) -> Iterator[Built]:
    """Bring a folder of generated files up to date with the specs; yields after each spec.

    A spec is compiled only if it, the compiler or its generated files changed since the last build. What was generated
    from specs that are gone is removed when no names are given. Only files that optgen wrote are ever removed.

    Raises:
        KeyError: one of `names` is no spec.
        OSError: a spec cannot be read or a file cannot be written.
    """
    paths = all_paths(specs)
    record = _Record(output)
    for name in names or paths:
        key = _key(paths[name])
        folder = output / name
        if record.matches(name, key, folder):
            yield Built(name, skipped=True)
            continue
        try:
            files = _generated(name, paths[name])
        except OptgenError as error:
            yield Built(name, error=error)
            continue
        written = tuple(file for file, text in files.items() if _write(folder / file, text))
        removed = tuple(path.name for path in _files(folder) if path.name not in files and _remove(path))
        record.note(name, key, folder)
        yield Built(name, written, removed)
    for name in () if names else _folders(output):
        if name not in paths and (removed := _clear(output / name)):
            record.forget(name)
            yield Built(name, removed=removed)
    if not names and (output / SCHEDULES).is_dir() and not any((output / SCHEDULES).iterdir()):
        (output / SCHEDULES).rmdir()


def check(specs: Path, output: Path, names: tuple[str, ...] = ()) -> list[Difference]:
    """Where the generated files are not what the specs say; empty if they are.

    Raises:
        KeyError: one of `names` is no spec.
        SpecError: a spec is wrong.
        OSError: a file cannot be read.
    """
    paths = all_paths(specs)
    wanted = names or tuple(paths)
    expected = {f"{name}/{file}": text for name in wanted for file, text in _generated(name, paths[name]).items()}
    present = {path.relative_to(output).as_posix(): path for path in _tree(output)}
    if names:
        inside = tuple(f"{name}/" for name in names)
        present = {relative: path for relative, path in present.items() if f"{relative}/".startswith(inside)}
    found = []
    for relative in sorted(expected.keys() | present.keys()):
        path = present.get(relative)
        if relative not in expected and path is not None and path.is_dir():
            # A folder is told of by the files in it.
            if relative not in wanted and not any(other.startswith(f"{relative}/") for other in present):
                foreign = not _holds_caches_only(path)
                found.append(Difference(f"{relative}/", f"Only in generated: {relative}/ (empty)\n", foreign))
            continue
        old = path.read_bytes() if path is not None and not path.is_dir() else None
        new = expected[relative].encode() if relative in expected else None
        if old != new:
            foreign = new is None and path is not None and not _is_ours(path)
            found.append(Difference(relative, _diff(relative, old, new), foreign))
    return found


def _diff(relative: str, old: bytes | None, new: bytes | None) -> str:
    """A unified diff from one content to another; None where there is no file."""
    if not old and not new:
        there = "generated" if new is None else "the specs"
        return f"Only in {there}: {relative} (empty)\n"
    lines = difflib.unified_diff(
        _lines(old or b""),
        _lines(new or b""),
        f"generated/{relative}" if old is not None else "/dev/null",
        f"generated/{relative} (from the spec)" if new is not None else "/dev/null",
    )
    return "".join(lines)


def _lines(data: bytes) -> list[str]:
    lines = data.decode(errors="backslashreplace").split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([f"{last}\n\\ No newline at end of file\n"] if last else [])


def _key(spec: Path) -> str:
    """What generated files depend on: for an optimizer that wraps another, on any spec beside it."""
    text = spec.read_bytes()
    around = [path.read_bytes() for path in spec_paths(spec.parent).values()] if b"\nwrapped" in text else []
    return hashlib.sha256(b"".join([spec_label(spec).encode(), text, compiler_key().encode(), *around])).hexdigest()


class _Record:
    """What the last build made from what, kept in the cache folder so that nothing volatile is checked in."""

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
        return self._entries.get(name) == (key, _digests(folder))

    def note(self, name: str, key: str, folder: Path) -> None:
        self._entries[name] = (key, _digests(folder))
        self._save()

    def forget(self, name: str) -> None:
        if self._entries.pop(name, None) is not None:
            self._save()

    def _save(self) -> None:
        # Without a record the next build only takes longer.
        with contextlib.suppress(OSError):
            write_whole(self._path(), msgspec.json.encode(self._entries))


def _folders(output: Path) -> list[str]:
    """The folders that code is generated into: those of optimizers, and those of schedules in a folder of their own."""
    found = []
    for parent in (output, output / SCHEDULES):
        if parent.is_dir():
            inside = sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
            found += [path.relative_to(output).as_posix() for path in inside]
    return found


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    """The files directly in a folder, where all generated ones are."""
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _tree(folder: Path) -> list[Path]:
    """Every file and folder below a folder, without what Python keeps there."""
    found = folder.rglob("*") if folder.is_dir() else iter(())
    return sorted(path for path in found if _IGNORED not in path.relative_to(folder).parts)


def _is_ours(path: Path) -> bool:
    """Whether optgen wrote a file, by what every generated file starts with."""
    if path.is_dir():
        return False
    if path.name.startswith(UNFINISHED):
        return True
    with path.open("rb") as file:
        start = file.read(4096)
    marks = (b'"format":', b'"spec":', b'"digest":') if path.suffix == ".json" else (b"generated by optgen from ",)
    return all(mark in start for mark in marks)


def _write(path: Path, text: str) -> bool:
    """Replace a file in one step, so that whoever reads it sees the old or the new one; False if it is the same."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    write_whole(path, data, 0o644)
    return True


def _clear(folder: Path) -> tuple[str, ...]:
    """Remove what optgen and Python left in a folder; the names of the files."""
    if _holds_caches_only(folder):
        shutil.rmtree(folder)
        return (_IGNORED,)
    return tuple(path.name for path in _files(folder) if _remove(path))


def _holds_caches_only(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == [_IGNORED]


def _remove(path: Path) -> bool:
    """Remove a file that optgen wrote, and its folder if nothing is left there; False for any other file."""
    if not _is_ours(path):
        return False
    path.unlink()
    if _holds_caches_only(path.parent):
        shutil.rmtree(path.parent)
    elif not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True
