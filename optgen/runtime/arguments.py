"""From a constructor's arguments to hyperparameter and option values, checked before anything is built."""

from __future__ import annotations

import inspect
import numbers
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optgen.errors import HyperparameterTypeError, InvalidHyperparameter
from optgen.spec.declarations import MAX_COUNT
from optgen.spec.model import Argument, Dialect, Hyperparameter, Option, OptionValue, spelling
from optgen.suggestions import did_you_mean
from optgen.targets.manifest import Manifest

#: What hyperparameters are in the libraries whose groups of parameters hold them; schedulers change them there.
_GROUPED = {"torch": "a number or a tensor", "lucid": "a number"}

#: A learning rate that depends on the step: step count → value.
Schedule = Any


@dataclass(frozen=True, slots=True)
class Settings:
    """What a constructor was told.

    Attributes:
        options: a value for every option.
        values: a value for every hyperparameter; None for one that is absent.
        schedules: hyperparameters given as functions of the step count, instead of a value.
        state_dtype: in what formats states are kept, see `optgen.runtime.state_dtypes`.
    """

    options: Mapping[str, OptionValue]
    values: Mapping[str, Any]
    schedules: Mapping[str, Schedule]
    state_dtype: Any = None


def dialect_of(manifest: Manifest, library: str) -> Dialect:
    """The spelling of a user's own optimizer: its spec's for the library, or its own names in the library's manner.

    In both, every hyperparameter and option is an argument.
    """
    if (spelled := spelling(manifest.dialects, library)) is not None:
        return completed(manifest, _without_given(spelled))
    names = {h.name for h in manifest.hyperparameters} | {o.name for o in manifest.options}
    learning_rate = _argument_name(library, "lr", names)
    arguments = [
        Argument(learning_rate if h.name == "lr" else h.name, (h.name,), (h.default,), keyword_only=h.name != "lr")
        for h in sorted(manifest.hyperparameters, key=lambda h: h.name != "lr")
    ]
    arguments += [Argument(o.name, (o.name,), (o.default,), keyword_only=True) for o in manifest.options]
    name = manifest.name if library == "optax" else manifest.class_name
    return Dialect(library, name, tuple(arguments))


def _without_given(dialect: Dialect) -> Dialect:
    """A spelling in which the rule makes itself what the library has another optimizer give it on every step.

    Which optimizer a rule wraps is then said where it is loaded, and that one's hyperparameters are arguments.
    """
    layout = dialect.layout
    if layout is None or not any(told.gives and not told.every for told in layout.transformations.values()):
        return dialect
    arguments = tuple(argument for argument in dialect.arguments if argument.targets)
    return replace(dialect, arguments=arguments, options={}, layout=None)


def completed(manifest: Manifest, dialect: Dialect) -> Dialect:
    """A spelling with all hyperparameters and options that it leaves out, by the spec's names and by keyword."""
    from optgen.compiler.choice import dialect_defaults

    options, values = dialect_defaults(manifest, dialect)
    exposed = {target for argument in dialect.arguments for target in argument.targets}
    taken = exposed | {argument.name for argument in dialect.arguments}
    rest = {h.name: values[h.name] for h in manifest.hyperparameters} | {
        o.name: options[o.name] for o in manifest.options
    }
    added = tuple(
        Argument(_argument_name(dialect.library, name, {*taken, *rest}), (name,), (default,), keyword_only=True)  # type: ignore[arg-type]
        for name, default in rest.items()
        if name not in taken
    )
    return replace(dialect, arguments=(*dialect.arguments, *added))


def _argument_name(library: str, name: str, taken: set[str]) -> str:
    """What an argument is called that a library does not have; optax calls the learning rate by its full name."""
    return "learning_rate" if library == "optax" and name == "lr" and "learning_rate" not in taken else name


def signature(dialect: Dialect, *extra: inspect.Parameter) -> inspect.Signature:
    """The constructor's signature in a library's spelling, followed by what the front-end adds."""
    parameters = [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.KEYWORD_ONLY if argument.keyword_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if argument.required else argument.default,
        )
        for argument in dialect.arguments
    ]
    return inspect.Signature(sorted([*parameters, *extra], key=lambda p: p.kind))


