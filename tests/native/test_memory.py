"""Native kernels on memory of all sorts, by any number of threads, compiled in other ways."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

import optgen
from optgen.catalogue.manifests import catalogue_names
from optgen.contract.formats import FORMATS
from optgen.errors import InvalidHyperparameter, TreeMismatch
from optgen.runtime.native import chunks
from optgen.runtime.native.c_compiler import SOURCES, compiler
from optgen.runtime.native.library import address_of, driver
from optgen.runtime.native.places import TYPES
from optgen.runtime.state import ModelState
from optgen.runtime.threads import thread_count
from tests.native.sweep import rule_of, run

ROOT = Path(__file__).parents[2]


def sweep(threads: int, names: list[str], **environment: str) -> str:
    """What the sweep prints in a process of its own."""
    command = [sys.executable, "-m", "tests.native.sweep", str(threads), *names]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", catalogue_names())
def test_threads_and_layouts_change_no_bit(name):
    """Parameters and gradients with gaps, turned or off their alignment; more threads than there are processors."""
    expected = run(name, 1)
    for threads in (2, 5):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, run(name, threads), strict=True))
    for way in ("unaligned", "gaps"):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, run(name, 2, way=way), strict=True))
    plain, gaps = (run(name, 2, "bfloat16", way) for way in ("plain", "gaps"))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(plain, gaps, strict=True))


@pytest.mark.parametrize("state_dtype", FORMATS)
@pytest.mark.parametrize("name", ["adamw", "sm3", "nadam", "prodigy"])
def test_threads_and_gaps_change_no_bit_of_states_in_formats(name, state_dtype):
    """Also of rules that read rows and columns, whose lines end within blocks of 8 bits."""
    expected = run(name, 1, state_dtype=state_dtype)
    assert any(array.dtype.itemsize < 4 for array in expected)
    for threads, way in ((2, "plain"), (5, "unaligned"), (2, "gaps"), (3, "turned")):
        found = run(name, threads, way=way, state_dtype=state_dtype)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("way", ["turned", "all turned"])
@pytest.mark.parametrize("name", catalogue_names())
def test_arrays_that_are_turned(name, way):
    """What folds adds up in the order in which numbers stand in memory; everything else has the same bits."""
    rule, _ = rule_of(name)
    folds = any(case.folds for case in rule.kernels.plan.variant(rule.variant.info.name).cases)
    for dtype in ("float64", "float32"):
        tolerance = 8 * np.finfo(dtype).eps
        for expected, found in zip(run(name, 1, dtype), run(name, 2, dtype, way), strict=True):
            if folds:
                np.testing.assert_allclose(found, expected, tolerance, tolerance)
            else:
                np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["-march=x86-64", "-O1"])
def test_compilers_and_processors_change_no_bit(flags, tmp_path):
    if "march" in flags and "x86_64" not in os.uname().machine:
        pytest.skip("no processor of that family")
    names = list(catalogue_names())
    assert sweep(1, names) == sweep(2, names, OPTGEN_CFLAGS=flags, OPTGEN_CACHE=str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(kind, tmp_path):
    version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    if "Free Software Foundation" not in version:
        pytest.skip("sanitizers are loaded by the names that gcc has for them")
    libraries = {"address,undefined": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}[kind]
    found = [
        subprocess.run([*compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        for name in libraries
    ]
    flags = f"-fsanitize={kind} -g" + (" -fno-sanitize-recover=undefined" if "undefined" in kind else "")
    told = sweep(
        2,
        list(catalogue_names()) if kind != "thread" else ["adamw", "adafactor", "lamb", "sm3"],
        OPTGEN_CFLAGS=flags,
        OPTGEN_CACHE=str(tmp_path),
        LD_PRELOAD=" ".join(done.stdout.strip() for done in found),
        ASAN_OPTIONS="detect_leaks=0",
        TSAN_OPTIONS="exitcode=66",
    )
    assert told.count("\n") == (4 if kind == "thread" else len(catalogue_names()))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_numbers_are_read_exactly_and_rounded_to_the_nearest(dtype):
    narrow = np.dtype(getattr(ml_dtypes, dtype, dtype))

    def converted(array, to):
        found = np.zeros(array.shape, to)
        driver().optgen_convert(
            ctypes.c_void_p(address_of(array)),
            ctypes.c_int64(TYPES[array.dtype.name]),
            ctypes.c_void_p(address_of(found)),
            ctypes.c_int64(TYPES[found.dtype.name]),
            ctypes.c_int64(array.size),
        )
        return found

    every = np.arange(2**16, dtype=np.uint16).view(narrow)
    wide = converted(every, np.dtype(np.float32))
    assert np.array_equal(wide, every.astype(np.float32), equal_nan=True)
    assert np.array_equal(np.signbit(wide), np.signbit(every.astype(np.float32)))
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 2**20, dtype=np.uint32)
    # Neighbours of what can be represented, and the ties between them.
    near = (wide.view(np.uint32)[:, None] + np.array([-1, 0, 1, 2**12, 2**15, 2**15 + 1], np.int64)).astype(np.uint32)
    floats = np.concatenate([bits, near.ravel()]).view(np.float32)
    with np.errstate(all="ignore"):
        expected = floats.astype(narrow)
    found = converted(floats, narrow)
    assert np.array_equal(found.astype(np.float32), expected.astype(np.float32), equal_nan=True)
    assert np.array_equal(np.signbit(found.astype(np.float32)), np.signbit(expected.astype(np.float32)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_parameters_are_rounded_once(dtype):
    """The arithmetic and the states are those of float32."""
    narrow = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rule, hyperparameters = rule_of("adamw")
    random = np.random.default_rng(1)
    for count in (1, 1023, 1024, 1025, 16383, 16384, 16385, 40000):
        theta = random.standard_normal(count).astype(narrow)
        gradient = random.standard_normal(count).astype(narrow)
        wide = theta.astype(np.float32)
        narrow_state, wide_state = (rule.variant.init([a], hyperparameters) for a in (theta, wide))
        rule.step([theta], [gradient], narrow_state, 1, hyperparameters)
        rule.step([wide], [gradient.astype(np.float32)], wide_state, 1, hyperparameters)
        assert np.array_equal(theta, wide.astype(narrow))
        for name, value in wide_state.tensors[0].items():
            assert np.array_equal(narrow_state.tensors[0][name], value)


def test_a_gradient_of_another_precision():
    rule, hyperparameters = rule_of("adamw")
    theta = np.ones(3000, np.float32)
    gradient = np.random.default_rng(0).standard_normal(3000)
    state = rule.variant.init([theta], hyperparameters)
    rule.step([theta], [gradient], state, 1, hyperparameters)
    other = np.ones(3000, np.float32)
    state = rule.variant.init([other], hyperparameters)
    rule.step([other], [gradient.astype(np.float32)], state, 1, hyperparameters)
    assert np.array_equal(theta, other)


def test_updates_instead_of_parameters():
    rule, hyperparameters = rule_of("adamw")
    theta = np.random.default_rng(0).standard_normal(2000)
    before, updates = theta.copy(), np.zeros(2000)
    gradient = np.ones(2000)
    state = rule.variant.init([theta], hyperparameters)
    rule.step([theta], [gradient], state, 1, hyperparameters, results=[updates])
    assert np.array_equal(theta, before)
    state = rule.variant.init([theta], hyperparameters)
    rule.step([theta], [gradient], state, 1, hyperparameters)
    np.testing.assert_allclose(theta, before + updates, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.complex64, np.longdouble, ">f4", np.int16])
def test_types_that_kernels_do_not_know(dtype):
    rule, hyperparameters = rule_of("sgd")
    theta = np.ones(3)
    state = rule.variant.init([theta], hyperparameters)
    with pytest.raises(TreeMismatch):
        rule.step([theta], [np.ones(3, dtype)], state, 1, hyperparameters)
    assert np.array_equal(theta, np.ones(3))


def test_what_cannot_be_written():
    rule, hyperparameters = rule_of("sgd")
    theta = np.broadcast_to(np.ones(1), (3,))
    with pytest.raises(TreeMismatch, match="is read-only"):
        rule.step([theta], [np.ones(3)], rule.variant.init([theta], hyperparameters), 1, hyperparameters)


def test_shapes_that_do_not_fit():
    rule, hyperparameters = rule_of("adamw")
    theta = np.ones((3, 1))
    state = rule.variant.init([theta], hyperparameters)
    with pytest.raises(TreeMismatch, match="gradient 0 has shape"):
        rule.step([theta], [np.ones((3, 2))], state, 1, hyperparameters)
    with pytest.raises(TreeMismatch, match="made for a parameter of another shape"):
        rule.step([np.ones(3)], [np.ones(3)], state, 1, hyperparameters)


def test_sizes_are_those_of_the_driver():
    told = dict(re.findall(r"#define OPTGEN_(\w+) (\d+)", (SOURCES / "sizes.h").read_text()))
    assert told == {name: str(getattr(chunks, name)) for name in ("STRETCH", "WIDEST", "MOST_ARGUMENTS")}


def test_a_rule_of_more_arrays_than_the_driver_hands_over(monkeypatch):
    """Its steps are computed operation by operation, and that is told."""
    states = [f"s{number}" for number in range(100)]
    lines = [f"{state}[t] = 0.5*{state}[t-1] + g" for state in states]
    lines += [f"p{n} = " + " + ".join(f"{state}[t]" for state in states[n : n + 10]) for n in range(0, 100, 10)]
    total = " + ".join(f"p{n}" for n in range(0, 100, 10))
    made = optgen.define("many", "\n".join([*lines, f"theta[t] = theta[t-1] - lr*({total})"]), lr=0.01)
    results = []
    for backend in ("auto", "arrays"):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        weight = torch.nn.Parameter(torch.arange(4.0))
        optimizer = made.torch([weight])
        weight.grad = torch.ones(4)
        if backend == "auto":
            with pytest.warns(RuntimeWarning, match="takes .* arrays, and the driver hands over 96"):
                optimizer.step()
        else:
            optimizer.step()
        results.append(weight.detach())
    assert torch.equal(*results)


def test_no_kernel_reads_what_another_has_rounded():
    """LAMB's second pass needs the moments that its first one computes: stored in 16 bits they are computed again."""
    rule, hyperparameters = rule_of("lamb")
    random = np.random.default_rng(0)
    parameters, gradients = ([random.standard_normal((30, 40)).astype(np.float16)] for _ in range(2))
    kept = {name: np.abs(random.standard_normal((30, 40))).astype(np.float16) for name in ("m", "v")}
    found = []
    for dtype in (np.float16, np.float32):
        state = ModelState(({name: value.astype(dtype) for name, value in kept.items()},), {})
        theta = [parameters[0].copy()]
        rule.step(theta, gradients, state, 1, hyperparameters)
        found.append([theta[0], *(state.tensors[0][name].astype(np.float16) for name in kept)])
    assert not np.array_equal(found[0][0], parameters[0])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("threads", ["0", "x", "-1", ""])
def test_a_number_of_threads_that_is_none(threads, monkeypatch):
    monkeypatch.setenv("OPTGEN_NUM_THREADS", threads)
    with pytest.raises(InvalidHyperparameter, match="OPTGEN_NUM_THREADS is a number of threads"):
        thread_count()
