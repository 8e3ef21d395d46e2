"""What `optgen doctor` finds: on this machine, and where something is missing or broken."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import jax
import pytest

from optgen import _paths, doctor
from optgen.doctor import Finding, examine
from optgen.errors import OptgenError
from optgen.runtime.native import choice
from optgen.runtime.native.build import compiler
from optgen.spec.starter import starter_spec

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def catalogue(folder: Path, monkeypatch: pytest.MonkeyPatch, specs: str, built: str) -> None:
    """A catalogue of these optimizers, which are what their specs say, and of one schedule."""
    (folder / "specs" / "schedules").mkdir(parents=True)
    texts = {name: starter_spec(name) for name in specs.split()}
    texts["schedules/constant"] = (ROOT / "specs" / "schedules" / "constant.toml").read_text()
    for name, text in texts.items():
        (folder / "specs" / f"{name}.toml").write_text(text)
    for name in [*built.split(), "schedules/constant"]:
        (folder / "generated" / name).mkdir(parents=True)
        digest = hashlib.sha256(texts.get(name, "").encode()).hexdigest()
        (folder / "generated" / name / "manifest.json").write_text(json.dumps({"digest": digest}))
    for module in (doctor, _paths):
        monkeypatch.setattr(module, "specs_folder", lambda: folder / "specs")
    monkeypatch.setattr(doctor, "generated_folder", lambda: folder / "generated")


def test_looks_at_everything_once() -> None:
    assert [found.subject for found in examine()] == [
        "catalogue",
        "cache",
        "target jax",
        "target native",
        "target triton",
        "torch",
        "brainstate",
    ]


def test_every_finding_is_one_line() -> None:
    assert [found.detail for found in examine() if found.detail.splitlines() != [found.detail]] == []


@pytest.mark.parametrize(
    ("specs", "built", "works", "said"),
    [
        ("adam sgd", "adam sgd", True, "2 specs, 2 of them generated, in {}"),
        ("adam sgd", "adam", False, "2 specs, 1 of them generated, in {}; sgd is not generated; run: optgen build"),
        (
            "adam sgd",
            "adam lion",
            False,
            "2 specs, 1 of them generated, in {}; sgd is not generated; lion is generated and has no spec; "
            "run: optgen build",
        ),
        (
            "adam",
            "adam lion",
            False,
            "1 specs, 1 of them generated, in {}; lion is generated and has no spec; run: optgen build",
        ),
        ("", "", False, "0 specs, 0 of them generated, in {}; run: optgen build"),
    ],
)
def test_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, specs: str, built: str, works: bool, said: str
) -> None:
    catalogue(tmp_path, monkeypatch, specs, built)
    assert doctor._catalogue() == Finding("catalogue", works, said.format(tmp_path))


def test_specs_that_were_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue(tmp_path, monkeypatch, "adam sgd zed", "adam sgd")
    specs = tmp_path / "specs"
    for name in ("adam", "schedules/constant"):
        (specs / f"{name}.toml").write_text((specs / f"{name}.toml").read_text() + "\n# edited\n")
    for name in ("sgd", "zed"):
        path = specs / f"{name}.toml"
        path.write_text(path.read_text().replace("d = m[t]\n", "d = q\n"))
    line = path.read_text().split("\n").index("    d = q") + 1
    found = doctor._catalogue()
    assert not found.works
    assert found.detail == (
        f"3 specs, 2 of them generated, in {tmp_path}; adam is not what its spec says; "
        f"sgd has a mistake: specs/sgd.toml:{line}:9: unknown name 'q'; "
        f"zed has a mistake: specs/zed.toml:{line}:9: unknown name 'q'; "
        "schedules/constant is not what its spec says; run: optgen build"
    )


def test_a_manifest_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue(tmp_path, monkeypatch, "adam", "adam")
    (tmp_path / "generated" / "adam" / "manifest.json").write_text("[")
    said = f"1 specs, 1 of them generated, in {tmp_path}; adam is not what its spec says; run: optgen build"
    assert doctor._catalogue() == Finding("catalogue", False, said)


def test_the_catalogue_is_what_its_specs_say() -> None:
    count = len(list((ROOT / "specs").glob("*.toml")))
    said = f"{count} specs, {count} of them generated, in {ROOT}"
    assert doctor._catalogue() == Finding("catalogue", True, said)


def test_catalogue_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise OptgenError("optgen's catalogue is missing")

    monkeypatch.setattr(doctor, "specs_folder", fail)
    assert doctor._catalogue() == Finding("catalogue", False, "optgen's catalogue is missing")


def test_cache_is_made(cache: Path) -> None:
    assert doctor._cache() == Finding("cache", True, str(cache))
    assert cache.is_dir()


def test_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "file" / "cache"))
    said = f"[Errno 20] Not a directory: '{tmp_path}/file/cache'; set OPTGEN_CACHE to a folder that can be written"
    assert doctor._cache() == Finding("cache", False, said)


def test_a_cache_in_the_home_folder_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTGEN_CACHE", "~no-such-user/cache")
    said = "~no-such-user/cache: there is no such home folder; set OPTGEN_CACHE to a folder that can be written"
    assert doctor._cache() == Finding("cache", False, said)


def test_jax_names_its_devices() -> None:
    devices = ", ".join(sorted({f"{device.platform} ({device.device_kind})" for device in jax.devices()}))
    said = f"jax {jax.__version__} on {devices}; this is the backend of optgen.optax and optgen.optim"
    assert doctor._jax() == Finding("target jax", True, said)


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))


@pytest.mark.parametrize(
    ("look", "subject", "package"),
    [
        (doctor._jax, "target jax", "jax"),
        (doctor._torch, "torch", "torch"),
        (doctor._brainstate, "brainstate", "brainstate"),
    ],
)
def test_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[], Finding], subject: str, package: str
) -> None:
    without(monkeypatch, package)
    assert look() == Finding(subject, False, f"{package} is not installed")


def test_triton_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "triton")
    assert doctor._triton() == Finding("target triton", False, "triton is not installed: pip install 'optgen[gpu]'")


def stub(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: object) -> None:
    """Stand a module in for an installed package."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
    for attribute, value in attributes.items():
        setattr(module, attribute, value)
    monkeypatch.setitem(sys.modules, name, module)


