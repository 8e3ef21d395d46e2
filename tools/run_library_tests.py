"""Runs the test files that optax, braintools and brainpy install, with what optgen has in place of theirs.

    python tools/run_library_tests.py [optax] [braintools] [brainpy]

Nothing is copied: a pytest plugin, this file, exchanges functions and classes in the libraries' modules before the
tests are collected, in a process of its own. A library that is not installed is left out. What must fail is in
EXCEPTIONS, with the reason; the exit status is 1 if anything else fails, or if one of them passes.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest

FILES = {
    "optax": (
        "_src/alias_test.py",
        "_src/combine_test.py",
        "_src/float64_test.py",
        "_src/linesearch_test.py",
        "_src/lookahead_test.py",
        "_src/sharding_test.py",
        "_src/transform_test.py",
        "contrib/_common_test.py",
        "contrib/_schedule_free_test.py",
        "schedules/_inject_test.py",
        "schedules/_schedule_test.py",
        "transforms/_accumulation_test.py",
        "transforms/_combining_test.py",
        "transforms/_conditionality_test.py",
        "transforms/_freezing_test.py",
        "transforms/_layouts_test.py",
        "transforms/_masking_test.py",
        "transforms/_monitoring_test.py",
        "tree_utils/_state_utils_test.py",
    ),
    "braintools": (
        "optim/_optax_optimizer_test.py",
        "optim/_optax_lr_scheduler_test.py",
        "optim/_audit_fixes_test.py",
        "optim/_reaudit_fixes_test.py",
        "optim/_state_uniquifier_test.py",
    ),
    "brainpy": ("optim/optimizer_test.py", "optim/optimizer_coverage_test.py", "optim/scheduler_test.py"),
}

#: Test (file::class::name, a pattern) → why it does not hold of optgen.
EXCEPTIONS: dict[str, str] = {
    r"::test_(warmup|linear_lr|constant_lr)_with_optimizer$": (
        "asserts that current_lr is base_lr while the rate that a step applies is the schedule's first one"
    ),
    r"test_S17_attach_optimizer_error_message": "asserts the name of a class of the library in a message",
    r"test_R8_negative_lr": "asserts the words of a message; the value is refused",
    r"TestWarmupCosineSchedule::test_basic_warmup_cosine": (
        "asserts 0.5 < 0.5, which holds there by the rounding of float32: the schedule is symmetric at that step"
    ),
    r"TestBaseOptimizer::test_update_not_implemented": "calls an unbound method of the library's own base class",
    r"TestAdan::test_wrong_number_of_betas": "asserts an AssertionError; here it is a named exception, a ValueError",
    r"TestAdanUpdateMomentsHelper": "calls a private helper",
    r"test_O5_rprop_matches_optax": "asserts optax's rprop, which applies each step one call late",
    r"test_O6_adafactor_decay_rate_positive_default": (
        "asserts 0.8; the interface's documentation has -0.8, whose sign has no effect here and gives NaN there"
    ),
}

_UPHILL = "calls adadelta without a learning rate, which goes uphill; here it is required"
_SQUARES = "steps complex parameters by adadelta, which squares them without the absolute value; they are refused"
_DOTS = "steps complex parameters by L-BFGS, whose dot products are those of real numbers here; they are refused"
_INTEGERS = "steps integer parameters, which are refused"
_NO_STEPS = "asserts that a schedule of no steps or no rate is constant; here it is refused"

EXCEPTIONS |= {
    r"AliasTest::test_(gradient_accumulation[45]|preserve_dtype[45])$": _UPHILL,
    r"AliasTest::test_(optimizers_accept_extra_args|optimizers_can_be_wrapped_in_inject_hyperparams)2$": _UPHILL,
    r"AliasTest::test_state_shape_dtype_shard_stability1[2345]$": _UPHILL,
    r"AliasTest::test_optimization(8|10)$": _SQUARES,
    r"LBFGSTest::test_lbfgs_complex(_rosenbrock)?[01]$": _DOTS,
    r"LBFGSTest::test_state_shape_dtype_shard_stability(8|9|10|11)$": _DOTS,
    r"ExtraArgsTest::test_extra_args$": _INTEGERS,
    r"(FreezeTest::test_bad_structure_raises|SelectiveTransformTest::test_selective_bad_structure)$": (
        "asserts the words of a message for a tree of another structure, which is refused by name"
    ),
    r"ScheduleFreeTest::test_schedule_free_adamw$": (
        "compares to 1e-6 in float32, with learning rate 1, two ways of rounding of which one is not exchanged"
    ),
    r"PolynomialTest::test_zero_steps_schedule$": _NO_STEPS,
    r"ExponentialTest::test_nonvalid_(decay_rate|transition_steps)[01]$": _NO_STEPS,
    r"WarmupCosineDecayTest::test_zero_peak_value$": (
        "asserts that a schedule whose peak is 0 ends at 0; here it ends at its end value"
    ),
}

_BASE_FIRST = "asserts that current_lr is base_lr before the scheduler's first step; later releases have it otherwise"

#: Library and release → what holds of that release alone, besides EXCEPTIONS.
OF_RELEASES: dict[tuple[str, str], dict[str, str]] = {
    ("braintools", "0.1.10"): {
        r"TestWarmupScheduler::test_(basic_warmup|warmup_(with_nonzero_start|multiple_param_groups|single_epoch))$": (
            _BASE_FIRST
        ),
        r"::test_basic_(linear_lr|constant_lr)$": _BASE_FIRST,
        r"TestChainedScheduler::test_(basic_chained_scheduler|chained_scheduler_with_optimizer)$": _BASE_FIRST,
    }
}

_WHICH = "OPTGEN_LIBRARY_TESTS"


def pytest_configure() -> None:
    """Exchange the classes; called by pytest in the process that runs a library's tests."""
    library = os.environ.get(_WHICH)
    if library == "optax":
        importlib.import_module("optax.contrib")
        ours = importlib.import_module("optgen.optax")
        _exchange_functions("optax", {name: getattr(ours, name) for name in dir(ours) if name[:1].islower()})
    elif library == "braintools":
        theirs = importlib.import_module("braintools.optim")
        ours = importlib.import_module("optgen.optim")
        _exchange([theirs], ours)
    elif library == "brainpy":
        importlib.import_module("brainpy")
        ours = importlib.import_module("optgen.brainpy")
        names = ("brainpy.optim", "brainpy.optim.optimizer", "brainpy.optim.scheduler")
        _exchange([importlib.import_module(name) for name in names], ours)
        _run_what_is_skipped()


