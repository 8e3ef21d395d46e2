"""A generated Triton variant as `verify.Target`. Import it in processes of its own only: see `triton_interpreted`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from optgen.compiler.rule import Rule
from optgen.contract.choice import Choice
from optgen.language.model import Spec
from optgen.pipeline.optimizer import compile_optimizer, generate
from optgen.reference.compare import Array, Inputs
from optgen.runtime.modules import module_from_text
from optgen.runtime.torch.arrays import TorchVariant
from optgen.runtime.torch.triton import TritonRule
from optgen.runtime.triton.launcher import Launcher
from optgen.runtime.triton.sizes import Sizes
from optgen.targets.triton.emit import emit_triton
from tests.targets.eager_target import EagerTarget

#: Blocks small enough that the test's tensors need several, full ones and a broken one; tiles likewise.
SIZES = Sizes(
    block=64, programs=2, blocks=2, parts=3, tiles={"rows": (8, 2), "columns": (2, 16), "other_axes": (32, 8)}
)


class TritonTarget(EagerTarget):
    """Runs a variant in place, on a device."""

    def __init__(self, rule: TritonRule, hyperparameters: Mapping[str, float], device: str = "cpu") -> None:
        super().__init__(rule.variant, hyperparameters, lambda array: torch.tensor(array, device=device))
        self.rule = rule
        self.device = device

    def step(self, gradients: Sequence[Array], inputs: Inputs | None = None) -> None:
        self.t += 1
        arrays = [torch.tensor(g, device=self.device) for g in gradients]
        given = as_torch(inputs or {}, self.device)
        self.rule.step(self.parameters, arrays, self.state, self.t, self.hyperparameters, given)


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
    arrays = generate(spec, {name: choice}, wrapped, ("eager",))
    text = arrays.files["eager.py"]

    def load(xp: Any) -> Any:
        return module_from_text(f"test.{spec.name}.{name}", text, "<test>", {"xp": xp})

    variant = TorchVariant(spec.name, arrays.manifest.variants[0], load)
    generated = emit_triton(compile_optimizer(spec, {name: choice}, wrapped))
    module = module_from_text(f"test.{spec.name}.{name}.triton", generated.text, f"<test {spec.name} {name}>")
    return TritonTarget(TritonRule(Launcher(module, generated.plan, SIZES), variant), hyperparameters, device)


def hyperparameters_of(spec: Spec, choice: Choice) -> dict[str, float]:
    """Defaults, with something for each optional hyperparameter that the choice has."""
    values = {h.name: h.default if h.default is not None else 0.1 for h in spec.hyperparameters}
    for h in spec.hyperparameters:
        if h.name in choice.present and not h.present(values[h.name]):
            values[h.name] = 0.1
    return values
