"""Steps with states in formats: kernels against arrays, every front-end, checkpoints, mistakes."""

from __future__ import annotations

import inspect
import io
import pickle
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import optgen.brainpy
import optgen.lucid
import optgen.optax
import optgen.optim
import optgen.torch
from optgen.contract.formats import EIGHT_BIT, FORMATS, block_count
from optgen.errors import InvalidHyperparameter, TreeMismatch
from optgen.runtime.formats.bits import key_of
from optgen.runtime.formats.codes import Blocks, encoded
from optgen.runtime.native.rule import PreparedCall
from tests.formats.libraries import LIBRARIES, is_alike, plain, value_of
from tools.measure_state_formats import accuracy
from tools.measure_state_moves import largest_move

#: Two chunks, broken blocks, lines that end within blocks, nothing at all.
SHAPES = [(70, 130), (37,), (5, 3, 3, 3), (), (300, 7), (0, 4), (17_000,)]

#: What all classes of `optgen.torch` have in common is tried on those whose rules differ in what is kept.
CLASSES = sorted(name for name in dir(optgen.torch) if name[0].isupper() and name != "GeneratedOptimizer")
WITHOUT_INPUTS = [name for name in CLASSES if name not in ("LBFGS", "NoisySGD", "PolyakSGD", "Sophia")]


def steps(name: str, count: int = 4, seed: int = 0, **arguments: Any) -> tuple[list[Any], list[Mapping[str, Any]]]:
    """Parameters and what is kept for them after some steps of a class of `optgen.torch`."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    optimizer = getattr(optgen.torch, name)(parameters, **arguments)
    for _ in range(count):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach() for p in parameters], [dict(optimizer.state[p]) for p in parameters]


def stored(kept: Mapping[str, Any], name: str) -> Any:
    """A state as it is stored."""
    return Blocks(kept[name], kept[f"{name}_scales"]) if f"{name}_scales" in kept else kept[name]


@pytest.fixture
def made_by_kernels(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every step that native kernels make."""
    found: list[int] = []
    run = PreparedCall.run

    def counting(*given: Any) -> None:
        found.append(1)
        run(*given)

    monkeypatch.setattr(PreparedCall, "run", counting)
    return found


@pytest.mark.parametrize("name", WITHOUT_INPUTS)
def test_native_kernels_store_what_arrays_do(
    name: str, monkeypatch: pytest.MonkeyPatch, made_by_kernels: list[int]
) -> None:
    """The same random bits on the same numbers; numbers that differ by a rounding may end at the other neighbour."""
    for state_dtype in FORMATS if name == "AdamW" else ("8bit_stochastic", "bfloat16"):
        # Of a rule that is not smooth, one step: what a rounding changes would be another trajectory after that.
        count = 1 if name in ("Rprop", "Lion", "SignSGD", "SM3") else 3
        monkeypatch.setenv("OPTGEN_BACKEND", "native")
        made_by_kernels.clear()
        ours, kept = steps(name, count, state_dtype=state_dtype)
        assert len(made_by_kernels) == count
        monkeypatch.setenv("OPTGEN_BACKEND", "arrays")
        theirs, expected = steps(name, count, state_dtype=state_dtype)
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=2e-5, atol=2e-6)
        differing = total = 0
        for one, other in zip(kept, expected, strict=True):
            assert one.keys() == other.keys()
            for entry in one:
                if entry.endswith("_scales") or not isinstance(one[entry], torch.Tensor):
                    continue
                assert one[entry].dtype == other[entry].dtype
                if one[entry].dtype in (torch.uint8, torch.bfloat16):
                    differing += int((one[entry] != other[entry]).sum())
                    total += one[entry].numel()
        assert differing <= 0.005 * total


