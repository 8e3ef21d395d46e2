"""From a constructor's arguments to hyperparameter and option values, checked before anything is built."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from optgen.arguments.values import GROUPED, accepted_types, check_option, check_value
from optgen.contract.declarations import Hyperparameter, OptionValue
from optgen.contract.dialects import Argument, Dialect
from optgen.contract.manifest import Manifest
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter

#: A learning rate that depends on the step: step count → value.
Schedule = Any


@dataclass(frozen=True, slots=True)
class Settings:
    """The hyperparameter and option values of one constructor call.

    Attributes:
        options: a value for every option.
        values: a value for every hyperparameter; None for one that is absent.
        schedules: hyperparameters given as functions of the step count, instead of a value.
        state_dtype: in what formats states are kept, see `optgen.runtime.formats.state_dtypes`.
    """

    options: Mapping[str, OptionValue]
    values: Mapping[str, Any]
    schedules: Mapping[str, Schedule]
    state_dtype: Any = None


def settings(manifest: Manifest, dialect: Dialect, given: Mapping[str, Any]) -> Settings:
    """Check arguments and spread them over hyperparameters and options.

    Args:
        manifest: the optimizer.
        dialect: the spelling that the arguments are in.
        given: argument name → value; what is missing takes the dialect's default.

    Raises:
        InvalidHyperparameter: a value is outside its domain, or not one of the choices.
        HyperparameterTypeError: a value is of the wrong type.
    """
    from optgen.contract.choice import dialect_defaults

    options, values = dialect_defaults(manifest, dialect)
    hyperparameters = {h.name: h for h in manifest.hyperparameters}
    declared_options = {o.name: o for o in manifest.options}
    schedules: dict[str, Schedule] = {}
    replaced = [argument for argument in dialect.arguments if argument.instead]
    for argument in [*(a for a in dialect.arguments if not a.instead), *replaced]:
        if argument.name not in given or not argument.targets:
            continue
        value = given[argument.name]
        if argument.instead:
            if value is None:
                continue
            what = f"{dialect.name}: {argument.name} is deprecated, give {argument.instead}"
            warnings.warn(what, DeprecationWarning, stacklevel=_outside())
        parts = _parts(dialect.name, argument, value)
        for target, part in zip(argument.targets, parts, strict=True):
            label = f"{dialect.name}: {argument.name}" + (f" ({target})" if argument.packed else "")
            if target in declared_options:
                options[target] = check_option(label, declared_options[target], part)
                continue
            varies = takes_schedule(dialect, argument, hyperparameters[target])
            is_scheduler = hasattr(part, "current_lrs")
            if varies and dialect.library in GROUPED and (is_scheduler or callable(part)):
                hint = f"a schedule goes with {dialect.library}.optim.lr_scheduler"
                raise HyperparameterTypeError(
                    f"{label} is {accepted_types(dialect.library, varies)}, not {part!r}; {hint}"
                )
            if is_scheduler:
                # Called as an optax schedule, it would give its negated rate.
                what = f"{accepted_types(dialect.library, varies)}; {part!r} is a scheduler"
                raise HyperparameterTypeError(f"{label} is {what}")
            if varies and callable(part):
                schedules[target] = part
                continue
            declared = replace(hyperparameters[target], varies=varies)
            if target in dialect.domains:
                declared = replace(declared, domain=dialect.domains[target])
            values[target] = check_value(label, declared, part, dialect.library)
    _check_demands(dialect, options, values)
    return Settings(options, values, schedules)


def takes_schedule(dialect: Dialect, argument: Argument, hyperparameter: Hyperparameter) -> bool:
    """Whether an argument may be a function of the number of steps.

    Where a library's state is laid out, those may for which it says at which count they are asked.
    """
    if dialect.layout is None:
        return hyperparameter.varies
    return argument.name in dialect.layout.scheduled()


def _check_demands(dialect: Dialect, options: Mapping[str, OptionValue], values: Mapping[str, Any]) -> None:
    spelled = {target: argument.name for argument in dialect.arguments for target in argument.targets}
    for option, pairs in dialect.demands.items():
        for name, domain in pairs if options[option] else ():
            value = 0.0 if values[name] is None else values[name]
            if isinstance(value, int | float) and not domain.contains(value):
                wanted = re.sub(rf"\b{name}\b", spelled.get(name, name), domain.text)
                raise InvalidHyperparameter(
                    f"{dialect.name}: {spelled.get(option, option)} goes with {wanted}, not with {value!r}"
                )


def _outside() -> int:
    """The level of the first caller outside of optgen, for warnings."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("optgen."):
        level, frame = level + 1, frame.f_back
    return level


def arguments_of(dialect: Dialect, chosen: Settings) -> dict[str, Any]:
    """The arguments that settings stand for, by name: what the constructor would have to be given."""
    known = {**chosen.options, **chosen.values, **chosen.schedules}
    found = {}
    for argument in dialect.arguments:
        if argument.targets and not argument.instead:
            values = tuple(known[target] for target in argument.targets)
            found[argument.name] = values if argument.packed else values[0]
    return found


def _parts(label: str, argument: Argument, value: Any) -> tuple[Any, ...]:
    if not argument.packed:
        return (value,)
    if not isinstance(value, tuple | list) or len(value) != len(argument.targets):
        wanted = ", ".join(argument.targets)
        raise HyperparameterTypeError(f"{label}: {argument.name} is a tuple ({wanted}), not {value!r}")
    return tuple(value)
