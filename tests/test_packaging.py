"""What is shipped: the wheel, the source distribution, and what the repository's files may hold."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from optgen import _paths
from optgen.errors import OptgenError
from optgen.runtime.native import prebuilt

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def build(source: Path, kind: str, folder: Path) -> Path:
    """Build a distribution with the hatchling of this environment: no isolation, no network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = folder.iterdir()
    return result


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a distribution is made from, which the build may write into."""
    copy = tmp_path_factory.mktemp("tree")
    skipped = shutil.ignore_patterns("__pycache__", ".*_cache")
    for name in ("optgen", "specs", "generated", "tests", "tools"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=skipped)
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", "Makefile", "README.md", ".gitignore"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def test_wheel_holds_every_file_of_the_package_and_the_catalogue(tree: Path, unpacked: Path) -> None:
    expected = {path.relative_to(tree).as_posix() for path in files(tree / "optgen")}
    for name in ("specs", "generated"):
        expected |= {f"optgen/_catalogue/{path.relative_to(tree).as_posix()}" for path in files(tree / name)}
    assert "optgen/py.typed" in expected
    assert "optgen/_catalogue/specs/adam.toml" in expected
    assert any(name.endswith(".jinja") for name in expected)
    assert {path.relative_to(unpacked).as_posix() for path in files(unpacked / "optgen")} == expected


def test_wheel_holds_nothing_outside_the_package(unpacked: Path) -> None:
    version = PROJECT["version"]
    assert {path.name for path in unpacked.iterdir()} == {"optgen", f"optgen-{version}.dist-info"}


def test_wheel_installs_the_command_and_the_licence(unpacked: Path) -> None:
    (information,) = unpacked.glob("*.dist-info")
    entries = configparser.ConfigParser()
    entries.read(information / "entry_points.txt")
    assert dict(entries["console_scripts"]) == {"optgen": "optgen.cli:main"}
    assert (information / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_wheel_built_from_the_source_distribution_is_the_same(tree: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(tree, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    rebuilt = build(source, "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(rebuilt) as second:
        assert second.namelist() == first.namelist()


def test_unpacked_wheel_finds_its_own_catalogue(unpacked: Path, tmp_path: Path) -> None:
    program = """
import importlib.metadata
from optgen._paths import generated_folder, specs_folder
print(specs_folder())
print(generated_folder())
print(importlib.metadata.version("optgen"))
"""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    catalogue = unpacked.resolve() / "optgen" / "_catalogue"
    assert done.stdout.splitlines() == [str(catalogue / "specs"), str(catalogue / "generated"), PROJECT["version"]]


PREBUILT = """
import sys
import numpy as np, torch, jax, jax.numpy as jnp, optgen.optax, optgen.torch
from optgen.runtime.native import prebuilt
levels = prebuilt.levels()
prebuilt.levels = lambda: [levels[int(sys.argv[1])]]
jax.config.update("jax_enable_x64", True)
start = np.random.default_rng(0).standard_normal(5000)
p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
p.grad = torch.cos(p.detach())
optgen.torch.AdamW([p], lr=0.1).step()
tx = optgen.optax.lamb(0.1)
found, _ = jax.jit(tx.update)(jnp.cos(start), tx.init(jnp.asarray(start)), jnp.asarray(start))
sys.stdout.write(p.detach().numpy().tobytes().hex() + np.asarray(found).tobytes().hex())
"""


def test_wheel_with_kernels_needs_no_compiler_and_has_the_same_bits_on_every_level(
    tree: Path, unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATCH_BUILD_HOOK_ENABLE_CUSTOM", "1")
    wheel = build(tree, "wheel", tmp_path / "wheel")
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    (tmp_path / "bin").mkdir()  # of programs there is none
    environment = {k: v for k, v in os.environ.items() if k not in ("CC", "OPTGEN_CFLAGS")}
    environment |= {"PATH": str(tmp_path / "bin"), "OPTGEN_BACKEND": "native", "OPTGEN_CACHE": str(tmp_path / "cache")}

    def run(package: Path, level: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", PREBUILT, str(level)]
        own = {**environment, "PYTHONPATH": str(package)}
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=120, check=False)

    results = [run(tmp_path / "unpacked", level) for level in range(len(prebuilt.levels()))]
    assert not any(done.returncode for done in results), results[0].stderr
    assert len({done.stdout for done in results}) == 1
    assert not (tmp_path / "cache" / "native").exists()
    # Without them a compiler is asked for.
    assert "there is no C compiler: cc, gcc or clang" in run(unpacked, 0).stderr


def test_checkout_finds_the_folders_of_the_repository() -> None:
    assert _paths.specs_folder() == ROOT / "specs"
    assert _paths.generated_folder() == ROOT / "generated"


def test_installed_catalogue_wins_over_a_neighbouring_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "optgen" / "_catalogue"
    (installed / "specs").mkdir(parents=True)
    (tmp_path / "specs").mkdir()
    monkeypatch.setattr(_paths, "_PACKAGE", tmp_path / "optgen")
    assert _paths.specs_folder() == installed / "specs"
    assert _paths.generated_folder() == installed / "generated"


def test_missing_catalogue_is_reported_with_the_places_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_paths, "_PACKAGE", tmp_path / "optgen")
    message = (
        f"optgen's catalogue is missing: there is no folder 'specs' in {tmp_path / 'optgen' / '_catalogue'} "
        f"(an installed optgen) nor in {tmp_path} (a checkout); install optgen again"
    )
    for folder in (_paths.specs_folder, _paths.generated_folder):
        with pytest.raises(OptgenError) as caught:
            folder()
        assert str(caught.value) == message


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "common", "helpers", "helper", "misc"}
    modules = [path for folder in ("optgen", "tests", "tools") for path in files(ROOT / folder) if path.suffix == ".py"]
    named = [
        path.relative_to(ROOT).as_posix()
        for path in modules
        if empty & {part.lstrip("_") for part in path.relative_to(ROOT).with_suffix("").parts}
    ]
    assert len(modules) > 0
    assert named == []


def test_no_tracked_file_holds_a_path_of_one_machine() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    tracked = [ROOT / name for name in os.fsdecode(listed.stdout).split("\0") if name]
    # Preceded by nothing that would make it part of a longer path or of an address.
    private = re.compile(rb"(?<![\w.~/-])/(?:root|work|home/\w+|Users/\w+)/")
    holding = [
        f"{path.relative_to(ROOT)}: {found.group().decode()}"
        for path in tracked
        if path.is_file() and (found := private.search(path.read_bytes()))
    ]
    assert len(tracked) > 0
    assert holding == []
