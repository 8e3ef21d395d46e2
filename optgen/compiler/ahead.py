"""One choice of a spec's options: which of its formulas is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from optgen.contract.choice import Choice, choose, dialect_defaults, variant_name
from optgen.contract.declarations import OptionValue
from optgen.language.model import Spec

#: The most choices that are generated ahead, where the defaults alone are not more.
MAX_AHEAD = 6


def choices_ahead(spec: Spec) -> dict[str, Choice]:
    """The choices worth generating ahead: the spec's and each dialect's defaults, then single switches.

    A switch is one option or optional hyperparameter of the spec's own, away from the spec's defaults. Generated files
    are read by people: beyond `MAX_AHEAD` choices the rest is left to be compiled when it is first used.

    Returns them by variant name, in an order that depends on the spec alone.
    """
    found: dict[str, Choice] = {}

    def add(options: Mapping[str, OptionValue], values: Mapping[str, object]) -> None:
        choice = choose(spec, options, values)
        found.setdefault(variant_name(spec, choice), choice)

    options: dict[str, OptionValue] = {o.name: o.default for o in spec.options}
    values: dict[str, object] = {h.name: h.default for h in spec.hyperparameters}
    add(options, values)
    for dialect in spec.dialects:
        add(*dialect_defaults(spec, dialect))
    for switched in single_switches(spec, options, values):
        if len(found) >= MAX_AHEAD:
            break
        add(*switched)
    return found


def single_switches(
    spec: Spec, options: Mapping[str, OptionValue], values: Mapping[str, object]
) -> Iterator[tuple[dict[str, OptionValue], dict[str, object]]]:
    """Every option and optional hyperparameter of the spec's own switched by itself, each with what it requires.

    Args:
        spec: the optimizer.
        options: a value for every option, from which one at a time is switched.
        values: the same for every hyperparameter.
    """
    options, values = dict(options), dict(values)
    for hyperparameter in spec.own_hyperparameters:
        if hyperparameter.optional:
            there = hyperparameter.present(values[hyperparameter.name])
            yield options, values | {hyperparameter.name: None if there else _some_value(spec, hyperparameter.name)}
    for option in spec.own_options:
        old = options[option.name]
        others = [not old] if isinstance(old, bool) else [word for word in option.choices if word != old]
        for other in others:
            met = _met_options(spec, option.requires), _met_values(spec, option.requires, values)
            yield options | met[0] | {option.name: other}, values | met[1]


def every_choice(spec: Spec) -> dict[str, Choice]:
    """The spec's defaults, each dialect's, and every single switch away from any of them, by variant name."""
    options: dict[str, OptionValue] = {o.name: o.default for o in spec.options}
    values: dict[str, object] = {h.name: h.default for h in spec.hyperparameters}
    bases = [(options, values), *(dialect_defaults(spec, dialect) for dialect in spec.dialects)]
    found: dict[str, Choice] = {}
    for base in bases:
        for switched in (base, *single_switches(spec, *base)):
            choice = choose(spec, *switched)
            found.setdefault(variant_name(spec, choice), choice)
    return found


def _met_options(spec: Spec, required: str) -> dict[str, OptionValue]:
    return {required: True} if any(o.name == required for o in spec.options) else {}


def _met_values(spec: Spec, required: str, values: Mapping[str, object]) -> dict[str, object]:
    for hyperparameter in spec.hyperparameters:
        if hyperparameter.name == required and not hyperparameter.present(values[required]):
            return {required: _some_value(spec, required)}
    return {}


def _some_value(spec: Spec, name: str) -> float:
    """Any value that makes a hyperparameter present; only presence matters here."""
    absent = spec.hyperparameter(name).absent
    return 1.0 if absent != 1.0 else 2.0
