"""A spec from Python values: what `optgen.define` is given instead of a file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace

from optgen.errors import SpecError
from optgen.spec.check import check_spec
from optgen.spec.domain import Domain
from optgen.spec.language import RESERVED, name_problem, parse_equations
from optgen.spec.model import Hyperparameter, Option, Spec
from optgen.spec.source import Source, Span
from optgen.spec.syntax import Binary, Name, expressions, walk


def define_spec(
    name: str,
    equations: str,
    values: Mapping[str, float | bool | None],
    wraps: str = "",
    counts: Mapping[str, int] | None = None,
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
        TypeError: a value is none of those.
    """
    equations = textwrap.dedent(equations).strip("\n") + "\n"
    source = Source(f"<{name}>", equations)
    nowhere = source.location(Span(1, 1, 1))
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise SpecError(f"'{name}' is not a name", nowhere, "lower case letters, digits and single '_'")
    hyperparameters: list[Hyperparameter] = []
    options = [Option(key, count, (), "") for key, count in (counts or {}).items()]
    for key, value in {**values, **(counts or {})}.items():
        if key in RESERVED:
            raise SpecError(f"'{key}' has a meaning in the language", nowhere, "choose another name")
        if problem := name_problem(key):
            raise SpecError(problem[0], nowhere, problem[1])
        if key in (counts or {}):
            continue
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
            raise TypeError(f"{name}: {key} = {value!r} is neither a number, a bool nor None")
    spec = Spec(
        name=name,
        class_name="".join(word.capitalize() for word in name.split("_")),
        title=name,
        summary="",
        references=(),
        hyperparameters=tuple(hyperparameters),
        options=tuple(options),
        inputs=(),
        states=(),
        wraps=wraps,
        equations=equations,
        body=parse_equations(source, equations, 1, 0, wraps),
        dialects={},
        source=source,
    )
    check_spec(spec)
    return imply_domains(spec)


def imply_domains(spec: Spec) -> Spec:
    """Add what the equations themselves demand: a hyperparameter raised to a power of the step is not negative."""
    bases = {
        part.left.name
        for expression in expressions(spec.body)
        for part in walk(expression)
        if isinstance(part, Binary) and part.operator == "**" and isinstance(part.left, Name)
        if any(isinstance(inner, Name) and inner.name == "t" for inner in walk(part.right))
    }
    return replace(
        spec,
        hyperparameters=tuple(
            replace(h, domain=replace(h.domain, text=h.domain.text or f"{h.name} >= 0", lower=0.0))
            if h.name in bases and h.domain.lower is None
            else h
            for h in spec.hyperparameters
        ),
    )
