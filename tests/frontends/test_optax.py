"""optgen.optax: optax's factories, with generated rules behind them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
import pytest

import optgen.optax
from optgen.catalogue.on_demand import _Cached, _digest
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, OptgenError, TreeMismatch
from optgen.language.reader import parse_spec

#: Every factory with its defaults, and each argument that changes the formula.
CASES = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("sgd", {"nesterov": True}),
    ("adam", {}),
    ("adam", {"b1": 0.8, "b2": 0.95, "eps": 1e-3}),
    ("adam", {"eps_root": 1e-4}),
    ("adam", {"nesterov": True}),
    ("adam", {"nesterov": True, "eps_root": 1e-4}),
    ("adamw", {}),
    ("adamw", {"weight_decay": 0.1, "nesterov": True}),
    ("adamw", {"weight_decay": 0.0}),
    ("rmsprop", {}),
    ("rmsprop", {"centered": True}),
    ("rmsprop", {"momentum": 0.9}),
    ("rmsprop", {"momentum": 0.9, "nesterov": True, "centered": True}),
    ("rmsprop", {"eps_in_sqrt": False, "initial_scale": 0.5}),
    ("rmsprop", {"bias_correction": True}),
    ("adagrad", {}),
    ("adagrad", {"initial_accumulator_value": 0.0, "eps": 1e-3}),
    ("lion", {}),
    ("lion", {"weight_decay": 0.1}),
    ("lamb", {}),
    ("lamb", {"weight_decay": 0.1, "eps_root": 1e-4}),
]


def random_tree(seed):
    generator = np.random.default_rng(seed)
    return {
        "a": jnp.asarray(generator.normal(size=(5, 3))),
        "b": [jnp.asarray(generator.normal()), jnp.asarray(generator.normal(size=(2, 3, 4)))],
        "none": None,
    }


def train(optimizer, steps=20, update=None):
    params = random_tree(0)
    state = optimizer.init(params)
    update = update or optimizer.update
    for step in range(steps):
        updates, state = update(random_tree(step + 1), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def largest_difference(a, b):
    differences = [jnp.max(jnp.abs(x - y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return float(jnp.max(jnp.stack(differences)))  # NaN if any is


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_same_as_optax(name, arguments):
    ours = getattr(optgen.optax, name)(0.01, **arguments)
    theirs = getattr(optax, name)(0.01, **arguments)
    assert isinstance(ours, optax.GradientTransformationExtraArgs)
    assert largest_difference(train(ours)[0], train(theirs)[0]) <= 1e-12


def test_a_schedule_is_asked_for_the_count_before_the_step():
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    ours, theirs = train(optgen.optax.adam(schedule))[0], train(optax.adam(schedule))[0]
    assert largest_difference(ours, theirs) <= 1e-12


def test_jit_scan_and_vmap():
    params = jnp.arange(4.0)
    plain, _ = train_vector(params, 0.1)

    def run(learning_rate):
        optimizer = optgen.optax.adamw(learning_rate)

        def body(carry, gradient):
            p, s = carry
            updates, s = optimizer.update(gradient, s, p)
            return (optax.apply_updates(p, updates), s), None

        return jax.lax.scan(body, (params, optimizer.init(params)), gradients())[0][0]

    np.testing.assert_allclose(jax.jit(lambda: run(0.1))(), plain, rtol=1e-12)
    rates = jnp.array([0.1, 0.2])
    both = jax.jit(jax.vmap(run))(rates)
    np.testing.assert_allclose(both[0], plain, rtol=1e-12)
    np.testing.assert_allclose(both[1], train_vector(params, 0.2)[0], rtol=1e-12)


def gradients():
    return jnp.asarray(np.random.default_rng(3).normal(size=(5, 4)))


def train_vector(params, learning_rate):
    optimizer = optgen.optax.adamw(learning_rate)
    state = optimizer.init(params)
    for gradient in gradients():
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_gradients_flow_through_an_update():
    optimizer = optgen.optax.adam(0.1, eps_root=0.1)
    start = jnp.array([1.0, 2.0])

    def after(gradient):
        updates, _ = optimizer.update(gradient, optimizer.init(start), start)
        return jnp.sum(updates)

    theirs = optax.adam(0.1, eps_root=0.1)
    expected = jax.grad(lambda g: jnp.sum(theirs.update(g, theirs.init(start), start)[0]))(jnp.array([0.3, -0.4]))
    np.testing.assert_allclose(jax.grad(after)(jnp.array([0.3, -0.4])), expected, rtol=1e-9)


def test_inject_hyperparams_and_chain():
    chained = optax.chain(optax.clip_by_global_norm(1.0), optgen.optax.adam(0.1))
    reference = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
    assert largest_difference(train(chained)[0], train(reference)[0]) <= 1e-12
    injected = optax.inject_hyperparams(optgen.optax.adam)(learning_rate=0.1)
    state = injected.init(jnp.ones(3))
    state.hyperparams["learning_rate"] = jnp.asarray(0.5)
    updates, _ = injected.update(jnp.ones(3), state, jnp.ones(3))
    np.testing.assert_allclose(updates, -0.5 * np.ones(3), rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "lamb"])
def test_nothing_recompiles(name):
    """Neither the step nor the learning rate is part of what is compiled."""
    traces = []
    optimizer = getattr(optgen.optax, name)
    injected = optax.inject_hyperparams(optimizer)(learning_rate=0.1)

    @jax.jit
    def step(params, state, grads):
        traces.append(1)
        updates, state = injected.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.ones(3)
    state = injected.init(params)
    for count in range(5):
        state.hyperparams["learning_rate"] = jnp.asarray(0.1 / (count + 1), state.hyperparams["learning_rate"].dtype)
        params, state = step(params, state, jnp.ones(3))
    assert len(traces) == 1
    assert step._cache_size() == 1


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_no_more_memory_traffic_than_optax(name, arguments):
    """XLA's own count of the bytes that a step accesses; the slope over two sizes leaves out the numbers of a step."""
    ours = bytes_per_element(getattr(optgen.optax, name)(0.01, **arguments))
    theirs = bytes_per_element(getattr(optax, name)(0.01, **arguments))
    assert ours <= theirs