@pytest.mark.parametrize("state_dtype", FORMATS)
def test_jax_calls_kernels_that_store_what_its_functions_do(state_dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside jit, with donated buffers: parameters and states are updated in place."""
    params = {"w": jnp.ones((90, 70), jnp.float32), "b": jnp.zeros(7, jnp.float32), "e": jnp.zeros((0, 3), jnp.float32)}
    gradients = jax.tree.map(lambda x: jnp.sin(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), params)
    found = {}
    for backend in ("native", "arrays"):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        tx = optgen.optax.adamw(1e-2, state_dtype=state_dtype)

        @jax.jit
        def step(params: Any, state: Any, tx: Any = tx) -> Any:
            return optgen.optax.apply_gradients(tx, gradients, state, params)

        assert ("optgen_native" in step.lower(params, tx.init(params)).as_text()) is (backend == "native")
        theta, state = params, tx.init(params)
        for _ in range(4):
            theta, state = step(theta, state)
        found[backend] = theta, state
    (ours, kept), (theirs, expected) = found["native"], found["arrays"]
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        # A rounding of float32 apart, a few states end at the other neighbour.
        assert (np.abs(a - b) > 1e-6).mean() <= 0.005 if a.size else True
        np.testing.assert_allclose(a, b, rtol=1e-2)
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        if a.dtype == jnp.float32:
            np.testing.assert_allclose(a, b, rtol=1e-6)
        else:
            assert (plain(a) != plain(b)).mean() <= 0.005 if a.size else True


@pytest.mark.parametrize("state_dtype", FORMATS)
def test_a_step_is_that_of_full_precision_on_what_is_stored(state_dtype: str) -> None:
    """What is stored is read exactly, the step computed in full, and its new states are rounded once, at the end."""
    params = {"w": jnp.ones((30, 40), jnp.float32), "b": jnp.zeros(7, jnp.float32)}
    gradients = jax.tree.map(lambda x: jnp.sin(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), params)
    ours = optgen.optax.adam(1e-2, state_dtype=state_dtype)
    full = optgen.optax.adam(1e-2)
    state = ours.init(params)
    for t in range(1, 4):
        wide = jax.tree.map(
            lambda value: jnp.asarray(value_of("jax", value)) if isinstance(value, Blocks) else value,
            state[0],
            is_leaf=lambda value: isinstance(value, Blocks),
        )
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, wide)
        expected, after = full.update(gradients, (wide, *state[1:]), params)
        updates, state = ours.update(gradients, state, params)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(a, b)
        for index, leaf in enumerate(("b", "w")):
            for number, (one, other) in enumerate(((state[0].mu, after[0].mu), (state[0].nu, after[0].nu))):
                again = encoded(LIBRARIES["jax"][0], other[leaf], state_dtype, key_of(t, index, number))
                assert is_alike(one[leaf], again)


def test_what_is_kept_and_what_is_not() -> None:
    """One format for all is that of moments: copies of the parameter, rows and columns stay as they are."""
    _, kept = steps("AdamW", 1, state_dtype="8bit")
    for shape, one in zip(SHAPES, kept, strict=True):
        assert one["exp_avg"].shape == shape
        assert one["exp_avg"].dtype == torch.uint8
        assert one["exp_avg_scales"].shape == (block_count(shape),)
    _, kept = steps("ScheduleFree", 1, state_dtype="bfloat16")
    assert kept[0]["z"].dtype == torch.float32
    _, kept = steps("ScheduleFree", 1, state_dtype={"z": "bfloat16"})
    assert kept[0]["z"].dtype == torch.bfloat16
    _, kept = steps("Adafactor", 1, state_dtype="8bit")
    assert kept[0]["row_var"].dtype == torch.float32
    _, kept = steps("SGD", 1, momentum=0.9, state_dtype=torch.bfloat16)
    assert kept[0]["momentum_buffer"].dtype == torch.bfloat16
    _, kept = steps("AdamW", 1, state_dtype={"exp_avg": "8bit_stochastic", "v": torch.bfloat16})
    assert (kept[0]["exp_avg"].dtype, kept[0]["exp_avg_sq"].dtype) == (torch.uint8, torch.bfloat16)
    _, kept = steps("AdamW", 1, state_dtype="float32")
    assert kept[0]["exp_avg"].dtype == torch.float32


def test_groups_of_torch_have_formats_of_their_own() -> None:
    """`state_dtype` is an option of a group as `lr` is."""
    a, b = torch.nn.Parameter(torch.ones(300)), torch.nn.Parameter(torch.ones(300))
    optimizer = optgen.torch.AdamW([{"params": [a], "state_dtype": "8bit"}, {"params": [b]}], lr=0.1)
    a.grad, b.grad = torch.ones(300), torch.ones(300)
    for _ in range(2):
        optimizer.step()
    assert optimizer.state[a]["exp_avg"].dtype == torch.uint8
    assert optimizer.state[b]["exp_avg"].dtype == torch.float32
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.complex64])
@pytest.mark.parametrize("state_dtype", FORMATS)
def test_parameters_of_every_dtype(state_dtype: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also channels last, and complex parameters, which are two real ones."""
    found = []
    for backend in ("native", "arrays"):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        generator = torch.Generator().manual_seed(0)
        p = torch.nn.Parameter(torch.randn((5, 4, 6, 7), generator=generator, dtype=torch.float32).to(dtype))
        if not dtype.is_complex:
            p.data = p.data.contiguous(memory_format=torch.channels_last)
        optimizer = optgen.torch.AdamW([p], lr=0.1, state_dtype=state_dtype)
        for _ in range(3):
            p.grad = torch.randn((5, 4, 6, 7), generator=generator).to(dtype)
            optimizer.step()
        found.append(p.detach())
    assert found[0].isfinite().all()
    one, other = (torch.view_as_real(x) if dtype.is_complex else x.double() for x in found)
    torch.testing.assert_close(one, other, rtol=1e-2 if dtype.itemsize == 2 else 1e-5, atol=1e-5)


def resumed(checkpoint: Any) -> Any:
    """A checkpoint after it has been written and read."""
    memory = io.BytesIO()
    torch.save(checkpoint, memory)
    memory.seek(0)
    return torch.load(memory, weights_only=True)


@pytest.mark.parametrize("state_dtype", FORMATS)
def test_torch_goes_on_from_a_checkpoint_bit_by_bit(state_dtype: str) -> None:
    """Saved and loaded with `weights_only=True`; random bits go on with the number of the step."""
    p = torch.nn.Parameter(torch.ones(700))
    optimizer = optgen.torch.AdamW([p], lr=0.1, state_dtype=state_dtype)

    def run(parameter: torch.nn.Parameter, optimizer: Any, first: int) -> None:
        for t in range(first, first + 3):
            parameter.grad = torch.sin(torch.arange(700.0) + t)
            optimizer.step()

    run(p, optimizer, 0)
    saved, halfway = resumed(optimizer.state_dict()), p.detach().clone()
    run(p, optimizer, 3)
    q = torch.nn.Parameter(halfway)
    other = optgen.torch.AdamW([q], lr=0.1, state_dtype=state_dtype)
    other.load_state_dict(saved)
    run(q, other, 3)
    assert torch.equal(p, q)


def test_checkpoints_of_torch_are_rounded_when_they_are_loaded() -> None:
    """torch's own AdamW keeps full moments; they become what `state_dtype` says."""
    p, q = torch.nn.Parameter(torch.ones(700)), torch.nn.Parameter(torch.ones(700))
    theirs = torch.optim.AdamW([p], lr=0.1)
    p.grad = torch.sin(torch.arange(700.0))
    theirs.step()
    ours = optgen.torch.AdamW([q], lr=0.1, state_dtype=EIGHT_BIT)
    ours.load_state_dict(theirs.state_dict())
    full = theirs.state[p]["exp_avg"].numpy()
    assert is_alike(stored(ours.state[q], "exp_avg"), encoded(LIBRARIES["numpy"][0], full, EIGHT_BIT, None))
    assert theirs.state[p]["exp_avg"].dtype == torch.float32
    saved = ours.state_dict()
    saved["state"][0]["exp_avg_scales"] = torch.ones(2)
    with pytest.raises(TreeMismatch, match="exp_avg_scales"):
        ours.load_state_dict(saved)
    del saved["state"][0]["exp_avg_scales"]
    with pytest.raises(TreeMismatch, match="exp_avg"):
        ours.load_state_dict(saved)


@pytest.mark.parametrize("state_dtype", FORMATS)
def test_stateful_front_ends_go_on_from_what_they_saved(state_dtype: str) -> None:
    """optim, brainpy and lucid: the same trajectory after saving and loading."""
    gradient = jnp.sin(jnp.arange(600.0, dtype=jnp.float32)).reshape(20, 30)

    def optim(value: Any, saved: Any) -> Any:
        weight = SimpleNamespace(value=value)
        optimizer = optgen.optim.Adam(1e-2, state_dtype=state_dtype)
        optimizer.register_trainable_weights({"w": weight})
        if saved is not None:
            optimizer.load_state_dict(saved)
        for _ in range(3):
            optimizer.step({"w": gradient})
        return weight.value, optimizer.state_dict()

    def brainpy(value: Any, saved: Any) -> Any:
        weight = SimpleNamespace(value=value)
        optimizer = optgen.brainpy.Adam(1e-2, train_vars={"w": weight}, state_dtype=state_dtype)
        if saved is not None:
            optimizer.load_state_dict(saved)
        for _ in range(3):
            optimizer.update({"w": gradient})
        return weight.value, optimizer.state_dict()

    def lucid(value: Any, saved: Any) -> Any:
        parameter = _Parameter(np.array(value), np.asarray(gradient))
        optimizer = optgen.lucid.Adam([parameter], lr=1e-2, state_dtype=state_dtype)
        if saved is not None:
            optimizer.load_state_dict(saved)
        for _ in range(3):
            optimizer.step()
        return parameter.data, pickle.loads(pickle.dumps(optimizer.state_dict()))

    ends = []
    for run in (optim, brainpy, lucid):
        halfway, saved = run(jnp.ones((20, 30), jnp.float32), None)
        again, _ = run(halfway, saved)
        twice, _ = run(halfway, saved)
        assert np.array_equal(again, twice)
        fresh, _ = run(halfway, None)
        assert not np.array_equal(again, fresh)
        ends.append(np.asarray(again))
    for end in ends[1:]:
        # A rounding of float32 apart, a few states end at the other neighbour.
        assert (np.abs(ends[0] - end) > 1e-5).mean() <= 0.01
        np.testing.assert_allclose(ends[0], end, rtol=1e-2)


class _Parameter:
    """A parameter as lucid has it."""

    def __init__(self, data: Any, grad: Any) -> None:
        self.data, self.grad = data, grad


def test_transformations_of_optax_carry_formats_along() -> None:
    """Under vmap, scan, masks, chains and `apply_if_finite`; the state is a tree of arrays."""
    params = jnp.ones((3, 300), jnp.float32)
    tx = optax.chain(optax.clip(1.0), optgen.optax.adam(1e-2, state_dtype="8bit", skip_nonfinite=True))

    def run(theta: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            theta, state = carry
            updates, state = tx.update(jnp.cos(theta), state, theta)
            return (optax.apply_updates(theta, updates), state), None

        (theta, state), _ = jax.lax.scan(step, (theta, tx.init(theta)), None, length=3)
        return theta, state

    together, states = jax.jit(jax.vmap(run))(params)
    alone, _ = run(params[0])
    np.testing.assert_allclose(together[0], alone, rtol=1e-6)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(states)} >= {"uint8", "float32", "int32"}
    masked = optgen.optax.adamw(1e-2, mask={"a": True, "b": False}, state_dtype="bfloat16")
    tree = {"a": params, "b": params}
    updates, state = masked.update(tree, masked.init(tree), tree)
    assert state[0].mu["b"].dtype == jnp.bfloat16
    assert not np.array_equal(updates["a"], updates["b"])


#: Factories of optgen.optax that need nothing but hyperparameters; differences of L-BFGS's histories are kept in full.
FACTORIES = sorted(
    name
    for name in optgen.optax.__all__
    if name not in ("lbfgs", "lookahead", "schedule_free", "sophia")
    and callable(getattr(optgen.optax, name))
    and "state_dtype" in inspect.signature(getattr(optgen.optax, name)).parameters
)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", FACTORIES)
def test_every_transformation_takes_formats(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps that follow each other, on tensors of which some keep no such state; others of the same rule refuse."""
    monkeypatch.setenv("OPTGEN_BACKEND", "arrays")
    params = {"w": jnp.ones((130, 140)), "b": jnp.ones(300), "c": jnp.ones(())}
    make = getattr(optgen.optax, name)
    required = {n: 0.1 for n, p in inspect.signature(make).parameters.items() if p.default is p.empty}
    extra = {"value": 1.0} if name == "polyak_sgd" else {}
    tx = make(**required, state_dtype="8bit")
    state = tx.init(params)
    kinds = [leaf.dtype for leaf in jax.tree.leaves(state)]
    for _ in range(2):
        _, state = tx.update(params, state, params, **extra)
    assert [leaf.dtype for leaf in jax.tree.leaves(state)] == kinds
    if jnp.uint8 in kinds:
        with pytest.raises(TreeMismatch):
            make(**required).update(params, state, params, **extra)


@pytest.mark.parametrize("after", [None, *FORMATS])
@pytest.mark.parametrize("before", [None, *FORMATS])
def test_a_group_may_be_told_another_format(before: str | None, after: str | None) -> None:
    """In the middle of training: what is stored is brought to the other format, and nothing else is written to."""
    # The momentum stands in the middle of memory that nothing may write to.
    guard, first = torch.zeros(12_000, dtype=torch.uint8), 4000
    p, q = torch.nn.Parameter(torch.ones(1000)), torch.nn.Parameter(torch.ones(1000))
    optimizer = optgen.torch.SGD([p], lr=0.1, momentum=0.9, state_dtype=before)
    full = optgen.torch.SGD([q], lr=0.1, momentum=0.9)
    for step in range(6):
        if step == 3:
            optimizer.param_groups[0]["state_dtype"] = after
        for one in (p, q):
            one.grad = torch.sin(torch.arange(1000.0) + step)
        if step:
            kept = optimizer.state[p]
            raw = kept["momentum_buffer"].view(torch.uint8).clone()
            guarded = guard.zero_()[first : first + raw.numel()]
            kept["momentum_buffer"] = guarded.copy_(raw).view(kept["momentum_buffer"].dtype)
        optimizer.step()
        full.step()
        if step:
            assert not guard[:first].any()
            assert not guard[first + len(raw) :].any()
    kept = optimizer.state[p]
    wide = torch.float32 if after is None else torch.bfloat16
    assert kept["momentum_buffer"].dtype == (torch.uint8 if after and "8bit" in after else wide)
    assert ("momentum_buffer_scales" in kept) is (after is not None and after.startswith("8bit"))
    assert float((p - q).abs().max()) < (0.2 if "8bit" in f"{before}{after}" else 0.02)


def test_a_state_of_another_type_is_not_taken_for_one_in_a_format() -> None:
    """Codes without scales are refused; other numbers are rounded."""
    p = torch.nn.Parameter(torch.ones(700))
    optimizer = optgen.torch.AdamW([p], lr=0.1, state_dtype="8bit")
    p.grad = torch.ones(700)
    optimizer.step()
    scales = optimizer.state[p].pop("exp_avg_scales")
    before = p.detach().clone()
    with pytest.raises(TreeMismatch, match="'exp_avg' of a parameter is of 8 bits only together with 'exp_avg_scales'"):
        optimizer.step()
    assert torch.equal(before, p)
    optimizer.state[p]["exp_avg_scales"] = scales
    optimizer.state[p]["exp_avg_sq"] = torch.full((700,), 1e-3)
    del optimizer.state[p]["exp_avg_sq_scales"]
    optimizer.step()
    assert optimizer.state[p]["exp_avg_sq"].dtype == torch.uint8


def test_groups_draw_other_random_bits() -> None:
    """The same numbers in two groups, and in two tensors of one."""
    ps = [torch.nn.Parameter(torch.ones(3000)) for _ in range(3)]
    groups = [{"params": ps[:1]}, {"params": ps[1:]}]
    optimizer = optgen.torch.SGD(groups, lr=0.1, momentum=0.9, state_dtype="bfloat16")
    for _ in range(3):
        for p in ps:
            p.grad = torch.full((3000,), 1.001)
        optimizer.step()
    kept = [optimizer.state[p]["momentum_buffer"] for p in ps]
    assert all((a != b).any() for a, b in ((kept[0], kept[1]), (kept[0], kept[2]), (kept[1], kept[2])))


def test_sparse_gradients() -> None:
    """torch's Adagrad takes entries alone; in a format their states are read and written as whole blocks."""
    for state_dtype in FORMATS:
        p, q = torch.nn.Parameter(torch.ones(600, 2)), torch.nn.Parameter(torch.ones(600, 2))
        ours, plain = optgen.torch.Adagrad([p], lr=0.1, state_dtype=state_dtype), optgen.torch.Adagrad([q], lr=0.1)
        for one, optimizer in ((p, ours), (q, plain)):
            one.grad = torch.sparse_coo_tensor([[3, 500]], torch.ones(2, 2), (600, 2))
            optimizer.step()
        torch.testing.assert_close(p, q)


def test_what_optax_states_cannot_be() -> None:
    """Complex parameters, and a state that was made with another format."""
    params = {"w": jnp.ones(3, jnp.complex64)}
    with pytest.raises(TreeMismatch, match="state_dtype is for real parameters"):
        optgen.optax.sgd(0.1, momentum=0.9, state_dtype="8bit").init(params)
    real = {"w": jnp.ones(3)}
    full, narrow = optgen.optax.adam(0.1), optgen.optax.adam(0.1, state_dtype="8bit")
    with pytest.raises(TreeMismatch, match="in 8 bits, and state_dtype says otherwise"):
        full.update(real, narrow.init(real), real)
    with pytest.raises(TreeMismatch, match="an array, and state_dtype says otherwise"):
        narrow.update(real, full.init(real), real)


def test_kernels_step_what_keeps_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """optax's Adafactor turns tensors, but of a matrix it keeps no state that has a format."""
    params = {"w": jnp.ones((64, 64, 3, 3)), "tall": jnp.ones((90, 70)), "b": jnp.ones(300)}
    grads = jax.tree.map(lambda p: jnp.sin(jnp.arange(p.size, dtype=jnp.float32)).reshape(p.shape), params)
    for momentum, expected in ((None, True), (0.9, False)):
        found = []
        for backend in ("auto", "arrays"):
            monkeypatch.setenv("OPTGEN_BACKEND", backend)
            tx = optgen.optax.adafactor(0.1, min_dim_size_to_factor=3, momentum=momentum, state_dtype="8bit")
            step = jax.jit(lambda p, s, g, tx=tx: optgen.optax.apply_gradients(tx, g, s, p))
            assert ("optgen_native" in step.lower(params, tx.init(params), grads).as_text()) is (
                expected and backend == "auto"
            )
            found.append(step(params, tx.init(params), grads)[0])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), *found)


