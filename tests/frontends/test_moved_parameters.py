"""Parameters that go on in another group or optimizer: each has numbers of the model of its own from then on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import optgen

COUNTING = optgen.define(
    "counting",
    """
n[t] = where(norm(g, over=model) > 100, 1, n[t-1] + 1)
theta[t] = theta[t-1] - lr*n[t]*g
""",
    lr=0.1,
)


class Parameter:
    """A parameter as lucid has them."""

    def __init__(self):
        self.data, self.grad = np.zeros(3), np.ones(3)


def made(library):
    """Two parameters, with gradients of ones, and the class of the optimizer."""
    if library == "torch":
        parameters = [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        return parameters, COUNTING.torch
    return [Parameter(), Parameter()], COUNTING.lucid


def numbers(parameter):
    return np.asarray(parameter.detach() if isinstance(parameter, torch.Tensor) else parameter.data)


@pytest.mark.parametrize("backend", ["native", "arrays"])
@pytest.mark.parametrize("target", ["new group", "other group", "other optimizer"])
@pytest.mark.parametrize("library", ["torch", "lucid"])
def test_both_count_on_by_themselves(library, target, backend, monkeypatch):
    monkeypatch.setenv("OPTGEN_BACKEND", backend)
    parameters, optimizer_class = made(library)
    optimizers = [optimizer_class(parameters)]
    (optimizer,) = optimizers
    for step in range(5):
        if step == 2:
            moved = optimizer.param_groups[0]["params"].pop()
            if target == "other optimizer":
                other = optimizer_class([moved])
                other.state[moved] = optimizer.state.pop(moved)
                optimizers.append(other)
            else:
                optimizer.add_param_group({"params": [moved]})
        if step == 3 and target == "other group":
            # Back again: the group it comes to has a count of the same number.
            optimizer.param_groups[0]["params"].append(optimizer.param_groups[1]["params"].pop())
        for one in optimizers:
            one.step()
    for parameter in parameters:
        np.testing.assert_allclose(numbers(parameter), np.full(3, -0.1 * (1 + 2 + 3 + 4 + 5)), rtol=1e-14)
    for one in optimizers:
        for state in one.state.values():
            assert float(state["n"]) == 5


def test_a_compiled_step_goes_on_as_well():
    parameters, optimizer_class = made("torch")
    optimizer = optimizer_class(parameters)
    step = torch.compile(optimizer.step)
    for number in range(5):
        if number == 2:
            optimizer.add_param_group({"params": [optimizer.param_groups[0]["params"].pop()]})
        step()
    for parameter in parameters:
        np.testing.assert_allclose(numbers(parameter), np.full(3, -0.1 * (1 + 2 + 3 + 4 + 5)), rtol=1e-14)
