"""A generated jax variant as `verify.Target`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import Choice
from optgen.language.model import Spec
from optgen.pipeline.optimizer import generate
from optgen.reference.compare import Array, Inputs, Snapshot
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.modules import module_from_text
from optgen.runtime.state import ModelState


class JaxTarget:
    """Runs a variant under jit, applying the new parameters directly."""

    def __init__(self, variant: JaxVariant, hyperparameters: Mapping[str, float], form: str = "theta_new") -> None:
        self.variant = variant
        self.hyperparameters = hyperparameters
        self.form = form
        self.t = 0
        self.parameters: tuple[jax.Array, ...] = ()
        self.state = ModelState((), {})
        self._step = jax.jit(self._run)

    def _run(self, parameters: Any, gradients: Any, tensors: Any, shared: Any, t: Any, inputs: Any) -> Any:
        results, state = self.variant.step(
            gradients, ModelState(tensors, shared), parameters, t, self.hyperparameters, inputs, form=self.form
        )
        if self.form == "update":
            results = tuple(p + u for p, u in zip(parameters, results, strict=True))
        return results, state.tensors, state.shared

    def init(self, parameters: Sequence[Array]) -> None:
        self.parameters = tuple(jnp.asarray(p) for p in parameters)
        self.state = self.variant.init(self.parameters, self.hyperparameters)
        self.t = 0

    def step(self, gradients: Sequence[Array], inputs: Inputs | None = None) -> None:
        self.t += 1
        arrays = [jnp.asarray(g) for g in gradients]
        self.parameters, tensors, shared = self._step(
            self.parameters, arrays, self.state.tensors, self.state.shared, self.t, dict(inputs or {})
        )
        self.state = ModelState(tensors, shared)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            tuple(np.asarray(p) for p in self.parameters),
            tuple(
                {
                    s.name: self._newest_first(tensor[s.name], s.depth)
                    for s in self.variant.case_of(p.shape).states
                    if s.name in tensor
                }
                for p, tensor in zip(self.parameters, self.state.tensors, strict=True)
            ),
            {name: self._newest_first(value, self._depth(name)) for name, value in self.state.shared.items()},
        )

    def _depth(self, name: str) -> int:
        return next(s.depth for case in self.variant.info.cases for s in case.states if s.name == name)

    def _newest_first(self, stored: Any, depth: int) -> list[Any]:
        if depth > 1:
            slots = [(self.t - 1 - lag) % depth for lag in range(depth)]
            return [jax.tree.map(lambda ring, slot=slot: np.asarray(ring[slot]), stored) for slot in slots]
        return [jax.tree.map(np.asarray, stored)]


def compile_target(
    spec: Spec, name: str, choice: Choice, hyperparameters: Mapping[str, float], wrapped: Rule | None = None
) -> tuple[Rule, JaxTarget]:
    """A rule, and the jax target generated from it."""
    generated = generate(spec, {name: choice}, wrapped)
    module = module_from_text(f"test.{spec.name}.{name}", generated.files["jax.py"], f"<test {spec.name} {name}>")
    variant = JaxVariant(spec.name, generated.manifest.variants[0], module)
    return specialise(spec, choice, wrapped), JaxTarget(variant, hyperparameters)


def hyperparameters_of(spec: Spec, choice: Choice) -> dict[str, float]:
    """Defaults, with something for each optional hyperparameter that the choice has."""
    values = {h.name: h.default if h.default is not None else 0.1 for h in spec.hyperparameters}
    for h in spec.hyperparameters:
        if h.name in choice.present and not h.present(values[h.name]):
            values[h.name] = 0.1
    return values
