"""From the arguments of a schedule, in a library's spelling, to checked values of hyperparameters and options."""

from __future__ import annotations

import inspect
import itertools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optgen.arguments.binding import bind, signature
from optgen.arguments.values import check_option, check_value
from optgen.contract.declarations import Hyperparameter, OptionValue
from optgen.contract.dialects import Argument, Dialect
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter
from optgen.schedules.manifest import LrScheduleManifest
from optgen.schedules.model import NumberList

_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """The hyperparameter and option values of one schedule.

    Attributes:
        values: for every hyperparameter a number or an array, None for one that is absent, or a tuple of such.
        options: a value for every option.
    """

    values: Mapping[str, Any]
    options: Mapping[str, OptionValue]


def own_dialect(manifest: LrScheduleManifest) -> Dialect:
    """The schedule's own spelling: the names and defaults of its spec."""
    defaults = {h.name: h.default for h in manifest.hyperparameters}
    arguments = [Argument(name, (name,), (defaults.get(name),)) for name in manifest.order]
    arguments += [Argument(o.name, (o.name,), (o.default,), keyword_only=True) for o in manifest.options]
    return Dialect("optgen", manifest.name, tuple(arguments))


def schedule_signature(manifest: LrScheduleManifest, dialect: Dialect) -> inspect.Signature:
    """The signature of a schedule in a library's spelling."""
    shown = {name: _default(manifest, dialect, name) for name in manifest.order}
    parameters = []
    for argument, parameter in zip(_positional_first(dialect), signature(dialect).parameters.values(), strict=True):
        default = parameter.default
        if default is not inspect.Parameter.empty and argument.targets[0] in shown:
            # Two lists in one argument are a mapping, and an empty one is None.
            default = shown[argument.targets[0]] if not argument.packed else None
        parameters.append(parameter.replace(default=default))
    return inspect.Signature(parameters)


def _positional_first(dialect: Dialect) -> list[Argument]:
    return sorted(dialect.arguments, key=lambda argument: argument.keyword_only)


def _default(manifest: LrScheduleManifest, dialect: Dialect, name: str) -> Any:
    """A hyperparameter's default in a library's spelling; step counts as integers."""
    for found in manifest.lists:
        if found.name == name:
            return tuple(int(x) if name in manifest.whole else x for x in found.default)
    (default,) = [h.default for h in manifest.hyperparameters if h.name == name]
    stated: dict[str, object] = dict(dialect.hyperparameters)
    stated |= {t: d for a in dialect.arguments for t, d in zip(a.targets, a.defaults, strict=True)}
    value = stated.get(name, default)
    return int(value) if name in manifest.whole and isinstance(value, int | float) else value


def schedule_settings(manifest: LrScheduleManifest, dialect: Dialect, given: Mapping[str, Any]) -> ScheduleSettings:
    """Check arguments and spread them over hyperparameters and options.

    Args:
        manifest: the schedule.
        dialect: the spelling that the arguments are in.
        given: argument name → value; what is missing takes the dialect's default.

    Raises:
        InvalidHyperparameter: a value is outside its domain, not one of the choices, or does not fit the others.
        HyperparameterTypeError: a value is of the wrong type.
    """
    check = _ConstraintCheck(manifest, dialect)
    for argument in dialect.arguments:
        if argument.name in given:
            check.argument(argument, given[argument.name])
    check.together()
    return ScheduleSettings(check.values, check.options)


