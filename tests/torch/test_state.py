"""State of parameters: set by hand, loaded, shared with wrappers, moved between places, seen by others."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.checkpoint import state_dict as distributed

import optgen
import optgen.torch
from optgen.errors import InvalidHyperparameter, TreeMismatch
from tests.inputs import needed_inputs
from tests.torch.test_front_end import CLASSES, inputs_of, made, take


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def alike(parameters, others):
    return all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))


@pytest.mark.parametrize("step", [2, 2.0, np.int64(2), np.array(2.0), torch.tensor(2), torch.tensor([2.0])], ids=repr)
@pytest.mark.parametrize("name", ["Adam", "NAdam", "Lamb"])
def test_a_step_goes_on_from_a_count_that_was_set_by_hand(name, step):
    runs = [made(name) for _ in range(2)]
    for parameters, optimizer, _ in runs:
        take(parameters, optimizer, seeded(0), 2)
    for p in runs[1][0]:
        runs[1][1].state[p]["step"] = copy.deepcopy(step)
    for parameters, optimizer, _ in runs:
        take(parameters, optimizer, seeded(1), 2)
    assert alike(runs[0][0], runs[1][0])
    assert all(float(runs[1][1].state[p]["step"]) == 4 for p in runs[1][0])


def in_inference(value):
    with torch.inference_mode():
        return value.clone()


NARROW = [
    *((127, torch.int8), (255, torch.uint8), (32767, torch.int16), (2048, torch.float16), (256, torch.bfloat16)),
    *((255, torch.float32), (2**24 + 1, torch.int32)),
]


@pytest.mark.parametrize("load", [False, True])
@pytest.mark.parametrize(("count", "dtype"), NARROW)
@pytest.mark.parametrize("name", ["AdamW", "NAdam"])
def test_a_count_goes_on_where_its_own_type_ends(name, count, dtype, load):
    """It is brought to float32, as torch keeps it, before the step; one in a type that has room stays in it."""
    runs = [made(name) for _ in range(2)]
    for (parameters, optimizer, _), step in zip(runs, (count, torch.tensor(count, dtype=dtype)), strict=True):
        take(parameters, optimizer, seeded(0))
        for p in parameters:
            optimizer.state[p]["step"] = torch.tensor(count) if step is count else step.clone()
        if load:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        take(parameters, optimizer, seeded(1), 3)
        assert {float(optimizer.state[p]["step"]) for p in parameters} == {count + 3}
        kept = {optimizer.state[p]["step"].dtype for p in parameters}
        assert step is count or kept == {dtype if dtype in (torch.float32, torch.int32) else torch.float32}
    assert alike(runs[0][0], runs[1][0])


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_count_that_cannot_be_written_to_is_copied(differentiable):
    """Before the step: the parameters have moved when it is written."""
    found = []
    for form in (torch.clone, torch.Tensor.requires_grad_ if differentiable else in_inference):
        leaf = torch.ones(3, requires_grad=True)
        parameter = leaf.clone() if differentiable else leaf
        optimizer = optgen.torch.AdamW([parameter], lr=0.1, differentiable=differentiable)
        for number in range(3):
            parameter.grad = torch.full((3,), number + 1.0)
            if number == 1:
                optimizer.state[parameter]["step"] = form(torch.tensor(1.0))
            optimizer.step()
        assert float(optimizer.state[parameter]["step"]) == 3
        found.append(parameter.detach())
    assert torch.equal(*found)


def test_a_number_of_the_step_in_a_narrow_type_goes_on_in_float32():
    parameters, optimizer, _ = made("NAdam")
    take(parameters, optimizer, seeded(0))
    for p in parameters:
        optimizer.state[p]["mu_product"] = torch.tensor(0.5, dtype=torch.bfloat16)
    take(parameters, optimizer, seeded(1))
    t = 2
    mu = 0.9 * (1 - 0.5 * 0.96 ** (t * 0.004))
    for p in parameters:
        assert optimizer.state[p]["mu_product"].dtype is torch.float32
        assert abs(float(optimizer.state[p]["mu_product"]) - 0.5 * mu) < 1e-7


WRONG = {
    "step": [
        *("2", 2.5, float("inf"), float("nan"), -1, 1e30, True, np.array("2"), np.True_, None),
        *(torch.tensor(1j), torch.tensor(True)),
    ],
    "exp_avg": [
        *(np.ones((4, 5)), "x", float("inf"), [1.0]),
        *(torch.ones(20), torch.ones(4, 5, dtype=torch.complex64), torch.ones(4, 5, dtype=torch.bool)),
    ],
}


@pytest.mark.parametrize(("entry", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_no_step_can_go_on_from_is_refused_before_anything_moves(entry, value):
    """The wrong state is that of the last parameter in the last group: the first group has not moved either."""
    parameters, _, _ = made("Adam")
    optimizer = optgen.torch.Adam([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.1}])
    take(parameters, optimizer, seeded(0), 2)
    good = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(parameters)
    optimizer.state[parameters[1]][entry] = value
    with pytest.raises(TreeMismatch, match="Adam: the state of a parameter of shape"):
        take(parameters, optimizer, seeded(1))
    assert alike(before, parameters)
    assert float(optimizer.state[parameters[0]]["step"]) == 2
    bad = copy.deepcopy(good)
    bad["state"][1][entry] = value
    with pytest.raises(TreeMismatch, match="Adam: the state of parameter 1"):
        optimizer.load_state_dict(bad)
    optimizer.load_state_dict(good)
    take(parameters, optimizer, seeded(1))
    other, whole, _ = made("Adam")
    whole = optgen.torch.Adam([{"params": other[:1]}, {"params": other[1:], "lr": 0.1}])
    take(other, whole, seeded(0), 2)
    take(other, whole, seeded(1))
    assert alike(parameters, other)


@pytest.mark.parametrize("name", ["Adam", "SM3", "Novograd"])
def test_a_state_that_is_resized_in_place_is_noticed(name):
    parameters, optimizer, _ = made(name, shapes=((4, 5), (6,)))
    take(parameters, optimizer, seeded(0), 3)
    before = copy.deepcopy(parameters)
    kept = optimizer.state[parameters[0]]
    largest = max((n for n in kept if n != "step"), key=lambda n: kept[n].numel())
    kept[largest].resize_(1 if kept[largest].numel() > 1 else 2)
    with pytest.raises(TreeMismatch, match="has shape"):
        take(parameters, optimizer, seeded(1))
    assert alike(before, parameters)


@pytest.mark.parametrize("name", CLASSES)
def test_entries_of_others_are_kept(name):
    """A wrapper's slow weights, numbers and texts beside the rule's own, saved and loaded, as in torch."""
    parameters, optimizer, _ = made(name)
    take(parameters, optimizer, seeded(0), 2)
    for p in parameters:
        optimizer.state[p] |= {"ema": p.detach().clone(), "my_count": 3, "my_name": "x"}
    optimizer.state["of the model"] = {"a": 1}
    take(parameters, optimizer, seeded(1))
    others, resumed, _ = made(name)
    for p, q in zip(parameters, others, strict=True):
        q.data.copy_(p.data)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(parameters, others, strict=True):
        found = resumed.state[q]
        assert torch.equal(found["ema"], optimizer.state[p]["ema"])
        assert (found["my_count"], found["my_name"]) == (3, "x")
        assert found.keys() == optimizer.state[p].keys()
    assert resumed.state["of the model"] == {"a": 1}
    take(parameters, optimizer, seeded(2), 2)
    take(others, resumed, seeded(2), 2)
    assert alike(parameters, others)


def test_entries_of_others_in_a_compiled_step():
    runs = [made("Adam", dtype=torch.float32) for _ in range(2)]
    steps = [runs[0][1].step, torch.compile(runs[1][1].step, backend="eager")]
    for count in range(4):
        for (parameters, optimizer, _), step in zip(runs, steps, strict=True):
            for p in parameters:
                p.grad = torch.full_like(p, 0.1 * (count + 1))
                if count == 2:
                    optimizer.state[p]["ema"] = p.detach().clone()
            step()
    assert alike(runs[0][0], runs[1][0])


def test_a_state_of_torchs_other_optimizers_is_no_ones_entry():
    parameters, theirs, _ = made("AdamW")
    take(parameters, theirs, seeded(0))
    optimizer = optgen.torch.SGD(parameters)
    with pytest.raises(TreeMismatch, match="SGD: the state of parameter 0 holds exp_avg, exp_avg_sq, and this"):
        optimizer.load_state_dict(theirs.state_dict())


def test_pre_hooks_see_a_checkpoint_before_it_is_checked():
    """torch's own recipe for parameters that come in another order than they were saved in."""
    shapes = {"a": (3,), "b": (4, 5)}
    parameters, optimizer, _ = made("AdamW", shapes=tuple(shapes.values()))
    named = dict(zip(shapes, parameters, strict=True))
    optimizer = optgen.torch.AdamW(named.items())
    take(parameters, optimizer, seeded(0), 2)
    backwards = {name: torch.nn.Parameter(p.detach().clone()) for name, p in reversed(named.items())}
    resumed = optgen.torch.AdamW(backwards.items())

    def by_name(optimizer, state_dict):
        adapted = copy.deepcopy(state_dict)
        adapted["param_groups"] = optimizer.state_dict()["param_groups"]
        for group, saved in zip(optimizer.param_groups, state_dict["param_groups"], strict=True):
            places = dict(zip(saved["param_names"], saved["params"], strict=True))
            adapted["state"] = {i: state_dict["state"][places[n]] for i, n in enumerate(group["param_names"])}
        return adapted

    with pytest.raises(TreeMismatch):
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed.register_load_state_dict_pre_hook(by_name)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, group in ((optimizer, named), (resumed, backwards)):
        for name, p in group.items():
            p.grad = torch.full_like(p, 0.5 if name == "a" else -0.25)
        one.step()
    assert all(torch.equal(named[name], backwards[name]) for name in named)


