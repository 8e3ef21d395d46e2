"""Variants that were not generated ahead: compiled when first used, and kept on disk for the next process."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import msgspec

from optgen._cache import compiler_key, in_first_that_works, is_own, write_whole
from optgen.catalogue.manifests import catalogue_manifest
from optgen.catalogue.origin import Origin
from optgen.contract.choice import Choice
from optgen.contract.manifest import Manifest, VariantInfo, read_manifest
from optgen.errors import OptgenError


def compile_variant_now(origin: Origin, name: str, choice: Choice) -> tuple[VariantInfo, dict[str, str]]:
    """A variant and its files, through the whole pipeline or from the cache if an earlier process has compiled it.

    Raises:
        SpecError: the equations are wrong under this choice.
        OptgenError: the spec is no longer the one that the catalogue was generated from.
    """
    cached = _cache_name(origin.manifest, name) if origin.in_catalogue else None
    files = _read_cached(cached) if cached is not None else None
    if files is None:
        from optgen.pipeline.optimizer import generate

        spec = origin.read_spec()
        if hashlib.sha256(spec.source.text.encode()).hexdigest() != origin.manifest.digest:
            raise OptgenError(
                f"{origin.manifest.spec} was edited after its code was generated, and variant '{name}' of it was not: "
                f"run optgen build {origin.manifest.name}"
            )
        files = dict(generate(spec, {name: choice}, origin.read_wrapped()).files)
        if cached is not None:
            _write_cached(cached, files)
    return read_manifest(files["manifest.json"].encode()).variants[0], files


def _cache_name(manifest: Manifest, name: str) -> str:
    """The file name of a variant in the cache."""
    inner = catalogue_manifest(manifest.wrapped).digest if manifest.wrapped else ""
    key = hashlib.sha256(f"{manifest.digest} {inner} {compiler_key()} {name}".encode()).hexdigest()
    return f"{manifest.name}-{key[:32]}.json"


class _Cached(msgspec.Struct):
    """The content of a cache file; the digest of the files reveals a damaged one, which is made again."""

    digest: str
    files: dict[str, str]


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()


def _read_cached(name: str) -> dict[str, str] | None:
    """The files of a variant; None if they are not kept, or somebody else may have written them."""
    try:
        return in_first_that_works("variants", lambda folder: _read(folder / name))
    except OSError:
        return None


def _read(path: Path) -> dict[str, str]:
    if not is_own(path):
        raise PermissionError(f"others may write to {path}")
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Cached)
    except msgspec.MsgspecError as error:
        raise OSError(f"{path} is damaged") from error
    if found.digest != _digest(found.files):
        raise OSError(f"{path} is damaged")
    return found.files


def _write_cached(name: str, files: dict[str, str]) -> None:
    data = msgspec.json.encode(_Cached(_digest(files), files))
    try:
        in_first_that_works("variants", lambda folder: write_whole(folder / name, data))
    except OSError as error:
        warnings.warn(f"optgen could not write to its cache ({error}); set OPTGEN_CACHE to a folder", stacklevel=2)