def bound_settings(
    manifest: LrScheduleManifest, dialect: Dialect, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> ScheduleSettings:
    """The settings for the arguments of a call.

    Raises:
        TypeError: the call does not fit the signature.
        InvalidHyperparameter: see `schedule_settings`.
        HyperparameterTypeError: see `schedule_settings`.
    """
    return schedule_settings(manifest, dialect, bind(dialect.name, schedule_signature(manifest, dialect), args, kwargs))


class _ConstraintCheck:
    """Checks the arguments of one call, in the caller's words."""

    def __init__(self, manifest: LrScheduleManifest, dialect: Dialect) -> None:
        self.manifest = manifest
        self.dialect = dialect
        self.numbers = {h.name: h for h in manifest.hyperparameters}
        self.lists = {found.name: found for found in manifest.lists}
        self.declared = {o.name: o for o in manifest.options}
        self.spelled = {target: a.name for a in dialect.arguments for target in a.targets}
        self.values: dict[str, Any] = {name: _default(manifest, dialect, name) for name in manifest.order}
        self.options: dict[str, OptionValue] = {o.name: o.default for o in manifest.options}
        for a in dialect.arguments:
            for target, default in zip(a.targets, a.defaults, strict=True):
                if target in self.declared and isinstance(default, bool | str | int):
                    self.options[target] = default
        self.options |= dict(dialect.options)

    def label(self, name: str) -> str:
        return f"{self.dialect.name}: {self.spelled.get(name, name)}"

    def argument(self, argument: Argument, value: Any) -> None:
        if argument.packed:
            self.packed(argument, value)
            return
        (target,) = argument.targets
        if target in self.declared:
            self.options[target] = check_option(self.label(target), self.declared[target], value)
        elif target in self.lists:
            self.values[target] = self.entries(self.lists[target], value)
        else:
            self.values[target] = self.number(self.label(target), self.numbers[target], value)

    def packed(self, argument: Argument, value: Any) -> None:
        """Two lists that are given as a mapping from the entries of one to those of the other."""
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            wanted = f"a mapping from {argument.targets[0]} to {argument.targets[1]}"
            raise HyperparameterTypeError(f"{self.dialect.name}: {argument.name} is {wanted}, not {value!r}")
        pairs = sorted(value.items())
        for target, column in zip(argument.targets, zip(*pairs, strict=True) if pairs else ((), ()), strict=True):
            self.values[target] = self.entries(self.lists[target], column)

    def number(self, label: str, declared: Hyperparameter, value: Any) -> Any:
        checked = check_value(label, declared, value)
        if declared.name in self.manifest.whole and isinstance(checked, float):
            if not checked.is_integer():
                raise InvalidHyperparameter(f"{label} = {value!r} is no whole number")
            return int(checked)
        return checked

    def entries(self, declared: NumberList, value: Any) -> tuple[Any, ...]:
        label = self.label(declared.name)
        if isinstance(value, str | bytes) or not isinstance(value, list | tuple | range | np.ndarray):
            raise HyperparameterTypeError(f"{label} is a list of numbers, not {value!r}")
        one = Hyperparameter(declared.name, None, declared.symbol, declared.domain, declared.meaning)
        entries = tuple(self.number(f"{label}[{i}]", one, entry) for i, entry in enumerate(value))
        for before, after in itertools.pairwise(entries):
            if declared.increasing and _known(before, after) and not before < after:
                raise InvalidHyperparameter(f"{label} has to increase, and {after} follows {before}")
        return entries

    def together(self) -> None:
        """Check what must hold between values."""
        for declared in self.manifest.lists:
            if declared.as_long_as:
                wanted = len(self.values[declared.as_long_as]) + declared.longer_by
                found = len(self.values[declared.name])
                if found != wanted:
                    other = self.spelled.get(declared.as_long_as, declared.as_long_as)
                    rule = f"len({other})" + (f" + {declared.longer_by}" if declared.longer_by else "")
                    raise InvalidHyperparameter(
                        f"{self.label(declared.name)} has {found} entries and should have {rule} = {wanted}"
                    )
        for constraint in self.manifest.constraints:
            left, right = self.values[constraint.left], self.values[constraint.right]
            if _known(left, right) and not _COMPARISONS[constraint.operator](left, right):
                names = [self.spelled.get(name, name) for name in (constraint.left, constraint.right)]
                raise InvalidHyperparameter(
                    f"{self.dialect.name}: {names[0]} {constraint.operator} {names[1]} must hold, "
                    f"and they are {left} and {right}"
                )


def _known(*values: Any) -> bool:
    """Whether values are Python numbers, not arrays whose value may not be known yet."""
    return all(isinstance(value, int | float) for value in values)
