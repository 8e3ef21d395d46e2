"""Kernels that take arrays of 16 bits as they are stored: the same bits as through memory beside the first cache."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.catalogue.manifests import catalogue_names
from optgen.errors import NoCompiler
from optgen.runtime.native import library
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.places import FORMATS, Formats
from tests.native.sweep import rule_of, run

PLACE, TAKES = Kernels.place, Kernels.takes


def expected(name: str, formats: Formats) -> Formats | None:
    """What kernels take a rule's arrays as. Inputs are float64 here."""
    rule, _ = rule_of(name)
    cases = rule.kernels.plan.variant(rule.variant.info.name).cases
    if any(given.kind == "element" for case in cases for given in case.inputs):
        return None
    kept = any(state.kind == "element" for case in cases for state in case.states)
    pair = formats if kept else Formats(formats.stored, "float32")
    return pair if pair in FORMATS else None


def compare(name: str, formats: Formats, monkeypatch: pytest.MonkeyPatch, way: str = "plain") -> None:
    rule, _ = rule_of(name)
    asked = set[Formats | None]()

    def asking(kernels: Kernels, function: str, wanted: Formats | None = None) -> int:
        asked.add(wanted)
        return PLACE(kernels, function, wanted)

    monkeypatch.setattr(Kernels, "place", asking)
    found, used = [], []
    for takes in (TAKES, lambda *_: False):
        rule._tables.clear()
        asked.clear()
        monkeypatch.setattr(Kernels, "takes", takes)
        found.append(run(name, 2, formats.stored, way, kept_as=formats.kept))
        used.append(asked - {None})
    rule._tables.clear()
    direct, brought = found
    pair = expected(name, formats) if way in ("plain", "unaligned") else None
    assert used[0] >= {pair} - {None}
    assert used[1] == set()
    assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(direct, brought, strict=True))


@pytest.mark.parametrize("kept", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", catalogue_names())
def test_every_rule(name, kept, monkeypatch):
    compare(name, Formats("bfloat16", kept), monkeypatch)


@pytest.mark.parametrize("way", ["plain", "unaligned", "gaps", "turned", "all turned"])
@pytest.mark.parametrize("formats", FORMATS, ids=lambda one: f"{one.stored}-{one.kept}")
def test_every_pair_of_formats(formats, way, monkeypatch):
    for name in ("adamw", "adafactor"):
        compare(name, formats, monkeypatch, way)


def test_where_nothing_can_be_compiled(monkeypatch):
    """Arrays are brought to the arithmetic's type then."""
    entry_rule, _ = rule_of("lion")
    kernels = entry_rule.kernels
    library.driver()
    monkeypatch.setattr(kernels, "_libraries", {None: kernels._libraries[None]})

    def compiled(source, functions):
        raise NoCompiler("not in this test")

    monkeypatch.setattr(library, "compiled", compiled)
    entry_rule._tables.clear()
    assert not kernels.takes(Formats("float16", "float32"))
    found = run("lion", 1, "float16")
    monkeypatch.undo()
    entry_rule._tables.clear()
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, run("lion", 1, "float16"), strict=True))
