"""Steps whose number the device alone knows, by interpreted Triton kernels, beside torch's own functions.

    python -m tests.torch.triton_device NAME...

Prints one JSON object: for each class and way the largest difference of parameters and states relative to 1 or the
larger number, how many steps were numbered on the device, and how often one of these asked the host for a number.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import contextlib
import copy
import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import optgen.torch
from optgen.runtime.torch import host_values as triton_memory
from optgen.runtime.torch import phase as triton_phase
from optgen.runtime.torch.host_values import is_capturing
from optgen.runtime.torch.triton import PreparedLaunches
from optgen.torch import _optimizer as torch_optimizer
from tests.torch.triton_steps import counting, difference

SHAPES = [(30, 13), (37,), (), (0, 3), (1100,)]
STEPS = 6
#: The step that GradScaler finds infinities in.
SKIPPED = 3

#: For each way the constructor's arguments; `scale` and `tensor` are said of a step.
WAYS: dict[str, dict[str, Any]] = {
    "capturable": {"capturable": True},
    "fused": {"fused": True},
    "scale": {"fused": True},
    "scale, bfloat16": {"fused": True, "state_dtype": "bfloat16"},
    "scale, 8 bits": {"fused": True, "state_dtype": "8bit_stochastic"},
    "lr as a tensor": {"fused": True},
    "saved": {"fused": True},
    "counts changed": {"fused": True},
    "captured": {"fused": True},
}


class Watch(TorchDispatchMode):
    """Counts how often a number of a tensor is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.asked += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def steps(name: str, backend: str, way: str, arguments: dict[str, Any]) -> tuple[list[torch.Tensor], int]:
    """Parameters and states after some steps, and how often the host was asked in those after the first."""
    os.environ["OPTGEN_BACKEND"] = backend
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    make = getattr(optgen.torch, name)
    kept = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = make(parameters, lr=0.01, **kept, **arguments)
    asked = 0
    for step in range(STEPS):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        if way.startswith("scale"):
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(8.0), torch.tensor(float(step == SKIPPED))
            for p in parameters:
                p.grad.mul_(8.0)
            if step == SKIPPED:
                parameters[0].grad[0, 0] = float("inf")
        if step == 2:
            # As a scheduler does.
            optimizer.param_groups[0]["lr"] = 0.02
        if way == "lr as a tensor" and backend == "triton":
            value = optimizer.param_groups[0]["lr"]
            optimizer.param_groups[0]["lr"] = torch.tensor(float(value))
        if way == "saved" and step == 3:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = make(parameters, lr=0.5, **kept, **arguments)
            optimizer.load_state_dict(saved)
        if way == "counts changed" and step == 3 and "step" in optimizer.state[parameters[1]]:
            optimizer.state[parameters[1]]["step"].fill_(10)
        capturing = way == "captured" and backend == "triton" and step == SKIPPED
        if way == "captured" and backend == "triton" and step == SKIPPED + 1:
            replay_sending(optimizer)
        with Watch() as watch, captured() if capturing else contextlib.nullcontext():
            optimizer.step()
        # The first step of an optimizer looks up where its parameters are; a tensor on the CPU is asked for its number.
        asked += watch.asked if step > 0 and way not in ("lr as a tensor", "saved", "counts changed") else 0
    kept = [v for p in parameters for v in optimizer.state[p].values() if isinstance(v, torch.Tensor)]
    return [p.detach() for p in parameters] + kept, asked


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """Have the runtime take what is started for a graph's, though it is done at once."""
    modules = (triton_memory, triton_phase, torch_optimizer)
    for module in modules:
        module.is_capturing = lambda: True
    yield
    for module in modules:
        module.is_capturing = is_capturing


def replay_sending(optimizer: Any) -> None:
    """Send again what a graph has captured: numbers, and where the gradients of its step stand."""
    (ready,) = optimizer._captured
    phase = ready.prepared._phase
    tables = [*(call.rows for call in phase.calls), *(group.numbers for group in phase.groups)]
    sources = [(one.there, source) for one in tables for source in one._captured]
    assert len(sources) == len(tables) - sum(call.call.gradients is None for call in phase.calls)
    for there, source in sources:
        there.copy_(source)


def main() -> None:
    counted: dict[str, int] = {}
    counting(counted, PreparedLaunches, "run_on_device")
    found: dict[str, dict[str, Any]] = {}
    for name in sys.argv[1:]:
        found[name] = {}
        for way, arguments in WAYS.items():
            # Either has the device count, and not every class of torch's has both.
            known = getattr(optgen.torch, name).__signature__.parameters
            taken = {n: v for n, v in arguments.items() if n in known}
            if not taken.keys() & {"capturable", "fused"}:
                taken |= {n: True for n in ("capturable", "fused") if n in known}
            counted["run_on_device"] = 0
            ours, asked = steps(name, "triton", way, taken)
            numbered = counted["run_on_device"]
            plain = {n: v for n, v in taken.items() if n not in ("capturable", "fused")}
            theirs, _ = steps(name, "arrays", way, plain)
            wide = [t.to(torch.float32) for t in ours], [t.to(torch.float32) for t in theirs]
            found[name][way] = {"difference": difference(*wide), "numbered": numbered, "asked": asked}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
