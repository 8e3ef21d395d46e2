"""The libraries' own installed tests, with optgen's classes in place of theirs: see tools/run_library_tests.py."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tools import run_library_tests
from tools.run_library_tests import FILES, exceptions_of, installed_files, judged, run


# optax's take some minutes.
@pytest.mark.parametrize("library", [pytest.param(n, marks=pytest.mark.slow) if n == "optax" else n for n in FILES])
def test_they_pass(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed; its tests run where it is")
    outcomes, output = run(library)
    assert len(outcomes) > 50, output[-3000:]
    assert judged(outcomes, exceptions_of(library)) == []


@pytest.mark.parametrize(
    ("argument", "status", "said"), [("--help", 0, "usage: "), ("optaxx", 2, "no tests of 'optaxx'")]
)
def test_what_is_no_library_is_told(argument, status, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_library_tests.py", argument])
    with pytest.raises(SystemExit) as stopped:
        run_library_tests.main()
    assert stopped.value.code == status
    output = capsys.readouterr()
    assert said in output.out + output.err
    assert "optax, braintools, brainpy" in output.out + output.err


def test_a_failure_and_a_stale_exception_are_told():
    found = judged({"a::test_new": "failed", "a::test_S17_attach_optimizer_error_message": "passed", "b": "passed"})
    assert found[0] == "a::test_new failed"
    assert found[1].startswith("a::test_S17_attach_optimizer_error_message passed, though: asserts the name")
    assert len(found) == 2


def test_releases_have_files_and_exceptions_of_their_own(tmp_path, monkeypatch):
    """braintools 0.1.10 has no `_audit_fixes_test.py`, and starts schedules from base_lr."""
    for name in ("optim/_optax_optimizer_test.py", "optim/_optax_lr_scheduler_test.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(run_library_tests, "folder_of", lambda library: tmp_path)
    assert installed_files("braintools") == ["optim/_optax_optimizer_test.py", "optim/_optax_lr_scheduler_test.py"]
    outcomes = {"braintools/a.py::TestLinearLR::test_basic_linear_lr": "failed"}
    for release, problems in (("0.1.10", 0), ("0.3.0", 1)):
        monkeypatch.setattr(run_library_tests.importlib.metadata, "version", lambda library, release=release: release)
        assert len(judged(outcomes, exceptions_of("braintools"))) == problems
