"""Random rules by native kernels under sanitizers: states, histories and cases by shape of all sorts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optgen.runtime.native.c_compiler import compiler

REPOSITORY = Path(__file__).parents[2]


def fuzzed(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer with kernels that the address and undefined-behaviour sanitizers watch."""
    version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    if "Free Software Foundation" not in version:
        pytest.skip("sanitizers are loaded by the names that gcc has for them")
    found = [
        subprocess.run([*compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        "OPTGEN_CACHE": str(tmp_path),
        "OPTGEN_CFLAGS": "-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -g",
        "LD_PRELOAD": " ".join(done.stdout.strip() for done in found),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    command = [sys.executable, "tools/fuzz.py", *arguments, "--limit", "300"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_sanitizers_find_nothing_in_random_rules(tmp_path):
    done = fuzzed(tmp_path, "--rules", "500", "--seed", "50000", "--targets", "numpy-native float32")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "500 rules" in done.stdout


@pytest.mark.slow
def test_sanitizers_find_nothing_inside_jit(tmp_path):
    """Where XLA hands the arrays to the kernels, a place that is not there is not noticed otherwise."""
    done = fuzzed(tmp_path, "--rules", "60", "--seed", "60000", "--targets", "jax-native-apply float32")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_sanitizers_find_nothing_in_the_corpus(tmp_path):
    for target in ("numpy-native float32", "jax-native-apply float32"):
        done = fuzzed(tmp_path, "--replay", "tests/fuzz/corpus", "--targets", target)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
