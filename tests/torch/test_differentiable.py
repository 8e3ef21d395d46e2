"""`differentiable=True`: autograd goes through all that a rule keeps, against the equations written in torch."""

from __future__ import annotations

import pytest
import torch

import optgen

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

STEPS = 5

KEEPS = optgen.define(
    "keeps",
    """
    c[0] = lr
    c[t] = c[t-1] + 0.5*c[t-2] + lr*t
    d[t] = 0.5*d[t-1] + c[t]*lr
    slow[0] = theta[0]
    slow[t] = 0.5*slow[t-2] + 0.25*theta[t-1]*lr
    m[t] = g*lr
    theta[t] = theta[t-1] - c[t]*g - d[t-1]*slow[t-1]*m[t-2]
    """,
    lr=0.1,
)
WHOLE = optgen.define(
    "whole_keeps",
    """
    c[t] = c[t-1] + lr
    n[t] = lr*norm(g, over=model)
    theta[t] = theta[t-1] - c[t]*g*n[t-2]
    """,
    lr=0.1,
)


def keeps(thetas, gradients, lr):
    """`KEEPS`, on several parameters that have every gradient."""
    found = []
    for theta, given in zip(thetas, gradients, strict=True):
        c, d, slow, m = [lr, lr], [torch.zeros_like(lr)], [theta, theta], [torch.zeros_like(theta)] * 2
        for t, g in enumerate(given, 1):
            c.append(c[-1] + 0.5 * c[-2] + lr * t)
            theta, before = theta - c[-1] * g - d[-1] * slow[-1] * m[-2], theta
            d.append(0.5 * d[-1] + c[-1] * lr)
            slow.append(0.5 * slow[-2] + 0.25 * before * lr)
            m.append(g * lr)
        found.append(theta)
    return found


def whole(thetas, gradients, lr):
    """`WHOLE`, where a gradient of zeros stands for one that is missing."""
    c, n = torch.zeros_like(lr), [torch.zeros_like(lr)] * 2
    for given in zip(*gradients, strict=True):
        c = c + lr
        thetas = [theta - c * g * n[-2] for theta, g in zip(thetas, given, strict=True)]
        n.append(lr * torch.sqrt(sum((g**2).sum() for g in given)))
    return thetas


def drawn():
    generator = torch.Generator().manual_seed(0)
    thetas = [torch.randn(n, dtype=torch.float64, generator=generator).requires_grad_() for n in (3, 2)]
    gradients = [
        [torch.randn(len(t), dtype=torch.float64, generator=generator).requires_grad_() for _ in range(STEPS)]
        for t in thetas
    ]
    return thetas, gradients, torch.tensor(0.1, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("rule", "equations", "missing"),
    [(KEEPS, keeps, ()), (WHOLE, whole, ()), (WHOLE, whole, (1, 3))],
    ids=["keeps", "whole", "whole, without some gradients"],
)
def test_derivatives_go_through_what_is_kept(rule, equations, missing):
    thetas, gradients, lr = drawn()
    leaves = [*thetas, lr, *(g for given in gradients for g in given)]
    zeros = [
        [g * (index == 0 or t not in missing) for t, g in enumerate(given)] for index, given in enumerate(gradients)
    ]
    expected = equations(thetas, zeros, lr)
    parameters = [theta * 1 for theta in thetas]
    optimizer = rule.torch(parameters, lr=lr, differentiable=True)
    for t in range(STEPS):
        for index, p in enumerate(parameters):
            p.grad = gradients[index][t] if index == 0 or t not in missing else None
        optimizer.step()
    for ours, theirs in zip(parameters, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    ours, theirs = (
        torch.autograd.grad(sum((p**3).sum() for p in found), leaves, allow_unused=True)
        for found in (parameters, expected)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None) or not torch.any(one if other is None else other)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert abs(ours[len(thetas)]) > 1e-3


def test_numbers_of_the_step_that_autograd_follows_no_more():
    """Steps after it go on from their values."""
    found = []
    for is_followed in (True, False):
        p, q = (torch.zeros(1, dtype=torch.float64) for _ in range(2))
        lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=is_followed)
        optimizer = WHOLE.torch([p, q], lr=lr, differentiable=is_followed)
        for step in range(6):
            p.grad, q.grad = torch.ones_like(p), torch.full_like(q, step) if step != 2 else None
            optimizer.step()
            if step == 3:
                p, q = p.detach(), q.detach()
                optimizer.param_groups[0].update(params=[p, q], lr=0.1)
                optimizer.defaults["differentiable"] = False
                state = [{n: v.detach() for n, v in kept.items()} for kept in optimizer.state.values()]
                optimizer.state.clear()
                optimizer.state.update(zip((p, q), state, strict=True))
        found.append(torch.cat([p, q]))
    torch.testing.assert_close(*found, rtol=1e-13, atol=0)
