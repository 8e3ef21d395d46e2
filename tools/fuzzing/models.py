"""Random models: shapes, dtypes, layouts in memory, and the arrays of every step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from optgen.compiler.rule import Rule
from tools.fuzzing.case import Model

SMALL: tuple[tuple[int, ...], ...] = (
    (),
    (0,),
    (1,),
    (3,),
    (7,),
    (4,),
    (2, 3),
    (3, 2),
    (5, 3),
    (1, 4),
    (4, 1),
    (1, 1),
    (0, 3),
    (2, 0),
    (2, 3, 4),
    (3, 1, 2),
    (0, 2, 3),
    (2, 2, 0),
    (2, 3, 1, 2),
    (4, 4),
    (3, 3, 3),
)
#: Over the number from which steps in JAX are kernels, over a chunk of a thread, wider than a stretch.
LARGE: tuple[tuple[int, ...], ...] = ((4100,), (70, 70), (40_003,), (130, 35, 3), (3, 1500), (1500, 3), (260, 70))


def random_model(seed: int) -> Model:
    """A model."""
    chance = random.Random(seed)
    shapes = [chance.choice(SMALL) for _ in range(chance.choice((1, 1, 2, 2, 3, 4, 5)))]
    if chance.random() < 0.15:
        shapes[0] = chance.choice(LARGE)
    if chance.random() < 0.1:
        shapes.append(shapes[0])
    special = tuple(name for name, share in (("zeros", 0.25), ("nan", 0.05), ("inf", 0.05)) if chance.random() < share)
    return Model(
        tuple(shapes),
        seed=seed,
        steps=chance.choice((3, 3, 4, 5)),
        special=special,
        layout=chance.choice(("plain", "plain", "turned", "gaps")),
        start=chance.choice((1.0, 1.0, 0.1, 0.0)),
    )


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype of a name."""
    return np.dtype(getattr(ml_dtypes, name, name))


def dtypes_of(name: str, count: int) -> list[str]:
    """The dtype of each of some tensors, from the name of one or of several joined by `+`, which take turns."""
    names = name.split("+")
    return [names[index % len(names)] for index in range(count)]


class Data:
    """The arrays of a model, the same whenever they are asked for.

    Args:
        model: the model.
        dtypes: one for each tensor.
    """

    def __init__(self, model: Model, dtypes: Sequence[str]) -> None:
        self.model = model
        self.tensors = [(shape, numpy_dtype(name)) for shape, name in zip(model.shapes, dtypes, strict=True)]

    def _normal(
        self, generator: np.random.Generator, shape: Sequence[int], dtype: np.dtype[Any]
    ) -> np.ndarray[Any, Any]:
        # Rounded to float32 first, so that all dtypes start from about the same numbers.
        return np.array(generator.normal(size=tuple(shape)).astype(np.float32).astype(dtype))

    def parameters(self) -> list[np.ndarray[Any, Any]]:
        """The parameters before the first step."""
        generator = np.random.default_rng([self.model.seed, 0])
        start = np.float64(self.model.start)
        return [
            np.asarray(start * self._normal(generator, shape, dtype).astype(float)).astype(dtype)
            for shape, dtype in self.tensors
        ]

    def gradients(self, step: int) -> list[np.ndarray[Any, Any]]:
        """The gradients of a step, counted from 0."""
        generator = np.random.default_rng([self.model.seed, 1, step])
        found = [self._normal(generator, shape, dtype) for shape, dtype in self.tensors]
        for name, value in (("zeros", 0.0), ("nan", np.nan), ("inf", np.inf)):
            for gradient in found if name in self.model.special else ():
                if gradient.size > (1 if name != "zeros" else 0) and generator.random() < 0.7:
                    gradient.flat[generator.integers(gradient.size)] = value
        if "zeros" in self.model.special and step == 1:
            found[0][...] = 0
        return found

    def inputs(self, rule: Rule, step: int) -> dict[str, Any]:
        """A value for each input of a rule: a number, or one number or array for each tensor."""
        generator = np.random.default_rng([self.model.seed, 2, step])
        found: dict[str, Any] = {}
        for given in rule.inputs:
            match given.kind:
                case "tensor":
                    found[given.name] = [self._normal(generator, (), dtype) for _, dtype in self.tensors]
                case "element":
                    found[given.name] = [self._normal(generator, shape, dtype) for shape, dtype in self.tensors]
                case _:
                    found[given.name] = float(np.float32(generator.normal()))
        return found
