"""`torch.compile` around `optimizer.step`: an operator in the graph, for whatever rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import optgen
import optgen.torch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    torch._dynamo.reset()
    # An error inside of a graph leaves what the graph has switched off.
    with torch.enable_grad():
        yield
    torch._dynamo.reset()


def model() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 70), torch.nn.Tanh(), torch.nn.Linear(70, 2))


X = torch.linspace(-1, 1, 20).reshape(4, 5)


def give_gradients(network: torch.nn.Module) -> None:
    for p in network.parameters():
        p.grad = None
    network(X).square().sum().backward()


def pair(name: str, **arguments: Any) -> tuple[Any, Any, Any, Any]:
    """Two copies of a network and of its optimizer, after one step."""
    networks = [model(), model()]
    optimizers = [getattr(optgen.torch, name)(network.parameters(), lr=0.05, **arguments) for network in networks]
    for network, optimizer in zip(networks, optimizers, strict=True):
        give_gradients(network)
        optimizer.step()
    return networks[0], optimizers[0], networks[1], optimizers[1]


def check(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(("entry", "dtype"), [("step", torch.int8), ("exp_avg", torch.bfloat16)])
def test_states_that_were_set_in_another_type(entry: str, dtype: torch.dtype) -> None:
    """A graph holds the tensors that it changes: those of another type are brought to the rule's outside of it."""
    ours, optimizer, theirs, plain = pair("AdamW")
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    for number in range(4):
        if number == 1:
            for network, one in ((ours, optimizer), (theirs, plain)):
                for p in network.parameters():
                    value = torch.tensor(126.0) if entry == "step" else one.state[p][entry]
                    one.state[p][entry] = value.to(dtype)
        give_gradients(ours)
        give_gradients(theirs)
        step()
        plain.step()
        check(ours, theirs)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(optimizer.state[p][entry], plain.state[q][entry])
        assert optimizer.state[p][entry].dtype is torch.float32


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("AdamW", {}),
        ("NAdam", {}),
        ("Lamb", {"grad_clip_norm": 1.0}),
        ("SGD", {"momentum": 0.9}),
        ("AdamW", {"state_dtype": "8bit_stochastic"}),
    ],
)
def test_a_step_is_one_operator_of_the_graph(name: str, arguments: dict[str, Any], backend: str) -> None:
    """Without a break; another learning rate compiles nothing anew."""
    ours, optimizer, theirs, plain = pair(name, **arguments)
    counter = CompileCounterWithBackend(backend)
    step = torch.compile(lambda: optimizer.step(), fullgraph=True, backend=counter)
    for _ in range(2):
        give_gradients(ours)
        give_gradients(theirs)
        step()
        plain.step()
    compiled = counter.frame_count
    for rate in (0.05, 0.02, 0.01):
        optimizer.param_groups[0]["lr"] = plain.param_groups[0]["lr"] = rate
        give_gradients(ours)
        step()
        give_gradients(theirs)
        plain.step()
    check(ours, theirs)
    assert counter.frame_count == compiled
    called = [str(node.target) for graph in counter.graphs for node in graph.graph.nodes if node.op == "call_function"]
    assert sum("optgen.step" in name for name in called) >= 1


def test_what_changes_beside_the_step_in_one_graph() -> None:
    """The graph knows that the operator changes parameters: what comes after it sees them changed."""
    ours, optimizer, theirs, plain = pair("AdamW")

    @torch.compile(fullgraph=True, backend="inductor")
    def step_and_look() -> torch.Tensor:
        before = next(iter(ours.parameters())).detach().sum()
        optimizer.step()
        return torch.stack([before, next(iter(ours.parameters())).detach().sum()])

    for _ in range(3):
        give_gradients(ours)
        give_gradients(theirs)
        first = next(iter(theirs.parameters())).detach().sum()
        seen = step_and_look()
        plain.step()
        second = next(iter(theirs.parameters())).detach().sum()
        torch.testing.assert_close(seen, torch.stack([first, second]))
    check(ours, theirs)


