"""One choice of a spec's options: which of its formulas is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from optgen.language.model import (
    Dialect,
    Hyperparameter,
    Option,
    OptionValue,
    Spec,
)

#: The most choices that are generated ahead, where the defaults alone are not more.
MAX_AHEAD = 6


class Switches(Protocol):
    """What a choice is made from: a spec, or the manifest that was generated from it."""

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]: ...

    @property
    def options(self) -> tuple[Option, ...]: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Option values and which optional hyperparameters are there, both sorted by name, so that equal means equal."""

    options: tuple[tuple[str, OptionValue], ...]
    present: tuple[str, ...]

    def option(self, name: str) -> OptionValue:
        """The value of an option; raises KeyError if there is none."""
        return dict(self.options)[name]


def choose(spec: Switches, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> Choice:
    """The choice that option values and hyperparameter values stand for; what is not given takes its default.

    An option whose requirement is not met has no effect, and counts as not chosen.
    """
    present = {h.name for h in spec.hyperparameters if h.optional and h.present(values.get(h.name, h.default))}
    chosen = {o.name: options.get(o.name, o.default) for o in spec.options}
    for option in spec.options:
        if option.requires and option.requires not in present and not chosen.get(option.requires, False):
            chosen[option.name] = False if isinstance(option.default, bool) else option.default
    return Choice(tuple(sorted(chosen.items())), tuple(sorted(present)))


def default_choice(spec: Switches) -> Choice:
    """What the spec's own defaults choose."""
    return choose(spec, {}, {})


def dialect_choice(spec: Switches, dialect: Dialect) -> Choice:
    """What a library's defaults choose."""
    options, values = dialect_defaults(spec, dialect)
    return choose(spec, options, values)


def dialect_defaults(spec: Switches, dialect: Dialect) -> tuple[dict[str, OptionValue], dict[str, object]]:
    """A library's defaults for every option and hyperparameter."""
    options: dict[str, OptionValue] = {o.name: o.default for o in spec.options} | dict(dialect.options)
    values: dict[str, object] = {h.name: h.default for h in spec.hyperparameters}
    values.update(dialect.hyperparameters)
    for argument in dialect.arguments:
        if not argument.targets or argument.instead:
            continue
        for target, default in zip(argument.targets, argument.defaults, strict=True):
            if target not in options:
                values[target] = default
            elif default is not None:
                options[target] = default  # type: ignore[assignment]  # the reader has checked it
    return options, values


def variant_name(spec: Switches, choice: Choice) -> str:
    """A name for a choice: what it switches away from the spec's defaults; `default` if nothing."""
    base = default_choice(spec)
    parts = []
    for name, value in choice.options:
        if value != base.option(name):
            parts.append(name if value is True else f"no_{name}" if value is False else f"{name}_{value}")
    parts += [name for name in choice.present if name not in base.present]
    parts += [f"no_{name}" for name in base.present if name not in choice.present]
    return "__".join(parts) or "default"


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
