"""Which optimizer a spec wraps: the rule of another spec of the same folder."""

from __future__ import annotations

from pathlib import Path

from optgen._paths import spec_label
from optgen.compiler.choice import default_choice
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.errors import SpecError
from optgen.spec.model import Spec
from optgen.spec.reader import read_spec
from optgen.spec.tables import suggestion


def wrapped_rule(spec: Spec, folder: Path, around: tuple[str, ...] = ()) -> Rule | None:
    """The rule that a spec wraps unless the user names another, with its default options; None if it wraps none.

    Args:
        spec: the spec.
        folder: where the specs are.
        around: the names of the specs that wrap this one.

    Raises:
        SpecError: the spec does not say which optimizer it wraps, or names one that is not there or that wraps it.
    """
    if not spec.wraps:
        return None
    where = spec.source.location(spec.source.value("optimizer", "wrapped" if spec.wrapped else "wraps"))
    if not spec.wrapped:
        message = f"'{spec.name}' is not complete without the optimizer that it wraps"
        raise SpecError(message, where, 'add wrapped = "adam", or compile it by optgen.load(path, wraps=...)')
    path = folder / f"{spec.wrapped}.toml"
    if not path.is_file():
        known = tuple(sorted(other.stem for other in folder.glob("*.toml")))
        raise SpecError(f"there is no optimizer '{spec.wrapped}' to wrap", where, suggestion(spec.wrapped, known))
    if spec.wrapped in (*around, spec.name):
        raise SpecError(f"'{spec.name}' would wrap itself", where, "wrap another optimizer")
    inner = read_spec(path, spec_label(path))
    return specialise(inner, default_choice(inner), wrapped_rule(inner, folder, (*around, spec.name)))
