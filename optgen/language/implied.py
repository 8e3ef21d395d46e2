"""Domains that equations imply for hyperparameters, whatever the spec declares."""

from __future__ import annotations

from dataclasses import replace

from optgen.contract.declarations import Hyperparameter
from optgen.errors import Location, SpecError
from optgen.language.source import Source, Span
from optgen.language.syntax import (
    Binary,
    Name,
    Statement,
    expressions,
    walk,
)


def imply_domains(
    hyperparameters: tuple[Hyperparameter, ...], body: tuple[Statement, ...], source: Source
) -> tuple[Hyperparameter, ...]:
    """Add what the equations themselves demand: a hyperparameter raised to a power of the step is not negative.

    Raises:
        SpecError: a default does not meet the demand.
    """
    powers: dict[str, Span] = {}
    for expression in expressions(body):
        for part in walk(expression):
            if isinstance(part, Binary) and part.operator == "**" and isinstance(part.left, Name):
                if any(isinstance(inner, Name) and inner.name == "t" for inner in walk(part.right)):
                    powers.setdefault(part.left.name, part.span)
    return tuple(
        _not_negative(h, source.location(powers[h.name])) if h.name in powers and h.domain.lower is None else h
        for h in hyperparameters
    )


def _not_negative(hyperparameter: Hyperparameter, where: Location) -> Hyperparameter:
    name, domain = hyperparameter.name, hyperparameter.domain
    demand = f"{name} >= 0"
    domain = replace(domain, text=f"{demand} and {domain.text}" if domain.text else demand, lower=0.0)
    for value in (hyperparameter.default, hyperparameter.absent):
        if value is not None and not domain.contains(value):
            raise SpecError(f"{value!r} is outside the domain of '{name}'", where, f"a power of t needs {demand}")
    return replace(hyperparameter, domain=domain)
