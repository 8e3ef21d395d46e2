"""Twenty steps of a rule, of an optax transformation and of a torch optimizer, over the same random gradients.

Everything is float64, so that a difference between two rules shows and rounding does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
import torch

from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import Choice, choose, dialect_defaults
from optgen.contract.declarations import OptionValue
from optgen.contract.dialects import Dialect
from optgen.language.model import Spec
from optgen.reference.interpret import Interpreter

Array = npt.NDArray[np.float64]
Trajectory = list[list[Array]]

STEPS = 20
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (4, 5), (2, 3, 4))


def problem(
    shapes: Sequence[tuple[int, ...]] = SHAPES, zeros: bool = True, seed: int = 0
) -> tuple[list[Array], Trajectory]:
    """Parameters, and a gradient for each at each step.

    With `zeros`, one element of each tensor never has a gradient and one tensor has none at the second step, where
    guards against division by zero make a difference.
    """
    random = np.random.default_rng(seed)
    parameters = [random.normal(size=shape) for shape in shapes]
    gradients = [[random.normal(size=shape) for shape in shapes] for _ in range(STEPS)]
    if zeros:
        for step in gradients:
            for gradient in step:
                if gradient.ndim:
                    gradient.flat[0] = 0.0
        gradients[1][1] = np.zeros(shapes[1])
    return parameters, gradients


def run_rule(rule: Rule, values: Mapping[str, float], parameters: Sequence[Array], gradients: Trajectory) -> Trajectory:
    """The parameters after each step, by the interpreter."""
    interpreter = Interpreter(rule, values)
    model = interpreter.init(parameters)
    found = []
    for step in gradients:
        model = interpreter.step(model, step)
        found.append([np.asarray(tensor.theta) for tensor in model.tensors])
    return found


def run_optax(
    transformation: optax.GradientTransformation, parameters: Sequence[Array], gradients: Trajectory
) -> Trajectory:
    """The parameters after each step of an optax transformation."""
    with jax.enable_x64(True):
        current = [jnp.asarray(p) for p in parameters]
        state = transformation.init(current)

        @jax.jit
        def step(current: list[Any], state: Any, gradient: list[Any]) -> tuple[list[Any], Any]:
            updates, state = transformation.update(gradient, state, current)
            return optax.apply_updates(current, updates), state

        found = []
        for gradient in gradients:
            current, state = step(current, state, [jnp.asarray(g) for g in gradient])
            found.append([np.asarray(p) for p in current])
    return found


def run_torch(
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer], parameters: Sequence[Array], gradients: Trajectory
) -> Trajectory:
    """The parameters after each step of a torch optimizer."""
    # torch keeps numbers of the step, such as NAdam's product, in the default dtype.
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        current = [torch.tensor(p) for p in parameters]
        optimizer = make(current)
        found = []
        for gradient in gradients:
            for parameter, one in zip(current, gradient, strict=True):
                parameter.grad = torch.tensor(one)
            optimizer.step()
            found.append([p.numpy().copy() for p in current])
    finally:
        torch.set_default_dtype(default)
    return found


def difference(a: Trajectory, b: Trajectory) -> float:
    """The largest difference of two trajectories, relative to numbers above 1; infinite where one is NaN."""
    worst = 0.0
    for step_a, step_b in zip(a, b, strict=True):
        for x, y in zip(step_a, step_b, strict=True):
            assert x.shape == y.shape
            apart = np.max(np.abs(x - y) / np.maximum(1.0, np.abs(y)))
            worst = max(worst, np.inf if np.isnan(apart) else float(apart))
    return worst


def distance(a: Trajectory, parameters: Sequence[Array]) -> float:
    """How far the parameters moved: what a difference has to be small against."""
    return max(float(np.max(np.abs(x - y))) for x, y in zip(a[-1], parameters, strict=True))


def in_dialect(spec: Spec, dialect: Dialect, arguments: Mapping[str, object]) -> tuple[Choice, dict[str, float]]:
    """What arguments, spelled as a library spells them, mean for a spec: a choice and hyperparameter values."""
    options, values = dialect_defaults(spec, dialect)
    targets = {argument.name: argument.targets for argument in dialect.arguments}
    for name, given in arguments.items():
        if not targets[name]:
            continue
        parts: Sequence[Any] = given if isinstance(given, tuple) else (given,)
        for target, part in zip(targets[name], parts, strict=True):
            chosen: dict[str, Any] = options if target in options else values
            chosen[target] = part
    return choose(spec, options, values), numbers(values)


def numbers(values: Mapping[str, object]) -> dict[str, float]:
    """The values of the hyperparameters that are there."""
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def rule_of(
    spec: Spec,
    options: Mapping[str, OptionValue] | None = None,
    values: Mapping[str, object] | None = None,
    wrapped: Rule | None = None,
) -> tuple[Rule, dict[str, float]]:
    """The rule of a spec's defaults with some options and values changed, and its hyperparameter values."""
    given = {h.name: h.default for h in spec.hyperparameters} | dict(values or {})
    return specialise(spec, choose(spec, options or {}, given), wrapped), numbers(given)
