"""Compiling kernels: once for all processes, whatever happens to the file, and what is said where it cannot be done."""

from __future__ import annotations

import ctypes
import os
import pwd
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from optgen import _cache
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


IN_JAX = """
import jax, jax.numpy as jnp, optgen.optax
tx, params = optgen.optax.sgd(0.5), jnp.ones(5000)
step = jax.jit(lambda p, s: optgen.optax.apply_gradients(tx, p, s, p)[0])
print(step(params, tx.init(params))[:3].tolist())
"""


def step(before="", script=STEP, **environment):
    """A step in a process of its own, which runs something before it."""
    found = {**os.environ, **environment}
    command = [sys.executable, "-c", before + script]
    return subprocess.run(command, env=found, capture_output=True, text=True, check=False)


def answering(source):
    return loading.compiled(source, ["answer"])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "a cache"))


def test_a_file_is_compiled_once(tmp_path):
    assert answering(build.Source("one", SOURCE % 1)).answer() == 1
    (file,) = (tmp_path / "a cache" / "native").iterdir()
    written = file.stat().st_mtime_ns
    assert answering(build.Source("one", SOURCE % 1)).answer() == 1
    assert file.stat().st_mtime_ns == written
    assert answering(build.Source("one", SOURCE % 2)).answer() == 2


def test_a_damaged_file_is_compiled_again(tmp_path):
    folder = tmp_path / "a cache" / "native"
    folder.mkdir(parents=True)
    answering(build.Source("first", SOURCE % 3))
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
    assert answering(build.Source("second", text)).answer() == 4


def test_several_processes_at_once():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: step(), range(4)))
    assert [done.stdout for done in found] == ["[0.5, 0.5, 0.5]\n"] * 4, [done.stderr for done in found]


def test_a_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = step(OPTGEN_CACHE=str(blocked))
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr


