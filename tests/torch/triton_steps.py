"""Steps of `optgen.torch` by Triton kernels, interpreted, beside torch's own functions: prints what was seen.

    python -m tests.torch.triton_steps NAME...

A process of its own, since the interpreter has to be chosen before Triton is imported. Prints one JSON object: for each
class the largest relative differences of parameters and states, and how often in all steps a kernel was started, arrays
were looked up anew, and a step was made; how many tensors keep the memory of gradients that were dropped, and how often
addresses were sent again of gradients that stayed.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import gc
import json
import sys
import warnings
from typing import Any

import torch

import optgen.torch
from optgen.contract.formats import BFLOAT16_NEAREST, FORMATS
from optgen.runtime.torch.launch import DeviceCall
from optgen.runtime.torch.triton import PreparedLaunches, TritonRule

#: Matrices, vectors, a single number, more axes, nothing, and several blocks.
SHAPES = [(7, 40), (5,), (), (2, 3, 4), (0,), (40, 60), (2500,)]
STEPS = 4


def counting(counted: dict[str, int], owner: type, name: str) -> None:
    """Count the calls of a method."""
    original = getattr(owner, name)
    counted[name] = 0

    def counted_call(*given: Any, **named: Any) -> Any:
        counted[name] += 1
        return original(*given, **named)

    setattr(owner, name, counted_call)


#: Of the tensors of a mixed model.
MIXED = (torch.float32, torch.float64, torch.float16)


def model(dtypes: tuple[torch.dtype, ...], way: str) -> list[torch.nn.Parameter]:
    """Parameters; `apart`: every other number of a larger tensor, with the axes turned."""
    generator = torch.Generator().manual_seed(0)

    def one(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        value = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        if way == "plain" or not shape:
            return value
        if way == "unaligned":
            return torch.zeros(value.numel() + 1, dtype=dtype)[1:].view(shape).copy_(value)
        return (
            torch.zeros((*shape[::-1][:-1], 2 * shape[0]), dtype=dtype)[..., ::2]
            .permute(*range(len(shape))[::-1])
            .copy_(value)
        )

    return [torch.nn.Parameter(one(shape, dtypes[index % len(dtypes)])) for index, shape in enumerate(SHAPES)]


def steps(
    name: str,
    backend: str,
    *dtypes: torch.dtype,
    way: str = "plain",
    state_dtype: str | None = None,
    count: int = STEPS,
) -> list[torch.Tensor]:
    """Parameters and states after some steps; gradients are other tensors in each."""
    os.environ["OPTGEN_BACKEND"] = backend
    parameters = model(dtypes, way)
    optimizer = getattr(optgen.torch, name)(parameters, lr=0.01, state_dtype=state_dtype)
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    kept = [v for p in parameters for v in optimizer.state[p].values()]
    parts = [part for value in kept for part in (value if isinstance(value, tuple | list) else (value,))]
    return [p.detach() for p in parameters] + [torch.as_tensor(part) for part in parts]


def held_after_a_step(name: str) -> int:
    """How many tensors there are in the memory of gradients that have been dropped."""
    os.environ["OPTGEN_BACKEND"] = "triton"
    parameters = model((torch.float32,), "plain")
    optimizer = getattr(optgen.torch, name)(parameters, lr=0.01)
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
    places = {p.grad.data_ptr() for p in parameters if p.grad is not None and p.numel()}
    for p in parameters:
        p.grad = None
    return sum(isinstance(one, torch.Tensor) and one.data_ptr() in places for one in gc.get_objects())


def step_again(name: str) -> None:
    """Steps with gradients that stay where they are."""
    os.environ["OPTGEN_BACKEND"] = "triton"
    parameters = model((torch.float32,), "plain")
    optimizer = getattr(optgen.torch, name)(parameters, lr=0.01)
    for p in parameters:
        p.grad = torch.ones_like(p)
    for _ in range(3):
        optimizer.step()


def difference(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """The largest, relative to 1 or to the larger number; infinite if what is compared differs in kind."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf")
        far = (a.double() - b.double()).abs() / b.double().abs().clamp(min=1)
        worst = max(worst, float(far.max()) if far.numel() else 0.0)
    return worst


def formats(name: str, counted: dict[str, int]) -> dict[str, Any]:
    """By format of states: the difference of parameters, the share of stored numbers that differ, launches."""
    found: dict[str, Any] = {}
    count = len(SHAPES)
    # The interpreter cuts bfloat16 off where a GPU rounds to the nearest.
    for state_dtype in set(FORMATS) - {BFLOAT16_NEAREST}:
        counted |= dict.fromkeys(counted, 0)
        ours = steps(name, "triton", torch.float32, state_dtype=state_dtype, count=2)
        run = counted["run"]
        theirs = steps(name, "arrays", torch.float32, state_dtype=state_dtype, count=2)
        kept = [(a, b) for a, b in zip(ours[count:], theirs[count:], strict=True) if a.dtype in _FORMATTED]
        differing = sum(int((a != b).sum()) for a, b in kept)
        numbers = sum(a.numel() for a, _ in kept)
        found[state_dtype] = difference(ours[:count], theirs[:count]), differing, numbers, run
    return found


#: Those that are tried with states in formats: with numbers of the step, with two passes, with vectors per axis.
IN_FORMATS = ("AdamW", "NAdam", "Lamb", "SM3")

_FORMATTED = (torch.uint8, torch.bfloat16)


def main() -> None:
    counted: dict[str, int] = {}
    counting(counted, DeviceCall, "start")
    counting(counted, DeviceCall, "move_gradients")
    counting(counted, TritonRule, "prepared")
    counting(counted, PreparedLaunches, "run")
    found = {}
    for name in sys.argv[1:]:
        expected = steps(name, "arrays", torch.float64)
        counted |= dict.fromkeys(counted, 0)
        found[name] = {"plain": difference(steps(name, "triton", torch.float64), expected), **counted}
        found[name]["held"] = held_after_a_step(name)
        counted["move_gradients"] = 0
        step_again(name)
        found[name]["sent"] = counted["move_gradients"]
        for way in ("apart", "unaligned"):
            found[name][way] = difference(steps(name, "triton", torch.float64, way=way), expected)
        for which, dtypes in (("float32", (torch.float32,)), ("mixed", MIXED)):
            found[name][which] = difference(steps(name, "triton", *dtypes), steps(name, "arrays", *dtypes))
        found[name]["formats"] = formats(name, counted) if name in IN_FORMATS else {}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
