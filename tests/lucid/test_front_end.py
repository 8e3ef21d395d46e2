"""lucid's interface, on any object with `.data` and `.grad`."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import optgen
import optgen.lucid
from optgen.compiler.choice import choose
from optgen.compiler.interpret import Interpreter
from optgen.compiler.specialise import specialise
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, TreeMismatch
from optgen.optim import StepLR
from optgen.runtime.arguments import settings
from tests.inputs import needed_inputs

REPOSITORY = Path(__file__).parents[2]
CLASSES = sorted(
    n
    for n in dir(optgen.lucid)
    if isinstance(getattr(optgen.lucid, n), type) and hasattr(getattr(optgen.lucid, n), "dialect")
)
SHAPES = ((3,), (4, 5))


class Parameter:
    """What lucid's looks like from outside."""

    def __init__(self, data):
        self.data = data
        self.grad = None

    def zero_grad(self):
        self.grad = None


def inputs_of(cls, parameters, random):
    found = {}
    for given in needed_inputs(cls.entry.manifest):
        if given.kind in ("element", "tensor"):
            found[given.name] = {
                p: random.normal(size=p.data.shape if given.kind == "element" else ()) for p in parameters
            }
        else:
            found[given.name] = float(random.uniform())
    return found


def made(name, shapes=SHAPES, dtype=np.float64, **kwargs):
    random = np.random.default_rng(0)
    parameters = [Parameter(random.normal(size=shape).astype(dtype)) for shape in shapes]
    return parameters, getattr(optgen.lucid, name)(parameters, **kwargs)


def take(parameters, optimizer, seed):
    random = np.random.default_rng(seed)
    for p in parameters:
        p.grad = random.normal(size=p.data.shape).astype(p.data.dtype)
    optimizer.step(**inputs_of(type(optimizer), parameters, random))


@pytest.mark.parametrize("name", CLASSES)
def test_follows_the_equations(name):
    parameters, optimizer = made(name)
    entry = optimizer.entry
    chosen = settings(entry.manifest, optimizer.dialect, {})
    rule = specialise(entry.read_spec(), choose(entry.manifest, chosen.options, chosen.values), entry.read_wrapped())
    interpreter = Interpreter(rule, {h.name: chosen.values[h.name] for h in rule.hyperparameters})
    model = interpreter.init([p.data.copy() for p in parameters])
    for seed in range(5):
        random = np.random.default_rng(seed)
        gradients = [random.normal(size=p.data.shape) for p in parameters]
        inputs = inputs_of(type(optimizer), parameters, random)
        plain = {n: [v[p] for p in parameters] if isinstance(v, dict) else v for n, v in inputs.items()}
        model = interpreter.step(model, gradients, plain)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.step(**inputs)
        for p, tensor in zip(parameters, model.tensors, strict=True):
            np.testing.assert_allclose(p.data, np.asarray(tensor.theta), rtol=1e-11, atol=1e-12)


def restarted(name, folder, part):
    """Five steps in two groups, saved after three (part 1), gone on from the file (part 2)."""
    random = np.random.default_rng(3)
    parameters = [Parameter(random.normal(size=s).astype(np.float32)) for s in ((3,), (4, 5), (2,))]
    cls = getattr(optgen.lucid, name)
    has_rate = any(h.name == "lr" for h in cls.entry.manifest.hyperparameters)
    optimizer = cls(parameters[:2])
    optimizer.add_param_group({"params": parameters[2:], **({"lr": 0.05} if has_rate else {})})
    path = Path(folder) / f"{name}.pickle"
    for step in range(5):
        if part == 2 and step < 3:
            continue
        if part == 2 and step == 3:
            values, state = pickle.loads(path.read_bytes())
            for p, value in zip(parameters, values, strict=True):
                p.data[...] = value
            optimizer.load_state_dict(state)
        take(parameters, optimizer, 10 + step)
        for group in optimizer.param_groups if has_rate else ():
            group["lr"] = 0.9 * (group["lr"] or 0.1)  # as a scheduler does
        if part == 1 and step == 2:
            path.write_bytes(pickle.dumps(([p.data for p in parameters], optimizer.state_dict())))
    return [p.data for p in parameters]


RESTARTED = """
import pickle, sys
from tests.lucid.test_front_end import CLASSES, restarted
found = {n: restarted(n, sys.argv[1], int(sys.argv[2])) for n in CLASSES}
open(sys.argv[3], "wb").write(pickle.dumps(found))
"""