def bytes_per_element(optimizer):
    accessed = []
    for size in (4096, 8192):
        params = jnp.ones(size, jnp.float32)
        state = optimizer.init(params)
        compiled = jax.jit(lambda g, s, p: optimizer.update(g, s, p)).lower(params, state, params).compile()
        accessed.append(compiled.cost_analysis()["bytes accessed"])
    return (accessed[1] - accessed[0]) / 4096


def test_state_has_optax_names():
    state = optgen.optax.adam(0.1).init({"w": jnp.ones(2)})
    assert type(state[0]) is optax.ScaleByAdamState
    np.testing.assert_array_equal(optax.tree.get(state, "mu")["w"], np.zeros(2))


def test_dtypes():
    """States have the parameters' dtype, as in optax."""
    optimizer = optgen.optax.adam(0.1)
    params = jnp.ones(3, jnp.bfloat16)
    updates, state = optimizer.update(jnp.ones(3, jnp.bfloat16), optimizer.init(params), params)
    assert (updates.dtype, state[0].mu.dtype, state[0].nu.dtype) == (jnp.bfloat16,) * 3
    double = jnp.ones(3, jnp.float64)
    updates, state = optimizer.update(double, optimizer.init(double), double)
    assert (updates.dtype, state[0].mu.dtype) == (jnp.float64, jnp.float64)


def test_variants_that_were_not_generated_ahead_are_compiled_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path))
    from optgen.catalogue.entry import Entry, catalogue_entry

    known = catalogue_entry("adam")

    def fresh():
        return Entry(known.manifest, known.read_text, known.read_spec, in_catalogue=True)

    options = {"nesterov": True, "amsgrad": True}
    values = {"eps_root": 1e-4}
    variant = fresh().variant(options, values)
    assert variant.info.name == "amsgrad__nesterov__eps_root"
    assert known.manifest.variant(variant.info.name) is None
    (kept,) = (tmp_path / "variants").iterdir()
    second = fresh()
    second.read_spec = lambda: pytest.fail("the cache was not used")
    assert second.variant(options, values).info == variant.info
    # A damaged file is made again.
    whole = kept.read_bytes()
    for damaged in (b"", whole[:100], whole.replace(b"beta1", b"beta2", 1), b"\xff\xfe"):
        kept.write_bytes(damaged)
        assert fresh().variant(options, values).info == variant.info
        assert kept.read_bytes() == whole
    # One that others may have written is not run: its digest is right, as theirs would be.
    planted = _Cached("", {"manifest.json": "", "jax.py": "raise SystemExit('executed')"})
    planted.digest = _digest(planted.files)
    kept.write_bytes(msgspec.json.encode(planted))
    kept.chmod(0o666)
    assert fresh().variant(options, values).info == variant.info
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (whole, 0o600)
    kept.write_bytes(msgspec.json.encode(planted))
    kept.parent.chmod(0o777)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="no folder for it belongs to this user alone"):
        assert fresh().variant(options, values).info == variant.info
    kept.parent.chmod(0o700)
    # A spec that was edited, but not built, is not mixed with what was generated before.
    edited = fresh()
    text = known.read_spec().source.text.replace("lr*m_hat", "100*lr*m_hat")
    edited.read_spec = lambda: parse_spec(text, "specs/adam.toml")
    kept.unlink()
    (kept.parent / ".new-gone").write_text("of a process that was ended")
    os.utime(kept.parent / ".new-gone", (0, 0))
    with pytest.raises(OptgenError, match="was edited after its code was generated"):
        edited.variant(options, values)
    assert [path.name for path in (tmp_path / "variants").iterdir()] == [".new-gone"]
    # A full disk leaves nothing behind, and what a process left that was ended is removed.
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: _no_room())
        with pytest.warns(UserWarning, match="No space left on device"):
            assert fresh().variant(options, values).info == variant.info
    assert not list((tmp_path / "variants").iterdir())
    # Where nothing can be written to an own folder, the next one is taken, and read by later processes.
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    make = tempfile.mkstemp
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkstemp", lambda dir, **k: _no_room() if dir == kept.parent else make(dir=dir, **k))
        with warnings.catch_warnings(action="error"):
            assert fresh().variant(options, values).info == variant.info
        third = fresh()
        third.read_spec = second.read_spec
        assert third.variant(options, values).info == variant.info
    assert not list((tmp_path / "variants").iterdir())
    assert [path.name for path in (tmp_path / "tmp").rglob("*.json")] == [kept.name]
    shutil.rmtree(tmp_path / "tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    # What is no folder is done without.
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="optgen could not write to its cache"):
        assert fresh().variant(options, values).info == variant.info


