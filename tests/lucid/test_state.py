"""State of parameters: set by hand, loaded, shared with wrappers; refused before anything moves."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import optgen.lucid
from optgen.errors import TreeMismatch
from tests.lucid.test_front_end import CLASSES, made, take


def alike(parameters, others):
    return all(np.array_equal(p.data, q.data) for p, q in zip(parameters, others, strict=True))


@pytest.mark.parametrize("step", [2, 2.0, np.int64(2), np.array(2.0)], ids=repr)
def test_a_step_goes_on_from_a_count_that_was_set_by_hand(step):
    runs = [made("Adam") for _ in range(2)]
    for parameters, optimizer in runs:
        take(parameters, optimizer, 0)
        take(parameters, optimizer, 1)
    for p in runs[1][0]:
        runs[1][1].state[p]["step"] = step
    for parameters, optimizer in runs:
        take(parameters, optimizer, 2)
    assert alike(runs[0][0], runs[1][0])


WRONG = {
    "step": ["2", 2.5, float("inf"), -1, 1e30, True, np.array("2"), None],
    "exp_avg": ["x", float("inf"), np.ones(20), np.ones((4, 5), np.complex64), np.full((4, 5), "x"), [1.0]],
}


@pytest.mark.parametrize(("entry", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_no_step_can_go_on_from_is_refused_before_anything_moves(entry, value):
    """The wrong state is that of the last parameter in the last group: the first group has not moved either."""
    parameters, _ = made("Adam")
    optimizer = optgen.lucid.Adam([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.1}])
    take(parameters, optimizer, 0)
    good = copy.deepcopy(optimizer.state_dict())
    before = [p.data.copy() for p in parameters]
    optimizer.state[parameters[1]][entry] = value
    with pytest.raises(TreeMismatch, match="Adam: the state of a parameter of shape"):
        take(parameters, optimizer, 1)
    assert all(np.array_equal(p.data, b) for p, b in zip(parameters, before, strict=True))
    bad = copy.deepcopy(good)
    bad["state"][1][entry] = value
    with pytest.raises(TreeMismatch, match="Adam: the state of parameter 1"):
        optimizer.load_state_dict(bad)
    optimizer.load_state_dict(good)
    take(parameters, optimizer, 1)
    others, _ = made("Adam")
    whole = optgen.lucid.Adam([{"params": others[:1]}, {"params": others[1:], "lr": 0.1}])
    take(others, whole, 0)
    take(others, whole, 1)
    assert alike(parameters, others)


def test_a_state_that_is_resized_in_place_is_noticed():
    parameters, optimizer = made("Adam")
    take(parameters, optimizer, 0)
    before = [p.data.copy() for p in parameters]
    optimizer.state[parameters[1]]["exp_avg"].resize((2, 2), refcheck=False)
    with pytest.raises(TreeMismatch, match="has shape"):
        take(parameters, optimizer, 1)
    assert all(np.array_equal(p.data, b) for p, b in zip(parameters, before, strict=True))


def test_imaginary_parts_are_not_dropped():
    parameters, optimizer = made("Adam")
    parameters[0].grad, parameters[1].grad = np.ones(3), 1j * np.ones((4, 5))
    before = [p.data.copy() for p in parameters]
    with pytest.raises(TreeMismatch, match="Adam: a gradient is complex"):
        optimizer.step()
    parameters, optimizer = made("Sophia")
    for p in parameters:
        p.grad = np.ones(p.data.shape)
    with pytest.raises(TreeMismatch, match="Sophia: hessian is complex"):
        optimizer.step(hessian={p: 1j * np.ones(p.data.shape) for p in parameters})
    assert all(np.array_equal(p.data, b) for p, b in zip(parameters, before, strict=True))


@pytest.mark.parametrize("name", CLASSES)
def test_entries_of_others_are_kept(name):
    parameters, optimizer = made(name)
    take(parameters, optimizer, 0)
    for p in parameters:
        optimizer.state[p] |= {"ema": p.data.copy(), "my_count": 3, "my_name": "x"}
    take(parameters, optimizer, 1)
    others, resumed = made(name)
    for p, q in zip(parameters, others, strict=True):
        q.data[...] = p.data
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(parameters, others, strict=True):
        found = resumed.state[q]
        assert np.array_equal(found["ema"], optimizer.state[p]["ema"])
        assert (found["my_count"], found["my_name"]) == (3, "x")
        assert found.keys() == optimizer.state[p].keys()
    take(parameters, optimizer, 2)
    take(others, resumed, 2)
    assert alike(parameters, others)


@pytest.mark.parametrize("how", ["reordered", "taken out", "deleted"])
@pytest.mark.parametrize("name", ["Prodigy", "LBFGS"])
def test_numbers_of_the_model_outlive_a_groups_first_parameter(name, how):
    """As if the first parameter were there still, and had no gradient any more."""
    shapes = ((3,), (4, 5), (2,))
    (parameters, whole), (others, changed) = made(name, shapes), made(name, shapes)
    for seed in range(4):
        take(parameters, whole, seed)
        take(others, changed, seed)
    group = changed.param_groups[0]
    if how == "reordered":
        group["params"].reverse()
    else:
        group["params"].pop(0)
    if how == "deleted":
        del changed.state[others[0]]
    random = np.random.default_rng(9)
    for _ in range(3):
        for index, (p, q) in enumerate(zip(parameters, others, strict=True)):
            gradient = random.normal(size=p.data.shape)
            p.grad = q.grad = gradient if how == "reordered" or index else None
        whole.step()
        changed.step()
    for p, q in zip(parameters, others, strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-10, atol=1e-12)


def test_what_is_remembered_of_states_does_not_grow_with_entries_of_others():
    parameters, optimizer = made("Adam")
    take(parameters, optimizer, 0)
    sizes = set()
    for length in range(1, 6):
        for p in parameters:
            optimizer._ready.clear()
            optimizer.state[p] |= {"history": np.zeros(length), f"of_step_{length}": length}
        take(parameters, optimizer, length)
        sizes.add(sum(len(layout._passed) for layout in optimizer._layouts.values()))
    assert len(sizes) == 1
    assert sizes.pop() > 0
    # An entry of another option is seen beside them, also where the rule's own look as they did.
    optimizer._ready.clear()
    optimizer.state[parameters[1]]["max_exp_avg_sq"] = np.zeros_like(parameters[1].data)
    with pytest.raises(TreeMismatch, match=r"Adam: the state of a parameter of shape .* holds .*max_exp_avg_sq"):
        take(parameters, optimizer, 6)
