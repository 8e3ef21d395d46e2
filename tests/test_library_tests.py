"""The libraries' own installed tests, with optgen's classes in place of theirs: see tools/run_library_tests.py."""

from __future__ import annotations

import importlib.util

import pytest

from tools.run_library_tests import FILES, judged, run


# optax's take some minutes.
@pytest.mark.parametrize("library", [pytest.param(n, marks=pytest.mark.slow) if n == "optax" else n for n in FILES])
def test_they_pass(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed; its tests run where it is")
    outcomes, output = run(library)
    assert len(outcomes) > 50, output[-3000:]
    assert judged(outcomes) == []


def test_a_failure_and_a_stale_exception_are_told():
    found = judged({"a::test_new": "failed", "a::test_S17_attach_optimizer_error_message": "passed", "b": "passed"})
    assert found[0] == "a::test_new failed"
    assert found[1].startswith("a::test_S17_attach_optimizer_error_message passed, though: asserts the name")
    assert len(found) == 2
