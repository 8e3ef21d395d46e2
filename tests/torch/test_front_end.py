"""What users do with optimizers of `optgen.torch`, for every optimizer of the catalogue."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import optgen
import optgen.optim
import optgen.torch
from optgen.compiler.choice import choose
from optgen.compiler.interpret import Interpreter
from optgen.compiler.specialise import specialise
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, TreeMismatch
from optgen.runtime.arguments import settings
from tests.inputs import needed_inputs

REPOSITORY = Path(__file__).parents[2]
CLASSES = sorted(
    n for n in dir(optgen.torch) if isinstance(getattr(optgen.torch, n), type) and n != "GeneratedOptimizer"
)
CLASSES = [n for n in CLASSES if issubclass(getattr(optgen.torch, n), optgen.torch.GeneratedOptimizer)]
NEEDED: dict[str, dict[str, float]] = {}


def inputs_of(cls, parameters, generator):
    """Something for each input that a rule asks for."""
    found = {}
    for given in needed_inputs(cls.entry.manifest):
        if given.kind in ("element", "tensor"):
            found[given.name] = {
                p: torch.randn(p.shape if given.kind == "element" else (), dtype=p.dtype, generator=generator)
                for p in parameters
            }
        else:
            found[given.name] = float(torch.rand((), generator=generator))
    return found


def made(name, shapes=((3,), (4, 5)), dtype=torch.float64, **kwargs):
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(s, dtype=dtype, generator=generator)) for s in shapes]
    cls = getattr(optgen.torch, name)
    return parameters, cls(parameters, **NEEDED.get(name, {}), **kwargs), generator


def take(parameters, optimizer, generator, steps=1):
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
        optimizer.step(**inputs_of(type(optimizer), parameters, generator))


@pytest.mark.parametrize("name", CLASSES)
def test_follows_the_equations(name):
    """The interpreter, with the class's own defaults."""
    parameters, optimizer, generator = made(name)
    entry, dialect = optimizer.entry, optimizer.dialect
    chosen = settings(entry.manifest, dialect, NEEDED.get(name, {}))
    rule = specialise(entry.read_spec(), choose(entry.manifest, chosen.options, chosen.values), entry.read_wrapped())
    values = {h.name: chosen.values[h.name] for h in rule.hyperparameters}
    interpreter = Interpreter(rule, values)
    model = interpreter.init([p.detach().numpy().copy() for p in parameters])
    for _ in range(5):
        gradients = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parameters]
        inputs = inputs_of(type(optimizer), parameters, generator)
        plain = {
            n: [np.asarray(v[p]) for p in parameters] if isinstance(v, dict) else np.float64(v)
            for n, v in inputs.items()
        }
        model = interpreter.step(model, [g.numpy() for g in gradients], plain)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.step(**inputs)
        for p, tensor in zip(parameters, model.tensors, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), np.asarray(tensor.theta), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", CLASSES)