def test_before_there_is_a_state_the_graph_breaks() -> None:
    """The first step makes the state, outside of the graph; so does every step of a rule that keeps other things."""
    for name in ("AdamW", "SM3", "Prodigy"):
        ours, theirs = model(), model()
        optimizer, plain = (getattr(optgen.torch, name)(network.parameters(), lr=0.05) for network in (ours, theirs))
        step = torch.compile(lambda optimizer=optimizer: optimizer.step(), backend="eager")
        for _ in range(3):
            give_gradients(ours)
            step()
            give_gradients(theirs)
            plain.step()
        check(ours, theirs)


def test_a_loaded_optimizer_steps_on() -> None:
    """State that is replaced, and copies of an optimizer, under an operator that is compiled."""
    ours, optimizer, theirs, plain = pair("AdamW")
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    give_gradients(ours)
    give_gradients(theirs)
    step()
    plain.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(2):
        give_gradients(ours)
        step()
        give_gradients(theirs)
        plain.step()
    check(ours, theirs)
    twin_network, twin = copy.deepcopy((ours, optimizer))
    again = torch.compile(lambda: twin.step(), backend="eager")
    for _ in range(2):
        for network, run in ((twin_network, again), (theirs, plain.step)):
            give_gradients(network)
            run()
    check(twin_network, theirs)


def test_gradients_with_a_scale() -> None:
    """What GradScaler leaves to the step."""
    ours, optimizer, theirs, plain = pair("AdamW", fused=True)
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    for infinite in (0.0, 1.0, 0.0):
        give_gradients(ours)
        for p in ours.parameters():
            p.grad.mul_(4.0)
        optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(infinite)
        step()
        if not infinite:
            give_gradients(theirs)
            plain.step()
    check(ours, theirs)


def test_steps_that_are_left_out() -> None:
    """`skip_nonfinite=True` looks at all gradients first, outside of the graph."""
    ours, optimizer, theirs, plain = pair("AdamW", skip_nonfinite=True)
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    for infinite in (False, True, False):
        give_gradients(ours)
        give_gradients(theirs)
        if infinite:
            next(iter(ours.parameters())).grad[0, 0] = float("inf")
        step()
        if not infinite:
            plain.step()
    check(ours, theirs)
    assert optimizer.skipped_steps == 1


def test_the_operator_keeps_torchs_rules() -> None:
    """What it says it changes is what it changes."""
    network, optimizer, _, _ = pair("AdamW")
    give_gradients(network)
    parameters = [p.detach() for p in network.parameters()]
    gradients = [p.grad for p in network.parameters()]
    states = [kept[name] for kept in map(optimizer.state.__getitem__, network.parameters()) for name in sorted(kept)]
    arguments = (parameters, gradients, states, optimizer._number, 0)
    torch.library.opcheck(torch.ops.optgen.step.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_parameters_that_are_replaced_are_noticed() -> None:
    network, optimizer, _, _ = pair("AdamW")
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    give_gradients(network)
    optimizer.param_groups[0]["params"] = optimizer.param_groups[0]["params"][1:]
    with pytest.raises(RuntimeError, match="parameters of group 0 have changed"):
        step()


def test_a_gradient_that_is_missing_where_the_rule_looks_at_the_whole_model() -> None:
    """What is kept for the parameter without one moves on all the same."""
    cls = optgen.define(
        "whole", "m[t] = g\nc[t] = c[t-1] + t\ntheta[t] = theta[t-1] - lr*(m[t-2] + c[t] + norm(g, over=model))", lr=0.1
    ).torch
    sides = []
    for is_compiled in (False, True):
        parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
        optimizer = cls(parameters)
        step = torch.compile(lambda made=optimizer: made.step(), backend="eager") if is_compiled else optimizer.step
        for number, row in enumerate("110 110 110 100 100 010 110 110".split()):
            for p, has_one in zip(parameters, row, strict=True):
                p.grad = torch.full_like(p, number) if has_one == "1" else None
            step()
        sides.append(torch.stack([p.detach() for p in parameters]))
    assert torch.equal(*sides)
