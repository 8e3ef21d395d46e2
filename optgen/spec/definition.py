"""A spec from Python values: what `optgen.define` is given instead of a file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from optgen.errors import SpecError
from optgen.spec.check import check_spec
from optgen.spec.declarations import MAX_COUNT
from optgen.spec.domain import Domain
from optgen.spec.gradient import with_transformations
from optgen.spec.implied import imply_domains
from optgen.spec.language import RESERVED, parse_equations
from optgen.spec.model import Hyperparameter, Option, Preamble, Spec
from optgen.spec.names import declared_problem, keyword_problem, name_problem
from optgen.spec.source import Source, Span

#: What `define` takes as a default.
Value = float | bool | np.generic | None

#: Names that its defaults cannot have, which spec files are free to use.
_ARGUMENTS = {
    "wraps": "the optimizer that is wrapped, in the arguments of define",
    "counts": "the options that are integers, in the arguments of define",
}


def define_spec(
    name: str,
    equations: str,
    values: Mapping[str, Value],
    wraps: str = "",
    counts: Mapping[str, int | np.integer[Any]] | None = None,
) -> Spec:
    """A spec from equations and named values.

    A number declares a hyperparameter with that default, None an optional one that is absent by default, and a bool
    an option.

    Args:
        name: in lower case with underscores, `my_adam`.
        equations: the update rule.
        values: name → default.
        counts: options that are integers, name → default.
        wraps: the name under which the equations call a wrapped optimizer, empty if none.

    Raises:
        SpecError: the equations are wrong.
        TypeError: a value is none of those, or a name is given twice.
    """
    equations = textwrap.dedent(equations.replace("\r\n", "\n")).strip("\n") + "\n"
    source = Source(f"<{name}>", equations)
    source.refuse_hidden()
    nowhere = source.location(Span(1, 1, 1))
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise SpecError(f"'{name}' is not a name", nowhere, "lower case letters, digits and single '_'")
    hyperparameters: list[Hyperparameter] = []
    options: list[Option] = []
    counts = counts or {}
    if twice := sorted({*values} & {*counts}):
        raise TypeError(f"{name}: {twice[0]} is given as a default and in counts")
    for key in (*counts, *values, *([wraps] if wraps else ())):
        if key in RESERVED:
            raise SpecError(f"'{key}' has a meaning in the language", nowhere, "choose another name")
        if (
            problem := keyword_problem(key)
            or name_problem(key)
            or (key != wraps and declared_problem(key, "hyperparameters"))
        ):
            raise SpecError(problem[0], nowhere, problem[1])
        if key in values and key in _ARGUMENTS:
            raise SpecError(f"'{key}' is {_ARGUMENTS[key]}", nowhere, "choose another name")
    for key, written in counts.items():
        count = _plain(written)
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"{name}: counts[{key!r}] = {written!r} is no integer")
        if not 0 <= count <= MAX_COUNT:
            raise SpecError(f"a count lies between 0 and {MAX_COUNT}, and '{key}' is {count}", nowhere)
        options.append(Option(key, count, (), ""))
    for key, given in values.items():
        value = _plain(given)
        if isinstance(value, bool):
            options.append(Option(key, value, (), ""))
        elif value is None or isinstance(value, int | float):
            domain = Domain("lr >= 0", lower=0.0) if key == "lr" else Domain()
            if value is not None and not domain.contains(value):
                raise SpecError(f"the default {value!r} of '{key}' is outside its domain", nowhere, domain.text)
            hyperparameters.append(
                Hyperparameter(key, value, key.replace("_", r"\_"), domain, "", value is None, None, key == "lr")
            )
        else:
            raise TypeError(f"{name}: {key} = {given!r} is neither a number, a bool nor None")
    body = parse_equations(source, equations, 1, 0, wraps)
    spec = Spec(
        name=name,
        class_name="".join(word.capitalize() for word in name.split("_")),
        title=name,
        summary="",
        references=(),
        hyperparameters=imply_domains(tuple(hyperparameters), body, source),
        options=tuple(options),
        inputs=(),
        states=(),
        wraps=wraps,
        wrapped="",
        equations=equations,
        body=body,
        dialects=(),
        source=source,
        preamble=Preamble((), (), source),
    )
    check_spec(spec, defined=True)
    return with_transformations(spec)


def _plain(value: object) -> object:
    """A value as Python's own number or bool, if it is one of numpy's."""
    return value.item() if isinstance(value, np.generic) else value