def test_saved_state_goes_through_a_file_and_a_pickle(name):
    parameters, optimizer, generator = made(name)
    take(parameters, optimizer, generator, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    others, resumed, _ = made(name)
    for p, q in zip(parameters, others, strict=True):
        q.data.copy_(p.data)
    resumed.load_state_dict(loaded)
    pair = pickle.loads(pickle.dumps((parameters, optimizer)))
    twin = copy.deepcopy((parameters, optimizer))
    results = []
    for p, o in ((parameters, optimizer), (others, resumed), pair, twin):
        take(p, o, torch.Generator().manual_seed(1), 2)
        results.append([q.detach().clone() for q in p])
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


RESTARTED = """
import sys, torch
from tests.torch.test_front_end import CLASSES, restarted
torch.save({n: restarted(n, sys.argv[1], int(sys.argv[2])) for n in CLASSES}, sys.argv[3])
"""


def restarted(name, folder, part):
    """Five steps in two groups with a scheduler, saved after three (part 1), gone on from the file (part 2)."""
    generator = torch.Generator().manual_seed(3)
    parameters = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in ((3,), (4, 5), (2,))]
    parameters[2].data = parameters[2].data.to(torch.bfloat16)
    cls = getattr(optgen.torch, name)
    has_rate = any(h.name == "lr" for h in cls.entry.manifest.hyperparameters)
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], **({"lr": 0.05} if has_rate else {})}]
    optimizer = cls(groups, **NEEDED.get(name, {}))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9) if has_rate else None
    path = Path(folder) / f"{name}.pt"
    for step in range(5):
        if part == 2 and step == 3:
            saved = torch.load(path, weights_only=True)
            for p, value in zip(parameters, saved["parameters"], strict=True):
                p.data.copy_(value)
            optimizer.load_state_dict(saved["optimizer"])
            if scheduler is not None:
                scheduler.load_state_dict(saved["scheduler"])
        own = torch.Generator().manual_seed(10 + step)
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=own).to(p.dtype)
        if part == 2 and step < 3:
            continue
        optimizer.step(**inputs_of(cls, parameters, own))
        if scheduler is not None:
            scheduler.step()
        if part == 1 and step == 2:
            saved = {"parameters": [p.detach() for p in parameters], "optimizer": optimizer.state_dict()}
            torch.save(saved | {"scheduler": scheduler.state_dict() if scheduler is not None else {}}, path)
    return [p.detach() for p in parameters]


def test_a_restart_in_another_process_goes_on_with_the_same_bits(tmp_path):
    found = []
    for part in ("1", "2"):
        command = [sys.executable, "-c", RESTARTED, str(tmp_path), part, str(tmp_path / f"part{part}.pt")]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(torch.load(tmp_path / f"part{part}.pt", weights_only=True))
    different = [
        n for n in CLASSES if not all(torch.equal(a, b) for a, b in zip(found[0][n], found[1][n], strict=True))
    ]
    assert different == []


def test_groups_have_their_own_hyperparameters():
    """As two optimizers would."""
    parameters, together, _ = made("Adam")
    alone = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    together = optgen.torch.Adam(
        [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.1, "amsgrad": True, "maximize": True}]
    )
    apart = optgen.torch.Adam(alone[:1]), optgen.torch.Adam(alone[1:], lr=0.1, amsgrad=True, maximize=True)
    for seed in range(3):
        take(parameters, together, torch.Generator().manual_seed(seed))
        generator = torch.Generator().manual_seed(seed)
        for p in alone:
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
        for one in apart:
            one.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, alone, strict=True))


def test_strides_do_not_matter():
    """Transposed, sliced and expanded-gradient parameters against contiguous copies; what lies between stays."""
    base = torch.randn(8, 10, dtype=torch.float64)
    views = [base[:4, :5].T, base[4:, ::2], base[:4, 7]]
    plain = [torch.nn.Parameter(v.clone(memory_format=torch.contiguous_format)) for v in views]
    strided = [torch.nn.Parameter(v) for v in views]
    untouched = base[:4, 5:7].clone()
    gradients = [torch.randn(5, 4).double(), torch.ones(1, 5).double().expand(4, 5), torch.randn(8).double()[::2]]
    for parameters in (plain, strided):
        optimizer = optgen.torch.AdamW(parameters, lr=0.1)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.step()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(plain, strided, strict=True))
    assert torch.equal(base[:4, 5:7], untouched)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_parameters_keep_wide_moments(dtype):
    parameters, optimizer, generator = made("Adam", dtype=dtype)
    take(parameters, optimizer, generator)
    assert optimizer.state[parameters[0]]["exp_avg"].dtype == torch.float32
    assert parameters[0].dtype == dtype
    other = optgen.torch.Adam([torch.nn.Parameter(p.detach().clone()) for p in parameters])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    kept = [optimizer.state_dict()["state"][i]["exp_avg"] for i in range(2)]
    again = [other.state_dict()["state"][i]["exp_avg"] for i in range(2)]
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(kept, again, strict=True))
    theirs = torch.optim.Adam([torch.nn.Parameter(p.detach().clone()) for p in parameters])
    theirs.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch rounds them to the parameter's dtype
    assert theirs.state_dict()["state"][0]["exp_avg"].dtype == dtype


