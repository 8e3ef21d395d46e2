"""Libraries that a package brings: which one a processor runs, and when none is taken."""

from __future__ import annotations

import platform

import pytest

from optgen.runtime.native import build, loading, prebuilt
from optgen.runtime.native.processor import Processor

SOURCE = build.Source("answering", "#include <stdint.h>\nint64_t answer(void) { return 6; }\n")

V3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave".split()
V4 = [*V3, *"avx512f avx512bw avx512cd avx512dq avx512vl".split()]


def answering(source):
    return loading.compiled(source, ["answer"])


@pytest.fixture(autouse=True)
def _without_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("OPTGEN_CFLAGS", raising=False)
    monkeypatch.setattr(
        prebuilt, "place", lambda level, source: tmp_path / level / f"{source.name}-{build.digest(source)}.so"
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), ["x86-64"]),
        (V3, ["x86-64-v3", "x86-64"]),
        (V3[1:], ["x86-64"]),
        (V4, ["x86-64-v4", "x86-64-v3", "x86-64"]),
        (V4[len(V3) :], ["x86-64"]),
    ],
)
def test_levels_of_a_processor(monkeypatch, flags, expected):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(prebuilt, "processor", lambda: Processor("a new one", frozenset([*flags, "fpu"])))
    assert prebuilt.levels() == expected


def test_one_level_on_other_machines(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert prebuilt.levels() == [""]


def test_what_the_package_brought_is_loaded_and_nothing_compiled(tmp_path, monkeypatch):
    level = prebuilt.levels()[-1]
    path = prebuilt.place(level, SOURCE)
    path.parent.mkdir()
    build.compile_to(path, SOURCE, [])
    monkeypatch.setattr(build, "compiler", lambda: pytest.fail("there is no need to compile"))
    library = answering(SOURCE)
    assert (library._name, library.answer()) == (str(path), 6)


def test_what_was_cut_short_is_compiled_again():
    path = prebuilt.place(prebuilt.levels()[-1], SOURCE)
    path.parent.mkdir()
    build.compile_to(path, SOURCE, [])
    path.write_bytes(path.read_bytes()[:9000])
    library = answering(SOURCE)
    assert (library._name != str(path), library.answer()) == (True, 6)


@pytest.mark.parametrize("setting", ["CC", "OPTGEN_CFLAGS"])
def test_whoever_says_how_to_compile_gets_it_compiled(monkeypatch, setting):
    path = prebuilt.place(prebuilt.levels()[-1], SOURCE)
    path.parent.mkdir()
    path.write_bytes(b"")
    monkeypatch.setenv(setting, {"CC": build.compiler()[0], "OPTGEN_CFLAGS": "-O1"}[setting])
    library = answering(SOURCE)
    assert (library._name != str(path), library.answer()) == (True, 6)


def test_another_source_is_compiled():
    path = prebuilt.place(prebuilt.levels()[-1], SOURCE)
    path.parent.mkdir()
    path.write_bytes(b"")
    assert answering(build.Source(SOURCE.name, SOURCE.text.replace("return 6", "return 7"))).answer() == 7


def test_what_lacks_a_function_is_compiled_again():
    path = prebuilt.place(prebuilt.levels()[-1], SOURCE)
    path.parent.mkdir()
    build.compile_to(path, SOURCE, ["-fvisibility=hidden"])
    library = answering(SOURCE)
    assert (library._name != str(path), library.answer()) == (True, 6)
