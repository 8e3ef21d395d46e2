"""What is kept for a parameter, looked at before a step or a load goes on from it: refused by name where none could."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optgen.errors import TreeMismatch
from optgen.runtime.formats import BFLOAT16, block_count, scales_of
from optgen.targets.manifest import StateInfo

if TYPE_CHECKING:
    from optgen.runtime.state_layout import Parameter, StateLayout


def check_state(layout: StateLayout, label: str, parameter: Parameter, kept: Mapping[str, Any]) -> None:
    """Refuse a state that is not one of this rule; entries that no rule keeps belong to whoever has put them there.

    Raises:
        TreeMismatch: an entry is missing, of another option or rule, of another shape, or no array of numbers.
    """
    _check_names(layout, label, parameter, kept)
    found = {name for name, value in kept.items() if value is not None}
    if layout.count in found:
        check_count(f"{label}: '{layout.count}'", kept[layout.count])
    shape = tuple(layout.array(parameter).shape)
    for info in layout.infos(parameter):
        names = layout.entry_names(parameter, info)
        history = (info.depth,) if info.depth > 1 else ()
        shapes = [history + one for one in layout.variant.shapes_of(info, shape)]
        if set(names) <= found:
            values = [
                _checked(layout, f"{label}: '{name}'", info, kept[name], scales_of(name) in found) for name in names
            ]
            given = [tuple(np.shape(part)) for value in values for part in _parts(value)]
            if given != shapes:
                told = "', '".join(names)
                raise TreeMismatch(f"{label}: '{told}' has shape {given}, and should have {shapes}")
            if not is_complex(parameter) and any(map(is_complex, values)):
                raise TreeMismatch(f"{label}: '{names[0]}' holds complex numbers, and the parameter real ones")
    for name in layout.formattable(parameter).values():
        scale = scales_of(name)
        is_in_bytes = dtype_of(kept.get(name)) == "uint8"
        if name in found and is_in_bytes != (scale in found):
            raise TreeMismatch(f"{label}: '{name}' of a parameter is of 8 bits only together with '{scale}'")
        if scale in found:
            given, full = [tuple(np.shape(kept[scale]))], [(block_count(shape),)]
            if given != full:
                raise TreeMismatch(f"{label}: '{scale}' has shape {given}, and should have {full}")


def _check_names(layout: StateLayout, label: str, parameter: Parameter, kept: Mapping[str, Any]) -> None:
    known = layout.own_names(parameter)
    wanted = {name for info in layout.infos(parameter) for name in layout.entry_names(parameter, info)}
    wanted |= {layout.count} if layout.count and not layout.counts_itself else set()
    found = {name for name, value in kept.items() if value is not None}
    foreign = set(filter(layout.is_foreign, found - known))
    if foreign or (found & known and not wanted <= found):
        told = ", ".join(sorted(found & known | foreign))
        keeps = ", ".join(sorted(wanted | {layout.names[name] for name in layout.of_model})) or "nothing"
        raise TreeMismatch(f"{label} holds {told}, and this optimizer keeps {keeps}")


def _checked(layout: StateLayout, label: str, info: StateInfo, value: Any, is_in_bytes: bool) -> Any:
    """A state as the rule takes it, of which every part is an array."""
    is_number = info.name in layout.of_step and isinstance(value, int | float) and not isinstance(value, bool)
    why = "" if is_number else next(filter(None, map(layout.why_no_array, _parts(value))), "")
    if why:
        raise TreeMismatch(f"{label} is {why}, and should be an array of numbers")
    return value if is_in_bytes or dtype_of(value) == BFLOAT16 else layout.inside(info, value)


def is_complex(array: Any) -> bool:
    """Whether an array, of torch or numpy, or the data of a parameter, is complex."""
    name = dtype_of(array) or dtype_of(getattr(array, "data", None))
    return name.startswith("complex")


def seen(value: Any) -> tuple[Any, ...]:
    """How a value looks, all but its numbers."""
    if isinstance(value, tuple | list):
        return tuple(map(seen, value))
    return type(value), getattr(value, "shape", None), getattr(value, "dtype", None)


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


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
