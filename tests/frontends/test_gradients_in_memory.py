"""Where gradients and parameters of torch and lucid stand in memory, and how their numbers are stored there."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch

import optgen
import optgen.lucid
import optgen.torch
from optgen.errors import TreeMismatch
from optgen.runtime import numpy_memory

WHOLE = optgen.define("whole", "theta[t] = theta[t-1] - lr*g/norm(g, over=model)", lr=0.1)


class Parameter:
    def __init__(self, data, grad=None):
        self.data, self.grad = data, grad


def torchs(value):
    return torch.nn.Parameter(torch.tensor(value))


@pytest.fixture(params=["native", "arrays"])
def backend(request, monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", request.param)
    return request.param


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("library", ["torch", "lucid"])
def test_gradients_in_the_memory_of_other_parameters(library, before, groups, backend):
    """A step reads them as they were before it, also where it goes on from steps with others."""
    values = [np.linspace(1, 2, 40), np.linspace(3, 5, 40)]
    parameters = [torchs(v) if library == "torch" else Parameter(v.copy()) for v in values]
    a, b = parameters
    given = [a, b] if groups == 1 else [{"params": [a]}, {"params": [b]}]
    optimizer = getattr(optgen, library).SGD(given, lr=0.5)
    for _ in range(before):
        for p in parameters:
            p.grad = torch.zeros(40, dtype=torch.float64) if library == "torch" else np.zeros(40)
        optimizer.step()
    a.grad, b.grad = (b.detach(), a.detach()) if library == "torch" else (b.data, a.data)
    optimizer.step()
    np.testing.assert_array_equal(a.data, values[0] - 0.5 * values[1])
    np.testing.assert_array_equal(b.data, values[1] - 0.5 * values[0])


def test_gradients_in_the_memory_of_parameters_in_a_graph():
    values = [torch.linspace(1, 2, 4), torch.linspace(3, 5, 4)]
    a, b = (torch.nn.Parameter(v.clone()) for v in values)
    optimizer = optgen.torch.SGD([a, b], lr=0.5)
    for _ in range(2):
        a.grad, b.grad = torch.zeros(4), torch.zeros(4)
        torch.ops.optgen.step([a, b], [a.grad, b.grad], [], optimizer._number, 0)
    torch.ops.optgen.step([a, b], [b.detach(), a.detach()], [], optimizer._number, 0)
    assert torch.equal(a, values[0] - 0.5 * values[1])
    assert torch.equal(b, values[1] - 0.5 * values[0])


def quarters(memory):
    return [memory[:, ::2], memory[:, 1::2]]


@pytest.mark.parametrize("library", ["torch", "lucid"])
def test_a_rule_that_looks_at_the_whole_model_takes_interleaved_views(library, backend):
    """Their memory is one region, and no number is in both."""
    random = np.random.default_rng(0)
    memory = random.normal(size=(30, 8))
    gradients = quarters(random.normal(size=(30, 8)))
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    expected = memory.copy()
    for view, g in zip(quarters(expected), gradients, strict=True):
        view -= 3 * 0.1 * g / norm
    if library == "torch":
        parameters = [torch.nn.Parameter(v) for v in quarters(torch.from_numpy(memory))]
    else:
        parameters = [Parameter(v) for v in quarters(memory)]
    optimizer = getattr(WHOLE, library)(parameters)
    for _ in range(3):
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = torch.from_numpy(g.copy()) if library == "torch" else g.copy()
        optimizer.step()
    np.testing.assert_allclose(memory, expected, rtol=1e-13)


def test_views_that_share_one_number_are_found():
    memory = np.zeros((6, 10))
    assert numpy_memory.sharing([memory[:, :4], memory[:, 4:]]) == set()
    assert numpy_memory.sharing([memory[:, :5], memory[:, 4:], memory[5:, 9:]]) == {0, 1, 2}
    assert numpy_memory.sharing([memory[::2], memory[1::2], memory[3:4, ::-3]]) == {1, 2}
    strided = np.lib.stride_tricks.as_strided
    apart = [strided(memory[0, n:], (2,) * 6, tuple(8 * 2 * 3**k for k in range(1, 7))) for n in (0, 1)]
    assert numpy_memory.sharing(apart) == set()


def test_views_of_which_it_would_take_too_long_to_tell_count_as_sharing(monkeypatch):
    memory = np.zeros((6, 10))
    views = [memory[:, number::5] for number in range(5)]
    assert numpy_memory.sharing(views) == set()
    monkeypatch.setattr(numpy_memory, "_PAIRS", 0)
    assert numpy_memory.sharing(views) == {0, 1, 2, 3, 4}
    assert numpy_memory.sharing([memory[:3], memory[3:]]) == set()


def lazily_negated(values):
    """Real numbers whose sign torch has yet to turn."""
    return torch.complex(torch.zeros_like(values), -values).conj().imag


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_conjugates_that_autograd_has_left_to_the_reader(name, backend):
    found = []
    for library in (torch.optim, optgen.torch):
        p = torch.nn.Parameter(torch.tensor([1 + 2j, -0.5 + 0.25j], dtype=torch.complex128))
        q = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
        optimizer = getattr(library, name)([p, q], lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            (p.conj() * torch.tensor([2 + 1j, 1 - step * 1j])).real.sum().backward()
            assert p.grad.is_conj()
            q.grad = lazily_negated(torch.tensor([0.5, step - 1.0], dtype=torch.float64))
            assert q.grad.is_neg()
            if library is torch.optim:
                # Not each of torch's reads them itself.
                p.grad, q.grad = p.grad.resolve_conj(), q.grad.resolve_neg()
            optimizer.step()
        found.append((p.detach(), q.detach()))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_lazily_negated_gradient_after_a_step_with_a_plain_one(backend):
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = optgen.torch.SGD([p], lr=1.0)
    for _ in range(2):
        p.grad = torch.ones(3)
        optimizer.step()
    p.grad = lazily_negated(torch.ones(3))
    assert torch.equal(p.grad, torch.ones(3))
    for _ in range(2):
        optimizer.step()
    assert torch.equal(p.detach(), torch.full((3,), -4.0))


def test_a_parameter_that_is_the_conjugate_of_its_memory(backend):
    memory = torch.tensor([1 + 2j, 3 - 1j])
    p = memory.conj().requires_grad_()
    p.grad = torch.tensor([1 + 1j, 2 - 2j])
    optgen.torch.SGD([p], lr=0.5).step()
    assert torch.equal(p.detach().resolve_conj(), torch.tensor([0.5 - 2.5j, 2 + 2j]))


@pytest.mark.parametrize("of", ["parameters", "gradients", "both"])
def test_numbers_in_the_other_byte_order(of, backend):
    """Computed in float64, as they are."""
    theta, gradient = np.array([1.0, 2.0]), np.array([1 / 3, -0.1])
    found = []
    for order in ("=", ">" if sys.byteorder == "little" else "<"):
        p = Parameter(theta.astype(f"{order if of != 'gradients' else '='}f8"))
        optimizer = optgen.lucid.Adam([p], lr=0.1)
        for step in range(4):
            p.grad = (gradient + step).astype(f"{order if of != 'parameters' else '='}f8")
            optimizer.step()
            if step == 1:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        found.append(p.data.astype("f8"))
    np.testing.assert_allclose(*found, rtol=1e-15)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.longdouble, np.float16])
def test_gradients_of_any_numbers(dtype, backend):
    p, other = Parameter(np.ones(3)), Parameter(np.ones(3))
    p.grad = np.array([0, 1, 1]).astype(dtype)
    other.grad = np.ones(3)
    optgen.lucid.SGD([{"params": [other]}, {"params": [p]}], lr=0.25).step()
    np.testing.assert_array_equal(p.data, [1, 0.75, 0.75])
    np.testing.assert_array_equal(other.data, [0.75] * 3)


def test_what_no_arithmetic_is_precise_enough_for_is_refused_before_anything_moves(backend):
    if np.dtype(np.longdouble).itemsize <= 8:
        pytest.skip("long doubles have 64 bits here")
    with pytest.raises(TreeMismatch, match=r"^SGD: parameters are of at most 64 bits, and this one is (long|float)"):
        optgen.lucid.SGD([Parameter(np.ones(3, np.longdouble))], lr=0.1)
    p, other = Parameter(np.ones(3)), Parameter(np.ones(3))
    optimizer = optgen.lucid.SGD([{"params": [other]}, {"params": [p]}], lr=0.25)
    p.grad = other.grad = np.ones(3)
    p.data = p.data.astype(np.longdouble)
    with pytest.raises(TreeMismatch, match=r"^SGD: parameters are of at most 64 bits"):
        optimizer.step()
    p.data, p.grad = np.ones(3), np.array(["a", "b", "c"])
    with pytest.raises(TreeMismatch, match=r"^SGD: gradients are arrays of numbers, and this one is of <U1"):
        optimizer.step()
    np.testing.assert_array_equal(other.data, np.ones(3))