def bind(label: str, called: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, as Python binds them.

    Raises:
        TypeError: in Python's words, with the optimizer's name and, for an unknown argument, the nearest known one.
    """
    try:
        return dict(called.bind(*args, **kwargs).arguments)
    except TypeError as error:
        unknown = next((name for name in kwargs if name not in called.parameters), None)
        # Of a misspelt argument Python says that the right one is missing.
        told = f"got an unexpected keyword argument {unknown!r}" if unknown else str(error)
        takes = f"it takes {', '.join(called.parameters)}"
        hint = did_you_mean(unknown, called.parameters, takes) if unknown else takes
        raise TypeError(f"{label}: {told}; {hint}") from None


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
    from optgen.compiler.choice import dialect_defaults

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
            if varies and dialect.library in _GROUPED and (is_scheduler or callable(part)):
                hint = f"a schedule goes with {dialect.library}.optim.lr_scheduler"
                raise HyperparameterTypeError(f"{label} is {_kinds(dialect.library, varies)}, not {part!r}; {hint}")
            if is_scheduler:
                # Called as an optax schedule, it would give its negated rate.
                what = f"{_kinds(dialect.library, varies)}; {part!r} is a scheduler"
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


def _kinds(library: str, varies: bool) -> str:
    """The values that a hyperparameter may have in a library's front-end, in its words."""
    return _GROUPED.get(library) or ("a number, an array or a schedule" if varies else "a number or an array")


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


def check_option(label: str, option: Option, value: Any) -> OptionValue:
    """An option's value, if it is one of its choices; an array of one number counts as the number.

    Raises:
        InvalidHyperparameter: it is not.
        HyperparameterTypeError: it is of the wrong type.
    """
    if option.choices:
        if value not in option.choices:
            raise InvalidHyperparameter(f"{label} is one of {', '.join(option.choices)}, not {value!r}")
        return str(value)
    jax: Any = sys.modules.get("jax")
    is_known = jax is None or not isinstance(value, jax.core.Tracer)
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and is_known:
        # `optax.inject_hyperparams` makes arrays of all numbers.
        value = value.item()
    if isinstance(option.default, bool):
        if not isinstance(value, bool | np.bool_):
            raise HyperparameterTypeError(f"{label} is True or False, not {value!r}")
        return bool(value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise HyperparameterTypeError(f"{label} is an integer, not {value!r}")
    if not 0 <= value <= MAX_COUNT:
        raise InvalidHyperparameter(f"{label} = {value!r} is no count from 0 to {MAX_COUNT}")
    return int(value)


def _check_array(label: str, hyperparameter: Hyperparameter, value: Any) -> None:
    """Refuse an array that is no single real number, and one of JAX's outside the domain where its value is known."""
    # An array of JAX's cannot be here before JAX is; those of other libraries are read by their front-ends.
    jax: Any = sys.modules.get("jax")
    is_jax = jax is not None and isinstance(value, jax.Array)
    is_real = not is_jax or any(jax.numpy.issubdtype(value.dtype, kind) for kind in (np.floating, np.integer))
    if value.shape != () or not is_real:
        found = f"an array of {value.dtype} of shape {tuple(value.shape)}"
        raise HyperparameterTypeError(f"{label} as an array is a single real number, not {found}")
    if is_jax and not isinstance(value, jax.core.Tracer):
        check_value(label, hyperparameter, float(value))


def check_value(label: str, hyperparameter: Hyperparameter, value: Any, library: str = "") -> Any:
    """A hyperparameter's value: a Python number inside its domain, or an array of one number as it is.

    Args:
        label: what it is called in messages.
        hyperparameter: what its spec declares.
        value: what was given.
        library: the one whose front-end was given it.

    Raises:
        InvalidHyperparameter: it is outside its domain.
        HyperparameterTypeError: it is neither number nor array.
    """
    if value is None and hyperparameter.optional:
        return None
    if isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0 and np.issubdtype(value.dtype, np.number):
        value = value.item()
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        number = float(value)
        if not hyperparameter.domain.contains(number):
            # In the words of whoever called: the argument may have another name than the hyperparameter.
            spelled = label.rpartition(" ")[2].strip("()")
            wanted = re.sub(rf"\b{hyperparameter.name}\b", spelled, hyperparameter.domain.text) or "a finite number"
            raise InvalidHyperparameter(f"{label} = {value!r} is outside its domain: {wanted}")
        return number
    if hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, np.ndarray):
        _check_array(label, hyperparameter, value)
        return value
    is_new = callable(value) and not hyperparameter.varies and library not in _GROUPED
    hint = "; its spec would have to say varies = true" if is_new else ""
    raise HyperparameterTypeError(f"{label} is {_kinds(library, hyperparameter.varies)}, not {value!r}{hint}")
