"""The functions of the equation language in one table, what reductions go over, and the names that have a meaning.

A function is *derived*, written in the language itself and expanded before anything is compiled (`language.derived`),
or *primitive*: the reference and every target have a row of their own for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from optgen.language.refused_names import GENERATED


@dataclass(frozen=True, slots=True)
class LanguageFunction:
    r"""One function of the language.

    Attributes:
        example: a call of it, which names its parameters; of several ways to call it, the longest stands last.
        most: the most arguments that it takes as a function of numbers, 0 if it takes as many as the example; the
            example has the fewest.
        reduces: the number of arguments of which it makes fewer numbers, 0 if it is no reduction.
        is_elementwise: whether it is a function of numbers at all; `sum` is a reduction only.
        latex: what stands before its arguments in brackets; where there is a `#`, this stands for the arguments.
        jumps: whether the last bit of an argument may decide, as with `sign`.
        rises: whether it is defined for all numbers and never falls.
        derived: its value in terms of its parameters, in the language and without reductions; empty for a primitive.
    """

    example: str
    most: int = 0
    reduces: int = 0
    is_elementwise: bool = True
    latex: str = ""
    jumps: bool = False
    rises: bool = False
    derived: str = ""

    @property
    def name(self) -> str:
        """The function's name."""
        return self.example.partition("(")[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the function of numbers, in order."""
        return tuple(re.findall(r"\w+", self.example.rpartition("(")[2]))

    @property
    def arity(self) -> tuple[int, int]:
        """The fewest and the most arguments of the function of numbers."""
        return len(self.parameters), self.most or len(self.parameters)


#: All functions by name. An operator of the language is none: the compiler and the targets have rows for those too.
FUNCTIONS: dict[str, LanguageFunction] = {
    row.name: row
    for row in (
        LanguageFunction("sqrt(x)", latex=r"\sqrt{#}"),
        LanguageFunction("abs(x)", latex=r"\lvert # \rvert"),
        LanguageFunction("sign(x)", jumps=True),
        LanguageFunction("exp(x)", latex=r"\exp", rises=True),
        LanguageFunction("log(x)", latex=r"\log"),
        LanguageFunction("sin(x)", latex=r"\sin"),
        LanguageFunction("cos(x)", latex=r"\cos"),
        LanguageFunction("tanh(x)", latex=r"\tanh", rises=True),
        LanguageFunction("sigmoid(x)", rises=True),
        LanguageFunction("erf(x)", rises=True),
        LanguageFunction("atan2(y, x)", jumps=True),
        LanguageFunction("floor(x)", latex=r"\lfloor # \rfloor", jumps=True, rises=True),
        LanguageFunction("ceil(x)", latex=r"\lceil # \rceil", jumps=True, rises=True),
        LanguageFunction("max(x), max(x, over=rows) or max(x, y)", most=16, reduces=1, latex=r"\max"),
        LanguageFunction("min(x), min(x, over=rows) or min(x, y)", most=16, reduces=1, latex=r"\min"),
        LanguageFunction("clip(x, lowest, highest)", derived="min(max(x, lowest), highest)"),
        LanguageFunction("where(condition, a, b)"),
        LanguageFunction("every(n)"),
        LanguageFunction("sum(x)", reduces=1, is_elementwise=False),
        LanguageFunction("mean(x)", reduces=1, is_elementwise=False),
        LanguageFunction("norm(x)", reduces=1, is_elementwise=False, latex=r"\lVert # \rVert"),
        LanguageFunction("rms(x)", reduces=1, is_elementwise=False),
        LanguageFunction("dot(x, y)", reduces=2, is_elementwise=False, latex=r"\langle # \rangle"),
    )
}


def reduces(function: str, count: int) -> bool:
    """Whether a function makes fewer numbers of so many arguments: `max` of one value does, of two it does not."""
    return function in FUNCTIONS and FUNCTIONS[function].reduces == count > 0


def primitives() -> tuple[str, ...]:
    """The functions of numbers that have a row of their own in the reference and in every target."""
    return tuple(name for name, row in FUNCTIONS.items() if row.is_elementwise and not row.derived)


#: The number of entries of a hyperparameter that is a list; schedules have such, optimizers do not.
LENGTH = "len"

#: What a reduction may run over.
EXTENTS = ("tensor", "model", "rows", "columns", "other_axes", "axes")

#: The option by which a spec says which two axes of a tensor are its rows and columns, and what it may be.
MATRIX_AXES_OPTION = "matrix_axes"
MATRIX_AXES = ("last", "largest")

#: Sizes known from a tensor's shape: its number of elements and axes, and the lengths of its two matrix axes.
SHAPE_NAMES = ("size", "rank", "rows", "columns")

#: Names that the language gives a meaning; a spec may not declare them.
RESERVED = frozenset({"theta", "g", "t", "range", *FUNCTIONS, *EXTENTS, *SHAPE_NAMES})

#: Names that mean something in the code that is generated.
GENERATED_WORDS = frozenset(GENERATED)
