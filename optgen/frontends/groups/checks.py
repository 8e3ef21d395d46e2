"""Values in a state that somebody may have set: what they look like, and whether they are counts of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from optgen.errors import TreeMismatch


def is_complex(array: Any) -> bool:
    """Whether an array, of torch or numpy, or the data of a parameter, is complex."""
    name = dtype_of(array) or dtype_of(getattr(array, "data", None))
    return name.startswith("complex")


def seen(value: Any) -> tuple[Any, ...]:
    """How a value looks, all but its numbers."""
    if isinstance(value, tuple | list):
        return tuple(map(seen, value))
    return type(value), getattr(value, "shape", None), getattr(value, "dtype", None)


#: More steps than any counter of 32 bits holds.
_MOST_STEPS = 2**31 - 2


def check_count(label: str, value: Any) -> None:
    """Refuse what is no number of steps.

    Raises:
        TreeMismatch: it is none.
    """
    if not is_count(value):
        raise TreeMismatch(f"{label} is a number of steps, not {value!r:.60}")


def is_count(value: Any) -> bool:
    """Whether a value is a number of steps."""
    # Texts, truth values and arrays of them have a float too.
    is_number = not isinstance(value, str | bytes | bool) and getattr(_numpy_dtype(value), "kind", "f") in "fiu"
    is_number = is_number and dtype_of(value) != "bool"
    try:
        number = float(value) if is_number else -1.0
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return False
    return 0 <= number <= _MOST_STEPS and number == int(number)


def _numpy_dtype(value: Any) -> np.dtype[Any] | None:
    dtype = getattr(value, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) else None


def dtype_of(value: Any) -> str:
    """The name of an array's dtype; empty for what is none."""
    return str(getattr(value, "dtype", "")).rpartition(".")[2]
