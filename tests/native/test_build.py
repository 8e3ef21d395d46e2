"""Compiling kernels: once for all processes, whatever happens to the file, and what is said where it cannot be done."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from optgen.errors import InvalidHyperparameter, NoCompiler
from optgen.runtime.native import build, choice, loading

SOURCE = "#include <stdint.h>\nint64_t answer(void) { return %d; }\n"

STEP = """
import numpy as np, optgen.lucid
class Parameter:
    def __init__(self): self.data, self.grad = np.ones(3), np.ones(3)
p = Parameter()
optgen.lucid.SGD([p], lr=0.5).step()
print(p.data.tolist())
"""


def step(**environment):
    """A step in a process of its own."""
    found = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", STEP], env=found, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "a cache"))


def test_a_file_is_compiled_once(tmp_path):
    assert loading.compiled(build.Source("one", SOURCE % 1)).answer() == 1
    (file,) = (tmp_path / "a cache" / "native").iterdir()
    written = file.stat().st_mtime_ns
    assert loading.compiled(build.Source("one", SOURCE % 1)).answer() == 1
    assert file.stat().st_mtime_ns == written
    assert loading.compiled(build.Source("one", SOURCE % 2)).answer() == 2


def test_a_damaged_file_is_compiled_again(tmp_path):
    folder = tmp_path / "a cache" / "native"
    folder.mkdir(parents=True)
    loading.compiled(build.Source("first", SOURCE % 3))
    (good,) = folder.iterdir()
    text = SOURCE % 4
    done = step()
    assert done.returncode == 0
    others = [file for file in folder.iterdir() if file != good]
    whole = {file: file.read_bytes() for file in others}
    for part in (0, 100, 4096, 9000, -1):
        for file in others:
            file.write_bytes(whole[file][:part])
        done = step()
        assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert loading.compiled(build.Source("second", text)).answer() == 4


def test_several_processes_at_once():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: step(), range(4)))
    assert [done.stdout for done in found] == ["[0.5, 0.5, 0.5]\n"] * 4, [done.stderr for done in found]


def test_a_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = step(OPTGEN_CACHE=str(blocked))
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr


def test_without_a_compiler_that_is_said_and_numpy_computes(tmp_path):
    done = step(CC="no-such-compiler")
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert "RuntimeWarning" in done.stderr
    assert "'no-such-compiler', which CC names, is no program" in done.stderr
    done = step(CC="no-such-compiler", OPTGEN_BACKEND="arrays")
    assert (done.returncode, done.stderr) == (0, "")
    done = step(CC="no-such-compiler", OPTGEN_BACKEND="native")
    assert done.returncode == 1
    assert "NoCompiler: 'no-such-compiler', which CC names, is no program" in done.stderr


def test_a_compiler_with_arguments():
    done = step(CC=f"{' '.join(build.compiler())} -O1", OPTGEN_BACKEND="native")
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr


def test_a_compiler_that_fails():
    with pytest.raises(NoCompiler, match="error"):
        loading.compiled(build.Source("wrong", "int f( {"))


def test_a_backend_that_there_is_not(monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", "cuda")
    with pytest.raises(InvalidHyperparameter, match="OPTGEN_BACKEND is one of auto, native, triton, arrays, not"):
        choice.is_native()


def test_it_is_told_once(monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", "auto")
    monkeypatch.setattr(choice, "why_not", lambda: "for a reason of this test")
    with pytest.warns(RuntimeWarning, match="for a reason of this test"):
        assert not choice.is_native()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not choice.is_native()
