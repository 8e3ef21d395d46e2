"""One choice of a spec's options: which of its formulas is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from optgen.contract.declarations import Hyperparameter, Option, OptionValue
from optgen.contract.dialects import Dialect


class Switches(Protocol):
    """The options and hyperparameters of a spec, or of the manifest that was generated from it."""

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Its hyperparameters, in the order of the spec."""

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options, in the order of the spec."""


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
    """The choice of the spec's own defaults."""
    return choose(spec, {}, {})


def dialect_choice(spec: Switches, dialect: Dialect) -> Choice:
    """The choice of a library's defaults."""
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