def test_a_folder_from_which_nothing_may_be_executed(tmp_path, monkeypatch):
    """The next one is taken, and where there is none the reason is told."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    load, allowed = ctypes.CDLL, [str(tmp_path / "optgen-")]

    def mapped(name):
        if not name.startswith(tuple(allowed)):
            raise OSError(f"{name}: failed to map segment from shared object")
        return load(name)

    monkeypatch.setattr(ctypes, "CDLL", mapped)
    assert answering(build.Source("one", SOURCE % 5)).answer() == 5
    allowed.clear()
    with pytest.raises(NoCompiler, match=r"one-.*: failed to map segment.*; set OPTGEN_CACHE to a folder"):
        answering(build.Source("one", SOURCE % 5))


def test_without_a_folder_for_temporary_files(tmp_path):
    """The cache folder is all that is needed, by the compiler as well; without it the reason is told."""
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']\n"
    beside = f'case "$TMPDIR" in "$OPTGEN_CACHE"/native/.new-*/.new-*) exec {build.compiler()[0]} "$@";; esac; exit 7'
    compiler = made(tmp_path / "beside", f'[ "$1" = --version ] || {beside}')
    done = step(nowhere, CC=compiler, OPTGEN_BACKEND="native")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.5, 0.5, 0.5]\n", "")
    (library, _) = (tmp_path / "a cache" / "native").iterdir()
    assert library.suffix == ".so"
    done = step(nowhere, OPTGEN_CACHE="/dev/null/cache")
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert "RuntimeWarning" in done.stderr
    assert "no folder for it belongs to this user alone" in done.stderr


def test_a_cache_in_the_home_folder_of_nobody(tmp_path, monkeypatch):
    """It is another folder that is of no use: also where a user without one has chosen none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    monkeypatch.delenv("HOME")
    for name in ("XDG_CACHE_HOME", "OPTGEN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for chosen in (None, "~/cache", "~no-such-user/cache"):
        if chosen:
            monkeypatch.setenv("OPTGEN_CACHE", chosen)
        with pytest.raises(FileNotFoundError, match="there is no such home folder"):
            _cache.cache_root()
        assert answering(build.Source("one", SOURCE % 10)).answer() == 10
        assert [path.parent.name for path in tmp_path.glob("*/one-*")] == [f"optgen-{os.getuid()}-native"]


NO_TEXT = b"\xff".decode(errors="surrogateescape")


@pytest.mark.parametrize("variable", ["OPTGEN_CACHE", "TMPDIR", "CC", "OPTGEN_CFLAGS", "OPTGEN_CFLAGS and fails"])
def test_bytes_in_the_environment_that_are_no_text(variable, tmp_path):
    folder = tmp_path / f"a{NO_TEXT}"
    folder.mkdir()
    values = {
        "OPTGEN_CACHE": {"OPTGEN_CACHE": str(folder)},
        "TMPDIR": {"OPTGEN_CACHE": "/dev/null/cache", "TMPDIR": str(folder)},
        "CC": {"CC": made(folder / "cc", f'exec {build.compiler()[0]} "$@"')},
        "OPTGEN_CFLAGS": {"OPTGEN_CFLAGS": f"-I{folder}"},
    }
    fails = {"OPTGEN_CFLAGS": f"-I{folder} -D{NO_TEXT}"}
    done = step(**values.get(variable, {**fails, "OPTGEN_BACKEND": "auto"}))
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert ("RuntimeWarning" in done.stderr) == (variable not in values), done.stderr


def made(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("exit 0", "it made nothing"),
        ('while [ "$1" != -o ]; do shift || exit 0; done; echo text > "$2"', "cannot be kept or loaded"),
        ("exit 3", "wrong: -"),
        ("printf '\\377' >&2; exit 3", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_program_that_is_no_compiler(text, told, tmp_path):
    done = step(CC=made(tmp_path / "wrong", text), TMPDIR=str(tmp_path), PYTHONIOENCODING="utf8")
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert "RuntimeWarning" in done.stderr
    assert told.replace("wrong: -", "wrong -std") in done.stderr


def test_one_that_does_better_afterwards(tmp_path, monkeypatch):
    """Libraries that it made before are not found again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wrong = made(tmp_path / "cc", 'while [ "$1" != -o ]; do shift || exit 0; done; echo text > "$2"')
    monkeypatch.setattr(build, "compiler", lambda: (wrong,))
    monkeypatch.setattr(loading, "version", lambda: "the same")
    with pytest.raises(NoCompiler, match="cannot be kept or loaded"):
        answering(build.Source("one", SOURCE % 6))
    monkeypatch.undo()
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "a cache"))
    monkeypatch.setattr(loading, "version", lambda: "the same")
    assert answering(build.Source("one", SOURCE % 6)).answer() == 6


@pytest.mark.parametrize(("file", "script"), [("driver", STEP), ("sgd", STEP), ("sgd", IN_JAX), ("xla", IN_JAX)])
def test_a_library_without_its_functions(file, script, tmp_path):
    """That is told, and the library not found again once the compiler has been put right."""
    hidden = f'case "$*" in */{file}.c*) set -- "$@" -fvisibility=hidden;; esac'
    compiler, broken = tmp_path / "cc", tmp_path / "broken"
    broken.touch()
    made(compiler, f'[ -e "{broken}" ] && {hidden}\nexec {build.compiler()[0]} "$@"')
    done = step(script=script, CC=str(compiler), OPTGEN_BACKEND="auto")
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert "RuntimeWarning" in done.stderr
    assert "/cc: in the library that it made of " in done.stderr
    done = step(script=script, CC=str(compiler), OPTGEN_BACKEND="native")
    assert done.returncode == 1
    assert "NoCompiler: " in done.stderr
    broken.unlink()
    done = step(script=script, CC=str(compiler), OPTGEN_BACKEND="native")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.5, 0.5, 0.5]\n", "")


@pytest.mark.parametrize(("given", "told"), [(" ", ""), ('cc "', "which is no command: No closing quotation")])
def test_a_compiler_that_is_no_command(given, told):
    done = step(CC=given)
    assert (done.returncode, done.stdout) == (0, "[0.5, 0.5, 0.5]\n"), done.stderr
    assert told in done.stderr
    assert ("RuntimeWarning" in done.stderr) == bool(told)


@pytest.mark.parametrize("hangs_at", ["--version", "-o"])
def test_a_compiler_that_does_not_end(hangs_at, tmp_path, monkeypatch):
    """Nor what it has started; it is not asked again."""
    asked = tmp_path / "asked"
    text = f'for each in "$@"; do [ "$each" = {hangs_at} ] && echo >> "{asked}" && sleep 600; done; exit 0'
    monkeypatch.setattr(build, "_ENDLESS", {})
    monkeypatch.setattr(build, "LONGEST", 0.5)
    monkeypatch.setattr(build, "LONGEST_VERSION", 0.5)
    monkeypatch.setattr(build, "compiler", lambda: (made(tmp_path / "slow", text),))
    build.version.cache_clear()
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(NoCompiler, match=r"slow .*it has not ended after 0\.5 seconds"):
            answering(build.Source("one", SOURCE % 7))
    build.version.cache_clear()
    assert time.monotonic() - started < 60
    assert asked.read_text() == "\n"


def test_what_a_process_that_was_ended_left_is_removed(tmp_path):
    folder = tmp_path / "a cache" / "native"
    (folder / ".new-gone").mkdir(parents=True)
    (folder / ".new-gone" / "one.so").write_text("")
    (folder / ".new-file").write_text("")
    (folder / ".new-now").mkdir()
    (folder / "kept.so").write_text("")
    for name in (".new-gone", ".new-file", "kept.so"):
        os.utime(folder / name, (0, 0))
    answering(build.Source("one", SOURCE % 8))
    left = sorted(path.name for path in folder.iterdir())
    assert left[:2] == [".new-now", "kept.so"]
    assert len(left) == 3


def test_what_others_may_write_to_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = build.Source("one", SOURCE % 9)
    answering(source)
    folder = tmp_path / "a cache" / "native"
    (file,) = folder.iterdir()
    file.unlink()  # it is loaded, and stays as it is
    build.compile_to(file, build.Source("one", SOURCE % 666), [])
    assert build.is_whole(file)
    file.chmod(0o770)
    assert answering(source).answer() == 9
    file.unlink()
    folder.chmod(0o770)
    assert answering(source).answer() == 9
    assert not list(folder.iterdir())
    user = os.getuid()
    assert list((tmp_path / f"optgen-{user}-native").iterdir())
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert not _cache.is_own(file.parent)


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
        answering(build.Source("wrong", "int f( {"))


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