def test_hooks_and_closures():
    parameters, optimizer, _ = made("Adam")
    called = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = sum((p**2).sum() for p in parameters)
        loss.backward()
        called.append("closure")
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first
    assert called == ["before", "closure", "after"] * 2


def test_steps_that_are_not_finite_are_left_out_and_counted():
    parameters, optimizer, generator = made("Adam", skip_nonfinite=True)
    take(parameters, optimizer, generator)
    before = copy.deepcopy([parameters, optimizer.state_dict()["state"]])
    for p in parameters:
        p.grad = torch.zeros_like(p)
    parameters[1].grad[0, 0] = torch.nan
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert all(torch.equal(a, b) for a, b in zip(before[0], parameters, strict=True))
    after = optimizer.state_dict()["state"]
    assert all(torch.equal(before[1][i][k], after[i][k]) for i in after for k in after[i])
    resumed = optgen.torch.Adam(parameters, skip_nonfinite=True)
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.skipped_steps == 1


def test_nan_does_what_the_equation_does():
    parameters, optimizer, _ = made("Adam")
    for p in parameters:
        p.grad = torch.ones_like(p)
    parameters[1].grad[0, 0] = torch.nan
    optimizer.step()
    assert int(torch.isnan(parameters[1]).sum()) == 1
    assert not torch.isnan(parameters[0]).any()


def test_named_parameters():
    model = torch.nn.Linear(3, 2)
    optimizer = optgen.torch.AdamW(model.named_parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


WRONG = [
    ({"lr": -1.0}, InvalidHyperparameter, "lr = -1.0 is outside its domain: lr >= 0"),
    ({"lr": "0.1"}, HyperparameterTypeError, "lr is a number or a tensor, not '0.1'"),
    ({"lr": None}, HyperparameterTypeError, "lr is a number or a tensor, not None"),
    ({"lr": lambda count: 0.1}, HyperparameterTypeError, "lr is a number or a tensor, not <function"),
    ({"lr": lambda count: 0.1}, HyperparameterTypeError, "; a schedule goes with torch.optim.lr_scheduler"),
    ({"lr": optgen.optim.StepLR(0.1, 2)}, HyperparameterTypeError, "lr is a number or a tensor, not StepLR("),
    ({"lr": optgen.optim.StepLR(0.1, 2)}, HyperparameterTypeError, "; a schedule goes with torch.optim.lr_scheduler"),
    ({"eps": "0.1"}, HyperparameterTypeError, "eps is a number or a tensor, not '0.1'"),
    ({"eps": lambda count: 0.1}, HyperparameterTypeError, "eps is a number or a tensor, not <function"),
    ({"betas": (0.9, 1.0)}, InvalidHyperparameter, "betas (beta2) = 1.0 is outside its domain"),
    ({"betas": 0.9}, HyperparameterTypeError, "betas is a tuple"),
    ({"eps": -1e-8}, InvalidHyperparameter, "eps"),
    ({"weight_decay": -0.1}, InvalidHyperparameter, "weight_decay"),
    ({"lr": torch.tensor([0.1, 0.2])}, InvalidHyperparameter, "lr as a tensor holds one number"),
    ({"amsgrad": 1}, HyperparameterTypeError, "amsgrad is True or False"),
    ({"foreach": "yes"}, HyperparameterTypeError, "foreach is True or False"),
    ({"learning_rate": 0.1}, TypeError, "unexpected keyword argument 'learning_rate'"),
]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"), WRONG, ids=[f"{i}-{next(iter(w[0]))}" for i, w in enumerate(WRONG)]
)
def test_wrong_arguments(kwargs, error, message):
    p = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(error) as caught:
        optgen.torch.Adam([p], **kwargs)
    assert message in str(caught.value)
    assert "Adam" in str(caught.value)
    optimizer = optgen.torch.Adam([p])
    if "learning_rate" not in kwargs:
        with pytest.raises(error):
            optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], **kwargs})
        assert len(optimizer.param_groups) == 1


