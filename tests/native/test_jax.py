"""Native kernels inside jit: the jax target's numbers, in place; and the jax target where they cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen
import optgen.optax
from optgen.catalogue.entry import catalogue_entry
from optgen.catalogue.manifests import catalogue_names
from optgen.runtime.jax import native as native_jax
from optgen.runtime.jax.kernel_variant import KernelJaxVariant
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.state import PARAMETER_FORM, UPDATE_FORM, ModelState

ROOT = Path(__file__).parents[2]
SHAPES = [(50,), (130, 3), (), (0,), (3, 5, 7)]


@pytest.fixture(autouse=True)
def _however_small(monkeypatch):
    monkeypatch.setattr(native_jax, "SMALLEST", 0)
    monkeypatch.setenv("OPTGEN_BACKEND", "native")


def is_native(function, *arguments):
    """Whether a call of C is in what a function is compiled to."""
    return "optgen_native" in jax.jit(lambda *given: function(*given)).lower(*arguments).as_text()


def trees(seed, dtype=jnp.float64):
    random = np.random.default_rng(seed)
    return [jnp.asarray(random.standard_normal(shape), dtype) for shape in SHAPES]


def variant_of(name):
    """An optimizer's default variant by kernels, and values of its hyperparameters."""
    entry = catalogue_entry(name)
    values = {h.name: h.default for h in entry.manifest.hyperparameters}
    variant = entry.variant({option.name: option.default for option in entry.manifest.options}, values)
    assert isinstance(variant, KernelJaxVariant)
    return variant, {n: 0.1 if values[n] is None else values[n] for n in variant.info.hyperparameters}


@pytest.mark.parametrize("form", [PARAMETER_FORM, UPDATE_FORM])
@pytest.mark.parametrize("name", catalogue_names())
def test_the_same_as_the_jax_target(name, form):
    variant, hyperparameters = variant_of(name)
    kinds = {declared.name: declared.kind for declared in catalogue_entry(name).manifest.inputs}
    varying = {"lr": jnp.asarray(hyperparameters["lr"])} if "lr" in hyperparameters else {}
    fixed = {n: v for n, v in hyperparameters.items() if n not in varying}

    def step(kernels, gradients, state, parameters, t, varying, inputs):
        made = KernelJaxVariant.step if kernels else JaxVariant.step
        results, after = made(variant, gradients, ModelState(*state), parameters, t, {**fixed, **varying}, inputs, form)
        return results, (after.tensors, dict(after.shared))

    run = jax.jit(step, static_argnums=0)
    parameters = trees(0)
    first = variant.init(parameters, hyperparameters)
    state = (first.tensors, dict(first.shared))
    for t in range(1, 4):
        inputs = {n: [jnp.abs(x) for x in trees(t + 10)] if kinds[n] == "element" else 1.5 for n in variant.info.inputs}
        arguments = (trees(t), state, parameters, jnp.int32(t), varying, inputs)
        found, after = run(True, *arguments)
        expected, state = run(False, *arguments)
        pairs = zip(jax.tree.leaves((found, after)), jax.tree.leaves((expected, state)), strict=True)
        for a, b in pairs:
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            scale = max(1.0, float(np.max(np.abs(np.asarray(b, np.float64)), initial=0)))
            np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=0, atol=1e-12 * scale)
        parameters = list(expected) if form == PARAMETER_FORM else list(map(jnp.add, parameters, expected))


def test_donated_arrays_are_changed_where_they_are():
    tx = optgen.optax.adamw(0.1)
    params = [jnp.ones(100_000), jnp.ones((300, 40))]
    state = jax.jit(tx.init)(params)
    step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
    gradients = [jnp.ones(100_000), jnp.ones((300, 40))]
    compiled = step.lower(params, state, gradients).compile()
    assert "optgen_native" in compiled.as_text()
    assert " copy(" not in compiled.as_text()
    before = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((params, state)) if leaf.ndim]
    for _ in range(3):
        params, state = step(params, state, gradients)
    assert [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((params, state)) if leaf.ndim] == before


def test_arrays_that_are_not_donated_stay_as_they_are():
    tx = optgen.optax.adamw(0.1)
    params = {"w": jnp.arange(5000.0), "b": jnp.ones(3)}
    gradients = jax.tree.map(jnp.ones_like, params)
    state = tx.init(params)
    kept = jax.tree.map(np.array, (params, gradients, state))
    for run in (tx.update, jax.jit(tx.update)):
        run(gradients, state, params)
        run(params, state, params)  # one array as two arguments
        jax.tree.map(np.testing.assert_array_equal, kept, (params, gradients, state))