def test_two_arguments_for_one_state() -> None:
    """optax's `mu_dtype` is for a state that `state_dtype` leaves alone."""
    with pytest.raises(InvalidHyperparameter, match="mu_dtype and state_dtype say of one state"):
        optgen.optax.adamw(0.1, mu_dtype=jnp.bfloat16, state_dtype="8bit")
    tx = optgen.optax.adamw(0.1, mu_dtype=jnp.bfloat16, state_dtype={"nu": "8bit"})
    mu, nu = next((one.mu, one.nu) for one in tx.init(jnp.ones(300)) if hasattr(one, "mu"))
    assert mu.dtype == jnp.bfloat16
    assert isinstance(nu, Blocks)
    assert optgen.optax.adafactor(0.1, state_dtype="8bit").init(jnp.ones(300)) is not None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("int8", "float32, bfloat16, bfloat16_nearest, 8bit, 8bit_stochastic"),
        (8, "float32, bfloat16"),
        (torch.float16, "bfloat16"),
        ({"momentum": "8bit"}, "exp_avg, exp_avg_sq"),
        ({"exp_avg": "4bit"}, "8bit"),
    ],
)
def test_mistakes(given: Any, words: str) -> None:
    """A format or a state that does not exist is told with those that do."""
    parameters = [torch.nn.Parameter(torch.ones(3))]
    with pytest.raises(InvalidHyperparameter, match=words):
        optgen.torch.AdamW(parameters, state_dtype=given)
    with pytest.raises(InvalidHyperparameter, match="state_dtype"):
        optgen.optax.adamw(1e-3, state_dtype=given)
    with pytest.raises(InvalidHyperparameter, match="histories"):
        optgen.torch.LBFGS(parameters, state_dtype="8bit")


