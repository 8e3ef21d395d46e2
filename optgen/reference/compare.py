"""Comparing a target with the interpreter: the one way in which every target is tested.

Two comparisons. In float64 a target has to follow the interpreter over many steps to 1e-12. In float32 each single
step, started from the target's own state, has to stay within what float32 arithmetic allows (see `bounds`): the
result is the largest error as a fraction of that bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from optgen.compiler.rule import Rule
from optgen.reference.bounds import Bounded, Float32Bounds
from optgen.reference.functions import ROUNDOFF
from optgen.reference.interpret import InterpretedState, Interpreter, TensorState

Array = npt.NDArray[Any]

#: Values of a rule's inputs by name: a number, or one number or array per tensor.
Inputs = Mapping[str, Any]

#: Shapes that go wrong first: a number, nothing, one, odd sizes, a vector longer than a block, three axes.
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (7,), (5, 3), (2, 3, 4), (300,))
STEPS = 25
#: The unit in which errors of float64 are counted, as `ROUNDOFF` for float32.
ROUNDOFF_64 = 2.0**-53


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parameters, each tensor's states and the model's states of a target after some steps.

    States are lists, newest value first; a vector per axis is a tuple of arrays.
    """

    parameters: tuple[Array, ...]
    states: tuple[Mapping[str, list[Any]], ...]
    shared: Mapping[str, list[Any]]


class ComparedTarget(Protocol):
    """A compiled rule with its hyperparameters, as tests drive it. Arrays are numpy's."""

    def init(self, parameters: Sequence[Array]) -> None:
        """Start from these parameters."""
        ...

    def step(self, gradients: Sequence[Array], inputs: Inputs | None = None) -> None:
        """Do one step, with a value for each input that the rule asks for."""
        ...

    def snapshot(self) -> Snapshot:
        """The current parameters and states."""
        ...