def test_a_rate_that_is_made_wrong_later():
    parameters, optimizer, generator = made("Adam")
    take(parameters, optimizer, generator)
    before = copy.deepcopy(parameters)
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(InvalidHyperparameter, match=r"lr = -1\.0"):
        take(parameters, optimizer, generator)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


def test_states_that_do_not_fit():
    """Of another rule, another option, another shape: refused, and nothing is changed."""
    parameters, optimizer, generator = made("Adam")
    take(parameters, optimizer, generator)
    before = copy.deepcopy(optimizer.state_dict())
    others = {
        "another rule": made("SGD", momentum=0.9),
        "another option": made("Adam", amsgrad=True),
        "another shape": made("Adam", shapes=((3,), (5, 4))),
    }
    for label, (p, o, g) in others.items():
        take(p, o, g)
        state = copy.deepcopy(o.state_dict())
        if label == "another option":
            state["param_groups"][0]["amsgrad"] = False
        with pytest.raises(TreeMismatch, match="Adam: the state of parameter"):
            optimizer.load_state_dict(state)
    with pytest.raises(TreeMismatch, match="has 'state' and"):
        optimizer.load_state_dict({"mu": 1})
    fewer = made("Adam", shapes=((3,),))
    with pytest.raises(ValueError, match="size of optimizer's group"):
        optimizer.load_state_dict(fewer[1].state_dict())
    after = optimizer.state_dict()["state"]
    assert all(torch.equal(before["state"][i][k], after[i][k]) for i in after for k in after[i])


def test_inputs_are_asked_for():
    parameters, optimizer, _ = made("PolyakSGD")
    for p in parameters:
        p.grad = torch.ones_like(p)
    with pytest.raises(TypeError, match="PolyakSGD: step takes"):
        optimizer.step()


def test_an_optimizer_of_ones_own():
    Mine = optgen.define("mine", "m[t] = beta*m[t-1] + g\ntheta[t] = theta[t-1] - lr*m[t]", lr=0.1, beta=0.9).torch
    p = torch.nn.Parameter(torch.ones(3))
    reference = torch.nn.Parameter(torch.ones(3))
    for optimizer, q in ((Mine([p]), p), (torch.optim.SGD([reference], lr=0.1, momentum=0.9), reference)):
        for _ in range(3):
            q.grad = torch.full((3,), 0.5)
            optimizer.step()
    torch.testing.assert_close(p, reference)


def test_neither_jax_nor_the_compiler_is_loaded():
    script = (
        "import sys, torch\nfrom optgen.torch import Adam\np = torch.nn.Parameter(torch.ones(2))\n"
        "p.grad = torch.ones(2)\nAdam([p]).step()\n"
        "import json; print(json.dumps([m for m in ('jax', 'optax', 'jinja2') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", ["Adam", "Lion", "Lamb", "Adafactor"])
def test_torch_compile_traces_a_step(name):
    """Dynamo imports by name the module of every function that it comes to."""
    parameters = [torch.nn.Parameter(torch.ones(4, 3)), torch.nn.Parameter(torch.ones(3))]
    same = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    optimizers = [getattr(optgen.torch, name)(group, lr=0.1) for group in (parameters, same)]
    compiled = torch.compile(optimizers[1].step, backend="eager")
    for count in range(3):
        for group in (parameters, same):
            for parameter in group:
                parameter.grad = torch.full_like(parameter, 0.1 * (count + 1))
        optimizers[0].step()
        compiled()
    assert all(torch.equal(a, b) for a, b in zip(parameters, same, strict=True))


