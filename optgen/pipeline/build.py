"""Writing what is generated to disk, and comparing it with what is there."""

from __future__ import annotations

import difflib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optgen._cache import UNFINISHED, compiler_key
from optgen._paths import SCHEDULES as SCHEDULES
from optgen._paths import spec_label
from optgen.errors import OptgenError, SpecError
from optgen.language.reader import read_spec
from optgen.pipeline.record import Record, files_in, write_file
from optgen.pipeline.wrapping import wrapped_rule

#: Folders that Python makes by itself and no spec is asked for.
_IGNORED = "__pycache__"


@dataclass(frozen=True, slots=True)
class Built:
    """The result of building one spec.

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
    from optgen.schedules.pipeline import generate_schedule
    from optgen.schedules.reader import schedule_at

    return dict(generate_schedule(schedule_at(path)))


def _generated(name: str, path: Path) -> dict[str, str]:
    return generate_schedule_file(path) if name.startswith(f"{SCHEDULES}/") else generate_file(path)


def generate_file(path: Path) -> dict[str, str]:
    """The files generated from the spec file of an optimizer, by name.

    Raises:
        SpecError: the spec is wrong, or its name is not its file's.
    """
    from optgen.pipeline.optimizer import generate

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
    record = Record(output)
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
        written = tuple(file for file, text in files.items() if write_file(folder / file, text))
        removed = tuple(path.name for path in files_in(folder) if path.name not in files and _remove(path))
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
    """The key of generated files; for an optimizer that wraps another, it depends on every spec beside it."""
    text = spec.read_bytes()
    around = [path.read_bytes() for path in spec_paths(spec.parent).values()] if b"\nwrapped" in text else []
    return hashlib.sha256(b"".join([spec_label(spec).encode(), text, compiler_key().encode(), *around])).hexdigest()


def _folders(output: Path) -> list[str]:
    """The folders that code is generated into: those of optimizers, and those of schedules in a folder of their own."""
    found = []
    for parent in (output, output / SCHEDULES):
        if parent.is_dir():
            inside = sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
            found += [path.relative_to(output).as_posix() for path in inside]
    return found


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


def _clear(folder: Path) -> tuple[str, ...]:
    """Remove what optgen and Python left in a folder; the names of the files."""
    if _holds_caches_only(folder):
        shutil.rmtree(folder)
        return (_IGNORED,)
    return tuple(path.name for path in files_in(folder) if _remove(path))


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
