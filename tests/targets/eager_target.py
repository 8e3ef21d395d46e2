"""A generated eager variant, on numpy arrays or torch tensors, as `verify.Target`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from optgen.compiler.rule import Rule
from optgen.contract.choice import Choice
from optgen.language.model import Spec
from optgen.pipeline.optimizer import generate
from optgen.reference.compare import Array, Inputs, Snapshot
from optgen.runtime.modules import module_from_text
from optgen.runtime.numpy import arrays as on_numpy
from optgen.runtime.state import ModelState
from optgen.runtime.torch.arrays import TorchVariant
from optgen.runtime.variant import ArrayVariant


class EagerTarget:
    """Runs a variant, applying the new parameters."""

    def __init__(self, variant: ArrayVariant, hyperparameters: Mapping[str, float], as_array: Any) -> None:
        self.variant = variant
        self.hyperparameters = hyperparameters
        self.as_array = as_array
        self.t = 0
        self.parameters: tuple[Any, ...] = ()
        self.state = ModelState((), {})

    def init(self, parameters: Sequence[Array]) -> None:
        self.parameters = tuple(self.as_array(p.copy()) for p in parameters)
        self.state = self.variant.init(self.parameters, self.hyperparameters)
        self.t = 0

    def step(self, gradients: Sequence[Array], inputs: Inputs | None = None) -> None:
        self.t += 1
        arrays = [self.as_array(g) for g in gradients]
        given = {
            n: [self.as_array(v) for v in x] if isinstance(x, list | tuple) else self.as_array(x)
            for n, x in (inputs or {}).items()
        }
        self.parameters, self.state = self.variant.step(
            arrays, self.state, self.parameters, self.t, self.hyperparameters, given, form="theta_new"
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(
            tuple(on_host(p) for p in self.parameters),
            tuple(
                {
                    s.name: self._newest_first(tensor[s.name], s.depth)
                    for s in self.variant.case_of(tuple(p.shape)).states
                    if s.name in tensor
                }
                for p, tensor in zip(self.parameters, self.state.tensors, strict=True)
            ),
            {name: self._newest_first(value, self._depth(name)) for name, value in self.state.shared.items()},
        )

    def _depth(self, name: str) -> int:
        return next(s.depth for case in self.variant.info.cases for s in case.states if s.name == name)

    def _newest_first(self, stored: Any, depth: int) -> list[Any]:
        def entry(place: Any) -> Any:
            # A copy: histories are changed in place.
            if isinstance(stored, tuple):
                return tuple(on_host(part[place]) for part in stored)
            return on_host(stored[place])

        return [entry((self.t - 1 - lag) % depth) for lag in range(depth)] if depth > 1 else [entry(...)]


def on_host(value: Any) -> Any:
    """A copy as an array of numpy."""
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else np.array(value)


def compile_target(
    spec: Spec,
    name: str,
    choice: Choice,
    hyperparameters: Mapping[str, float],
    wrapped: Rule | None = None,
    library: str = "numpy",
) -> EagerTarget:
    """The eager target generated from a rule."""
    generated = generate(spec, {name: choice}, wrapped, ("eager",))
    text = generated.files["eager.py"]

    def load(xp: Any) -> Any:
        return module_from_text(f"test.{spec.name}.{name}", text, f"<test {spec.name} {name} eager>", {"xp": xp})

    info = generated.manifest.variants[0]
    if library == "numpy":
        variant: ArrayVariant = on_numpy.NumpyVariant(spec.name, info, load(on_numpy.namespace()))
        return EagerTarget(variant, hyperparameters, np.asarray)
    return EagerTarget(
        TorchVariant(spec.name, info, load), hyperparameters, lambda value: torch.as_tensor(np.asarray(value))
    )
