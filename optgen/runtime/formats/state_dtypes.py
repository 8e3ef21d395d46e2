"""The argument `state_dtype`: in which format a rule's states are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optgen.contract.formats import FORMATS
from optgen.contract.kinds import Kind
from optgen.contract.manifest import CaseInfo, VariantInfo
from optgen.errors import InvalidHyperparameter

FLOAT32 = "float32"


def formats_of(label: str, given: Any, info: VariantInfo, spelled: Mapping[str, str] | None = None) -> dict[str, str]:
    """The formats of a variant's states; those that are not named are kept in the precision of the arithmetic.

    Args, raises: see `asked_formats`.

    Returns:
        state → one of `optgen.contract.formats.FORMATS`.
    """
    asked = asked_formats(label, given, info, spelled)
    return {name: format for name, format in asked.items() if format != FLOAT32}


def asked_formats(
    label: str, given: Any, info: VariantInfo, spelled: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The formats that are asked for, `FLOAT32` among them: that is the precision of the arithmetic.

    Args:
        label: what messages call the optimizer.
        given: a format by name, or a dtype; a mapping of states to such; None for none.
        info: the variant.
        spelled: state → the name that a library has for it.

    Returns:
        state → format. `FLOAT32` for all is that of every state; another format for all is that of the states with a
        number for each element that start apart from the parameter: what starts at it is another copy of the
        parameter, not a moment.

    Raises:
        InvalidHyperparameter: there is no such format or state, or a state cannot be kept so.
    """
    if given is None:
        return {}
    states = {state.name: state for case in info.cases for state in case.states}
    others = {s.name for case in info.cases for s in case.states if s.kind is not Kind.ELEMENT or s.depth > 1}
    can = [name for name in states if name not in others]
    if isinstance(given, Mapping):
        names = {shown: name for name, shown in (spelled or {}).items()} | {name: name for name in states}
        asked = {}
        for shown, format in given.items():
            name = names.get(shown)
            format = _format(label, format)
            if name is None or name not in (states if format == FLOAT32 else can):
                known = ", ".join((spelled or {}).get(n, n) for n in can) or "none"
                what = "has another number of values than the parameter" if name in states else "is no state"
                raise InvalidHyperparameter(
                    f"{label}: state_dtype names {shown!r}, which {what}; those that it can name: {known}"
                )
            asked[name] = format
        return asked
    format = _format(label, given)
    if format == FLOAT32:
        return dict.fromkeys(states, format)
    if any(state.depth > 1 for state in states.values()):
        raise InvalidHyperparameter(
            f"{label}: state_dtype names states one by one, since differences of histories are what this rule "
            f"computes with; those that it can name: {', '.join(can)}"
        )
    start = {name for case in info.cases for name in _starting_at_parameter(case)}
    return {name: format for name in can if name not in start}


def _format(label: str, given: Any) -> str:
    """A format by name."""
    if isinstance(given, str):
        name = given
    else:
        # torch.bfloat16, jnp.bfloat16 or a dtype of numpy.
        name = getattr(given, "name", None) or getattr(given, "__name__", None) or str(given).rpartition(".")[2]
    if name not in (FLOAT32, *FORMATS):
        raise InvalidHyperparameter(
            f"{label}: state_dtype is one of {', '.join((FLOAT32, *FORMATS))}, or a mapping of states to these, "
            f"not {given!r}"
        )
    return name


def _starting_at_parameter(case: CaseInfo) -> list[str]:
    """States whose first value is made of the parameter."""
    reads = any(f.level == "initial" and "theta" in f.arguments for f in case.jax)
    return [state.name for state in case.states if reads and not state.zero]
