"""Steps on parameters that two processes share, compared with those of one; `python sharded.py RANK INIT RESULTS`.

Each check gives a figure by name: how far the parameters are from the whole ones, relative to the way that these have
moved, or the error by which they were refused.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

import optgen
import optgen.torch
from optgen.errors import OptgenError
from tests.torch.test_front_end import CLASSES, inputs_of

SHAPES = {"even": ((8, 4), (4,)), "uneven": ((5, 3), (3,)), "empty": ((1, 4), (6,))}
#: No model of `fully_shard` or `FullyShardedDataParallel` gives a rule what these ask for at every step.
WITH_INPUTS = ("NoisySGD", "PolyakSGD", "Sophia")


def defined(name, equations):
    return optgen.define(name, equations, lr=0.1).torch


def rules():
    """Every class of the catalogue, and rules whose reductions are none of its."""
    found = {name: (getattr(optgen.torch, name), {}) for name in CLASSES}
    return found | {
        "clipped": (optgen.torch.Yogi, {"grad_clip_norm": 0.1}),
        "mean": (defined("mean_rule", "theta[t] = theta[t-1] - lr*g*mean(abs(g))"), {}),
        "rows": (defined("rows_rule", "theta[t] = theta[t-1] - lr*g*mean(g**2, over=rows)"), {}),
        "largest": (defined("largest_rule", "theta[t] = theta[t-1] - lr*g/max(abs(g))"), {}),
        "branch": (defined("branch_rule", "d = g\nif rank >= 2:\n    d = 2*g\ntheta[t] = theta[t-1] - lr*d"), {}),
        "history": (defined("history_rule", "m[t] = g\ntheta[t] = theta[t-1] - lr*(m[t-1] + m[t-2])"), {}),
    }


def moved_apart(found, whole, start):
    ways = [float((b - s).norm()) for b, s in zip(whole, start, strict=True)]
    return max(float((a - b).norm()) / max(way, 1e-300) for a, b, way in zip(found, whole, ways, strict=True))


def refused(check):
    try:
        return check()
    except OptgenError as error:
        return f"{type(error).__name__}: {error}"


def stepped(cls, shapes, placed, steps=3, **kwargs):
    """Parameters before and after steps by random gradients, all of them placed on the mesh by a function."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    parameters = [torch.nn.Parameter(placed(value)) for value in start]
    optimizer = cls(parameters, **kwargs)
    for _ in range(steps):
        gradients = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = placed(gradient)
        whole = inputs_of(cls, start, generator)
        inputs = {
            n: {p: placed(v) if v.ndim else v for p, v in zip(parameters, values.values(), strict=True)}
            if isinstance(values, dict)
            else values
            for n, values in whole.items()
        }
        optimizer.step(**inputs)
    after = [p.full_tensor() if isinstance(p, DTensor) else p for p in parameters]
    return start, [p.detach() for p in after]


def dtensors(mesh):
    """Every rule on DTensors: cut evenly, unevenly, so that a process has nothing, and copied."""
    found = {}
    for name, (cls, kwargs) in rules().items():
        for label, shapes in SHAPES.items():
            for placement in (Shard(0), Replicate()) if label == "even" else (Shard(0),):
                start, whole = stepped(cls, shapes, torch.clone, **kwargs)

                def check(cls=cls, shapes=shapes, kwargs=kwargs, placement=placement, whole=whole, start=start):
                    parts = stepped(cls, shapes, lambda x: distribute_tensor(x, mesh, [placement]), **kwargs)[1]
                    return moved_apart(parts, whole, start)

                found[f"{name} {label} {placement}"] = refused(check)
    return found


def formats(mesh):
    """Adam's moments in each format."""
    found = {}
    for format in ("bfloat16", "bfloat16_nearest", "8bit", "8bit_stochastic", "float32"):
        start, whole = stepped(optgen.torch.Adam, SHAPES["even"], torch.clone, state_dtype=format)

        def check(format=format, whole=whole, start=start):
            def placed(x):
                return distribute_tensor(x, mesh, [Shard(0)])

            parts = stepped(optgen.torch.Adam, SHAPES["even"], placed, state_dtype=format)[1]
            return moved_apart(parts, whole, start)

        found[format] = refused(check)
    return found


def model_of(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).double()


