"""A generated Triton variant as `verify.Target`. Import it in processes of its own only: see `triton_interpreted`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from optgen.compiler.choice import Choice
from optgen.compiler.kinds import Kind, kept_shapes
from optgen.compiler.pipeline import compile_optimizer
from optgen.compiler.rule import Rule
from optgen.compiler.verify import Array, Inputs, Snapshot
from optgen.runtime.modules import module_from_text
from optgen.runtime.triton import TritonRule, TritonState
from optgen.spec.model import Spec
from optgen.targets.kernels.plan import StatePlan
from optgen.targets.triton.emit import emit_triton

#: Blocks small enough that the test's tensors need several, full ones and a broken one; tiles likewise.
BLOCK = 64
TILES = {"rows": (8, 2), "columns": (2, 16), "other_axes": (32, 8)}


class TritonTarget:
    """Runs a variant on a device."""

    def __init__(self, rule: TritonRule, hyperparameters: Mapping[str, float], device: str = "cpu") -> None:
        self.rule = rule
        self.device = device
        self.hyperparameters = hyperparameters
        self.t = 0
        self.parameters: list[torch.Tensor] = []
        self.state = TritonState([])

    def init(self, parameters: Sequence[Array]) -> None:
        self.parameters = [torch.tensor(p, device=self.device) for p in parameters]
        self.state = self.rule.init(self.parameters, self.hyperparameters)
        self.t = 0

    def step(self, gradients: Sequence[Array], inputs: Inputs | None = None) -> None:
        self.t += 1
        arrays = [torch.tensor(g, device=self.device) for g in gradients]
        self.rule.step(
            self.parameters, arrays, self.state, self.t, self.hyperparameters, as_torch(inputs or {}, self.device)
        )

    def snapshot(self) -> Snapshot:
        states = []
        shared: dict[str, list[Any]] = {name: list(map(np.float64, v)) for name, v in self.state.step.items()}
        for parameter, kept in zip(self.parameters, self.state.tensors, strict=True):
            entries = {entry.name: entry for entry in self.rule.case_of(parameter.shape).states}
            shape = tuple(parameter.shape)
            states.append({name: self._newest_first(entries[name], stored, shape) for name, stored in kept.items()})
            for name, stored in self.state.model.items():
                if name in entries:
                    shared[name] = self._newest_first(entries[name], stored, ())
        return Snapshot(tuple(p.cpu().numpy().copy() for p in self.parameters), tuple(states), shared)

    def _newest_first(self, entry: StatePlan, stored: torch.Tensor, shape: tuple[int, ...]) -> list[Any]:
        ring = stored if entry.depth > 1 else stored[None]
        slots = [ring[(self.t - 1 - lag) % entry.depth].cpu().numpy().copy() for lag in range(entry.depth)]
        if entry.kind != Kind.AXIS.value:
            return slots
        shapes = kept_shapes(Kind.AXIS, shape)
        ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
        return [tuple(v.reshape(s) for v, s in zip(np.split(slot, ends), shapes, strict=True)) for slot in slots]


def as_torch(inputs: Inputs, device: str = "cpu") -> dict[str, Any]:
    """Values of inputs, those of kind element as tensors."""

    def converted(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [torch.tensor(one, device=device) if isinstance(one, np.ndarray) else one for one in value]

    return {name: converted(value) for name, value in inputs.items()}


def compile_target(
    spec: Spec,
    name: str,
    choice: Choice,
    hyperparameters: Mapping[str, float],
    wrapped: Rule | None = None,
    device: str = "cpu",
) -> TritonTarget:
    """The Triton target of one choice of a spec's options."""
    generated = emit_triton(compile_optimizer(spec, {name: choice}, wrapped))
    module = module_from_text(f"test.{spec.name}.{name}", generated.text, f"<test {spec.name} {name}>")
    return TritonTarget(TritonRule(module, generated.plan, name, BLOCK, TILES), hyperparameters, device)


def hyperparameters_of(spec: Spec, choice: Choice) -> dict[str, float]:
    """Defaults, with something for each optional hyperparameter that the choice has."""
    values = {h.name: h.default if h.default is not None else 0.1 for h in spec.hyperparameters}
    for h in spec.hyperparameters:
        if h.name in choice.present and not h.present(values[h.name]):
            values[h.name] = 0.1
    return values
