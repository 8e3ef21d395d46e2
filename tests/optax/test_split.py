"""Steps in a `shard_map` whose devices have parts of tensors, told by `axis_name`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
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


#: Prints for each transformation whether steps on parts give the bits of steps on whole tensors, and what is refused.
RANDOM = """
import json
import jax, jax.numpy as jnp, numpy as np, optax
import optgen.optax
from optgen.errors import TreeMismatch
from optgen.runtime.formats.codes import Blocks

mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
SPECS = {"w": jax.P("x", "y"), "turned": jax.P(("y", "x")), "last": jax.P(None, "x"), "whole": jax.P()}
SHAPES = {"w": (8, 6, 3), "turned": (20, 3), "last": (5, 4), "whole": (7,)}

def trees(shapes, seed):
    random = np.random.default_rng(seed)
    return {n: jnp.asarray(random.standard_normal(shape), jnp.float32) for n, shape in shapes.items()}

def difference(tx, by_name, shapes, **given):
    params = trees(shapes, 0)
    state = tx.init(params)

    def of_leaf(path, leaf):
        name = next((str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey)), None)
        spec = by_name.get(name, jax.P()) if leaf.shape else jax.P()
        return spec if len(spec) <= leaf.ndim else jax.P("x")

    of_state = jax.tree_util.tree_map_with_path(of_leaf, state)

    def step(params, state, gradients, **extra):
        return optgen.optax.apply_gradients(tx, gradients, state, params, **extra)

    split = jax.jit(jax.shard_map(
        lambda *one: step(*one, axis_name=("x", "y"), **given),
        mesh=mesh, in_specs=(by_name, of_state, by_name), out_specs=(by_name, of_state),
    ))
    results = []
    for function in (split, jax.jit(step)):
        now = params, state
        for seed in range(3):
            now = function(*now, trees(shapes, seed + 1))
        leaves = [x for x in jax.tree.leaves(now) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
        results.append([np.asarray(x, np.float64) for x in leaves])
    return max(float(np.abs(a - b).max()) for a, b in zip(*results, strict=True))

def refused(*given, **named):
    try:
        difference(*given, **named)
    except TreeMismatch as error:
        return str(error)
    return ""

bfloat16 = optgen.optax.adam(0.1, state_dtype="bfloat16")
eight = optgen.optax.adam(0.1, state_dtype="8bit_stochastic")
noisy = optgen.optax.noisy_sgd(0.1, key=3)
rows = {"w": jax.P(("x", "y"))}, {"w": (8, 256)}
print(json.dumps({
    "bfloat16": difference(bfloat16, SPECS, SHAPES, specs=SPECS),
    "one axis tells": difference(bfloat16, {"v": jax.P("y")}, {"v": (300,)}),
    "8bit": difference(eight, *rows, specs=rows[0]),
    "noise": difference(noisy, SPECS, SHAPES, specs=SPECS),
    "nearest": difference(optgen.optax.adam(0.1, state_dtype="bfloat16_nearest"), SPECS, SHAPES),
    "untold": refused(bfloat16, SPECS, SHAPES),
    "untold noise": refused(noisy, SPECS, SHAPES),
    "wrong": refused(bfloat16, SPECS, SHAPES, specs={**SPECS, "w": jax.P("x")}),
    "blocks": refused(eight, {"w": jax.P(None, "x")}, {"w": (2, 1024)}, specs={"w": jax.P(None, "x")}),
}))
"""


#: Steps that may be left out, or are made now and then, where sharding is part of an array's type.
TYPED = """
import jax, jax.numpy as jnp, optax
import optgen.optax

mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
hessian = optax.GradientTransformation(lambda p: optax.EmptyState(), lambda u, s, p=None: (u, s))
with jax.set_mesh(mesh):
    params = jnp.ones((8, 4), out_sharding=jax.P("x"))
    for tx in (
        optgen.optax.adam(0.1, skip_nonfinite=True),
        optgen.optax.lamb(0.1, skip_nonfinite=True),
        optgen.optax.sophia(0.1, hessian_diagonal_fn=hessian, verbose=False, skip_nonfinite=True),
    ):
        state = tx.init(params)
        bad = params + jnp.nan
        for step in (tx.update, jax.jit(tx.update)):
            updates, after = step(bad, state, params)
            assert jax.typeof(updates) == jax.typeof(params), jax.typeof(updates)
            assert not updates.any() and int(after.total_notfinite) == 1
            updates, after = step(params, state, params)
            assert jax.typeof(updates) == jax.typeof(params) and updates.all()
        new, _ = optgen.optax.apply_gradients(tx, params, state, params)
        assert jax.typeof(new) == jax.typeof(params) and (new != params).all()
"""


def run(*names: str, script: str = SCRIPT) -> dict[str, Any]:
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def test_folds_go_over_all_parts() -> None:
    """Norms of tensors and sums over the model; a tensor that all devices have alike is counted once."""
    names = ["adamw", "adafactor", "lamb", "lars", "fromage", "novograd", "polyak_sgd", "prodigy"]
    found = run(*names)
    assert "reduces along rows, columns or axes" in found.pop("refused")
    assert "with check_vma=False" in found.pop("untold")
    assert found.pop("skipped") == 5
    assert len(found) == 2 * len(names)
    assert {way: worst for way, worst in found.items() if not worst <= 1e-12} == {}


def test_random_bits_are_those_of_whole_tensors() -> None:
    found = run(script=RANDOM)
    assert "specs=... gives a PartitionSpec for each parameter" in found.pop("untold")
    assert "noise asks for the places of numbers in whole tensors" in found.pop("untold noise")
    assert "and the gradient is split along x, y" in found.pop("wrong")
    assert "only the first axis can be split" in found.pop("blocks")
    # A step is compiled twice, and XLA may sum in another order; one other random bit is 2**-8 of a moment.
    assert len(found) == 5
    assert {way: apart for way, apart in found.items() if not apart <= 2e-6} == {}


def test_steps_that_are_left_out_where_types_have_sharding() -> None:
    run(script=TYPED)


def test_axis_name_is_not_dropped() -> None:
    """`optax.MultiSteps` makes a plain transformation that takes it; others that do not are refused."""
    params, seen = jnp.ones(3), []

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        seen.append(extra)
        return updates, state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    several = optax.MultiSteps(inner, 2).gradient_transformation()
    optgen.optax.apply_gradients(several, params, several.init(params), params, axis_name="x", value=1.0)
    assert seen
    assert all(extra == {"axis_name": "x", "value": 1.0} for extra in seen)
    plain = optax.GradientTransformation(inner.init, lambda updates, state, params=None: (updates, state))
    with pytest.raises(TreeMismatch, match="axis_name is given, and this transformation's update takes none"):
        optgen.optax.apply_gradients(plain, params, plain.init(params), params, axis_name="x")
    # What else it does not take is left out, as optax does.
    after, _ = optgen.optax.apply_gradients(plain, params, plain.init(params), params, value=1.0)
    assert jnp.array_equal(after, 2 * params)


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