def test_the_learning_rate_of_what_is_wrapped():
    """It is the argument lr, which schedulers set."""
    for cls, rate in ((optgen.torch.Lookahead, 0.5), (optgen.torch.ScheduleFree, 0.5)):
        moved = []
        for lr in (rate, rate / 2):
            parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
            optimizer = cls([parameter], lr=lr)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            parameter.grad = torch.ones(3, dtype=torch.float64)
            optimizer.step()
            scheduler.step()
            assert optimizer.param_groups[0]["lr"] == lr / 2
            moved.append(1 - float(parameter.detach()[0]))
        assert abs(moved[0] - 2 * moved[1]) < 1e-6


def test_older_checkpoints_have_plain_numbers_of_steps():
    parameters = [[torch.nn.Parameter(torch.ones(3, dtype=torch.float64))] for _ in range(2)]
    theirs, mine = torch.optim.Adam(parameters[0], lr=0.1), optgen.torch.Adam(parameters[1], lr=0.1)
    for group in parameters:
        group[0].grad = torch.ones(3, dtype=torch.float64)
    theirs.step()
    saved = copy.deepcopy(theirs.state_dict())
    saved["state"][0]["step"] = int(saved["state"][0]["step"])
    mine.load_state_dict(saved)
    parameters[1][0].data.copy_(parameters[0][0].data)
    theirs.step()
    mine.step()
    assert torch.allclose(parameters[0][0], parameters[1][0], rtol=1e-12)


@pytest.mark.parametrize(
    "step", [torch.tensor(-1.0), torch.tensor(2.5), torch.tensor(float("nan")), torch.zeros(2), "x"]
)
def test_a_number_of_steps_is_checked(step):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = optgen.torch.Adam([parameter], lr=0.1)
    parameter.grad = torch.ones(3)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["step"] = step
    with pytest.raises(TreeMismatch, match="'step' is a number of steps, not"):
        optimizer.load_state_dict(saved)


def test_what_a_later_group_refuses_leaves_the_earlier_ones_as_they_are():
    first, second = torch.nn.Parameter(torch.ones(2)), torch.zeros(2, dtype=torch.int64)
    optimizer = optgen.torch.SGD([{"params": [first]}, {"params": [second]}], lr=0.1)
    first.grad, second.grad = torch.ones(2), torch.ones(2, dtype=torch.int64)
    with pytest.raises(TreeMismatch):
        optimizer.step()
    assert torch.equal(first, torch.ones(2))
    others = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    sophia = optgen.torch.Sophia([{"params": [p]} for p in others], lr=0.1)
    for p in others:
        p.grad = torch.ones(2)
    for wrong in ({others[0]: torch.ones(2)}, {others[0]: torch.ones(2), others[1]: torch.ones(3)}):
        with pytest.raises(TreeMismatch, match="hessian has"):
            sophia.step(hessian=wrong)
    with pytest.raises(TypeError, match="hessian is a mapping"):
        sophia.step(hessian=torch.ones(2))
    assert all(torch.equal(p, torch.ones(2)) for p in others)


@pytest.mark.parametrize("keep_average", [False, True])
@pytest.mark.parametrize("backend", ["arrays", "auto"])
def test_schedule_free_stays_where_it_is(keep_average, backend, monkeypatch):
    """Checkpoints make states by a step without gradient and rate, which is to move nothing, not even by a rounding."""
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    weight = torch.nn.Parameter(torch.randn(5000, generator=torch.Generator().manual_seed(0)))
    before = weight.detach().clone()
    optimizer = optgen.load("schedule_free").torch([weight], lr=0.0, keep_average=keep_average)
    weight.grad = torch.zeros(5000)
    optimizer.step()
    assert torch.equal(weight.detach(), before)
