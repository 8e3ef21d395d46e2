"""Parameters that have no gradient in some steps, where a rule looks at the whole model: torch and lucid."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

import optgen
import optgen.torch

HISTORIES = optgen.define(
    "histories",
    """
    m[t] = g
    k[t] = mean(g)
    V[t] = max(abs(g), over=other_axes)
    c[t] = c[t-1] + 0.5*c[t-2] + t
    s[t] = norm(g, over=model)
    theta[t] = theta[t-1] - lr*(m[t-1] + 10*m[t-2] + k[t-3] + min(V[t-2], over=axes) + 0.1*c[t-2] + s[t-2] + 0.01*t)
    """,
    lr=0.1,
)
SHAPES = ((3, 2), (4,), (2, 2, 2))


class Equations:
    """`HISTORIES` in numpy: a parameter's histories are of the steps that it has made, all else is the model's."""

    def __init__(self, values):
        self.values = values
        self.t, self.c, self.s = 0, [0.0, 0.0], [0.0, 0.0]
        self.own = [[np.zeros_like(v)] * 3 for v in values]

    def step(self, gradients):
        if all(g is None for g in gradients):
            return
        self.t += 1
        for theta, own, g in zip(self.values, self.own, gradients, strict=True):
            if g is None:
                continue
            axes = [np.abs(own[-2]).max(tuple(set(range(g.ndim)) - {axis}), keepdims=True) for axis in range(g.ndim)]
            least = np.minimum.reduce([np.broadcast_to(a, g.shape) for a in axes])
            shared = 0.1 * self.c[-2] + self.s[-2] + 0.01 * self.t
            theta -= 0.1 * (own[-1] + 10 * own[-2] + own[-3].mean() + least + shared)
            own.append(g)
        self.c.append(self.c[-1] + 0.5 * self.c[-2] + self.t)
        self.s.append(np.sqrt(sum((g**2).sum() for g in gradients if g is not None)))


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, None


class Lucid:
    """Parameters and gradients of one library, as numpy's."""

    @staticmethod
    def parameter(value):
        return Parameter(value.copy())

    @staticmethod
    def give(parameter, gradient):
        parameter.grad = None if gradient is None else gradient.copy()

    optimizer = HISTORIES.lucid


class Torch:
    @staticmethod
    def parameter(value):
        return torch.nn.Parameter(torch.tensor(value))

    @staticmethod
    def give(parameter, gradient):
        parameter.grad = None if gradient is None else torch.tensor(gradient)

    optimizer = HISTORIES.torch


def drawn():
    """A value for each parameter, and of some steps a gradient for each, or None."""
    random = np.random.default_rng(3)
    values = [random.normal(size=shape) for shape in SHAPES]
    # The last one comes late, and the first one makes a few steps in a row, which go on from each other.
    rows = "110 110 111 101 101 011 000 110 111 001 111 111 111 100 100 100 111 111".split()
    return values, [
        [random.normal(size=shape) if has == "1" else None for shape, has in zip(SHAPES, row, strict=True)]
        for row in rows
    ]