def random_tensors(seed: int, shapes: Sequence[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Standard normal tensors."""
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype(dtype) for shape in shapes]


def random_inputs(rule: Rule, seed: int, shapes: Sequence[tuple[int, ...]], dtype: Any) -> dict[str, Any]:
    """Standard normal values for each of a rule's inputs, of its kind."""
    generator = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for given in rule.inputs:
        match given.kind:
            case "tensor":
                found[given.name] = [dtype(generator.normal()) for _ in shapes]
            case "element":
                found[given.name] = [generator.normal(size=shape).astype(dtype) for shape in shapes]
            case _:
                found[given.name] = float(dtype(generator.normal()))
    return found


def follow_float64(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    target: ComparedTarget,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = STEPS,
) -> float:
    """The largest difference between target and interpreter over a run, relative to the tensor's largest number.

    Parameters and all states are compared after every step.
    """
    parameters = random_tensors(0, shapes, np.float64)
    interpreter = Interpreter(rule, hyperparameters)
    model = interpreter.init(parameters)
    target.init(parameters)
    worst = 0.0
    for step in range(steps):
        gradients = random_tensors(step + 1, shapes, np.float64)
        inputs = random_inputs(rule, step + 1001, shapes, np.float64)
        model = interpreter.step(model, gradients, inputs)
        target.step(gradients, inputs)
        worst = max(worst, _largest_difference(model, target.snapshot()))
    return worst


def _largest_difference(model: InterpretedState, snapshot: Snapshot) -> float:
    worst = 0.0
    pairs: list[tuple[Any, Any]] = []
    for tensor, parameter, states in zip(model.tensors, snapshot.parameters, snapshot.states, strict=True):
        pairs.append((tensor.theta, parameter))
        pairs += _state_pairs(tensor.history, states)
    pairs += _state_pairs(model.shared, snapshot.shared)
    for expected, actual in pairs:
        worst = max(worst, relative_difference(np.asarray(expected), np.asarray(actual)))
    return worst


def _state_pairs(expected: Mapping[str, list[Any]], actual: Mapping[str, list[Any]]) -> list[tuple[Any, Any]]:
    if expected.keys() != actual.keys():
        raise AssertionError(f"the target keeps {sorted(actual)}, the rule {sorted(expected)}")
    pairs: list[tuple[Any, Any]] = []
    for name, history in expected.items():
        for ours, theirs in zip(history, actual[name], strict=True):
            pairs += zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    return pairs


def relative_difference(expected: Array, actual: Array) -> float:
    """The largest difference relative to the largest number; infinite if shapes, NaN or Inf are not the same."""
    if expected.shape != actual.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    finite = np.isfinite(expected)
    same_specials = np.array_equal(expected[~finite], actual[~finite], equal_nan=True)
    if not same_specials or not np.isfinite(actual[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.max(np.abs(expected[finite]))) or 1.0
    return float(np.max(np.abs(expected[finite] - actual[finite]))) / scale


def within_float32(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    target: ComparedTarget,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = STEPS,
    start: float = 1.0,
) -> float:
    """The largest error of a single float32 step, as a fraction of what float32 arithmetic allows.

    `start` is the size of the first parameters: from 0 on, their rounding does not cover up that of the update.
    """
    taken = _single_steps(rule, hyperparameters, target, shapes, steps, start, np.float32)
    return max(largest_fraction(allowed, after) for _, allowed, after in taken)


def _single_steps(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    target: ComparedTarget,
    shapes: Sequence[tuple[int, ...]],
    steps: int,
    start: float,
    dtype: type[np.floating[Any]],
) -> Iterator[tuple[Snapshot, InterpretedState, Snapshot]]:
    """Take steps in a dtype; of each, what it started from, what it may come to, and what it came to."""
    target.init([dtype(start) * p for p in random_tensors(0, shapes, dtype)])
    for step in range(steps):
        gradients = random_tensors(step + 1, shapes, dtype)
        inputs = random_inputs(rule, step + 1001, shapes, dtype)
        before = target.snapshot()
        allowed = allowed_step(rule, hyperparameters, before, step, gradients, inputs)
        target.step(gradients, inputs)
        yield before, allowed, target.snapshot()


def within_float64(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    target: ComparedTarget,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = STEPS,
) -> float:
    """The largest error of a single float64 step, as a fraction of twice the bound of float64 arithmetic in any order.

    Where sums cancel, the bound is more than `follow_float64` asks. It counts twice because the reference, which is
    computed in float64 as well, may be off by as much as the target.
    """
    taken = _single_steps(rule, hyperparameters, target, shapes, steps, 1.0, np.float64)
    return max(largest_fraction(allowed, after, 2 * ROUNDOFF_64) for _, allowed, after in taken)


def parameter_ulps(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    target: ComparedTarget,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = STEPS,
) -> float:
    """The largest error of a parameter in a single float32 step, in units of the last place of the parameter.

    That of the largest of parameter before, parameter after and update: where two of them nearly cancel, no more can be
    asked. Correct rounding alone makes 0.5. Parameters start from size 1.
    """
    worst = 0.0
    for start, exact, end in _single_steps(rule, hyperparameters, target, shapes, steps, 1.0, np.float32):
        for before, tensor, after in zip(start.parameters, exact.tensors, end.parameters, strict=True):
            value = np.asarray(tensor.theta.value, np.float64)
            largest = np.maximum.reduce([np.abs(before), np.abs(value), np.abs(value - before)])
            place = np.spacing(largest.astype(np.float32))
            errors = np.abs(value - after) / place
            # `max` forgets NaN, and here it is as wrong as can be.
            worst = max(worst, float(np.max(np.where(np.isnan(errors), np.inf, errors), initial=0.0)))
    return worst


def allowed_step(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    before: Snapshot,
    t: int,
    gradients: Sequence[Array],
    inputs: Inputs | None = None,
) -> InterpretedState:
    """One step from a target's own state after `t` steps: the exact result, and what float32 may be off by."""
    return Interpreter(rule, hyperparameters, Float32Bounds()).step(_as_given(before, t), gradients, inputs)


def _as_given(snapshot: Snapshot, t: int) -> InterpretedState:
    """A target's state as exact numbers to start from."""
    given = Float32Bounds().given

    def history(states: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            name: [tuple(map(given, value)) if isinstance(value, tuple) else given(value) for value in values]
            for name, values in states.items()
        }

    tensors = [
        TensorState(given(parameter), history(states))
        for parameter, states in zip(snapshot.parameters, snapshot.states, strict=True)
    ]
    return InterpretedState(tensors, history(snapshot.shared), t)


def largest_fraction(allowed: InterpretedState, snapshot: Snapshot, roundoff: float = ROUNDOFF) -> float:
    """The largest error of a target, parameters and states, as a fraction of what it is allowed."""
    pairs: list[tuple[Any, Any]] = []
    for tensor, parameter, states in zip(allowed.tensors, snapshot.parameters, snapshot.states, strict=True):
        pairs.append((tensor.theta, parameter))
        pairs += _state_pairs(tensor.history, states)
    pairs += _state_pairs(allowed.shared, snapshot.shared)
    return max(
        (fraction_of_bound(expected, np.asarray(actual, np.float64), roundoff) for expected, actual in pairs),
        default=0.0,
    )


def fraction_of_bound(expected: Bounded, actual: Array, roundoff: float = ROUNDOFF) -> float:
    """How much of the allowed error was used; infinite where NaN or Inf are not the same."""
    value = np.broadcast_to(np.asarray(expected.value, np.float64), actual.shape)
    bound = np.broadcast_to(np.asarray(expected.error, np.float64), actual.shape) * roundoff
    # A value without any error so far is still rounded once, when it is stored.
    bound = np.where(bound == 0, np.abs(value) * roundoff, bound)
    comparable = np.isfinite(value) & np.isfinite(bound)
    special = ~np.isfinite(value)
    if not np.array_equal(value[special], actual[special], equal_nan=True):
        return float("inf")
    if not comparable.any():
        return 0.0
    if not np.isfinite(actual[comparable]).all():
        return float("inf")
    with np.errstate(all="ignore"):
        error = np.abs(value - actual)[comparable]
        fractions = np.where(error == 0, 0.0, error / bound[comparable])
    return float(np.max(fractions, initial=0.0))