def test_vmap_derivatives_and_scan_are_those_of_the_jax_target(monkeypatch):
    params, gradients = trees(0), trees(1)

    def trained(lr, scale):
        tx = optgen.optax.adamw(lr)
        state = tx.init(params)
        updates, _ = tx.update([scale * g for g in gradients], state, params)
        return sum(jnp.sum(jnp.sin(p + u)) for p, u in zip(params, updates, strict=True))

    def scanned(lr):
        tx = optgen.optax.lamb(lr)

        def body(carry, g):
            updates, state = tx.update(g, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), jnp.sum(updates[0])

        stacked = [jnp.stack([g, 2 * g, 3 * g]) for g in gradients]
        return jax.lax.scan(body, (params, tx.init(params)), stacked)[1]

    rates = jnp.array([0.1, 0.2, 0.3])

    def everything():
        return (
            jax.vmap(trained, (0, None))(rates, 1.0),
            jax.vmap(jax.vmap(trained, (0, None)), (None, 0))(rates, rates),
            jax.grad(trained, 1)(0.1, 2.0),
            jax.jit(jax.value_and_grad(trained, (0, 1)))(0.1, 2.0),
            jax.vmap(jax.grad(trained), (0, 0))(rates, rates),
            jax.hessian(trained, 1)(0.1, 2.0),
            scanned(0.1),
        )

    assert is_native(trained, 0.1, 1.0)
    assert is_native(scanned, 0.1)
    found = everything()
    monkeypatch.setenv("OPTGEN_BACKEND", "arrays")
    assert not is_native(trained, 0.1, 1.0)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(everything()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_arrays(dtype, monkeypatch):
    """Read and written as they are, without an array of another dtype; the arithmetic is that of float32."""
    params, gradients = trees(0, dtype), trees(1, dtype)
    tx = optgen.load("adamw").optax(0.1)
    found = jax.jit(tx.update)(gradients, tx.init(params), params)
    assert is_native(tx.update, gradients, tx.init(params), params)
    monkeypatch.setenv("OPTGEN_BACKEND", "arrays")
    tx = optgen.load("adamw").optax(0.1)
    expected = jax.jit(tx.update)(gradients, tx.init(params), params)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.float32(a), np.float32(b), rtol=float(jnp.finfo(a.dtype).eps) if a.ndim else 0)


def test_a_learning_rate_that_changes_compiles_nothing():
    @jax.jit
    def step(lr, params, state):
        tx = optgen.optax.adamw(lr)
        updates, state = tx.update(params, state, params)
        return optax.apply_updates(params, updates), state

    params = trees(0)
    state = optgen.optax.adamw(0.1).init(params)
    for lr in (0.1, 0.2, 0.3):
        params, state = step(lr, params, state)
    assert step._cache_size() == 1


def test_other_types_and_small_models_are_left_to_the_jax_target(monkeypatch):
    tx = optgen.optax.adamw(0.1)
    params = [jnp.ones(5000, jnp.complex64)]
    assert not is_native(tx.update, params, tx.init(params), params)
    monkeypatch.undo()
    params = [jnp.ones(10)]
    assert not is_native(tx.update, params, tx.init(params), params)


def test_a_program_for_any_length(monkeypatch):
    monkeypatch.setattr(native_jax, "SMALLEST", 4096)
    tx = optgen.optax.adamw(0.1)
    (n,) = jax.export.symbolic_shape("n")
    shape = jax.ShapeDtypeStruct((n,), jnp.float32)
    made = jax.export.export(jax.jit(lambda g, p: tx.update(g, tx.init(p), p)[0]))(shape, shape)
    np.testing.assert_allclose(
        made.call(jnp.ones(5000, jnp.float32), jnp.ones(5000, jnp.float32)), -0.1 * (1 + 1e-4), rtol=1e-6
    )


SEVERAL = """
import jax, jax.numpy as jnp, optgen.optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(jax.devices(), ("x",))
rows = NamedSharding(mesh, P("x"))
params = jax.device_put(jnp.ones((8, 5000)), rows)
tx = optgen.optax.lamb(0.1)
state = jax.jit(tx.init)(params)
step = jax.jit(tx.update).lower(params, state, params).compile()
text = step.as_text()
assert "optgen_native" not in text and "all-gather" not in text, text
updates, state = step(params, state, params)
assert updates.sharding.is_equivalent_to(rows, 2)
"""


def test_several_devices_are_never_gathered():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SEVERAL], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


CACHED = """
import sys, jax, jax.numpy as jnp, optgen.optax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
tx = optgen.optax.adamw(0.1)
params = jnp.ones(5000)
print(float(jax.jit(tx.update)(params, tx.init(params), params)[0].sum()))
"""


