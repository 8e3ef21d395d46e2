"""What is said of names and arguments that are not there, and what `optgen.load` takes."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

import optgen
import optgen.brainpy
import optgen.lucid
import optgen.optax
import optgen.optim
import optgen.schedules
import optgen.torch
from optgen._paths import specs_folder
from optgen.errors import InvalidHyperparameter, UnknownOptimizer, UnknownSchedule
from optgen.runtime import manifests
from optgen.runtime.lr_schedule_manifests import schedule_manifest
from optgen.schedules import spelled_schedule
from optgen.spec.starter import starter_spec


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        (optgen.optax, "adamm", "adam"),
        (optgen.optax, "AdamW", "adamw"),
        (optgen.optax, "adamW", "adamw"),
        (optgen.optax, "scheduleFree", "schedule_free"),
        (optgen.optim, "Adem", "Adam"),
        (optgen.torch, "adamw", "AdamW"),
        (optgen.lucid, "NADAM", "NAdam"),
        (optgen.torch, "Adem", "Adam"),
        (optgen.lucid, "Adem", "Adam"),
        (optgen.brainpy, "Adem", "Adam"),
        (optgen.schedules, "cosine_anealing", "cosine_annealing"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_nearest_name_is_told(module, name, meant):
    with pytest.raises(AttributeError, match=f"did you mean '{meant}'"):
        getattr(module, name)
    assert meant in dir(module)
    assert not [n for n in dir(module) if n.startswith("_") or n in ("Any", "functools", "annotations")]


def last_line(*statements: str) -> str:
    """What Python prints last of an error that nothing catches."""
    ran = subprocess.run([sys.executable, "-c", "; ".join(statements)], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    return ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("from optgen.optax import adamW", "'adamW' from 'optgen.optax'; did you mean 'adamw'?"),
        ("from optgen.optim import Adem", "'Adem' from 'optgen.optim'; did you mean 'Adam'?"),
        ("from optgen.torch import SGD, ASGD", "'ASGD' from 'optgen.torch'; torch.optim has it, and optgen does not"),
        ("from optgen import lod", "'lod' from 'optgen'; did you mean 'load'?"),
    ],
)
def test_imported_names_are_told_of_as_well(statement: str, said: str):
    assert last_line(statement) == f"ImportError: cannot import name {said}"


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            ("import optgen.optax", "optgen.optax.adamW"),
            "'optgen.optax' has no attribute 'adamW'; did you mean 'adamw'?",
        ),
        (
            ("import optgen.torch", "optgen.torch.ASGD"),
            "'optgen.torch' has no attribute 'ASGD'; torch.optim has it, and optgen does not",
        ),
        (("import optgen", "optgen.torch"), "'optgen' has no attribute 'torch'; first: import optgen.torch"),
        (("import optgen", "optgen.lod"), "'optgen' has no attribute 'lod'; did you mean 'load'?"),
    ],
)
def test_python_adds_no_suggestion_of_its_own(statements: tuple[str, ...], said: str):
    assert last_line(*statements) == f"AttributeError: module {said}"


def test_front_ends_of_what_is_loaded():
    for name in ("brainpy", "jax"):
        told = f"'adam' has no '{name}'; there are optax, optim, torch, lucid, spec and files"
        with pytest.raises(AttributeError, match=told):
            getattr(optgen.load("adam"), name)
    assert not hasattr(optgen.load("adam"), "__len__")


def test_the_catalogues_names_by_case():
    with pytest.raises(UnknownOptimizer, match="did you mean 'adamw'"):
        optgen.load("AdamW")
    with pytest.raises(TypeError, match="unexpected keyword argument 'weightDecay'; did you mean 'weight_decay'"):
        optgen.optax.adamw(0.1, weightDecay=0.1)


@pytest.fixture
def with_an_unbuilt_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue that has one spec more, and a schedule, of which nothing is generated."""
    shutil.copytree(specs_folder(), tmp_path / "specs")
    (tmp_path / "specs" / "zed_two.toml").write_text(starter_spec("zed_two"))
    (tmp_path / "specs" / "schedules" / "slope.toml").write_text("")
    monkeypatch.setattr(manifests, "specs_folder", lambda: tmp_path / "specs")


