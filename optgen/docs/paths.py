"""The paths that optimizers take on two classic test functions, by the float64 interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.model import Spec
from optgen.reference.interpret import Interpreter

Point = npt.NDArray[np.float64]

STEPS = 150
#: Step sizes that are tried; the one whose path ends lowest is drawn.
STEP_SIZES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
#: The hyperparameters that are a step size, in the order in which they are looked for.
STEP_SIZE_NAMES = ("lr", "max_lr")


@dataclass(frozen=True, slots=True)
class TestFunction:
    """A function of two numbers with its gradient and its minimum.

    Attributes:
        name: whose it is.
        value, gradient, curvature: at a point; curvature is the Hessian's diagonal.
        start, minimum: points.
        window: the part that is drawn: least and largest x, least and largest y.
    """

    name: str
    value: Callable[[Point], float]
    gradient: Callable[[Point], Point]
    curvature: Callable[[Point], Point]
    start: tuple[float, float]
    minimum: tuple[float, float]
    window: tuple[float, float, float, float]


def _rosenbrock(p: Point) -> float:
    x, y = p
    return float((1 - x) ** 2 + 100 * (y - x**2) ** 2)


def _rosenbrock_gradient(p: Point) -> Point:
    x, y = p
    return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


def _rosenbrock_curvature(p: Point) -> Point:
    x, y = p
    return np.array([2 - 400 * (y - 3 * x**2), 200.0])


_BEALE = ((1.5, 1), (2.25, 2), (2.625, 3))


def _beale(p: Point) -> float:
    x, y = p
    return float(sum((c - x + x * y**k) ** 2 for c, k in _BEALE))


def _beale_gradient(p: Point) -> Point:
    x, y = p
    residuals = [c - x + x * y**k for c, k in _BEALE]
    return np.array(
        [
            sum(2 * r * (y**k - 1) for r, (_, k) in zip(residuals, _BEALE, strict=True)),
            sum(2 * r * x * k * y ** (k - 1) for r, (_, k) in zip(residuals, _BEALE, strict=True)),
        ]
    )


def _beale_curvature(p: Point) -> Point:
    x, y = p
    residuals = [c - x + x * y**k for c, k in _BEALE]
    second = sum(
        2 * (x * k * y ** (k - 1)) ** 2 + 2 * r * x * k * (k - 1) * (y ** (k - 2) if k > 1 else 0.0)
        for r, (_, k) in zip(residuals, _BEALE, strict=True)
    )
    return np.array([sum(2 * (y**k - 1) ** 2 for _, k in _BEALE), second])


ROSENBROCK = TestFunction(
    "Rosenbrock",
    _rosenbrock,
    _rosenbrock_gradient,
    _rosenbrock_curvature,
    (-1.2, 1.0),
    (1.0, 1.0),
    (-2.0, 2.0, -1.0, 3.0),
)
BEALE = TestFunction(
    "Beale",
    _beale,
    _beale_gradient,
    _beale_curvature,
    start=(1.0, 1.0),
    minimum=(3.0, 0.5),
    window=(0.0, 4.0, -1.0, 1.5),
)
FUNCTIONS = (ROSENBROCK, BEALE)


@dataclass(frozen=True, slots=True)
class TakenPath:
    """A path: the points, the step size that was chosen, and the value at the end."""

    points: Point
    step_size: float | None
    end: float


def given_inputs(rule: Rule, function: TestFunction, at: Point, random: np.random.Generator) -> dict[str, Any] | None:
    """Values of a rule's inputs at a point: the loss for a number, noise or the Hessian's diagonal for an element.

    None if there is an input that this module knows nothing of.
    """
    found: dict[str, Any] = {}
    for given in rule.inputs:
        if given.kind == "step":
            found[given.name] = function.value(at)
        elif "noise" in given.name:
            found[given.name] = [random.normal(size=2)]
        elif "hess" in given.name:
            found[given.name] = [function.curvature(at)]
        else:
            return None
    return found


def best_path(spec: Spec, function: TestFunction, wrapped: Rule | None = None) -> TakenPath | None:
    """The path of a rule's defaults with the best of `STEP_SIZES`; None if it cannot be run here."""
    rule = specialise(spec, default_choice(spec), wrapped)
    values = {h.name: h.default for h in rule.hyperparameters if h.default is not None}
    name = next((n for n in STEP_SIZE_NAMES if n in values), None)
    found: list[TakenPath] = []
    for size in STEP_SIZES if name else (None,):
        given = values | ({name: size} if name and size is not None else {})
        points = _path(rule, given, function)
        if points is None:
            return None
        if np.isfinite(points).all():
            found.append(TakenPath(points, size, function.value(points[-1])))
    return min(found, key=lambda path: path.end) if found else None


def _path(rule: Rule, values: Mapping[str, float], function: TestFunction) -> Point | None:
    interpreter = Interpreter(rule, values)
    model = interpreter.init([np.array(function.start)])
    random = np.random.default_rng(0)
    points = [np.array(function.start)]
    for _ in range(STEPS):
        inputs = given_inputs(rule, function, points[-1], random)
        if inputs is None:
            return None
        model = interpreter.step(model, [function.gradient(points[-1])], inputs)
        points.append(np.asarray(model.tensors[0].theta))
        if not np.isfinite(points[-1]).all() or np.max(np.abs(points[-1])) > 1e6:
            return np.array([*points, np.full(2, np.inf)])
    return np.array(points)