@pytest.mark.parametrize("how", ["reordered", "taken out", "deleted", "frozen, then reordered"])
@pytest.mark.parametrize("name", ["Prodigy", "LBFGS"])
def test_numbers_of_the_model_outlive_a_groups_first_parameter(name, how, monkeypatch):
    """As if the first parameter were there still, and had no gradient any more."""
    if name == "LBFGS":
        # Not torch's, which would take zeros for it.
        plain = replace(optgen.torch.LBFGS.dialect, missing="")
        monkeypatch.setattr(optgen.torch.LBFGS, "dialect", plain)
    shapes = ((3,), (4, 5), (2,))
    (parameters, whole, _), (others, changed, _) = made(name, shapes), made(name, shapes)
    take(parameters, whole, seeded(0), 4)
    take(others, changed, seeded(0), 4)
    group = changed.param_groups[0]
    if how == "reordered":
        group["params"].reverse()
    elif how != "frozen, then reordered":
        group["params"].pop(0)
    if how == "deleted":
        del changed.state[others[0]]
    generator = seeded(1)
    for step in range(4):
        for index, (p, q) in enumerate(zip(parameters, others, strict=True)):
            gradient = torch.randn(p.shape, dtype=p.dtype, generator=generator)
            has_one = how == "reordered" or index > 0
            p.grad, q.grad = (gradient.clone(), gradient.clone()) if has_one else (None, None)
        whole.step()
        changed.step()
        if how == "frozen, then reordered" and step == 1:
            group["params"].reverse()
    for p, q in zip(parameters, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["Prodigy", "LBFGS"])