def gpu(name: str | None) -> types.SimpleNamespace:
    return types.SimpleNamespace(is_available=lambda: name is not None, get_device_name=lambda: name)


@pytest.mark.parametrize(
    ("device", "interpret", "works", "said"),
    [
        ("NVIDIA X", "", True, "triton 9.9 on NVIDIA X from torch"),
        (None, "1", True, "triton 9.9, interpreted on the CPU (TRITON_INTERPRET=1)"),
        (
            None,
            "",
            False,
            "triton 9.9, but neither torch nor jax sees a GPU; TRITON_INTERPRET=1 runs torch's kernels on the CPU",
        ),
    ],
)
def test_triton(monkeypatch: pytest.MonkeyPatch, device: str | None, interpret: str, works: bool, said: str) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", interpret)
    stub(monkeypatch, "triton", __version__="9.9")
    stub(monkeypatch, "torch", cuda=gpu(device))
    assert doctor._triton() == Finding("target triton", works, said)


def test_triton_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, "triton", __version__="3.5.1")
    said = "triton 3.5.1, and kernels need 3.6 or later: pip install -U triton"
    assert doctor._triton() == Finding("target triton", False, said)


def test_triton_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, "triton", __version__="9.9")
    without(monkeypatch, "torch")
    assert doctor._triton() == Finding("target triton", False, "triton 9.9, but torch is not installed")


@pytest.mark.parametrize(
    ("reason", "works", "said"),
    [
        ("", True, "triton 9.9 on NVIDIA X from jax"),
        ("there is no C compiler", False, "triton 9.9, but not from jax: there is no C compiler"),
    ],
)
def test_triton_from_jax(monkeypatch: pytest.MonkeyPatch, reason: str, works: bool, said: str) -> None:
    stub(monkeypatch, "triton", __version__="9.9")
    stub(monkeypatch, "torch", cuda=gpu(None))
    stub(monkeypatch, "optgen.runtime.triton_jax", why_not=lambda: reason)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(device_kind="NVIDIA X")])
    assert doctor._triton() == Finding("target triton", works, said)


def test_package_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ImportError("libcuda.so.1: cannot open\n  shared object file")

    module = Broken("triton")
    module.__spec__ = importlib.util.spec_from_loader("triton", loader=None)
    monkeypatch.setitem(sys.modules, "triton", module)
    said = "triton is installed but does not load: libcuda.so.1: cannot open shared object file"
    assert doctor._triton() == Finding("target triton", False, said)


def test_versions_of_libraries() -> None:
    assert doctor._torch() == Finding("torch", True, f"torch {metadata.version('torch')}")
    said = f"brainstate {metadata.version('brainstate')}; its States work as weights of optgen.optim"
    assert doctor._brainstate() == Finding("brainstate", True, said)


def test_native_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTGEN_NUM_THREADS", "3")
    assert doctor._native() == Finding("target native", True, f"compiled by {' '.join(compiler())}, 3 threads")
    monkeypatch.setenv("OPTGEN_BACKEND", "arrays")
    said = f"OPTGEN_BACKEND=arrays leaves it out; compiled by {' '.join(compiler())}"
    assert doctor._native() == Finding("target native", False, said)
    monkeypatch.setenv("OPTGEN_BACKEND", "cuda")
    assert doctor._native().detail == "OPTGEN_BACKEND is one of auto, native, triton, arrays, not 'cuda'"
    monkeypatch.delenv("OPTGEN_BACKEND")
    monkeypatch.setattr(choice, "why_not", lambda: "there is no\ncompiler")
    said = "there is no compiler; steps are computed operation by operation"
    assert doctor._native() == Finding("target native", False, said)
