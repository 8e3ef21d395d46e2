"""Steps in a `shard_map` whose devices have parts of tensors, told by `axis_name`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import optgen.optax
from optgen.errors import HyperparameterTypeError, TreeMismatch

ROOT = Path(__file__).parents[2]

#: Prints for each transformation how far its steps on parts are from those on whole tensors.
SCRIPT = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
import optgen.optax
from optgen.errors import TreeMismatch

jax.config.update("jax_enable_x64", True)
mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
#: Over one axis of the mesh, over both, over none.
SPECS = {"w": jax.P("x", "y"), "b": jax.P("y"), "whole": jax.P(), "both": jax.P(("x", "y"))}
SHAPES = {"w": (40, 30), "b": (64,), "whole": (7, 3), "both": (300,)}

def steps(tx, kept, step, extra):
    random = np.random.default_rng(0)
    tree = lambda: {name: jnp.asarray(random.standard_normal(SHAPES[name])) for name in kept}
    params = tree()
    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state, tree())
    return jax.tree.leaves((params, state))

found = {}
for name in sys.argv[1:]:
    tx = getattr(optgen.optax, name)(**({} if name == "polyak_sgd" else {"learning_rate": 0.1}))
    extra = {"value": 1.5} if name == "polyak_sgd" else {}
    for kept in (list(SPECS), ["both"]):
        specs = {n: SPECS[n] for n in kept}
        params = {n: jnp.ones(SHAPES[n]) for n in kept}
        state = tx.init(params)
        by_shape = {SHAPES[n]: SPECS[n] for n in kept}
        of_state = jax.tree.map(lambda leaf: by_shape.get(leaf.shape, jax.P()), state)

        def step(params, state, gradients, axis_name=None):
            given = {**extra, **({"axis_name": axis_name} if axis_name else {})}
            return optgen.optax.apply_gradients(tx, gradients, state, params, **given)

        split = jax.jit(jax.shard_map(
            lambda *given: step(*given, axis_name=("x", "y")),
            mesh=mesh, in_specs=(specs, of_state, specs), out_specs=(specs, of_state),
        ))
        ours, theirs = steps(tx, kept, split, extra), steps(tx, kept, jax.jit(step), extra)
        worst = max(float(jnp.max(jnp.abs(a - b) / (1 + jnp.abs(b)))) for a, b in zip(ours, theirs, strict=True))
        found[f"{name} {len(kept)}"] = worst

# A gradient that one device alone sees to be infinite.
tx = optgen.optax.lamb(0.1, skip_nonfinite=True)
params = {"w": jnp.ones((40, 30)), "whole": jnp.ones(5)}
specs = {"w": jax.P("x", "y"), "whole": jax.P()}
state = tx.init(params)
of_state = jax.tree.map(lambda leaf: jax.P("x", "y") if leaf.shape == (40, 30) else jax.P(), state)
step = jax.shard_map(
    lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p, axis_name=("x", "y")),
    mesh=mesh, in_specs=(specs, of_state, specs), out_specs=(specs, of_state),
)
after, state = jax.jit(step)(params, state, {**params, "w": params["w"].at[39, 0].set(jnp.inf)})
found["skipped"] = int(state.total_notfinite) + int(jnp.array_equal(after["w"], params["w"]))
update = jax.shard_map(
    lambda p, s, g: tx.update(g, s, p, axis_name=("x", "y")),
    mesh=mesh, in_specs=(specs, of_state, specs), out_specs=(specs, of_state),
)
updates, state = update(params, state, {**params, "w": params["w"].at[0, 29].set(jnp.nan)})
found["skipped"] += int(state.total_notfinite) + int(not updates["w"].any())

# Types that do not tell.
try:
    jax.shard_map(
        lambda p, s, g: tx.update(g, s, p, axis_name="x"),
        mesh=mesh, in_specs=(specs, of_state, specs), out_specs=(specs, of_state), check_vma=False,
    )(params, state, params)
except TreeMismatch as error:
    found["untold"] = str(error)

# Rows of which devices have parts.
tx = optgen.optax.adafactor(0.1)
params = {"w": jnp.ones((260, 260))}
state = tx.init({"w": params["w"][:130, :130]})
try:
    jax.shard_map(
        lambda p, s: tx.update(p, s, p, axis_name="x")[0],
        mesh=mesh, in_specs=({"w": jax.P("x", "y")}, jax.P()), out_specs=jax.P("x", "y"),
    )(params, state)
except TreeMismatch as error:
    found["refused"] = str(error)
print(json.dumps(found))
"""


def run(*names: str) -> dict[str, Any]:
    import json

    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_folds_go_over_all_parts() -> None:
    """Norms of tensors and sums over the model; a tensor that all devices have alike is counted once."""
    names = ["adamw", "adafactor", "lamb", "lars", "fromage", "novograd", "polyak_sgd", "prodigy"]
    found = run(*names)
    assert "folds along rows, columns or axes" in found.pop("refused")
    assert "with check_vma=False" in found.pop("untold")
    assert found.pop("skipped") == 5
    assert len(found) == 2 * len(names)
    assert {way: worst for way, worst in found.items() if not worst <= 1e-12} == {}


def test_axes_that_no_shard_map_has() -> None:
    params = jnp.ones(300)
    tx = optgen.optax.lamb(0.1)
    with pytest.raises(TreeMismatch, match=r"axis_name is 'model', and no shard_map .* has it; its axes: none"):
        jax.jit(lambda: tx.update(params, tx.init(params), params, axis_name="model"))()
    with pytest.raises(HyperparameterTypeError, match="axis_name is the name of a mesh's axis or several, not 3"):
        tx.update(params, tx.init(params), params, axis_name=3)


def test_the_example_of_the_documentation() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "devices.md").read_text(), re.DOTALL)
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"{example}\nassert float(params['w'][0, 0]) < 1 and int(state[0].count) == 1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
