"""Steps of torch's parameters by native kernels, and how the next step goes on from the last."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading

import pytest
import torch

import optgen.torch
from optgen.errors import TreeMismatch
from optgen.runtime.native.rule import NativeRule, PreparedCall
from optgen.runtime.torch.memory import guard_of
from optgen.torch import _ready as torch_ready

SHAPES = [(40,), (7, 3), (), (2, 3, 4)]


def parameters(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in SHAPES]


def give_gradients(params, seed):
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


def pair(name="AdamW", **arguments):
    """Two copies of a model, with torch's optimizer and the generated one."""
    mine, theirs = parameters(), parameters()
    own, other = getattr(optgen.torch, name), getattr(torch.optim, name)
    return mine, own(mine, lr=0.1, **arguments), theirs, other(theirs, lr=0.1, **arguments)


def check(mine, theirs):
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=2e-6, atol=2e-6)


@pytest.fixture
def calls(monkeypatch):
    """How often a step was made by kernels, and how often all that it takes was looked up anew."""
    counted = {"made": 0, "prepared": 0}
    run, prepared = PreparedCall.run, NativeRule.prepared

    def counting_run(*given):
        counted["made"] += 1
        return run(*given)

    def counting_prepared(*given):
        counted["prepared"] += 1
        return prepared(*given)

    monkeypatch.setattr(PreparedCall, "run", counting_run)
    monkeypatch.setattr(NativeRule, "prepared", counting_prepared)
    return counted


@pytest.fixture(params=["guards", "no guards"])
def guards(request, monkeypatch):
    """torch's own guards tell what tensors look like, or there are none in this release of torch."""
    if request.param == "no guards":
        monkeypatch.setattr(torch_ready, "guard_of", lambda tensors: lambda *again: False)


def test_guards_tell_tensors_apart():
    a, p = torch.randn(4, 4), torch.nn.Parameter(torch.randn(4, 4))
    looks_alike = guard_of([p, a])
    assert looks_alike(p, a)
    assert looks_alike(p, torch.zeros(4, 4))
    others = [a.t(), a.double(), torch.zeros(4, 5), a.to_sparse(), a.to("meta"), torch._neg_view(a), p, None]
    assert not any(looks_alike(p, other) for other in others)


@pytest.mark.usefixtures("guards")
@pytest.mark.parametrize("name", ["AdamW", "NAdam", "SGD"])
def test_a_step_goes_on_from_the_last_one(calls, name):
    mine, one, theirs, other = pair(name)
    for seed in range(5):
        for params, optimizer in ((mine, one), (theirs, other)):
            give_gradients(params, seed)
            optimizer.step()
    check(mine, theirs)
    assert calls == {"made": 5, "prepared": 1}
    if name != "SGD":
        assert {float(kept["step"]) for kept in one.state.values()} == {5.0}


@pytest.mark.usefixtures("guards")
@pytest.mark.parametrize("name", ["AdamW", "NAdam", "SGD"])
def test_entries_of_others_may_be_replaced_between_steps(calls, name):
    mine, one, theirs, other = pair(name, **({"momentum": 0.9} if name == "SGD" else {}))
    for seed in range(5):
        for params, optimizer in ((mine, one), (theirs, other)):
            give_gradients(params, seed)
            optimizer.step()
        for p in mine:
            one.state[p] |= {"ema": 0.5, "average": p.detach().clone()}
    check(mine, theirs)
    # Once more after the entries have come.
    assert calls == {"made": 5, "prepared": 2}
    one.state[mine[0]].pop("momentum_buffer" if name == "SGD" else "exp_avg")
    if name == "SGD":
        one.step()
        assert calls["prepared"] > 2
    else:
        with pytest.raises(TreeMismatch, match="this optimizer keeps"):
            one.step()


def swap_data(params, optimizer):
    params[0].data = params[0].data.clone()


def turn_data(params, optimizer):
    params[1].data = torch.zeros(3, 7).T.copy_(params[1].data)


def replace_state(params, optimizer):
    optimizer.state[params[0]]["exp_avg"] = torch.full_like(params[0], 0.5)


