"""The values a hyperparameter may take, written the way a paper does: `0 <= beta1 < 1`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"\s*(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_COMPARISON = r"(<=|>=|<|>)"


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval of the reals, None where it is unbounded; `text` is how it was written, empty if nothing was."""

    text: str = ""
    lower: float | None = None
    upper: float | None = None
    lower_open: bool = False
    upper_open: bool = False

    def contains(self, value: float) -> bool:
        """Whether a value lies inside; NaN never does."""
        try:
            if not math.isfinite(value):
                return False
        except OverflowError:  # an integer that no float64 holds
            return False
        above = self.lower is None or (value > self.lower if self.lower_open else value >= self.lower)
        below = self.upper is None or (value < self.upper if self.upper_open else value <= self.upper)
        return above and below


def parse_domain(text: str, name: str) -> Domain:
    """Read `0 <= beta1 < 1`, `eps >= 0` and the like.

    Raises:
        ValueError: the text is no comparison of `name` with numbers, or no number passes it; its arguments are a
            message and a hint.
    """
    bounds = _bounds(text, name)
    if bounds is None:
        raise ValueError(f"a domain compares '{name}' with numbers", f'write "0 <= {name} < 1" or "{name} >= 0"')
    lower: float | None = None
    upper: float | None = None
    lower_open = upper_open = False
    for comparison, bound in bounds:
        if comparison.startswith(">"):
            lower, lower_open = bound, comparison == ">"
        else:
            upper, upper_open = bound, comparison == "<"
    if lower is not None and upper is not None and (lower > upper or (lower == upper and (lower_open or upper_open))):
        raise ValueError("no number lies in this domain", "write the lower bound first")
    return Domain(text, lower, upper, lower_open, upper_open)


def _bounds(text: str, name: str) -> list[tuple[str, float]] | None:
    """The comparisons, turned so that the name stands on the left; None if they are not of the known form."""
    word = rf"\s*{re.escape(name)}\s*"
    flipped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
    if found := re.fullmatch(word + _COMPARISON + _NUMBER, text, re.ASCII):
        bounds = [(found[1], found[2])]
    elif found := re.fullmatch(_NUMBER + _COMPARISON + word, text, re.ASCII):
        bounds = [(flipped[found[2]], found[1])]
    elif found := re.fullmatch(_NUMBER + _COMPARISON + word + _COMPARISON + _NUMBER, text, re.ASCII):
        if found[2][0] != found[3][0]:
            return None  # 0 < x > 1 bounds one side twice
        bounds = [(flipped[found[2]], found[1]), (found[3], found[4])]
    else:
        return None
    numbers = [(comparison, float(bound)) for comparison, bound in bounds]
    return numbers if all(math.isfinite(bound) for _, bound in numbers) else None
