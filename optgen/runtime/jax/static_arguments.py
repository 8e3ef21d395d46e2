"""Static arguments of a traced step: values, dtypes and the platform."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from optgen.runtime.state import ModelState


@dataclass(frozen=True, slots=True)
class StaticArguments:
    """The arguments that become part of the program to which a step is compiled.

    Attributes:
        fixed: hyperparameters that are Python numbers.
        ahead, formats, numbers: see `ModelState`.
        form: see `ArrayVariant.step`.
    """

    fixed: Mapping[str, float]
    ahead: int
    formats: Mapping[str, str]
    numbers: Sequence[int]
    form: str


#: What makes a step, of what is told and of the arrays: gradients, states, numbers, parameters, the number of the step,
#: hyperparameters that are arrays, inputs. It returns results, states and numbers.
KernelStep = Callable[[StaticArguments, Any], Any]


def platform() -> str:
    """The platform for which steps are traced, `cpu`, `gpu` or another: that of the default device."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    if chosen is None:
        return jax.default_backend()
    return str(getattr(chosen, "platform", chosen))


def dtypes_of(gradients: Sequence[Any], state: ModelState, parameters: Any, inputs: Mapping[str, Any]) -> set[str]:
    """The names of the dtypes of all arrays but those in formats of states."""
    kept = [value for tensor in state.tensors for name, value in tensor.items() if name not in state.formats]
    leaves = jax.tree.leaves([list(gradients), kept, dict(state.shared), parameters, dict(inputs)])
    return {str(jnp.result_type(leaf)) for leaf in leaves}
