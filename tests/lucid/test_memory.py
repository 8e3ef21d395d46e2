"""Parameters in memory as it comes, and steps that go on from the one before."""

from __future__ import annotations

import copy
import os
import pickle
import sys

import numpy as np
import pytest

import optgen
import optgen.lucid
from optgen.errors import TreeMismatch
from optgen.runtime.native.rule import NativeRule
from optgen.runtime.numpy import memory as numpy_memory

COUNT = 300_000


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, None


def views(which, memory):
    return {
        "the same": [memory, memory],
        "overlapping": [memory[: 2 * COUNT // 3], memory[COUNT // 3 :]],
        "backward": [memory[::-1], memory[COUNT // 2 :]],
        "one inside another": [memory, memory[:7], memory[COUNT // 2 : COUNT // 2 + 40]],
        "in other shapes": [memory.reshape(2, -1).T, memory.reshape(-1, 3)[1:]],
    }[which]


@pytest.mark.parametrize("backend", ["native", "arrays"])
@pytest.mark.parametrize("name", ["AdamW", "SGD", "NAdam"])
@pytest.mark.parametrize("which", ["the same", "overlapping", "backward", "one inside another", "in other shapes"])
def test_parameters_that_share_memory_make_their_steps_one_after_the_other(which, name, backend, monkeypatch):
    """So the result is that of an optimizer for each, whatever the number of threads."""
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    monkeypatch.setenv("OPTGEN_NUM_THREADS", "4")
    found = []
    for is_alone in (False, True):
        random = np.random.default_rng(0)
        memory = random.normal(size=COUNT)
        params = [Parameter(data) for data in (*views(which, memory), np.ones(5))]
        cls = getattr(optgen.lucid, name)
        optimizers = [cls([p], lr=0.1) for p in params] if is_alone else [cls(params, lr=0.1)]
        for _ in range(3):
            for p in params:
                p.grad = random.normal(size=p.data.shape)
            for optimizer in optimizers:
                optimizer.step()
        found.append(memory)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("backend", ["native", "arrays"])
@pytest.mark.parametrize("shift", [-1, 0, 1, 700])
def test_gradients_in_the_memory_of_parameters(shift, backend, monkeypatch):
    """A step sees them as they were before it, also once the step before has been made with others."""
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    monkeypatch.setenv("OPTGEN_NUM_THREADS", "4")
    memory = np.random.default_rng(0).normal(size=COUNT + 1400)
    part = slice(700, 700 + COUNT)
    p = Parameter(memory[part])
    optimizer = optgen.lucid.SGD([p], lr=0.5)
    p.grad = np.zeros(COUNT)
    optimizer.step()
    p.grad = memory[part.start + shift : part.stop + shift]
    expected = p.data - 0.5 * p.grad
    optimizer.step()
    np.testing.assert_array_equal(p.data, expected)


def test_a_rule_that_looks_at_the_whole_model_refuses_shared_memory():
    """Its steps cannot be made one after the other."""
    cls = optgen.define("whole", "theta[t] = theta[t-1] - lr*g/norm(g, over=model)", lr=0.1).lucid
    memory = np.ones(10)
    before = Parameter(np.ones(3))
    params = [Parameter(memory), Parameter(memory[5:])]
    optimizer = cls([{"params": [before]}, {"params": params}])
    for p in (before, *params):
        p.grad = np.ones_like(p.data)
    with pytest.raises(TreeMismatch, match="parameters share memory, and this rule, which looks at the whole model"):
        optimizer.step()
    assert np.array_equal(memory, np.ones(10))
    assert np.array_equal(before.data, np.ones(3))


def test_numbers_in_one_place():
    """The number written last stays, as numpy has it; kernels do not run on such."""
    found = []
    for backend in ("native", "arrays"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("OPTGEN_BACKEND", backend)
            memory = np.arange(4.0)
            p = Parameter(np.lib.stride_tricks.as_strided(memory, (3, 4), (0, 8)))
            p.grad = np.arange(12.0).reshape(3, 4)
            optgen.lucid.SGD([p], lr=1.0).step()
            found.append(memory)
    np.testing.assert_array_equal(found, [np.arange(4.0) - np.arange(8.0, 12.0)] * 2)


def test_what_is_told_of_memory():
    memory = np.zeros((6, 10))
    arrays = [memory[:3], memory[3:], memory[2], memory[:0], memory[5, ::-3], memory[4:5, 4:5]]
    assert numpy_memory.sharing(arrays) == {0, 2, 1, 4, 5}
    assert numpy_memory.sharing([memory[:2], memory[2:4], memory[4:]]) == set()
    spans = numpy_memory.Spans([memory[1], memory[2], memory[4]])
    ends = np.array([numpy_memory.reach(row) for row in (*memory, memory[3:5], memory[:6], memory[1:1])], np.uint64).T
    assert spans.meet(*ends).tolist() == [False, True, True, False, True, False, True, True, False]
    assert not numpy_memory.Spans([]).meet(*ends).any()
    folded = np.lib.stride_tricks.as_strided
    assert [numpy_memory.is_folded(a) for a in (memory, memory.T, memory[::2, ::-3], memory[:0], memory[:1])] == [
        False
    ] * 5
    assert [numpy_memory.is_folded(folded(memory, (3, 4), s)) for s in ((0, 8), (16, 8), (8, 80))] == [
        True,
        True,
        False,
    ]


@pytest.fixture
def looked(monkeypatch):
    """How often a step has looked at everything."""
    made, prepared = [], NativeRule.prepared
    monkeypatch.setattr(NativeRule, "prepared", lambda *given, **more: made.append(1) or prepared(*given, **more))
    monkeypatch.setitem(os.environ, "OPTGEN_BACKEND", "native")
    return made


SHAPES = [(3,), (4, 5), (), (0,), (7, 1)]


def trained(optimizer, params, seeds, dtype=np.float64):
    for seed in seeds:
        random = np.random.default_rng(seed)
        for p in params:
            p.grad = np.asarray(random.normal(size=p.data.shape), dtype)
        optimizer.step()


def made(name, dtype=np.float64, **given):
    random = np.random.default_rng(9)
    params = [Parameter(np.asarray(random.normal(size=shape), dtype)) for shape in SHAPES]
    return params, getattr(optgen.lucid, name)(params, **given)


def numbers(params, optimizer):
    return [p.data for p in params], optimizer.state_dict()["state"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("AdamW", {}),
        ("NAdam", {}),
        ("SGD", {}),
        ("SGD", {"momentum": 0.9}),
        ("Adam", {"skip_nonfinite": True}),
        ("Adam", {"state_dtype": "8bit_stochastic"}),
        ("Rprop", {}),
    ],
)
def test_steps_that_go_on_have_the_same_bits(name, given, dtype, looked):
    params, optimizer = made(name, dtype, **given)
    trained(optimizer, params, range(5), dtype)
    assert len(looked) == 1
    others, other = made(name, dtype, **given)
    for seed in range(5):
        other._ready.clear()
        trained(other, others, [seed], dtype)
    np.testing.assert_equal(numbers(params, optimizer), numbers(others, other))


def _new_memory(p, optimizer):
    p.data = p.data * 2


def _new_state(p, optimizer):
    optimizer.state[p]["exp_avg"] = optimizer.state[p]["exp_avg"] * 2


def _changed_count(p, optimizer):
    optimizer.state[p]["step"] = 40


def _new_kept(p, optimizer):
    optimizer.state[p] = copy.deepcopy(optimizer.state[p])
    optimizer.state[p]["exp_avg"] *= 2


def _loaded(p, optimizer):
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] *= 2
    optimizer.load_state_dict(state)


def _new_options(p, optimizer):
    optimizer.param_groups[0].update(lr=0.3, amsgrad=False, weight_decay=0.5)


def _transposed(p, optimizer):
    p.data = np.asfortranarray(p.data)


def _left_out(p, optimizer):
    held, p.grad = p.grad, None
    optimizer.step()
    p.grad = held


def _resized(p, optimizer):
    """Twice, so that it may stand elsewhere in the same shape."""
    kept = optimizer.state[p]["exp_avg"]
    shape, values = kept.shape, kept.copy()
    kept.resize(100_000, refcheck=False)
    kept.resize(shape, refcheck=False)
    kept[...] = values


CHANGES = [_new_memory, _new_state, _changed_count, _new_kept, _loaded, _new_options, _transposed, _left_out, _resized]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_steps_is_noticed(change, looked):
    found = []
    for goes_on in (True, False):
        params, optimizer = made("Adam", lr=0.1)
        trained(optimizer, params, range(2))
        change(params[1], optimizer)
        if not goes_on:
            optimizer._ready.clear()
        trained(optimizer, params, range(2, 4))
        found.append(copy.deepcopy(numbers(params, optimizer)))
    np.testing.assert_equal(*found)


@pytest.mark.parametrize("name", ["Adam", "NAdam", "SGD"])
def test_entries_of_others_may_be_replaced_between_steps(name, looked):
    params, optimizer = made(name, lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
    trained(optimizer, params, [0])
    for seed in range(1, 6):
        for p in params:
            optimizer.state[p] |= {"ema": 0.5, "average": p.data.copy()}
        trained(optimizer, params, [seed])
    assert len(looked) == 1
    optimizer.state[params[0]].pop("momentum_buffer" if name == "SGD" else "exp_avg")
    if name == "SGD":
        trained(optimizer, params, [6])
    else:
        with pytest.raises(TreeMismatch, match="this optimizer keeps"):
            trained(optimizer, params, [6])


def test_gradients_of_other_kinds():
    """Of another dtype or order, or with gaps, also after steps with plain ones; wrong ones are refused."""
    found = []
    for goes_on in (True, False):
        params, optimizer = made("Adam", lr=0.1)
        p = params[1]
        for kind in (
            np.asarray,
            np.float32,
            np.asarray,
            np.asfortranarray,
            lambda g: np.repeat(g, 2, 1)[:, ::2],
            np.asarray,
        ):
            for q in params:
                q.grad = np.random.default_rng(1).normal(size=q.data.shape)
            p.grad = kind(p.grad)
            if not goes_on:
                optimizer._ready.clear()
            optimizer.step()
        found.append(copy.deepcopy(numbers(params, optimizer)))
        for wrong, error in ((np.ones((5, 4)), TreeMismatch), ([1.0], TypeError)):
            p.grad = wrong
            before = copy.deepcopy(numbers(params, optimizer))
            with pytest.raises(error):
                optimizer.step()
            np.testing.assert_equal(numbers(params, optimizer), before)
    np.testing.assert_equal(*found)


def test_a_parameter_that_has_become_read_only():
    params, optimizer = made("Adam", lr=0.1)
    trained(optimizer, params, range(2))
    params[1].data.flags.writeable = False
    before = params[0].data.copy()
    with pytest.raises(TypeError, match="cannot be written to"):
        trained(optimizer, params, [2])
    np.testing.assert_array_equal(params[0].data, before)


def test_copies_look_for_themselves():
    params, optimizer = made("Adam", lr=0.1)
    trained(optimizer, params, range(2))
    assert pickle.loads(pickle.dumps(optimizer))._ready == copy.deepcopy(optimizer)._ready == {}
    others, other = copy.deepcopy((params, optimizer))
    trained(optimizer, params, range(2, 4))
    trained(other, others, range(2, 4))
    np.testing.assert_equal(numbers(params, optimizer), numbers(others, other))


def test_no_function_is_called_for_each_parameter():
    """A step that goes on makes as many calls of Python functions for 200 parameters as for 5."""
    counts = []
    for count in (5, 200):
        params = [Parameter(np.ones(3)) for _ in range(count)]
        optimizer = optgen.lucid.NAdam(params, lr=0.1)
        trained(optimizer, params, range(2))
        calls = []
        sys.setprofile(
            lambda frame, event, _, calls=calls: calls.append(frame.f_code.co_name) if event == "call" else None
        )
        try:
            optimizer.step()
        finally:
            sys.setprofile(None)
        counts.append([name for name in calls if not name.startswith("<")])
    assert counts[0] == counts[1]
