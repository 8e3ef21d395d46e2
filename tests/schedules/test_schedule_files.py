"""The specs of schedules and the files generated from them."""

from __future__ import annotations

import ast
import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.optax
import optgen.schedules
from optgen.errors import HyperparameterTypeError, UnknownSchedule
from optgen.pipeline.build import all_paths, build, check, generate_schedule_file
from optgen.schedules.manifest import read_schedule_manifest
from optgen.schedules.manifests import schedule_manifest, schedule_names
from optgen.schedules.reader import parse_schedule
from tests.schedules.comparison import assert_follows

ROOT = Path(__file__).resolve().parents[2]
PATHS = {name: path for name, path in all_paths(ROOT / "specs").items() if name.startswith("schedules/")}


def test_the_catalogue_is_what_the_specs_say():
    assert tuple(name.removeprefix("schedules/") for name in PATHS) == schedule_names()
    assert len(PATHS) >= 25
    assert check(ROOT / "specs", ROOT / "generated", tuple(PATHS)) == []


@pytest.mark.parametrize("name", PATHS)
def test_generated_files(name):
    files = generate_schedule_file(PATHS[name])
    assert set(files) == {"jax.py", "host.py", "manifest.json"}
    manifest = read_schedule_manifest(files["manifest.json"].encode())
    assert manifest == schedule_manifest(manifest.name)
    for file, imports in (("jax.py", {"math", "jax.numpy"}), ("host.py", {"math"})):
        tree = ast.parse(files[file])
        found = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        assert found <= imports
        assert all(line in files[file] for line in manifest.equations.strip().split("\n"))


def test_the_whole_text_of_a_file():
    assert (
        (ROOT / "generated/schedules/multi_step/jax.py").read_text().split("\n\n", 1)[1]
        == '''\
import jax.numpy as jnp


def learning_rate(t, base_lr, milestones, gamma, *, decays):
    """The learning rate after t steps; numbers are Python's or arrays, and broadcast."""
    t = jnp.asarray(t, float)
    base_lr = jnp.asarray(base_lr, float)
    milestones = [jnp.asarray(x, float) for x in milestones]
    gamma = jnp.asarray(gamma, float)
    lr = base_lr
    for i in range(len(milestones)):
        if decays == "after":
            passed = jnp.where(t > milestones[i], 1, 0)
        else:
            passed = jnp.where(t >= milestones[i], 1, 0)
        lr = lr*jnp.power(gamma, passed)
    return lr
'''
    )


def test_a_folder_of_schedules_is_built_and_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "cache"))
    specs, output = tmp_path / "specs", tmp_path / "generated"
    (specs / "schedules").mkdir(parents=True)
    for name in ("step", "linear"):
        (specs / "schedules" / f"{name}.toml").write_text((ROOT / f"specs/schedules/{name}.toml").read_text())
    assert [(b.name, b.written) for b in build(specs, output)] == [
        ("schedules/linear", ("manifest.json", "jax.py", "host.py")),
        ("schedules/step", ("manifest.json", "jax.py", "host.py")),
    ]
    assert all(b.skipped for b in build(specs, output))
    assert check(specs, output) == []
    (output / "schedules/step/jax.py").write_text("")
    assert [d.path for d in check(specs, output)] == ["schedules/step/jax.py"]
    assert [d.path for d in check(specs, output, ("schedules/step",))] == ["schedules/step/jax.py"]
    assert check(specs, output, ("schedules/linear",)) == []
    (specs / "schedules/step.toml").unlink()
    # The emptied file is nobody's now, and stays.
    assert [(b.name, b.removed) for b in build(specs, output) if not b.skipped] == [
        ("schedules/step", ("host.py", "manifest.json"))
    ]
    (output / "schedules/step/jax.py").unlink()
    (output / "schedules/step").rmdir()
    (specs / "schedules/linear.toml").unlink()
    assert [b.name for b in build(specs, output)] == ["schedules/linear"]
    assert not (output / "schedules").exists()