def test_checkpoints_with_numbers_of_the_model_in_the_first_parameter_alone(name):
    parameters, optimizer, _ = made(name)
    take(parameters, optimizer, seeded(0), 3)
    layout, _ = optimizer._choices.choose(optimizer.param_groups[0])
    saved = copy.deepcopy(optimizer.state_dict())
    for shown in map(layout.names.get, layout.of_model):
        del saved["state"][1][shown]
    others, resumed, _ = made(name)
    for p, q in zip(parameters, others, strict=True):
        q.data.copy_(p.data)
    resumed.load_state_dict(saved)
    take(parameters, optimizer, seeded(1), 2)
    take(others, resumed, seeded(1), 2)
    assert alike(parameters, others)
    for shown in map(layout.names.get, layout.of_model):
        del saved["state"][0][shown]
    resumed.load_state_dict(saved)
    with pytest.raises(TreeMismatch, match="which every parameter of a group keeps"):
        take(others, resumed, seeded(1))


@pytest.mark.parametrize("name", [n for n in CLASSES if hasattr(torch.optim, n) and n != "LBFGS"])
def test_groups_have_torchs_keys_and_two_more_before_and_after_loading(name):
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    theirs, mine = (getattr(library, name)([parameter], lr=0.1) for library in (torch.optim, optgen.torch))
    wanted = theirs.param_groups[0].keys() | {"skip_nonfinite", "state_dtype"}
    assert mine.param_groups[0].keys() == wanted
    saved = copy.deepcopy(mine.state_dict())
    for state in (saved, copy.deepcopy(theirs.state_dict())):
        mine.load_state_dict(state)
        assert mine.param_groups[0].keys() == wanted
    mine.add_param_group({"params": [torch.nn.Parameter(torch.ones(2, 2))]})
    assert mine.param_groups[1].keys() == wanted
    assert copy.deepcopy(mine).param_groups[0].keys() == wanted