def trained(model, optimizer, steps=3, broken=-1):
    """Steps on the same loss in every process; at one of them the loss of the last process is not finite."""
    for step in range(steps):
        optimizer.zero_grad()
        loss = model(torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(4, 5)).square().mean()
        loss.backward()
        if step == broken and dist.get_rank() == dist.get_world_size() - 1:
            for p in model.parameters():
                gradient = p.grad.to_local() if isinstance(p.grad, DTensor) else p.grad
                if gradient is not None and gradient.numel():
                    gradient.view(-1)[0] = torch.inf
        optimizer.step()


def whole_of(model):
    if isinstance(model, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(model, writeback=False):
            return [p.detach().clone().reshape(-1) for p in model.parameters()]
    full = [p.full_tensor() if isinstance(p, DTensor) else p for p in model.parameters()]
    return [p.detach().clone().reshape(-1) for p in full]


def models(wrap, make):
    """Every rule on a model that is wrapped in a way, with an optimizer made in a way."""
    found = {}
    for name, (cls, kwargs) in rules().items():
        if name in WITH_INPUTS:
            continue
        one, start = model_of(), whole_of(model_of())
        trained(one, cls(one.parameters(), **kwargs))

        def check(cls=cls, kwargs=kwargs, one=one, start=start):
            parts = wrap(model_of())
            trained(parts, make(cls, parts, **kwargs))
            flat = [torch.cat(values) for values in (whole_of(parts), whole_of(one), start)]
            return moved_apart(*([value] for value in flat))

        found[name] = refused(check)
    return found


def skipping(wrap, make):
    """How often the step with a gradient that one process alone sees broken was left out, and what all have then."""

    def check():
        model = wrap(model_of())
        optimizer = make(optgen.torch.AdamW, model, skip_nonfinite=True)
        trained(model, optimizer, broken=1)
        alone = model_of()
        trained(alone, optgen.torch.AdamW(alone.parameters()), steps=2)
        return [optimizer.skipped_steps, moved_apart(whole_of(model), whole_of(alone), whole_of(model_of()))]

    return refused(check)


def plain(cls, model, **kwargs):
    return cls(model.parameters(), **kwargs)


def zero(cls, model, **kwargs):
    return ZeroRedundancyOptimizer(model.parameters(), optimizer_class=cls, **kwargs)


def sharded(mesh):
    def wrap(model):
        fully_shard(model, mesh=mesh)
        return model

    return wrap


def flat(**kwargs):
    return lambda model: FullyShardedDataParallel(model, device_id=torch.device("cpu"), **kwargs)


def mixed(mesh):
    """A DTensor beside a plain tensor, and what is given plain for a DTensor."""

    def group(cls, **kwargs):
        value = torch.ones(4, 2, dtype=torch.float64)
        parameters = [
            torch.nn.Parameter(distribute_tensor(value, mesh, [Shard(0)])),
            torch.nn.Parameter(value.clone()),
        ]
        return parameters, cls(parameters, **kwargs)

    def gradient():
        parameters, optimizer = group(optgen.torch.AdamW)
        for p in parameters:
            p.grad = torch.ones(4, 2, dtype=torch.float64)
        optimizer.step()

    def state():
        parameters, optimizer = group(optgen.torch.AdamW)
        whole = [torch.nn.Parameter(torch.ones(4, 2, dtype=torch.float64)) for _ in parameters]
        other = optgen.torch.AdamW(whole)
        for p in whole:
            p.grad = torch.ones_like(p)
        other.step()
        optimizer.load_state_dict(other.state_dict())

    return {
        "joint": refused(lambda: group(optgen.torch.Prodigy)),
        "gradient": refused(gradient),
        "state": refused(state),
    }


def main():
    rank, init, results = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    # A process that raises where the other waits would wait for ever.
    seconds = datetime.timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=f"file://{init}", rank=rank, world_size=2, timeout=seconds)
    mesh = init_device_mesh("cpu", (2,))
    found = {
        "dtensors": dtensors(mesh),
        "formats": formats(mesh),
        "mixed": mixed(mesh),
        "fully_shard": models(sharded(mesh), plain),
        "flat": models(flat(), plain),
        "flat with original parameters": models(flat(use_orig_params=True), plain),
        "zero": models(torch.nn.Sequential, zero),
        "skipping": {
            "fully_shard": skipping(sharded(mesh), plain),
            "flat": skipping(flat(), plain),
            "zero": skipping(torch.nn.Sequential, zero),
        },
    }
    results.write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
