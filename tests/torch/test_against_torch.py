"""The classes of `optgen.torch` against torch's own: every configuration that torch tests itself with."""

from __future__ import annotations

import copy
import inspect
import warnings

import pytest
import torch
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

import optgen.torch

#: What optgen has no rule for: torch's averaged SGD, its Muon (matrix products), its Adam of sparse gradients alone;
#: and L-BFGS, of which one call is one iteration here and up to `max_iter` evaluations of a closure in torch.
LEFT_OUT = {"ASGD", "Muon", "SparseAdam", "LBFGS"}

INFOS = {info.optim_cls.__name__: info for info in optim_db if info.optim_cls.__name__ not in LEFT_OUT}
CONFIGURATIONS = [(n, i) for n, info in INFOS.items() for i in range(len(info.optim_inputs_func(device="cpu")))]
SHAPES = ((), (1,), (7,), (0, 3), (4, 5), (2, 3, 4))

#: Distance in units in the last place of float32 after ten steps; steps cancel in the parameter.
ULPS = 8


def pair(name, dtype, shapes=SHAPES, **kwargs):
    """Both optimizers on equal parameters."""
    if name == "Adafactor":  # torch's own divides by the number of elements
        shapes = tuple(s for s in shapes if 0 not in s)
    generator = torch.Generator().manual_seed(0)
    theirs = [torch.nn.Parameter(torch.randn(s, dtype=dtype, generator=generator)) for s in shapes]
    ours = [torch.nn.Parameter(p.detach().clone()) for p in theirs]
    # A tensor is shared by two optimizers only if neither changes it; torch's schedulers do.
    arguments = [copy.deepcopy(kwargs) for _ in range(2)]
    return (
        (theirs, getattr(torch.optim, name)(theirs, **arguments[0])),
        (ours, getattr(optgen.torch, name)(ours, **arguments[1])),
        generator,
    )


def step_both(theirs, ours, generator, *, skip=()):
    """One step of each on equal gradients."""
    (p_theirs, o_theirs), (p_ours, o_ours) = theirs, ours
    for index, (p, q) in enumerate(zip(p_theirs, p_ours, strict=True)):
        gradient = torch.randn(p.shape, dtype=p.dtype, generator=generator)
        p.grad = None if index in skip else gradient
        q.grad = None if index in skip else gradient.clone()
    o_theirs.step()
    o_ours.step()


def apart(theirs, ours):
    """The largest difference of two lists of tensors, relative to the largest number of each tensor."""
    worst = 0.0
    for p, q in zip(theirs, ours, strict=True):
        assert p.shape == q.shape
        assert p.dtype == q.dtype
        if p.numel():
            scale = float(p.detach().abs().max())
            worst = max(worst, float((p.detach() - q.detach()).abs().max()) / scale if scale else 0.0)
    return worst