def _no_room():
    raise OSError(errno.ENOSPC, "No space left on device")


class TestBadInput:
    """A mistake in a call raises a named error before anything is computed."""

    def test_negative_learning_rate(self):
        with pytest.raises(InvalidHyperparameter) as caught:
            optgen.optax.adam(-0.1)
        assert str(caught.value) == "adam: learning_rate = -0.1 is outside its domain: learning_rate >= 0"

    def test_beta_of_one(self):
        with pytest.raises(InvalidHyperparameter) as caught:
            optgen.optax.adam(0.1, b1=1.0)
        assert str(caught.value) == "adam: b1 = 1.0 is outside its domain: 0 <= b1 < 1"

    def test_not_a_number(self):
        with pytest.raises(InvalidHyperparameter):
            optgen.optax.adam(float("nan"))

    @pytest.mark.parametrize("value", ["0.1", None, [0.1], True])
    def test_wrong_type(self, value):
        with pytest.raises(HyperparameterTypeError) as caught:
            optgen.optax.adam(value)
        assert str(caught.value) == f"adam: learning_rate is a number, an array or a schedule, not {value!r}"

    def test_a_schedule_where_a_number_is_wanted(self):
        with pytest.raises(HyperparameterTypeError, match=r"^adam: b1 is a number or an array, not <function"):
            optgen.optax.adam(0.1, b1=lambda count: 0.9)

    def test_an_option_that_is_no_bool(self):
        with pytest.raises(HyperparameterTypeError) as caught:
            optgen.optax.adam(0.1, nesterov=1)
        assert str(caught.value) == "adam: nesterov is True or False, not 1"

    def test_unknown_argument(self):
        with pytest.raises(TypeError, match="beta1"):
            optgen.optax.adam(0.1, beta1=0.9)

    def test_unknown_optimizer(self):
        with pytest.raises(AttributeError, match=r"has no attribute 'zzz'; there are: adabelief, adadelta, "):
            _ = optgen.optax.zzz

    def test_parameters_missing(self):
        optimizer = optgen.optax.adamw(0.1)
        with pytest.raises(ValueError, match=r"^adamw: update needs the parameters"):
            optimizer.update(jnp.ones(3), optimizer.init(jnp.ones(3)))

    @pytest.mark.parametrize("shape", [(1,), (3, 1), (4,)])
    def test_gradient_of_another_shape(self, shape):
        optimizer = optgen.optax.adam(0.1)
        with pytest.raises(TreeMismatch) as caught:
            optimizer.update(jnp.ones(shape), optimizer.init(jnp.ones(3)))
        assert str(caught.value) == (
            f"adam: leaf 0 of state.mu has shape (3,), expected {shape} for a gradient of shape {shape}"
        )

    @pytest.mark.parametrize("grads", [{}, {"a": 1.0, "b": 1.0}, {"b": 1.0}, [1.0]])
    def test_gradients_of_another_tree(self, grads):
        optimizer = optgen.optax.adam(0.1)
        with pytest.raises(TreeMismatch, match=r"^adam: state.mu was made for parameters of another tree"):
            optimizer.update(jax.tree.map(jnp.asarray, grads), optimizer.init({"a": jnp.ones(())}))

    def test_state_of_another_rule(self):
        with pytest.raises(TreeMismatch, match=r"^adam: state\[0\] is EmptyState, expected ScaleByAdamState"):
            optgen.optax.adam(0.1).update(jnp.ones(3), optgen.optax.sgd(0.1).init(jnp.ones(3)))

    def test_state_of_another_option(self):
        state = optgen.optax.sgd(0.1).init(jnp.ones(3))
        with pytest.raises(TreeMismatch):
            optgen.optax.sgd(0.1, momentum=0.9).update(jnp.ones(3), state)

    def test_integer_parameters(self):
        with pytest.raises(
            TreeMismatch, match=r"parameter is an array of int\d+, expected an array of floating-point numbers"
        ):
            optgen.optax.adam(0.1).init(jnp.arange(3))