def test_a_program_from_xlas_cache_of_another_process(tmp_path):
    """It names its kernels by what they are, not by where they stood."""
    run = [sys.executable, "-c", CACHED, str(tmp_path)]
    first, second = (subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second
    assert list(tmp_path.iterdir())


def test_the_custom_rule_of_a_user():
    made = optgen.define("half", "s[t] = s[t-1] + g**2\ntheta[t] = theta[t-1] - lr*g/(norm(g) + sqrt(s[t]))", lr=0.1)
    tx = made.optax(0.2)
    params = trees(0)
    assert is_native(tx.update, params, tx.init(params), params)
    updates, _ = jax.jit(tx.update)(params, tx.init(params), params)
    for p, u in zip(params, updates, strict=True):
        norm = np.linalg.norm(np.ravel(p))
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(u, -0.2 * p / (norm + np.abs(p)), rtol=1e-13)


@pytest.mark.parametrize(("name", "options"), [("lamb", {}), ("adafactor", {"factored": False})])
def test_what_a_later_pass_reads_is_not_rounded(name, options, monkeypatch):
    """Second moments of small gradients are zero in float16, in which optax keeps them."""
    random = np.random.default_rng(0)
    params = jnp.asarray(random.standard_normal((200, 30)), jnp.float16)
    gradients = jnp.asarray(0.003 * random.standard_normal((200, 30)), jnp.float16)
    tx = getattr(optgen.optax, name)(0.01, **options)
    found = {}
    for backend in ("native", "arrays"):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        found[backend] = jax.tree.leaves(tx.update(gradients, tx.init(params), params))
    for a, b in zip(found["native"], found["arrays"], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=2e-3, atol=1e-7)


def test_updates_of_one_pass_are_left_to_xla(monkeypatch):
    """A kernel would have to write them to memory; what has several passes gains more than that costs."""
    monkeypatch.setenv("OPTGEN_BACKEND", "auto")
    params = {"w": jnp.ones((100, 100))}
    for name, expected in (("adamw", False), ("lion", False), ("lamb", True), ("adafactor", True)):
        tx = getattr(optgen.optax, name)(0.1)
        state = tx.init(params)
        assert is_native(lambda g, s, p, tx=tx: tx.update(g, s, p), params, state, params) == expected, name
        assert is_native(lambda g, s, p, tx=tx: optgen.optax.apply_gradients(tx, g, s, p), params, state, params)


def test_threads_that_trace_the_same_step(monkeypatch):
    """What C is told of is kept: another thread may come to the same table in between."""
    told, kept = [], {}
    monkeypatch.setattr(native_jax, "_REGISTERED", kept)
    monkeypatch.setattr(native_jax, "register_function", lambda *_: lambda key, table, *rest: told.append(table) or 0)
    table = np.arange(3)
    kernels = types.SimpleNamespace(identity="one", addresses=np.arange(2))
    threads = [threading.Thread(target=native_jax._registered, args=(table.copy(), kernels)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((held, _),) = kept.values()
    assert told == [held.ctypes.data]


def test_states_of_steps_that_may_be_left_out_can_be_donated():
    tx = optgen.optax.adamw(0.1, skip_nonfinite=True)
    params = jnp.ones(5000)
    step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
    state = tx.init(params)
    assert is_native(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), params, state, jnp.ones(5000))
    params, state = step(params, state, jnp.ones(5000))
    before = np.array(params)
    params, state = step(params, state, jnp.full(5000, jnp.nan))
    np.testing.assert_array_equal(params, before)
    assert int(state.total_notfinite) == 1


def test_parts_of_tensors_that_are_stepped_as_all_of_them():
    """Not where something is folded, nor where equations ask for a shape, which a part has otherwise."""
    by_size = optgen.define("by_size", "theta[t] = theta[t-1] - lr*g/sqrt(size)", lr=0.1)
    found = {name: variant_of(name)[0].is_elementwise for name in ("adamw", "lion", "lamb", "adafactor", "novograd")}
    assert found == {"adamw": True, "lion": True, "lamb": False, "adafactor": False, "novograd": False}
    assert not by_size.entry.variant({}, {"lr": 0.1}).is_elementwise


def test_kernels_of_a_gpu_are_loaded_once():
    loaded = []
    info = variant_of("adamw")[0].info
    variant = KernelJaxVariant(None, lambda: loaded.append(1) or len(loaded), "adamw", info, None)
    assert [variant.launcher(), variant.launcher()] == [1, 1]