@pytest.mark.parametrize("change", ["", "reordered", "loaded", "loaded, then reordered"])
@pytest.mark.parametrize("backend", ["native", "arrays"])
@pytest.mark.parametrize("library", [Torch, Lucid])
def test_histories_are_of_the_steps_a_parameter_has_made(library, backend, change, monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    values, steps = drawn()
    expected = Equations([v.copy() for v in values])
    parameters = [library.parameter(v) for v in values]
    optimizer = library.optimizer(parameters)
    for number, gradients in enumerate(steps):
        for p, g in zip(parameters, gradients, strict=True):
            library.give(p, g)
        optimizer.step()
        expected.step(gradients)
        if change and number % 3 == 0:
            if "loaded" in change:
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = library.optimizer(optimizer.param_groups[0]["params"])
                optimizer.load_state_dict(saved)
            if "reordered" in change:
                optimizer.param_groups[0]["params"].reverse()
        for p, theta in zip(parameters, expected.values, strict=True):
            np.testing.assert_allclose(p.data, theta, rtol=1e-12, atol=1e-12, err_msg=f"step {number + 1}")


@pytest.mark.parametrize("library", [Torch, Lucid])
def test_numbers_of_the_step_outlive_the_parameter_that_made_the_last_one(library):
    """As the numbers of the model do: the steps are the model's, whoever has made them."""
    values, steps = drawn()
    parameters, expected = [library.parameter(v) for v in values], Equations([v.copy() for v in values])
    optimizer = library.optimizer(parameters)
    for number, gradients in enumerate([steps[2], steps[2], steps[9], steps[9], steps[2], steps[2]]):
        if number == 4:
            gone = optimizer.param_groups[0]["params"].pop(2)
            del optimizer.state[gone]
        given = [g if number < 4 or index < 2 else None for index, g in enumerate(gradients)]
        for p, g in zip(parameters, given, strict=True):
            library.give(p, g)
        optimizer.step()
        expected.step(given)
    for p, theta in zip(parameters, expected.values, strict=True):
        np.testing.assert_allclose(p.data, theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("library", [Torch, Lucid])
def test_steps_that_parameters_have_counted_for_themselves(library):
    """A group may come to look at the whole model: its steps go on from the most that one has made."""
    rule = optgen.define("own", "m[t] = g\ntheta[t] = theta[t-1] - lr*(m[t-1] + 10*m[t-2])", lr=1.0)
    optimizer_class = rule.torch if library is Torch else rule.lucid
    found = []
    for clip in (None, 1e9):
        parameters = [library.parameter(np.zeros(1)) for _ in range(2)]
        optimizer = optimizer_class(parameters)
        for number, has_one in enumerate((1, 1, 0, 1, 1), 1):
            library.give(parameters[0], np.full(1, float(number)))
            library.give(parameters[1], np.full(1, float(number)) if has_one else None)
            if number == 4:
                optimizer.param_groups[0]["grad_clip_norm"] = clip
            optimizer.step()
        found.append([float(p.data[0]) for p in parameters])
    assert found == [[-(0 + 1 + 12 + 23 + 34), -(0 + 1 + 12 + 24)]] * 2


def test_schedule_free_without_some_gradients():
    """A clip that shortens nothing: where every step is the first parameter's, its weights are those of the model."""
    made = optgen.load("schedule_free").torch
    found = []
    for norm in (None, 1e9):
        w = [torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2)]
        optimizer = made(w, lr=0.1, grad_clip_norm=norm)
        for has_one in (1, 1, 0, 0, 1):
            w[1].grad = torch.full_like(w[1], 0.5)
            w[0].grad = torch.full_like(w[0], 0.5) if has_one else None
            optimizer.step()
        found.append((w[1].item(), optimizer.state[w[1]]["weight_sum"].item()))
    assert found[0] == pytest.approx(found[1], rel=1e-14)


def test_a_count_where_the_library_keeps_none(tmp_path):
    """Histories need one: their places follow from it."""
    path = tmp_path / "uncounted.toml"
    path.write_text(
        """
[optimizer]
name = "uncounted"
class = "Uncounted"
title = "Uncounted"
summary = "A history without a count."
[hyperparameters]
lr = { default = 1.0, meaning = "learning rate", domain = "lr >= 0", symbol = 'l' }
[states]
m = { symbol = 'm', meaning = "gradients" }
[equations]
rule = '''
m[t] = g
theta[t] = theta[t-1] - lr*(m[t-1] + 10*m[t-2])
'''
[dialect.torch]
name = "Uncounted"
arguments = { lr = "lr" }
count = ""
"""
    )
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optgen.load(str(path)).torch([p])
    moved = []
    for number in range(1, 6):
        p.grad = torch.full_like(p, number)
        before = p.item()
        optimizer.step()
        moved.append(before - p.item())
    assert moved == [0, 1, 12, 23, 34]


@pytest.mark.parametrize("backend", ["native", "arrays"])
def test_torchs_lbfgs_takes_missing_gradients_as_zeros(backend, monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", backend)

    def trained(cls, **arguments):
        generator = torch.Generator().manual_seed(0)
        w = [torch.nn.Parameter(torch.randn(n, dtype=torch.float64, generator=generator)) for n in (3, 2)]
        optimizer = cls(w, lr=0.1, **arguments)
        count = itertools.count()

        def closure():
            optimizer.zero_grad()
            loss = (w[0] ** 4).sum() + w[0].sum() ** 2
            if next(count) % 3:
                loss = loss + ((w[1] - 1) ** 2).sum()
            loss.backward()
            return loss

        for _ in range(9):
            optimizer.step(closure)
        return torch.cat([p.detach() for p in w])

    once = {"max_iter": 1, "tolerance_grad": 0, "tolerance_change": 0}
    torch.testing.assert_close(trained(optgen.torch.LBFGS), trained(torch.optim.LBFGS, **once), rtol=1e-9, atol=1e-9)


def test_what_takes_missing_gradients_as_zeros_makes_no_step_without_any():
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = optgen.torch.LBFGS([p, q], lr=0.1)
    optimizer.step()
    assert not optimizer.state
    assert torch.equal(p, torch.ones(2))
    p.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.state[p]["step"] == optimizer.state[q]["step"] == 1
    assert torch.equal(q, torch.ones(2))
