"""Reading a spec's declarations: hyperparameters, options, inputs, states and references."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optgen.contract.declarations import MAX_COUNT, Hyperparameter, Input, Option, Reference, StateEntry
from optgen.contract.domain import Domain, parse_domain
from optgen.contract.kinds import Kind
from optgen.escaping import is_link
from optgen.language.tables import Tables

INPUT_KINDS = (Kind.STEP, Kind.GLOBAL, Kind.TENSOR, Kind.ELEMENT)

_GREEK = frozenset("alpha beta gamma delta eps eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega".split())


def read_hyperparameter(tables: Tables, name: str, raw: object) -> Hyperparameter:
    """An entry of [hyperparameters].

    Raises:
        SpecError: it is malformed, or its default lies outside its domain.
    """
    table = "hyperparameters"
    tables.declared(name, table)
    known = ("default", "symbol", "domain", "meaning", "optional", "absent", "varies")
    entry = tables.inline(raw, known, table, name)
    absent = tables.number(entry["absent"], table, name, "absent") if "absent" in entry else None
    optional = tables.flag(entry, table, name, "optional") or absent is not None
    if "default" not in entry and not optional:
        raise tables.fail(f"'{name}' has no default", table, name, hint="add default = ..., or optional = true")
    default = tables.number(entry["default"], table, name, "default") if "default" in entry else None
    domain = _domain(tables, entry, name)
    for key, value in (("default", default), ("absent", absent)):
        if value is not None and not domain.contains(value):
            raise tables.fail_value(
                f"{value!r} is outside the domain of '{name}'",
                table,
                name,
                key,
                hint=demand(domain, value),
            )
    return Hyperparameter(
        name=name,
        default=default,
        symbol=tables.symbol(entry, latex_name(name), table, name, "symbol"),
        domain=domain,
        meaning=tables.string(entry, "", table, name, "meaning"),
        optional=optional,
        absent=absent,
        # The learning rate of any training run changes; it is never folded ahead.
        varies=tables.flag(entry, table, name, "varies") or name == "lr",
    )


def demand(domain: Domain, value: float) -> str:
    """A hint that says which values a domain allows."""
    return f"it must satisfy {domain.text}" if domain.text and math.isfinite(value) else "it must be finite"


def _domain(tables: Tables, entry: Mapping[str, Any], name: str) -> Domain:
    where = ("hyperparameters", name, "domain")
    text = tables.string(entry, "", *where)
    if "domain" not in entry:
        return Domain()
    try:
        return parse_domain(text, name)
    except ValueError as error:
        message, hint = error.args
        raise tables.fail_value(message, *where, hint=hint) from None


def read_option(tables: Tables, name: str, raw: object) -> Option:
    """An entry of [options].

    Raises:
        SpecError: it is malformed, or its default is none of its choices.
    """
    table = "options"
    tables.declared(name, table)
    entry = tables.inline(raw, ("default", "choices", "meaning", "requires"), table, name)
    choices = tables.strings(entry, table, name, "choices")
    if "choices" in entry and not choices:
        raise tables.fail_value(f"'{name}' has no choices", table, name, "choices", hint="name two or more")
    for position, choice in enumerate(choices):
        # A choice is part of the names of generated functions.
        tables.identifier(choice, table, name, "choices", position)
    if "default" not in entry:
        raise tables.fail(f"'{name}' has no default", table, name, hint="add default = false")
    default = entry["default"]
    if choices and default not in choices:
        raise tables.fail_value(
            "the default is not one of the choices", table, name, "default", hint=f"known: {', '.join(choices)}"
        )
    if not choices and not isinstance(default, bool | int):
        raise tables.fail_value(
            f"the default of '{name}' is true, false or a count", table, name, "default", hint="or give 'choices'"
        )
    if not choices and not 0 <= default <= MAX_COUNT:
        raise tables.fail_value(f"a count lies between 0 and {MAX_COUNT}", table, name, "default")
    return Option(
        name,
        default,
        choices,
        tables.string(entry, "", table, name, "meaning"),
        tables.string(entry, "", table, name, "requires"),
    )


def read_input(tables: Tables, name: str, raw: object) -> Input:
    """An entry of [inputs].

    Raises:
        SpecError: it is malformed, or of no known kind.
    """
    table = "inputs"
    tables.declared(name, table)
    entry = tables.inline(raw, ("kind", "meaning"), table, name)
    kind = tables.string(entry, "", table, name, "kind")
    known = f"known: {', '.join(INPUT_KINDS)}"
    if not kind:
        raise tables.fail(f"'{name}' has no kind", table, name, "kind", hint=known)
    if kind not in INPUT_KINDS:
        raise tables.fail_value(f"'{kind}' is not the kind of an input", table, name, "kind", hint=known)
    return Input(name, Kind(kind), tables.string(entry, "", table, name, "meaning"))


def read_state(tables: Tables, name: str, raw: object) -> StateEntry:
    """An entry of [states].

    Raises:
        SpecError: it is malformed.
    """
    table = "states"
    tables.declared(name, table)
    entry = tables.inline(raw, ("symbol", "meaning"), table, name)
    return StateEntry(
        name,
        tables.symbol(entry, latex_name(name), table, name, "symbol"),
        tables.string(entry, "", table, name, "meaning"),
    )


def read_references(tables: Tables, head: Mapping[str, Any], table: str = "optimizer") -> tuple[Reference, ...]:
    """The publications that the first table of a spec names.

    Raises:
        SpecError: the list or one of its items is malformed.
    """
    where = (table, "references")
    hint = 'write { text = "...", url = "..." }'
    entries = head.get("references", [])
    if not isinstance(entries, list):
        raise tables.fail_value("'references' is a list", *where, hint=f"{hint} between [ and ]")
    found = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "text" not in entry:
            message = "a reference has 'text' and may have 'url'"
            raise tables.fail_value(message, *where, number, hint=hint)
        tables.keys(entry, ("text", "url"), *where, number)
        text = tables.string(entry, "", *where, number, "text")
        url = tables.string(entry, "", *where, number, "url")
        if url and not is_link(url):
            message = "this is no address of the web"
            raise tables.fail_value(message, *where, number, "url", hint="write https://...")
        found.append(Reference(text, url))
    return tuple(found)


def latex_name(name: str) -> str:
    """The symbol that a name suggests: `beta_2` is a beta with a subscript."""
    stem = name.rstrip("0123456789").rstrip("_")
    digits = name[len(stem) :].lstrip("_")
    if stem == "lr":
        letter = r"\alpha"
    elif stem == "eps":
        letter = r"\varepsilon"
    elif stem in _GREEK:
        letter = f"\\{stem}"
    elif len(stem) > 1:
        letter = r"\mathrm{" + stem.replace("_", r"\_") + "}"
    else:
        letter = stem
    return f"{letter}_{{{digits}}}" if digits else letter