def test_training_on_digits_is_as_good() -> None:
    """Within 0.5 % of the accuracy with float32 moments, on average of three networks."""
    every = (None, *FORMATS)
    found = {state_dtype: np.mean([accuracy(state_dtype, seed) for seed in range(3)]) for state_dtype in every}
    assert found[None] > 0.96
    assert all(abs(found[state_dtype] - found[None]) <= 0.005 for state_dtype in FORMATS), found


@pytest.mark.parametrize("name", ["AdEMAMix", "AdamW", "Adan", "NAdam", "RAdam"])
def test_no_weight_moves_much_farther_than_with_states_in_full(name: str) -> None:
    """A second moment that was rounded to zero made steps of up to 80 times the learning rate."""
    full = largest_move(name, None, {})
    for state_dtype in FORMATS:
        assert largest_move(name, state_dtype, {}) <= 1.5 * full


def test_states_of_transformations_are_the_transformations_own() -> None:
    """A format is refused where the rule's states are not what is kept, and goes on into rules that are wrapped."""
    with pytest.raises(InvalidHyperparameter, match="state_dtype"):
        optgen.optim.OptaxOptimizer(optax.adam(1e-3), state_dtype="8bit")
    optimizer = optgen.optim.Lookahead(optax.sgd(1e-2), state_dtype={"slow": "bfloat16"})
    optimizer.register_trainable_weights({"w": SimpleNamespace(value=jnp.ones(300))})
    optimizer.step({"w": jnp.ones(300)})
    assert "bfloat16" in {leaf.dtype.name for leaf in jax.tree.leaves(optimizer.opt_state.value)}