def test_nothing_heavy_is_loaded():
    script = """
import sys
import optgen.optax, optgen.optim
schedule = optgen.optax.piecewise_constant_schedule(1.0, {i: 0.99 for i in range(1, 200)})
scheduler = optgen.optim.MultiStepLR(0.1, list(range(1, 300, 7)))
scheduler.step()
print(schedule(150).shape, schedule(__import__("jax").numpy.arange(3)).shape)
print([name for name in ("sympy", "jinja2", "torch", "triton", "click", "rich") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "() (3,)\n[]\n"


def test_names_of_the_specs():
    schedule = optgen.schedules.cosine_annealing(base_lr=0.1, T_max=10)
    assert schedule.at(5) == pytest.approx(0.05, rel=1e-15)
    assert "cosine_annealing" in dir(optgen.schedules)
    with pytest.raises(AttributeError, match="has no attribute 'zzz'; there are: "):
        _ = optgen.schedules.zzz
    with pytest.raises(UnknownSchedule, match="no schedule 'cosine' in the catalogue"):
        schedule_manifest("cosine")


@pytest.mark.parametrize("size", [49, 98, 103, 107, 161, 187, 196, 197])
def test_steps_are_taken_in_time_where_a_reciprocal_would_be_late(size):
    # size*(1/size) is below 1 in float64, and XLA divides by constants in that way.
    assert size * (1 / size) < 1
    counts = [n * size - before for n in range(1, 20) for before in (1, 0)]
    stairs = [0.5 ** (count // size) for count in counts]
    assert_follows(optgen.schedules.step(base_lr=1.0, step_size=size, gamma=0.5), stairs, counts)
    decay = {"init_value": 1.0, "transition_steps": size, "decay_rate": 0.5, "staircase": True}
    assert_follows(optgen.schedules.exponential_decay(**decay), stairs, counts)
    divided = [1 / (1 + count // size) for count in counts]
    inverse = optgen.schedules.inverse_time(base_lr=1.0, decay_steps=size, staircase=True)
    assert_follows(inverse, divided, counts)
    waves = [(1 + math.cos(math.pi * (count % size) / size)) / 2 for count in counts]
    assert_follows(optgen.schedules.cosine_restarts(base_lr=1.0, T_0=size), waves, counts)
    assert_follows(optgen.schedules.cosine_restarts(base_lr=1.0, T_0=1, steps_per_epoch=size), waves, counts)


def test_the_page_of_the_documentation():
    page = (ROOT / "docs/schedules.md").read_text()
    (spec,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert parse_schedule(spec, "page").name == "cosine_annealing"
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        if "import" in block:
            exec(block, {})
        else:
            assert block in (ROOT / "specs/schedules/piecewise_constant.toml").read_text()


def test_noam():
    def paper(step):
        return 2.0 * 512**-0.5 * min((step + 1) ** -0.5, (step + 1) * 100**-1.5)

    assert_follows(optgen.schedules.noam(factor=2.0, warmup_steps=100), paper, range(1001))


def test_inverse_time():
    smooth = optgen.schedules.inverse_time(base_lr=0.1, decay_steps=30, decay_rate=0.5)
    assert_follows(smooth, lambda step: 0.1 / (1 + 0.5 * step / 30), range(1001))
    stairs = optgen.schedules.inverse_time(base_lr=0.1, decay_steps=30, decay_rate=0.5, staircase=True)
    assert_follows(stairs, lambda step: 0.1 / (1 + 0.5 * (step // 30)), range(1001))


@pytest.mark.parametrize("name", [name.removeprefix("schedules/") for name in PATHS])
def test_defaults_give_numbers_for_any_count(name):
    schedule = getattr(optgen.schedules, name)()
    counts = [0, 1, 2, 10**6, 10**9, 2**31 - 1]
    found = [schedule.at(count) for count in counts]
    assert all(math.isfinite(value) for value in found)
    np.testing.assert_allclose(schedule(np.asarray(counts, np.int32)) * np.ones(6), found, rtol=1e-7, atol=1e-300)


def test_a_change_at_the_first_step_is_there_at_once():
    ours = optgen.optax.piecewise_interpolate_schedule("linear", 1.0, {0: 0.5, 10: 0.5})
    assert [ours.at(t) for t in (0, 1, 10)] == pytest.approx([0.5, 0.475, 0.25], rel=1e-15)


@pytest.mark.parametrize("name", ["warmup_cosine_decay_schedule", "warmup_constant_schedule"])
def test_gradients_without_a_warm_up(name):
    """The line of the warm-up has no step, and no part in the gradient."""

    def rate(peak):
        rest = {"decay_steps": 10} if "cosine" in name else {}
        return getattr(optgen.optax, name)(init_value=0.1, peak_value=peak, warmup_steps=0, **rest)(3)

    assert jnp.isfinite(jax.grad(rate)(0.5))


def test_steps_and_cycles_are_checked():
    schedule = optgen.schedules.cosine_annealing(base_lr=0.1, T_max=10)
    for step in ("2", None, True):
        with pytest.raises(HyperparameterTypeError, match="a step is a number, not"):
            schedule.at(step)
    for cycles in (None, 3, {"peak_value": 1.0}, "abc"):
        with pytest.raises(HyperparameterTypeError, match="cosine_kwargs is a list of arguments, not"):
            optgen.optax.sgdr_schedule(cycles)
