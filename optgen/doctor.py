"""What works on this machine, and why something does not."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from optgen._cache import cache_root
from optgen._paths import generated_folder, spec_label, specs_folder
from optgen.errors import NoCompiler, OptgenError
from optgen.escaping import visible

#: Generated kernels are compiled by this release of Triton and later ones.
OLDEST_TRITON = (3, 6)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it works, and what was seen."""

    subject: str
    works: bool
    detail: str


def examine() -> Iterator[Finding]:
    """Look at everything optgen can make use of, the parts it cannot do without first."""
    for look in (_catalogue, _cache, _jax, _native, _triton, _torch, _brainstate):
        yield look()


def _catalogue() -> Finding:
    from optgen.compiler.build import all_paths

    try:
        specs, generated = all_paths(specs_folder()), generated_folder()
    except OptgenError as error:
        return Finding("catalogue", False, str(error))
    manifests = {path.parent.relative_to(generated).as_posix(): path for path in generated.rglob("manifest.json")}
    wrong = [_why_stale(name, path, manifests.get(name)) for name, path in specs.items()]
    wrong += [f"{name} is generated and has no spec" for name in sorted(manifests.keys() - specs.keys())]
    wrong = [reason for reason in wrong if reason]
    optimizers = [name for name in specs if "/" not in name]
    built = [name for name in optimizers if name in manifests]
    detail = f"{len(optimizers)} specs, {len(built)} of them generated, in {specs_folder().parent}"
    if wrong or not optimizers:
        return Finding("catalogue", False, "; ".join([detail, *wrong, "run: optgen build"]))
    return Finding("catalogue", True, detail)


def _why_stale(name: str, spec: Path, manifest: Path | None) -> str:
    """Why the code of a spec is not what it says, by the digest of its text; nothing is compiled.

    Args:
        name: the spec's.
        spec: its file.
        manifest: that of what was generated from it; None if nothing was.

    Returns:
        The reason, on one line; empty if the text is the one that the code was generated from.
    """
    from optgen.spec.lr_schedule_reader import schedule_at
    from optgen.spec.reader import read_spec, read_text
    from optgen.targets.header import spec_digest

    try:
        digest = spec_digest(read_text(spec, str(spec)))
        if manifest is not None and _digest_in(manifest) == digest:
            return ""
        schedule_at(spec) if "/" in name else read_spec(spec, spec_label(spec))
    except (OptgenError, OSError) as error:
        return f"{name} has a mistake: {visible(str(error).splitlines()[0])}"
    return f"{name} is not generated" if manifest is None else f"{name} is not what its spec says"


def _digest_in(manifest: Path) -> object:
    """The digest of the spec that a manifest names; None of a file that is no manifest."""
    try:
        found = json.loads(manifest.read_bytes())
    except ValueError:
        return None
    return found.get("digest") if isinstance(found, dict) else None


def _cache() -> Finding:
    try:
        root = cache_root()
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Finding("cache", False, f"{error}; set OPTGEN_CACHE to a folder that can be written")
    writable = os.access(root, os.W_OK)
    return Finding("cache", writable, str(root) + ("" if writable else " cannot be written; set OPTGEN_CACHE"))


def _jax() -> Finding:
    def look() -> str:
        import jax

        devices = ", ".join(sorted({f"{d.platform} ({d.device_kind})" for d in jax.devices()}))
        return f"jax {jax.__version__} on {devices}; this is the backend of optgen.optax and optgen.optim"

    return _tried("target jax", "jax", look)


def _triton() -> Finding:
    def look() -> str:
        import triton

        return f"triton {triton.__version__}"

    def look_from_torch() -> str:
        import torch

        return f"{torch.cuda.get_device_name()} from torch" if torch.cuda.is_available() else ""

    def look_from_jax() -> str:
        import jax

        if jax.default_backend() != "gpu":
            return ""
        from optgen.runtime.triton_jax import why_not

        reason = why_not()
        return f"not from jax: {reason}" if reason else f"{jax.devices()[0].device_kind} from jax"

    found = _tried("target triton", "triton", look)
    if importlib.util.find_spec("triton") is None:
        return Finding(found.subject, False, f"{found.detail}: pip install 'optgen[gpu]'")
    if not found.works:
        return found
    version = tuple(int(part) for part in re.findall(r"\d+", found.detail)[:2])
    if version < OLDEST_TRITON:
        oldest = ".".join(map(str, OLDEST_TRITON))
        return Finding(
            found.subject, False, f"{found.detail}, and kernels need {oldest} or later: pip install -U triton"
        )
    seen = [_tried(found.subject, "torch", look_from_torch), _tried(found.subject, "jax", look_from_jax)]
    told = ", ".join(one.detail for one in seen if one.detail)
    if any(one.works and one.detail and not one.detail.startswith("not ") for one in seen):
        return Finding(found.subject, True, f"{found.detail} on {told}")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return Finding(found.subject, True, f"{found.detail}, interpreted on the CPU (TRITON_INTERPRET=1)")
    reason = told or "neither torch nor jax sees a GPU; TRITON_INTERPRET=1 runs torch's kernels on the CPU"
    return Finding(found.subject, False, f"{found.detail}, but {reason}")


def _torch() -> Finding:
    def look() -> str:
        return f"torch {metadata.version('torch')}"

    return _tried("torch", "torch", look)


def _brainstate() -> Finding:
    def look() -> str:
        return f"brainstate {metadata.version('brainstate')}; its States work as weights of optgen.optim"

    return _tried("brainstate", "brainstate", look)


def _native() -> Finding:
    from optgen.runtime.native import prebuilt
    from optgen.runtime.native.build import compiler
    from optgen.runtime.native.choice import backend, why_not
    from optgen.runtime.native.library import driver_source, thread_count

    try:
        chosen = backend()
    except OptgenError as error:
        return Finding("target native", False, str(error))
    reason = why_not()
    if reason:
        return Finding("target native", False, f"{' '.join(reason.split())}; steps are computed operation by operation")
    try:
        told = f"compiled by {' '.join(compiler())}"
    except NoCompiler as error:
        told = f"what is not in the package computes operation by operation: {error}"
    brought = prebuilt.found(driver_source())
    if brought:
        told = f"the package brought the catalogue's for {brought.parent.name}; {told}"
    if chosen == "arrays":
        return Finding("target native", False, f"OPTGEN_BACKEND=arrays leaves it out; {told}")
    return Finding("target native", True, f"{told}, {thread_count()} threads")


def _tried(subject: str, package: str, look: Callable[[], str]) -> Finding:
    if importlib.util.find_spec(package) is None:
        return Finding(subject, False, f"{package} is not installed")
    try:
        return Finding(subject, True, look())
    except (ImportError, OSError, RuntimeError) as error:  # what a broken installation raises
        reason = " ".join(str(error).split())  # a finding is one line
        return Finding(subject, False, f"{package} is installed but does not load: {reason}")