def test_adamw_decays_apart_from_the_gradient_alone():
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = optgen.torch.AdamW([parameter])
    with pytest.raises(InvalidHyperparameter, match="AdamW: decoupled_weight_decay is True, not False"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "decoupled_weight_decay": False})
    parameter.grad = torch.ones(2, 2)
    optimizer.step()
    optimizer.load_state_dict(optgen.torch.Adam([parameter]).state_dict())  # as torch's does
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    optimizer.param_groups[0]["decoupled_weight_decay"] = False
    with pytest.raises(InvalidHyperparameter, match="decoupled_weight_decay"):
        optimizer.step()


@pytest.mark.parametrize("backend", ["auto", "arrays"])
@pytest.mark.parametrize("name", CLASSES)
def test_numbers_of_the_step_stay_on_the_host(name, backend, monkeypatch):
    """Whatever torch's default device is; the meta device would lose them."""
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    runs = [made(name) for _ in range(2)]
    (parameters, optimizer, _), (others, elsewhere, _) = runs
    take(parameters, optimizer, seeded(0), 4)
    generator = seeded(0)
    for step in range(4):
        for p in others:
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
        inputs = inputs_of(type(elsewhere), others, generator)
        with torch.device("meta"):
            elsewhere.step(**inputs)
            if step == 1:
                elsewhere.load_state_dict(copy.deepcopy(elsewhere.state_dict()))
    assert alike(parameters, others)
    kept = [v for state in elsewhere.state.values() for v in state.values()]
    assert all(value.device.type == "cpu" for value in kept)


@pytest.mark.parametrize("kind", ["fake", "meta"])
@pytest.mark.parametrize("name", CLASSES)
def test_steps_without_numbers(name, kind):
    """Memory estimators step shapes alone: every state is there afterwards, of the size that it has with numbers."""
    parameters, optimizer, _ = made(name, dtype=torch.float32)
    take(parameters, optimizer, seeded(0), 2)
    wanted = [{n: v.shape for n, v in optimizer.state[p].items()} for p in parameters if p in optimizer.state]
    mode = FakeTensorMode() if kind == "fake" else torch.device("meta")
    with mode:
        shapes = [torch.nn.Parameter(torch.ones(p.shape)) for p in parameters]
        estimated = getattr(optgen.torch, name)(shapes, skip_nonfinite=True)
        inputs = {}
        for one in needed_inputs(estimated.entry.manifest):
            each = {p: torch.ones(p.shape if one.kind == "element" else ()) for p in shapes}
            inputs[one.name] = each if one.kind in ("element", "tensor") else 1.0
        for _ in range(2):
            for p in shapes:
                p.grad = torch.ones(p.shape)
            estimated.step(**inputs)
        found = [{n: v.shape for n, v in estimated.state[p].items()} for p in shapes if p in estimated.state]
    assert found == wanted
    assert estimated.skipped_steps == 0


@pytest.mark.parametrize("kwargs", [{}, {"state_dtype": "8bit"}], ids=["float32", "8bit"])
@pytest.mark.parametrize("name", CLASSES)
def test_flat_checkpoints_of_torch_distributed(name, kwargs):
    if needed_inputs(getattr(optgen.torch, name).entry.manifest):
        pytest.skip("torch makes a step of its own, without inputs")
    if kwargs and name in ("LBFGS", "ScheduleFree"):
        pytest.skip("states are named one by one, and a checkpoint is asked for by a step that moves")
    options = distributed.StateDictOptions(flatten_optimizer_state_dict=True)
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Conv2d(2, 2, 2)).double()
        models.append((model, getattr(optgen.torch, name)(model.parameters(), **kwargs)))
    (model, optimizer), (other, resumed) = models
    take(list(model.parameters()), optimizer, seeded(0), 2)
    saved = distributed.get_optimizer_state_dict(model, optimizer, options=options)
    distributed.set_optimizer_state_dict(other, resumed, saved, options=options)
    with torch.no_grad():
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            q.copy_(p)
    take(list(model.parameters()), optimizer, seeded(1), 2)
    take(list(other.parameters()), resumed, seeded(1), 2)
    assert alike(model.parameters(), other.parameters())