def edit_state(params, optimizer):
    optimizer.state[params[0]]["exp_avg"].mul_(2)


def edit_count(params, optimizer):
    optimizer.state[params[0]]["step"].fill_(7)


def edit_number(params, optimizer):
    """Of NAdam, which keeps one of the step with every parameter."""
    if "mu_product" in optimizer.state[params[0]]:
        optimizer.state[params[0]]["mu_product"].mul_(0.5)


def forget_state(params, optimizer):
    del optimizer.state[params[2]]


def drop_gradient(params, optimizer):
    params[1].grad = None


def turn_gradient(params, optimizer):
    params[1].grad = torch.zeros(3, 7).T.copy_(params[1].grad)


def expand_gradient(params, optimizer):
    params[0].grad = torch.ones(()).expand(40)


def change_rate(params, optimizer):
    optimizer.param_groups[0]["lr"] = 0.01


def change_option(params, optimizer):
    optimizer.param_groups[0]["maximize"] = True


def load_own_state(params, optimizer):
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def share_state(params, optimizer):
    optimizer.state[params[0]]["exp_avg"].share_memory_()


def swap_state_data(params, optimizer):
    for kept in optimizer.state.values():
        kept["exp_avg"].data = kept["exp_avg"].clone()
        kept["step"].data = kept["step"].clone()


def negate_gradient(params, optimizer):
    params[0].grad = torch._neg_view(params[0].grad)


def take_imaginary_part(params, optimizer):
    params[1].grad = torch.complex(torch.zeros(7, 3), params[1].grad).conj().imag


def add_group(params, optimizer):
    if len(params) == len(SHAPES):
        params.append(torch.nn.Parameter(torch.ones(5)))
        optimizer.add_param_group({"params": params[-1:], "lr": 0.3})
    params[-1].grad = torch.ones(5)


def reorder(params, optimizer):
    optimizer.param_groups[0]["params"].reverse()


@pytest.mark.parametrize(
    "change",
    [
        swap_data,
        turn_data,
        replace_state,
        share_state,
        swap_state_data,
        negate_gradient,
        take_imaginary_part,
        edit_state,
        edit_count,
        edit_number,
        forget_state,
        drop_gradient,
        turn_gradient,
        expand_gradient,
        change_rate,
        change_option,
        load_own_state,
        add_group,
        reorder,
    ],
)
@pytest.mark.usefixtures("guards")
@pytest.mark.parametrize("name", ["AdamW", "NAdam"])
def test_what_is_changed_between_steps_counts(change, name):
    mine, one, theirs, other = pair(name)
    for seed in range(6):
        for params, optimizer in ((mine, one), (theirs, other)):
            give_gradients(params, seed)
            if seed in (2, 4):
                change(params, optimizer)
            optimizer.step()
        check(mine, theirs)


def test_a_gradient_of_another_shape_is_refused():
    """Its shape can be changed behind torch's back."""
    weight = torch.nn.Parameter(torch.ones(1000))
    optimizer = optgen.torch.AdamW([weight], lr=0.1)
    for _ in range(2):
        weight.grad = torch.ones(1000)
        optimizer.step()
    before = weight.detach().clone()
    weight.grad.data = torch.ones(5)
    with pytest.raises(ValueError, match="gradient 0 has shape"):
        optimizer.step()
    assert torch.equal(weight.detach(), before)


@pytest.mark.parametrize("kind", ["overlapping", "inference"])
def test_parameters_that_torch_would_not_write_to(kind):
    if kind == "overlapping":
        weight = torch.nn.Parameter(torch.ones(1, 10).expand(4, 10))
    else:
        with torch.inference_mode():
            weight = torch.nn.Parameter(torch.ones(4, 10))
    weight.grad = torch.ones(4, 10)
    with pytest.raises(RuntimeError):
        optgen.torch.SGD([weight], lr=0.1).step()


