"""The gradient transformations that precede every rule: maximize, clipping by global norm and by value.

They are equations like any other, in gradient.toml beside this module, and are compiled into the rule's own passes.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import replace
from importlib import resources

from optgen.contract.declarations import Hyperparameter, Option
from optgen.language.declarations import read_hyperparameter, read_option
from optgen.language.equations import parse_equations
from optgen.language.model import Preamble, Spec
from optgen.language.source import Source
from optgen.language.syntax import (
    If,
    Name,
    Statement,
    assignments,
)
from optgen.language.tables import Tables


def shared_declarations(taken: frozenset[str]) -> tuple[tuple[Hyperparameter, ...], tuple[Option, ...]]:
    """The hyperparameters and options that a spec has besides its own, which has taken some names already."""
    hyperparameters, options, _ = _file()
    return (
        tuple(h for h in hyperparameters if h.name not in taken),
        tuple(o for o in options if o.name not in taken),
    )


def taken_names(body: tuple[Statement, ...], declared: frozenset[str]) -> frozenset[str]:
    """The names that a spec uses for something of its own."""
    return declared | {assign.target.name for assign in assignments(body)}


def with_transformations(spec: Spec) -> Spec:
    """A checked spec, preceded by the gradient transformations whose names it does not use itself."""
    declared = {h.name for h in spec.hyperparameters} | {o.name for o in spec.options} | {i.name for i in spec.inputs}
    hyperparameters, options = shared_declarations(taken_names(spec.body, frozenset(declared)))
    names = (*(h.name for h in hyperparameters), *(o.name for o in options))
    _, _, whole = _file()
    body = tuple(statement for statement in whole.body if _asks_of(statement) in names)
    return replace(
        spec,
        hyperparameters=spec.hyperparameters + hyperparameters,
        options=spec.options + options,
        preamble=Preamble(names, body, whole.source),
    )


def _asks_of(statement: Statement) -> str:
    """The name that a transformation stands under."""
    assert isinstance(statement, If)
    assert isinstance(statement.condition, Name)
    return statement.condition.name


@functools.cache
def _file() -> tuple[tuple[Hyperparameter, ...], tuple[Option, ...], Preamble]:
    text = resources.files("optgen.language").joinpath("gradient.toml").read_text(encoding="utf-8")
    source = Source("optgen/language/gradient.toml", text)
    tables, data = Tables(source), tomllib.loads(text)
    hyperparameters = tuple(read_hyperparameter(tables, name, raw) for name, raw in data["hyperparameters"].items())
    options = tuple(read_option(tables, name, raw) for name, raw in data["options"].items())
    rule = data["equations"]["rule"]
    start = source.span(source.string_start("equations", "rule"), source.string_start("equations", "rule") + 1)
    names = (*(h.name for h in hyperparameters), *(o.name for o in options))
    return hyperparameters, options, Preamble(names, parse_equations(source, rule, start.line, 0, ""), source)