def test_vectors_for_each_axis_are_loaded_from_tuples():
    parameters, optimizer, _ = made("SM3", shapes=((4, 5), (3,)))
    take(parameters, optimizer, seeded(0), 2)
    saved = copy.deepcopy(optimizer.state_dict())
    for kept, count in zip(saved["state"].values(), (2, 1), strict=True):
        kept["V"] = tuple(kept.pop(f"V_{axis}") for axis in range(count))
    others, resumed, _ = made("SM3", shapes=((4, 5), (3,)))
    for p, q in zip(parameters, others, strict=True):
        q.data.copy_(p.data)
    resumed.load_state_dict(copy.deepcopy(saved))
    take(parameters, optimizer, seeded(1), 2)
    take(others, resumed, seeded(1), 2)
    assert alike(parameters, others)
    saved["state"][1]["V"] = (*saved["state"][1]["V"], torch.ones(3))
    with pytest.raises(TreeMismatch, match="SM3: the state of parameter 1 holds V_0, V_1"):
        resumed.load_state_dict(saved)


def test_names_of_axes_that_the_parameter_lacks_are_no_ones_entries():
    parameters, optimizer, _ = made("SM3", shapes=((4, 5), (3,)))
    take(parameters, optimizer, seeded(0))
    for entry in ("V_2", "V_64", "V_scales", "V_64_scales", "square_avg"):
        saved = copy.deepcopy(optimizer.state_dict())
        saved["state"][0][entry] = torch.ones(3)
        with pytest.raises(TreeMismatch, match=rf"SM3: the state of parameter 0 holds .*{entry}\b.*, and this"):
            optimizer.load_state_dict(saved)
    saved = copy.deepcopy(optimizer.state_dict())
    others = {"V_x": 1, "V2": 2, "a_1": 3}
    saved["state"][0] |= others
    optimizer.load_state_dict(saved)
    assert {name: optimizer.state[parameters[0]][name] for name in others} == others


SCALED = """
[optimizer]
name = "scaled_sgd"
class = "ScaledSGD"
title = "SGD"
summary = "With a scale that an option asks for."

[hyperparameters]
lr = { default = 0.1 }

[options]
scaled = { default = false, meaning = "whether the gradient is multiplied by the scale" }

[inputs]
scale = { kind = "element", meaning = "a scale for each number" }

[equations]
rule = '''
d = g
if scaled:
    d = scale*g
theta[t] = theta[t-1] - lr*d
'''
"""


def test_inputs_of_other_options_are_left_alone(tmp_path):
    (tmp_path / "scaled_sgd.toml").write_text(SCALED)
    rule = optgen.load(tmp_path / "scaled_sgd.toml")
    for library, ones in (("torch", torch.ones), ("lucid", np.ones)):
        for scaled, moved in ((False, 0.1), (True, 0.2)):
            parameter = torch.nn.Parameter(ones(3)) if library == "torch" else Parameter(ones(3))
            optimizer = getattr(rule, library)([parameter], scaled=scaled)
            for _ in range(3):
                parameter.grad = ones(3)
                optimizer.step(scale={parameter: 2 * ones(3)})
            np.testing.assert_allclose(1 - np.asarray(parameter.data), 3 * moved, rtol=1e-6)
            with pytest.raises(TypeError, match="step takes"):
                optimizer.step(scale={parameter: ones(3)}, loss=1.0)
            with pytest.raises((TypeError, TreeMismatch)) if scaled else pytest.raises(TypeError, match="step takes"):
                optimizer.step(**({"scale": {parameter: 1j * ones(3)}} if scaled else {"scales": 1.0}))
            np.testing.assert_allclose(1 - np.asarray(parameter.data), 3 * moved, rtol=1e-6)


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, None
