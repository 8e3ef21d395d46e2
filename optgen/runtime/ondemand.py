"""Variants that were not generated ahead: compiled when first used, and kept on disk for the next process."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from optgen._cache import cache_root, compiler_digest
from optgen.compiler.choice import Choice
from optgen.runtime.jax import JaxVariant
from optgen.runtime.modules import module_from_text
from optgen.targets.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from optgen.runtime.entry import Entry


def compile_variant_now(entry: Entry, name: str, choice: Choice) -> JaxVariant:
    """A variant through the whole pipeline, or from the cache if an earlier process has compiled it.

    Raises:
        SpecError: the equations are wrong under this choice.
    """
    folder = _cache_folder(entry.manifest, name) if entry.in_catalogue else None
    files = _read_cached(folder) if folder is not None else None
    if files is None:
        from optgen.compiler.pipeline import generate

        files = dict(generate(entry.read_spec(), {name: choice}, entry.wrapped, ("jax",)).files)
        if folder is not None:
            _write_cached(folder, files)
    manifest = read_manifest(files["manifest.json"].encode())
    shown_as = str(folder / "jax.py") if folder is not None else f"<optgen {manifest.name} {name} jax>"
    module = module_from_text(f"optgen_generated.{manifest.name}.{name}.jax", files["jax.py"], shown_as)
    return JaxVariant(manifest.name, manifest.variants[0], module)


def _cache_folder(manifest: Manifest, name: str) -> Path:
    key = hashlib.sha256(f"{manifest.digest} {compiler_digest()} {name}".encode()).hexdigest()
    return cache_root() / "variants" / f"{manifest.name}-{key[:32]}"


def _read_cached(folder: Path) -> dict[str, str] | None:
    if not (folder / "manifest.json").is_file():
        return None
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def _write_cached(folder: Path, files: dict[str, str]) -> None:
    """Put the files in place all at once, so that a process running beside this one sees all or none."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        for name, text in files.items():
            (made / name).write_text(text)
        try:
            made.rename(folder)
        except OSError:
            # Another process was first; its files are the same.
            for path in made.iterdir():
                path.unlink()
            made.rmdir()
    except OSError as error:
        warnings.warn(f"optgen could not write to its cache ({error}); set OPTGEN_CACHE to a folder", stacklevel=2)