@pytest.fixture
def double():
    """torch keeps numbers of the step, such as NAdam's product, in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def configuration(name, index):
    return dict(INFOS[name].optim_inputs_func(device="cpu")[index].kwargs)


@pytest.mark.parametrize(("name", "index"), CONFIGURATIONS)
def test_float64(name, index, double):
    theirs, ours, generator = pair(name, torch.float64, **configuration(name, index))
    for step in range(10):
        # A parameter without a gradient is skipped, and lags behind from then on.
        step_both(theirs, ours, generator, skip=(2,) if step == 3 else ())
        assert apart(theirs[0], ours[0]) <= 1e-12


@pytest.mark.parametrize(("name", "index"), CONFIGURATIONS)
def test_float32(name, index):
    theirs, ours, generator = pair(name, torch.float32, **configuration(name, index))
    for _ in range(10):
        step_both(theirs, ours, generator)
    assert apart(theirs[0], ours[0]) <= ULPS * 2**-23


@pytest.mark.parametrize(
    ("name", "flag"),
    [(n, flag) for n, info in INFOS.items() for flag in info.supported_impls if flag != "capturable"],
)
def test_flags(name, flag, double):
    theirs, ours, generator = pair(name, torch.float64, **{flag: flag != "differentiable"})
    for _ in range(3):
        step_both(theirs, ours, generator)
    assert apart(theirs[0], ours[0]) <= 1e-12


@pytest.mark.parametrize("name", [n for n, info in INFOS.items() if info.supports_complex])
def test_complex_parameters(name, double):
    theirs, ours, generator = pair(name, torch.complex128)
    for _ in range(5):
        step_both(theirs, ours, generator)
    assert apart(theirs[0], ours[0]) <= 1e-12
    a, b = theirs[1].state_dict()["state"], ours[1].state_dict()["state"]
    assert {i: {k: v.dtype for k, v in s.items()} for i, s in a.items()} == {
        i: {k: v.dtype for k, v in s.items()} for i, s in b.items()
    }


@pytest.mark.parametrize("name", INFOS)
def test_error_inputs(name):
    """The same kinds of errors, for the same mistakes."""
    for error in INFOS[name].optim_error_inputs_func(device="cpu", dtype=torch.float32):
        given = error.optimizer_error_input
        if given.params is None:
            params = [torch.nn.Parameter(torch.randn(2, 3))]
        else:
            params = given.params
        cls = getattr(optgen.torch, name)
        if issubclass(error.error_type, Warning):
            with pytest.warns(error.error_type, match=error.error_regex):
                cls(params, **given.kwargs)
        elif error.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(error.error_type):
                cls(params, **given.kwargs)
        else:
            optimizer = cls(params, **given.kwargs)
            with pytest.raises(error.error_type):
                optimizer.step()


@pytest.mark.parametrize("name", INFOS)
def test_signatures(name):
    """torch's parameters with torch's defaults, in torch's order, and two of optgen's."""
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    ours = dict(inspect.signature(getattr(optgen.torch, name)).parameters)
    assert (ours.pop("skip_nonfinite").default, ours.pop("state_dtype").default) == (False, None)
    assert list(ours) == list(theirs)
    assert [(p.kind, p.default) for p in ours.values()] == [(p.kind, p.default) for p in theirs.values()]


@pytest.mark.parametrize("index_of", ["ours to theirs", "theirs to ours"])
@pytest.mark.parametrize(("name", "index"), CONFIGURATIONS)
def test_checkpoints_are_exchanged(name, index, index_of, double):
    kwargs = configuration(name, index)
    theirs, ours, generator = pair(name, torch.float64, **kwargs)
    for _ in range(3):
        step_both(theirs, ours, generator)
    saved = [copy.deepcopy(optimizer.state_dict()) for _, optimizer in (theirs, ours)]
    entries = [
        {i: {k: (v.shape, v.dtype) for k, v in kept.items()} for i, kept in one["state"].items()} for one in saved
    ]
    assert entries[0] == entries[1]
    cls, state = (torch.optim, saved[1]) if index_of == "ours to theirs" else (optgen.torch, saved[0])
    parameters = [torch.nn.Parameter(p.detach().clone()) for p in theirs[0]]
    resumed = getattr(cls, name)(parameters, **kwargs)
    resumed.load_state_dict(state)
    for _ in range(3):
        step_both(theirs, (parameters, resumed), generator)
    assert apart(theirs[0], parameters) <= 1e-12


SCHEDULERS = {
    "StepLR": {"step_size": 2},
    "CosineAnnealingLR": {"T_max": 4},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 12},
    "LinearLR": {"total_iters": 3},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "cycle_momentum": False},
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name", ["Adam", "SGD", "NAdam", "Rprop"])
def test_schedulers(name, scheduler, double):
    theirs, ours, generator = pair(name, torch.float64, lr=0.1)
    arguments = SCHEDULERS[scheduler]
    if scheduler == "OneCycleLR":
        arguments = arguments | {"cycle_momentum": False}
    both = [getattr(torch.optim.lr_scheduler, scheduler)(o, **arguments) for o in (theirs[1], ours[1])]
    for _ in range(8):
        step_both(theirs, ours, generator)
        for one in both:
            one.step()
    assert apart(theirs[0], ours[0]) <= 1e-12


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_one_cycle_moves_the_momentum(name, double):
    """The schedulers that change other hyperparameters than the learning rate."""
    kwargs = {"momentum": 0.9} if name == "SGD" else {}
    theirs, ours, generator = pair(name, torch.float64, lr=0.1, **kwargs)
    both = [torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=12) for o in (theirs[1], ours[1])]
    for _ in range(8):
        step_both(theirs, ours, generator)
        for one in both:
            one.step()
    assert apart(theirs[0], ours[0]) <= 1e-12


@pytest.mark.parametrize("name", ["Adam", "SGD", "Adagrad"])
@pytest.mark.parametrize("fused", [None, True])
def test_grad_scaler(name, fused, double):
    """Steps with an infinite gradient are left out, and gradients lose their scale, in the scaler or in the step."""
    theirs, ours, generator = pair(name, torch.float64, fused=fused)
    scalers = [torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2) for _ in range(2)]
    for step in range(6):
        gradients = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in theirs[0]]
        if step == 2:
            gradients[4][0, 0] = torch.inf
        for (parameters, optimizer), scaler in zip((theirs, ours), scalers, strict=True):
            scaler.scale(torch.zeros(()))  # it starts lazily
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g * scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
    assert apart(theirs[0], ours[0]) <= 1e-12
    assert scalers[0].get_scale() == scalers[1].get_scale()


@pytest.mark.parametrize("kwargs", [{}, {"lr": 0.5}, {"lr": 0.5, "momentum": 0.9}])
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients(name, kwargs, double):
    if name == "Adagrad":
        kwargs = {k: v for k, v in kwargs.items() if k != "momentum"}
    theirs, ours, generator = pair(name, torch.float64, shapes=((6, 3),), **kwargs)
    for _ in range(4):
        rows = torch.randint(6, (3,), generator=generator)
        values = torch.randn(3, 3, dtype=torch.float64, generator=generator)
        for parameters, optimizer in (theirs, ours):
            parameters[0].grad = torch.sparse_coo_tensor(rows[None], values, (6, 3))
            optimizer.step()
    assert apart(theirs[0], ours[0]) <= 1e-12


@pytest.mark.parametrize("name", sorted(set(INFOS) - {"SGD", "Adagrad"}))
def test_sparse_gradients_are_refused(name):
    p = torch.nn.Parameter(torch.ones(3, 2))
    before = p.detach().clone()
    p.grad = torch.sparse_coo_tensor([[0]], torch.ones(1, 2), (3, 2))
    with pytest.raises(RuntimeError, match="sparse"):
        getattr(optgen.torch, name)([p]).step()
    assert torch.equal(p, before)


def test_gradients_of_a_differentiable_step(double):
    """The derivative of a loss after two steps by the learning rate's tensor, against finite differences."""

    def loss(lr):
        p = torch.tensor([1.0, -2.0]).clone().requires_grad_()
        q = p * 1.0  # a non-leaf, which may be changed under autograd
        q.retain_grad()
        optimizer = optgen.torch.Adam([q], lr=lr, differentiable=True)
        for _ in range(2):
            q.grad = torch.tensor([1.0, -0.3])
            optimizer.step()
        return (q * q).sum()

    lr = torch.tensor(0.1, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of retain_grad on what is no leaf
        value = loss(lr)
        (derivative,) = torch.autograd.grad(value, lr)
        h = 1e-6
        by_difference = (loss(torch.tensor(0.1 + h)) - loss(torch.tensor(0.1 - h))) / (2 * h)
    assert abs(float(derivative - by_difference)) <= 1e-7 * abs(float(by_difference))