@pytest.mark.parametrize(
    "name",
    "result linux unix asm typeof int number stored kept int64_t INT32_MAX OPTGEN_BITS NULL i n".split(),
)
@pytest.mark.parametrize("role", ["state", "hyperparameter"])
def test_names_that_mean_something_elsewhere(name, role, monkeypatch):
    monkeypatch.setitem(os.environ, "OPTGEN_BACKEND", "native")
    if role == "state":
        equations = f"{name}[t] = 0.9*{name}[t-1] + g\ntheta[t] = theta[t-1] - lr*{name}[t]"
        values = {"lr": 0.1}
    else:
        equations = f"m[t] = 0.9*m[t-1] + g\ntheta[t] = theta[t-1] - {name}*m[t]"
        values = {name: 0.1}
    found = {}
    for backend in ("native", "arrays"):
        os.environ["OPTGEN_BACKEND"] = backend
        made = optgen.define("toy", equations, **values)
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = made.torch([weight])
        for _ in range(2):
            weight.grad = torch.ones(3)
            optimizer.step()
        found[backend] = weight.detach()
    expected = torch.full((3,), 1 - 0.1 - 0.19)
    torch.testing.assert_close(found["native"], expected)
    torch.testing.assert_close(found["arrays"], expected)


def test_what_backward_has_kept_is_known_to_have_changed():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = optgen.torch.AdamW([weight], lr=0.1)
    for _ in range(3):
        loss = (weight**2 * weight).sum()
        weight.grad = torch.ones(3)
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_copies_and_pickles_go_on_by_themselves():
    mine, one, theirs, other = pair()
    for seed in range(3):
        for params, optimizer in ((mine, one), (theirs, other)):
            give_gradients(params, seed)
            optimizer.step()
    twin, optimizer = copy.deepcopy((mine, one))
    before = [p.detach().clone() for p in mine]
    give_gradients(twin, 3)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(mine, before, strict=True))
    give_gradients(theirs, 3)
    other.step()
    check(twin, theirs)
    restored = pickle.loads(pickle.dumps(one))
    assert restored.state_dict()["param_groups"] == one.state_dict()["param_groups"]


class Wrapped(torch.Tensor):
    """A tensor of a class of its own, which may stand for anything."""


def test_tensors_of_other_classes_are_left_to_torch(calls):
    plain = torch.nn.Parameter(torch.ones(4))
    wrapped = torch.ones(4).as_subclass(Wrapped).requires_grad_()
    for p in (plain, wrapped):
        optimizer = optgen.torch.AdamW([p], lr=0.1)
        p.grad = torch.ones(4) if p is plain else torch.ones(4).as_subclass(Wrapped)
        optimizer.step()
    assert calls["made"] == 1
    torch.testing.assert_close(torch.Tensor(wrapped.detach()), plain.detach())


