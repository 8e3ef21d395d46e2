"""Every scheduler of braintools and brainpy: the arguments and values that were recorded with those libraries."""

from __future__ import annotations

import inspect
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import optgen.optim
from optgen.optim._schedule_classes import scheduler_classes
from optgen.schedules import spelled_schedule
from optgen.schedules.manifests import spelled
from tests.schedules.comparison import FLOAT32, assert_follows, worst
from tests.schedules.record_brain_schedules import CASES, METRICS, OTHERS, PLATEAUS, STEPS, plateau_rates

RECORDED = json.loads(Path(__file__).with_name("brain_schedules.json").read_text())
#: Older names of brainpy's for the same schedules.
OLD = {"ExponentialDecay", "InverseTimeDecay", "PolynomialDecay", "PiecewiseConstant"}


def test_the_record_is_of_these_cases():
    assert [(c["library"], c["name"], c["arguments"]) for c in RECORDED["cases"]] == CASES
    assert {name for library, name, _ in CASES if library == "braintools"} == set(spelled("braintools"))
    assert {name for library, name, _ in CASES if library == "brainpy"} == set(spelled("brainpy")) - OLD


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: f"{case['library']}.{case['name']}")
def test_values(case):
    if case["library"] == "brainpy":
        assert_follows(spelled_schedule("brainpy", case["name"])(**case["arguments"]), case["values"], STEPS)
        return
    assert_follows(getattr(optgen.optim, case["name"])(**case["arguments"]).schedule, case["values"], STEPS)


@pytest.mark.parametrize(
    "case", [c for c in RECORDED["cases"] if c["library"] == "braintools"], ids=lambda case: str(case["name"])
)
def test_a_scheduler_that_is_moved_on(case):
    scheduler = getattr(optgen.optim, case["name"])(**case["arguments"])
    found = []
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            found.append(scheduler.current_lrs.value[0])
            assert scheduler(step) == -found[-1]
            assert scheduler.get_last_lr() == scheduler.get_lr() == [found[-1]]
        scheduler.step()
    assert worst(np.array(found), case["values"], max(case["values"])) < 1e-12


@pytest.mark.parametrize("name", sorted(scheduler_classes()))
def test_arguments_of_braintools(name):
    recorded = [(argument, tuple(default)) for argument, default in RECORDED["signatures"][name]]
    found = []
    for parameter in inspect.signature(getattr(optgen.optim, name)).parameters.values():
        default = parameter.default
        default = list(default) if isinstance(default, tuple) else default
        found.append((parameter.name, () if parameter.default is parameter.empty else (default,)))
    assert found == recorded


@pytest.mark.parametrize("name", sorted(set(spelled("brainpy")) - OLD))
def test_arguments_of_brainpy(name):
    counters = ("last_epoch", "last_call")
    recorded = {a: tuple(d) for a, d in RECORDED["signatures"][f"brainpy.{name}"] if a not in counters}
    parameters = inspect.signature(spelled_schedule("brainpy", name)).parameters
    found = {p.name: () if p.default is p.empty else (p.default,) for p in parameters.values()}
    assert list(found) == list(recorded)
    assert found == recorded


@pytest.mark.parametrize(("arguments", "rates"), list(zip(PLATEAUS, RECORDED["plateaus"], strict=True)))
def test_plateau(arguments, rates):
    found = plateau_rates(optgen.optim.ReduceLROnPlateau(**arguments), METRICS)
    assert len(set(found)) > 1
    np.testing.assert_allclose(found, rates, rtol=FLOAT32)


def test_every_other_scheduler_is_there():
    assert set(OTHERS) | set(spelled("braintools")) == set(scheduler_classes())


def test_restarts_count_epochs_of_many_calls():
    made = spelled_schedule("brainpy", "CosineAnnealingWarmRestarts")(0.3, num_call_per_epoch=7, T_0=3, T_mult=2)
    starts = [0, 21, 63, 147, 315, 651]
    wanted = []
    for start, end in itertools.pairwise(starts):
        wanted += [0.15 * (1 + np.cos(np.pi * (step - start) / (end - start))) for step in range(start, end)]
    assert_follows(made, wanted, range(651))