def test_a_restart_in_another_process_goes_on_with_the_same_bits(tmp_path):
    found = []
    for part in ("1", "2"):
        file = tmp_path / f"part{part}"
        command = [sys.executable, "-c", RESTARTED, str(tmp_path), part, str(file)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(pickle.loads(file.read_bytes()))
    same = {n: all(np.array_equal(a, b) for a, b in zip(found[0][n], found[1][n], strict=True)) for n in CLASSES}
    assert [n for n, equal in same.items() if not equal] == []


def test_groups_and_gradients_that_are_not_there():
    parameters, optimizer = made("Adam", lr=0.1)
    other = Parameter(np.ones(2))
    optimizer.add_param_group({"params": other, "lr": 0.0})
    before = parameters[1].data.copy()
    parameters[0].grad, other.grad = np.ones(3), np.ones(2)
    assert optimizer.step(lambda: 7.0) == 7.0
    assert np.array_equal(parameters[1].data, before)
    assert np.array_equal(other.data, np.ones(2))
    assert set(optimizer.state_dict()["state"]) == {0, 2}
    assert optimizer.state[parameters[0]]["step"] == 1
    optimizer.zero_grad()
    assert all(p.grad is None for p in (*parameters, other))


def test_steps_that_are_not_finite_are_left_out_and_counted():
    parameters, optimizer = made("Adam", skip_nonfinite=True)
    take(parameters, optimizer, 0)
    before = copy.deepcopy(([p.data for p in parameters], optimizer.state_dict()["state"]))
    parameters[0].grad = np.array([1.0, np.nan, 0.0])
    optimizer.step()
    assert optimizer.skipped_steps == 1
    np.testing.assert_equal(([p.data for p in parameters], optimizer.state_dict()["state"]), before)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"lr": -1.0}, InvalidHyperparameter, "Adam: lr = -1.0 is outside its domain: lr >= 0"),
        ({"lr": "0.1"}, HyperparameterTypeError, "Adam: lr is a number, not '0.1'"),
        ({"lr": None}, HyperparameterTypeError, "Adam: lr is a number, not None"),
        ({"lr": lambda step: 0.1}, HyperparameterTypeError, "Adam: lr is a number, not <function"),
        ({"lr": lambda step: 0.1}, HyperparameterTypeError, "; a schedule goes with lucid.optim.lr_scheduler"),
        ({"lr": StepLR(0.1, 2)}, HyperparameterTypeError, "; a schedule goes with lucid.optim.lr_scheduler"),
        ({"eps": lambda step: 0.1}, HyperparameterTypeError, "Adam: eps is a number, not <function"),
        ({"lr": np.ones(2)}, HyperparameterTypeError, "Adam: lr is a number"),
        ({"betas": (0.9, 1.0)}, InvalidHyperparameter, "betas (beta2) = 1.0 is outside its domain"),
        ({"eps": -1e-8}, InvalidHyperparameter, "eps"),
        ({"weight_decay": -0.1}, InvalidHyperparameter, "weight_decay"),
        ({"skip_nonfinite": 1}, HyperparameterTypeError, "skip_nonfinite is True or False"),
        ({"learning_rate": 0.1}, TypeError, "unexpected keyword argument 'learning_rate'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments(kwargs, error, message):
    with pytest.raises(error) as caught:
        optgen.lucid.Adam([Parameter(np.ones(2))], **kwargs)
    assert message in str(caught.value)


P = Parameter(np.ones(2))


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ([], TreeMismatch),
        (P, TypeError),
        ("weights", TypeError),
        ([np.ones(2)], TypeError),
        ([P, P], ValueError),
        ([{"params": [P]}, {"params": [P]}], ValueError),
        ([{"params": []}], TreeMismatch),
        ([{"weights": [P]}], ValueError),
        ([Parameter([1.0, 2.0])], TypeError),
        ([Parameter(np.ones(2, int))], TreeMismatch),
    ],
)
def test_wrong_parameters(params, error):
    with pytest.raises(error, match="Adam"):
        optgen.lucid.Adam(params)


def test_wrong_gradients_change_nothing():
    for gradient, error in ((np.ones(1), TreeMismatch), (np.ones((1, 3)), TreeMismatch), ([1.0, 2.0, 3.0], TypeError)):
        parameters, optimizer = made("Adam")
        take(parameters, optimizer, 0)
        before = copy.deepcopy(([p.data for p in parameters], optimizer.state_dict()))
        parameters[0].grad = gradient
        with pytest.raises(error, match="Adam"):
            optimizer.step()
        np.testing.assert_equal(([p.data for p in parameters], optimizer.state_dict()), before)


def test_states_that_do_not_fit_change_nothing():
    parameters, optimizer = made("Adam")
    take(parameters, optimizer, 0)
    before = copy.deepcopy(optimizer.state_dict())
    option = made("Adam", amsgrad=True)
    others = [made("Adagrad"), option, made("Adam", shapes=((3,), (5, 4))), made("Adam", shapes=((3,),))]
    for p, o in others:
        take(p, o, 0)
        state = copy.deepcopy(o.state_dict())
        if o is option[1]:
            state["param_groups"][0]["amsgrad"] = False
        with pytest.raises(TreeMismatch, match="Adam"):
            optimizer.load_state_dict(state)
    with pytest.raises(TypeError, match="Adam"):
        optimizer.load_state_dict([1])
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_an_optimizer_of_ones_own():
    Mine = optgen.define("mine", "m[t] = beta*m[t-1] + g\ntheta[t] = theta[t-1] - lr*m[t]", lr=0.1, beta=0.9).lucid
    p = Parameter(np.ones(3))
    optimizer = Mine([p])
    for _ in range(2):
        p.grad = np.full(3, 0.5)
        optimizer.step()
    np.testing.assert_allclose(p.data, 1 - 0.1 * 0.5 - 0.1 * (0.9 * 0.5 + 0.5))