def test_several_threads_step_at_once():
    def train(results, index):
        params = parameters(index)
        optimizer = optgen.torch.AdamW([*params, torch.nn.Parameter(torch.ones(200_000))], lr=0.1)
        for seed in range(20):
            give_gradients(params, seed)
            optimizer.param_groups[0]["params"][-1].grad = torch.ones(200_000)
            optimizer.step()
        results[index] = [p.detach() for p in optimizer.param_groups[0]["params"]]

    alone, together = {}, {}
    for index in range(4):
        train(alone, index)
    threads = [threading.Thread(target=train, args=(together, index)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        assert all(torch.equal(a, b) for a, b in zip(alone[index], together[index], strict=True))


FORKED = """
import os, torch, optgen.torch
p = torch.nn.Parameter(torch.ones(300_000))
p.grad = torch.ones(300_000)
optimizer = optgen.torch.AdamW([p], lr=0.1)
optimizer.step()
child = os.fork()  # after which torch's own threads do not work in the child
optimizer.step()
assert len(set(p.tolist())) == 1
if child == 0:
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_process_that_forks():
    """Threads do not come along; the child makes its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


FIRST_IN_CHILD = """
import faulthandler, itertools, os, sys, torch
if {early}:
    import optgen.torch
size = 300_000
torch.ones(size).square().sum()  # torch's threads are there from here on
weights = [torch.full((size,), 2.0) for _ in range(6)]
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
faulthandler.dump_traceback_later(60, exit=True)
import optgen.torch
threads = torch.get_num_threads()
chosen = itertools.product(["native", "arrays"], [dict(), dict(skip_nonfinite=True), dict(state_dtype="8bit")])
for weight, (backend, options) in zip(weights, chosen):
    os.environ["OPTGEN_BACKEND"] = backend
    p = torch.nn.Parameter(weight)
    p.grad = torch.from_numpy(weight.numpy().copy())
    optimizer = optgen.torch.AdamW([p], lr=0.5, weight_decay=0.0, **options)
    for _ in range(2):
        optimizer.step()
    assert torch.get_num_threads() == threads
    found = set(p.tolist())
    assert len(found) == 1 and abs(found.pop() - 1.0) < 1e-3, (backend, options)
os._exit(0)
"""


@pytest.mark.parametrize("early", [True, False])
def test_a_first_step_in_a_forked_process(early):
    """Whether optgen was there before or not; torch's own threads are not."""
    run = [sys.executable, "-W", "ignore", "-c", FIRST_IN_CHILD.format(early=early)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


TWO_IN_CHILD = """
import faulthandler, os, sys, threading, torch
from optgen.runtime.torch.threads import safe_after_fork, torch_team
torch.set_num_threads(3)
numbers = torch.ones(300_000)
numbers.square().sum()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
faulthandler.dump_traceback_later(60, exit=True)
inside, other_is_inside, found = threading.Event(), threading.Event(), []

def other():
    inside.set()
    assert other_is_inside.wait(50)

def step():
    other_is_inside.set()
    thread.join(1)  # the other thread's step is over
    numbers.square().sum()
    found.append(torch_team().size)

def first():
    safe_after_fork(other)()
    found.append(torch.get_num_threads())

thread = threading.Thread(target=first)
thread.start()
assert inside.wait(50)
safe_after_fork(step)()
thread.join()
assert found == [3, 3], found
assert torch.get_num_threads() == 3
os._exit(0)
"""


def test_two_threads_step_at_once_in_a_forked_process():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TWO_IN_CHILD], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_operations_of_torch_where_they_are_asked_for(calls, monkeypatch):
    monkeypatch.setitem(os.environ, "OPTGEN_BACKEND", "arrays")
    params = parameters()
    optimizer = optgen.torch.AdamW(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    assert calls["made"] == 0


@pytest.mark.parametrize("backend", ["native", "arrays"])
@pytest.mark.parametrize("part", [slice(0, None), slice(150, None), (slice(None), slice(0, 3))])
def test_parameters_that_share_memory_make_their_steps_one_after_the_other(part, backend, monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    found = []
    for library in (optgen.torch, torch.optim):
        generator = torch.Generator().manual_seed(1)
        memory = torch.randn(200, 200, generator=generator)
        params = [torch.nn.Parameter(memory), torch.nn.Parameter(memory[part]), torch.nn.Parameter(torch.ones(5))]
        optimizer = library.Adam(params, lr=0.1)
        for _ in range(4):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        found.append(params)
    check(*found)


@pytest.mark.parametrize("backend", ["native", "arrays"])
def test_a_rule_that_looks_at_the_whole_model_refuses_shared_memory(backend, monkeypatch):
    """Its steps cannot be made one after the other; no group moves."""
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    cls = optgen.define("whole", "theta[t] = theta[t-1] - lr*g/norm(g, over=model)", lr=0.1).torch
    memory = torch.ones(10)
    before = torch.nn.Parameter(torch.ones(3))
    params = [torch.nn.Parameter(memory), torch.nn.Parameter(memory[5:])]
    optimizer = cls([{"params": [before]}, {"params": params}])
    for p in (before, *params):
        p.grad = torch.ones_like(p)
    with pytest.raises(TreeMismatch, match="parameters share memory, and this rule, which looks at the whole model"):
        optimizer.step()
    assert torch.equal(before, torch.ones(3))
    assert torch.equal(memory, torch.ones(10))