@pytest.mark.usefixtures("with_an_unbuilt_spec")
def test_a_spec_that_is_not_generated():
    told = re.escape("specs/zed_two.toml is not generated yet; run: optgen build zed_two")
    for ask in (
        lambda: optgen.load("zed_two"),
        lambda: optgen.load("lookahead", wraps="zed_two"),
        lambda: optgen.optax.zed_two,
        lambda: optgen.torch.ZedTwo,
        lambda: optgen.optim.ZedTwo,
    ):
        with pytest.raises((UnknownOptimizer, AttributeError), match=told):
            ask()
    with pytest.raises(ImportError, match=told):
        from optgen.optax import zed_two  # noqa: F401
    assert not hasattr(optgen.optax, "zed_two")
    told = re.escape("specs/schedules/slope.toml is not generated yet; run: optgen build slope")
    with pytest.raises(AttributeError, match=told):
        _ = optgen.schedules.slope
    with pytest.raises(UnknownSchedule, match=told):
        schedule_manifest("slope")
    # A name that is known by neither.
    with pytest.raises(AttributeError, match="there are"):
        _ = optgen.optax.qqqq


def test_what_optgen_has():
    assert {"define", "load"} <= set(dir(optgen))


def test_an_unknown_argument_is_named_before_a_missing_one():
    with pytest.raises(TypeError, match="adamw: got an unexpected keyword argument 'lr'"):
        optgen.optax.adamw(lr=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'step_sise'; did you mean 'step_size'"):
        spelled_schedule("torch", "StepLR")(step_sise=3)


def test_unknown_schedules():
    with pytest.raises(UnknownSchedule, match="no library 'pytorch' is known; there are: optax, torch"):
        spelled_schedule("pytorch", "StepLR")
    with pytest.raises(UnknownSchedule, match="did you mean 'StepLR'"):
        spelled_schedule("torch", "StepsLR")


@pytest.mark.parametrize("count", [-5, 1001])
def test_counts_have_a_range(count):
    with pytest.raises(InvalidHyperparameter, match=f"lbfgs: memory_size = {count} is no count from 0 to 1000"):
        optgen.optax.lbfgs(0.1, memory_size=count)


def test_every_option_is_an_argument_of_what_is_loaded():
    """Under the dialect's names where there are some, and by the spec's for the rest."""
    nadam = optgen.load("nadam")
    parameters = inspect.signature(nadam.optax).parameters
    assert list(parameters)[:4] == ["learning_rate", "b1", "b2", "eps"]
    assert {"as_printed", "maximize", "grad_clip_norm", "momentum_decay"} <= set(parameters)
    assert parameters["momentum"].default == "fixed"  # what optax means
    params = {"w": jnp.ones(3)}
    updates = []
    for options in ({}, {"as_printed": True}, {"maximize": True}):
        optimizer = nadam.optax(learning_rate=0.1, **options)
        updates.append(optimizer.update({"w": jnp.full(3, 0.5)}, optimizer.init(params), params)[0]["w"])
    assert not jnp.allclose(updates[0], updates[1])
    assert jnp.allclose(updates[0], -updates[2])


def test_hyperparameters_of_what_is_wrapped_are_arguments():
    lookahead = optgen.load("lookahead", wraps="adamw")
    assert {"learning_rate", "base_weight_decay"} <= set(inspect.signature(lookahead.optax).parameters)
    params = {"w": jnp.ones(3)}
    steps = []
    for rate in (0.1, 0.2):
        optimizer = lookahead.optax(sync_period=5, slow_step_size=0.5, learning_rate=rate)
        steps.append(optimizer.update({"w": jnp.ones(3)}, optimizer.init(params), params)[0]["w"])
    assert jnp.allclose(2 * steps[0], steps[1])
