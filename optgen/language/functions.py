"""The functions of the equation language, what reductions go over, and the names that mean something in it."""

from __future__ import annotations

from optgen.language.refused_names import GENERATED

#: Functions of numbers: name → fewest and most arguments.
FUNCTIONS: dict[str, tuple[int, int]] = {
    "sqrt": (1, 1),
    "abs": (1, 1),
    "sign": (1, 1),
    "exp": (1, 1),
    "log": (1, 1),
    "sin": (1, 1),
    "cos": (1, 1),
    "tanh": (1, 1),
    "floor": (1, 1),
    "ceil": (1, 1),
    "max": (2, 16),
    "min": (2, 16),
    "clip": (3, 3),
    "where": (3, 3),
    "every": (1, 1),
}

#: Functions that fold many numbers into fewer: name → number of arguments. `max` and `min` of one value fold too.
REDUCTIONS: dict[str, int] = {"sum": 1, "mean": 1, "norm": 1, "rms": 1, "dot": 2, "max": 1, "min": 1}

#: The number of entries of a hyperparameter that is a list; schedules have such, optimizers do not.
LENGTH = "len"

#: How functions of more than one argument are called, for messages.
EXAMPLES = {
    "clip": "clip(x, lowest, highest)",
    "where": "where(condition, a, b)",
    "dot": "dot(x, y)",
    "max": "max(x), max(x, over=rows) or max(x, y)",
    "min": "min(x), min(x, over=rows) or min(x, y)",
}

#: What a reduction may run over.
EXTENTS = ("tensor", "model", "rows", "columns", "other_axes", "axes")

#: The option by which a spec says which two axes of a tensor are its rows and columns, and what it may be.
MATRIX_AXES_OPTION = "matrix_axes"
MATRIX_AXES = ("last", "largest")

#: Sizes known from a tensor's shape: its number of elements and axes, and the lengths of its two matrix axes.
SHAPE_NAMES = ("size", "rank", "rows", "columns")

#: Names that the language gives a meaning; a spec may not declare them.
RESERVED = frozenset({"theta", "g", "t", "range", *FUNCTIONS, *REDUCTIONS, *EXTENTS, *SHAPE_NAMES})

#: Names that mean something in the code that is generated.
GENERATED_WORDS = frozenset(GENERATED)
