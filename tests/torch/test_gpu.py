"""`optgen.torch` on a GPU: its kernels beside torch's own functions, captured steps, launches and waiting."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

import optgen.torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="Triton interprets"),
]

#: Matrices, vectors, a single number, nothing, several chunks.
SHAPES = [(70, 400), (5,), (), (0, 3), (2, 3, 4), (300_001,)]
NAMES = ["AdamW", "NAdam", "Lion", "Lamb", "SGD", "RAdam", "Adafactor", "SM3", "Novograd"]


def model(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to("cuda", dtype)) for s in SHAPES]


def give_gradients(parameters: list[torch.nn.Parameter], seed: int) -> None:
    """Gradients that stay where they are from step to step, as captured graphs need them."""
    generator = torch.Generator().manual_seed(seed)
    for p in parameters:
        gradient = torch.randn(p.shape, generator=generator).to("cuda", p.dtype)
        if p.grad is None:
            p.grad = gradient
        else:
            p.grad.copy_(gradient)


def made(name: str, parameters: list[torch.nn.Parameter], **arguments: Any) -> Any:
    extra = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(optgen.torch, name)(parameters, lr=0.01, **extra, **arguments)


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "bfloat16_nearest", "8bit", "8bit_stochastic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_kernels_do_what_torchs_functions_do(
    name: str, dtype: torch.dtype, state_dtype: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for backend in ("triton", "arrays"):
        monkeypatch.setenv("OPTGEN_BACKEND", backend)
        parameters = model(dtype)
        optimizer = made(name, parameters, state_dtype=state_dtype)
        for step in range(1 if state_dtype else 4):
            give_gradients(parameters, step)
            optimizer.step()
        ends.append([p.detach().double() for p in parameters])
    tolerance = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float64: 1e-12}[dtype]
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["AdamW", "NAdam", "Lion", "Lamb"])
def test_a_captured_step_is_replayed(name: str) -> None:
    """Replays count their own steps, and read gradients and a learning rate that is a tensor anew."""
    ours, theirs = model(), model()
    rate = torch.tensor(0.01, device="cuda")
    optimizer = made(name, ours, capturable=True)
    optimizer.param_groups[0]["lr"] = rate
    plain = made(name, theirs)
    give_gradients(ours, 0)
    give_gradients(theirs, 0)
    optimizer.step()
    plain.step()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        optimizer.step()
    for seed in (1, 2, 3):
        if seed == 2:
            rate.fill_(0.02)
            plain.param_groups[0]["lr"] = 0.02
        give_gradients(ours, seed)
        graph.replay()
        give_gradients(theirs, seed)
        plain.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=2e-6, atol=2e-6)
    assert float(optimizer.state[ours[0]]["step"]) == 4


@pytest.mark.parametrize("name", ["AdamW", "Lion", "Lamb"])
def test_nothing_waits_for_the_device(name: str) -> None:
    for arguments in ({}, {"fused": True}, {"capturable": True}):
        parameters = model()
        optimizer = made(name, parameters, **arguments)
        for step in range(2):
            give_gradients(parameters, step)
            optimizer.step()
        give_gradients(parameters, 2)
        torch.cuda.set_sync_debug_mode("error")
        try:
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_scaler_leaves_a_step_out() -> None:
    parameters = model()
    before = [p.detach().clone() for p in parameters]
    optimizer = made("AdamW", parameters, fused=True)
    scaler = torch.amp.GradScaler("cuda")
    give_gradients(parameters, 0)
    optimizer.step()
    after = [p.detach().clone() for p in parameters]
    assert not all(map(torch.equal, before, after))
    for p in parameters:
        p.grad.fill_(float("inf"))
    scaler.scale(torch.ones((), device="cuda"))
    scaler.step(optimizer)
    scaler.update()
    assert all(map(torch.equal, after, (p.detach() for p in parameters)))
    assert float(optimizer.state[parameters[0]]["step"]) == 1


def test_launches_are_a_third_of_foreachs() -> None:
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    def launches(optimizer: Any, parameters: list[torch.nn.Parameter]) -> int:
        for step in range(3):
            give_gradients(parameters, step)
            optimizer.step()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            optimizer.step()
            torch.cuda.synchronize()
        return sum(event.device_type == DeviceType.CUDA and "Mem" not in event.name for event in seen.events())

    for name in ("AdamW", "NAdam"):
        ours, theirs = model(), model()
        foreach = launches(getattr(torch.optim, name)(theirs, foreach=True), theirs)
        assert 3 * launches(made(name, ours), ours) <= foreach


@pytest.mark.slow
def test_more_numbers_than_32_bits_count() -> None:
    """2**31 + 5 numbers, of which the last ones move as the first do."""
    if torch.cuda.get_device_properties(0).total_memory < 40 * 2**30:
        pytest.skip("the GPU has too little memory")
    p = torch.nn.Parameter(torch.ones(2**31 + 5, device="cuda", dtype=torch.bfloat16))
    p.grad = torch.ones_like(p)
    made("Lion", [p], state_dtype="8bit").step()
    ends = torch.cat([p.detach()[:1000], p.detach()[-1000:]])
    assert ends.unique().numel() == 1
    assert float(ends[0]) != 1.0
