"""A generated native variant, on numpy arrays, as `verify.Target`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optgen.compiler.rule import Rule
from optgen.contract.choice import Choice
from optgen.language.model import Spec
from optgen.pipeline.optimizer import compile_optimizer, generate
from optgen.reference.compare import Array, Inputs
from optgen.runtime.modules import module_from_text
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.memory import numpy_memory
from optgen.runtime.native.rule import NativeRule
from optgen.runtime.numpy import arrays as on_numpy
from optgen.runtime.state import ModelState
from optgen.runtime.threads import Team
from optgen.targets.native.emit import emit_native
from tests.targets.eager_target import EagerTarget


class NativeTarget(EagerTarget):
    """Runs a variant in place."""

    def __init__(self, rule: NativeRule, hyperparameters: Mapping[str, float], threads: int = 2) -> None:
        super().__init__(rule.variant, hyperparameters, np.array)
        self.rule = rule
        self.threads = threads

    def step(self, gradients: Sequence[Array], inputs: Inputs | None = None) -> None:
        self.t += 1
        shared = {name: np.array(value) for name, value in self.state.shared.items()}
        self.state = ModelState(
            tuple({n: as_array(v) for n, v in kept.items()} for kept in self.state.tensors), shared, self.state.ahead
        )
        self.rule.step(
            self.parameters, gradients, self.state, self.t, self.hyperparameters, inputs, team=Team(self.threads)
        )


def as_array(value: Any) -> Any:
    """An array that can be written, of a state that may be a number of numpy."""
    if isinstance(value, tuple):
        return tuple(as_array(part) for part in value)
    return value if isinstance(value, np.ndarray) and value.flags.writeable else np.array(value)


def compile_target(
    spec: Spec,
    name: str,
    choice: Choice,
    hyperparameters: Mapping[str, float],
    wrapped: Rule | None = None,
    threads: int = 2,
) -> NativeTarget:
    """The native target generated from a rule."""
    generated = generate(spec, {name: choice}, wrapped, ("eager",))
    module = module_from_text(
        f"test.{spec.name}.{name}", generated.files["eager.py"], "<test>", {"xp": on_numpy.namespace()}
    )
    variant = on_numpy.NumpyVariant(spec.name, generated.manifest.variants[0], module)
    native = emit_native(compile_optimizer(spec, {name: choice}, wrapped))
    return NativeTarget(
        NativeRule(Kernels(spec.name, native.text, native.plan), variant, numpy_memory), hyperparameters, threads
    )