def _run_what_is_skipped() -> None:
    """brainpy leaves its own scheduler tests out ("for now"); they are run all the same."""
    skip = pytest.skip

    def unless_for_now(reason: str = "", *, allow_module_level: bool = False) -> None:
        if not (allow_module_level and "for now" in reason):
            skip(reason, allow_module_level=allow_module_level)

    pytest.skip = unless_for_now


def _exchange(modules: list[object], ours: object) -> None:
    for module in modules:
        for name in dir(ours):
            if name[:1].isupper() and isinstance(getattr(module, name, None), type):
                setattr(module, name, getattr(ours, name))


def _exchange_functions(library: str, ours: dict[str, object]) -> None:
    """Exchange functions wherever the library's modules have them under their name."""
    modules = [module for name, module in sys.modules.items() if name == library or name.startswith(f"{library}.")]
    for module in modules:
        for name, function in ours.items():
            theirs = getattr(module, name, None)
            if isinstance(theirs, types.FunctionType) and theirs.__module__.startswith(f"{library}."):
                setattr(module, name, function)


def pytest_runtest_logreport(report: object) -> None:
    """Note how each test ended."""
    path = os.environ.get("OPTGEN_LIBRARY_REPORT")
    outcome = getattr(report, "outcome", "")
    when = getattr(report, "when", "")
    if path and (when == "call" or outcome != "passed"):
        with Path(path).open("a") as file:
            file.write(json.dumps([getattr(report, "nodeid", ""), outcome]) + "\n")


def folder_of(library: str) -> Path:
    """Where a library is installed."""
    spec = importlib.util.find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def installed_files(library: str) -> list[str]:
    """The test files that the installed release has: other releases have others."""
    return [name for name in FILES[library] if (folder_of(library) / name).is_file()]


def run(library: str) -> tuple[dict[str, str], str]:
    """How each test of a library ended, and what pytest printed."""
    folder = folder_of(library)
    here = Path(__file__).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report"
        report.touch()
        empty = Path(scratch) / "pytest.ini"
        empty.write_text("[pytest]\n")
        paths = [str(here.parent), str(here.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            _WHICH: library,
            "OPTGEN_LIBRARY_REPORT": str(report),
            "JAX_PLATFORMS": "cpu",
            "MPLBACKEND": "agg",
            # Tests of sharding ask for eight devices.
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        }
        files = [str(folder / name) for name in installed_files(library)]
        command = [sys.executable, "-m", "pytest", "-q", "-p", here.stem, "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "-p", "no:xdist", "--tb=short", "-c", str(empty), "--rootdir", str(folder.parent), *files],
            env=environment,
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [json.loads(line) for line in report.read_text().splitlines()]
    return dict(lines), done.stdout + done.stderr


def exceptions_of(library: str) -> dict[str, str]:
    """List what does not hold of optgen in the tests of the installed release."""
    return {**EXCEPTIONS, **OF_RELEASES.get((library, importlib.metadata.version(library)), {})}


def judged(outcomes: dict[str, str], exceptions: dict[str, str] = EXCEPTIONS) -> list[str]:
    """What is not as it should be."""
    problems = []
    for name, outcome in outcomes.items():
        reason = next((why for pattern, why in exceptions.items() if re.search(pattern, name)), None)
        if outcome == "failed" and reason is None:
            problems.append(f"{name} failed")
        if outcome == "passed" and reason is not None:
            problems.append(f"{name} passed, though: {reason}")
    return problems


def main() -> int:
    """Run what is asked for, print a table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY", help=f"{', '.join(FILES)}; all if none is named")
    libraries = parser.parse_args().libraries
    if unknown := [name for name in libraries if name not in FILES]:
        parser.error(f"no tests of '{unknown[0]}' are known; the libraries are {', '.join(FILES)}")
    status = 0
    for library in libraries or FILES:
        if importlib.util.find_spec(library) is None:
            print(f"{library} is not installed: left out")
            continue
        outcomes, output = run(library)
        for file in FILES[library]:
            if file not in installed_files(library):
                print(f"{library}/{file}: not in the release that is installed")
                continue
            own = [outcome for name, outcome in outcomes.items() if name.startswith(f"{library}/{file}")]
            counts = ", ".join(f"{own.count(kind)} {kind}" for kind in ("passed", "failed", "skipped") if kind in own)
            print(f"{library}/{file}: {counts or 'nothing ran'}")
        problems = judged(outcomes, exceptions_of(library))
        if problems or not outcomes:
            status = 1
            print("\n".join(problems or [output[-3000:]]))
            if os.environ.get("VERBOSE"):
                print(output)
    return status


if __name__ == "__main__":
    sys.exit(main())
