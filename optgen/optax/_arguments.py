"""The arguments of optax's factories that speak to the front-end: masks, dtypes, keys and other transformations."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optgen.arguments.binding import signature
from optgen.arguments.own import ADDED, SKIP_NONFINITE, STATE_DTYPE, added, checked_flag
from optgen.arguments.settings import Settings
from optgen.contract.dialects import Dialect
from optgen.contract.library_state import LibraryStateLayout
from optgen.contract.manifest import Manifest
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter
from optgen.runtime.jax.variant import JaxVariant

#: Stands in a dialect for the default that the installed library has.
LIBRARY = "library"


@dataclass(frozen=True, slots=True)
class Extras:
    """The arguments of a factory besides the hyperparameters and options of its rule.

    Attributes:
        arguments: every argument by name, defaults included.
        spelled: the arguments that were given, with the spec's words for the library's.
        spelled_as: hyperparameter → the argument that sets it.
        masks: argument → mask, those that are given.
        dtypes: state → the dtype that an argument names for it.
        transformations: argument → transformation.
        gives: input → the transformation that gives it, and the hyperparameter that says how often.
        after: the transformations that run behind the rule.
        restarts: transformation → the switch with which it starts anew, and the field that says when.
        draws: input → the argument that its key is kept under.
        keys: that argument → key.
        skip_nonfinite: whether a step with a gradient that is not finite is left out.
        state_dtype: in what formats states are kept, see `optgen.runtime.formats.state_dtypes`.
    """

    arguments: Mapping[str, Any]
    spelled: Mapping[str, Any]
    spelled_as: Mapping[str, str]
    masks: Mapping[str, Any]
    dtypes: Mapping[str, Any]
    transformations: Mapping[str, optax.GradientTransformationExtraArgs]
    gives: Mapping[str, tuple[str, str]]
    after: tuple[str, ...]
    restarts: Mapping[str, tuple[str, str]]
    draws: Mapping[str, str]
    keys: Mapping[str, jax.Array]
    skip_nonfinite: bool
    state_dtype: Any = None


#: For a rule that is told nothing else.
NOTHING = Extras({}, {}, {}, {}, {}, {}, {}, (), {}, {}, {}, False)


def front_end_signature(dialect: Dialect) -> inspect.Signature:
    """A factory's signature: optax's, followed by what every factory here takes."""
    called = signature(dialect)
    theirs = _library_signature(dialect.name)
    parameters = [
        p.replace(default=theirs[name].default if name in theirs else None) if p.default == LIBRARY else p
        for name, p in called.parameters.items()
    ]
    return called.replace(parameters=[*parameters, *(parameter for parameter, _ in added(dialect).values())])


def _library_signature(name: str) -> Mapping[str, inspect.Parameter]:
    for module in (optax, optax.contrib):
        if hasattr(module, name):
            return inspect.signature(getattr(module, name)).parameters
    return {}


def is_given(value: Any) -> bool:
    """Whether an argument's value says that something is there: it is neither None nor False."""
    return value is not None and not (isinstance(value, bool | np.bool_) and not value)


def extras(dialect: Dialect, called: inspect.Signature, given: Mapping[str, Any]) -> Extras:
    """Take the front-end's own arguments apart.

    Raises:
        HyperparameterTypeError: one is of the wrong type.
        InvalidHyperparameter: one has a value that the front-end does not do.
    """
    # All that have no default are given.
    arguments = {name: given.get(name, parameter.default) for name, parameter in called.parameters.items()}
    skip = checked_flag(dialect.name, arguments.get(SKIP_NONFINITE.name, False))
    layout = dialect.layout
    spelled_as = {target: argument.name for argument in dialect.arguments for target in argument.targets}
    ours = {p.name for p in ADDED} - {argument.name for argument in dialect.arguments}
    spelled = {name: value for name, value in given.items() if name not in ours}
    state_dtype = given.get(STATE_DTYPE.name) if STATE_DTYPE.name in ours else None
    if layout is None:
        return replace(
            NOTHING,
            arguments=arguments,
            spelled=spelled,
            spelled_as=spelled_as,
            skip_nonfinite=skip,
            state_dtype=state_dtype,
        )
    for option, words in layout.words.items():
        name = spelled_as[option]
        if isinstance(spelled.get(name), str):
            spelled[name] = words.get(spelled[name], spelled[name])
    _check_only(dialect, layout, called, arguments)
    _check_masks(dialect.name, layout, arguments)
    transformations = {
        name: _transformation(dialect.name, name, arguments[name])
        for name, told in layout.transformations.items()
        if told.gives or arguments[name] is not None
    }
    draws, keys = _keys(dialect.name, layout, arguments)
    return Extras(
        arguments,
        spelled,
        spelled_as,
        {name: arguments[name] for name in layout.masks if arguments[name] is not None},
        _dtypes(dialect.name, layout, arguments),
        transformations,
        {told.gives: (name, told.every) for name, told in layout.transformations.items() if told.gives},
        tuple(name for name, told in layout.transformations.items() if not told.gives and name in transformations),
        {n: (t.restarts[0], t.restarts[1]) for n, t in layout.transformations.items() if t.restarts},
        draws,
        keys,
        skip,
        state_dtype,
    )


def _check_only(
    dialect: Dialect, layout: LibraryStateLayout, called: inspect.Signature, arguments: Mapping[str, Any]
) -> None:
    for name, why in layout.only.items():
        default = called.parameters[name].default
        if arguments[name] is not default and arguments[name] != default:
            raise InvalidHyperparameter(f"{dialect.name}: {name} = {arguments[name]!r} is refused: {why}")
    for transformation in layout.transformations.values():
        for name in transformation.restarts[:1]:
            if not isinstance(arguments[name], bool | np.bool_):
                raise HyperparameterTypeError(f"{dialect.name}: {name} is True or False, not {arguments[name]!r}")


def _check_masks(label: str, layout: LibraryStateLayout, arguments: Mapping[str, Any]) -> None:
    for name in layout.masks:
        mask = arguments[name]
        if isinstance(mask, str | int | float) and not isinstance(mask, bool):
            raise HyperparameterTypeError(
                f"{label}: {name} is a tree of True and False, or a function that makes one, not {mask!r}"
            )


def _transformation(label: str, name: str, value: Any) -> optax.GradientTransformationExtraArgs:
    if not callable(getattr(value, "init", None)) or not callable(getattr(value, "update", None)):
        raise HyperparameterTypeError(f"{label}: {name} is a gradient transformation, not {value!r}")
    return optax.with_extra_args_support(value)


def _dtypes(label: str, layout: LibraryStateLayout, arguments: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for argument, states in layout.dtypes.items():
        if arguments.get(argument) is None:
            continue
        try:
            # As jax has it: float32 where float64 is switched off. `optax.inject_hyperparams` calls a class of numbers
            # as if it were a schedule, and passes on the number.
            named = arguments[argument]
            dtype = jax.dtypes.canonicalize_dtype(getattr(named, "dtype", named) if hasattr(named, "shape") else named)
        except TypeError:
            dtype = None
        if dtype is None or not jnp.issubdtype(dtype, jnp.inexact if layout.complex else jnp.floating):
            raise HyperparameterTypeError(f"{label}: {argument} is a floating-point dtype, not {arguments[argument]!r}")
        found |= dict.fromkeys(states, dtype)
    return found


def _keys(
    label: str, layout: LibraryStateLayout, arguments: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, jax.Array]]:
    draws: dict[str, str] = {}
    keys: dict[str, Any] = {}
    for name, sources in layout.draws.items():
        given = [source for source in sources if arguments[source] is not None]
        if len(given) > 1:
            raise InvalidHyperparameter(f"{label}: only one of {' and '.join(given)} can be given")
        value = arguments[given[0]] if given else 0
        is_key = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        is_seed = isinstance(value, int | np.integer | jax.Array) and not isinstance(value, bool)
        if not is_key and not is_seed:
            raise HyperparameterTypeError(f"{label}: {given[0]} is an integer or a key of jax.random, not {value!r}")
        draws[name] = sources[0]
        keys[sources[0]] = value if is_key else jax.random.key(value)
    return draws, keys


def counted_as_given(manifest: Manifest, dialect: Dialect, chosen: Settings, given: Mapping[str, Any]) -> Settings:
    """Settings in which a number that counts as absent is there where optax keeps state for it all the same.

    `momentum=0.0` is no momentum to a rule, and momentum without effect to optax.
    """
    if dialect.layout is None:
        return chosen
    asked = {word for part in dialect.layout.state.walk() for word in part.when}
    values = dict(chosen.values)
    hyperparameters = {h.name: h for h in manifest.hyperparameters}
    for argument in dialect.arguments:
        for target in argument.targets if argument.name in asked else ():
            number = values.get(target)
            declared = hyperparameters.get(target)
            if declared is not None and number is not None and target not in chosen.schedules:
                if not declared.present(number):
                    values[target] = jnp.asarray(number)
    return replace(chosen, values=values)


def variants_by_mask(
    make: Callable[..., JaxVariant], dialect: Dialect, chosen: Settings, own: Extras
) -> dict[tuple[bool, ...], tuple[JaxVariant, Mapping[str, Any]]]:
    """The variant and the numbers for tensors that each mask takes or leaves out."""
    layout = dialect.layout
    found: dict[tuple[bool, ...], tuple[JaxVariant, Mapping[str, Any]]] = {}
    for taken in itertools.product((True, False), repeat=len(own.masks)):
        options, values = dict(chosen.options), {**chosen.values, **chosen.schedules}
        for name, takes in zip(own.masks, taken, strict=True):
            for target, value in layout.masks[name].items() if layout is not None and not takes else ():
                if target in options:
                    options[target] = value  # type: ignore[assignment]  # the reader has checked it
                else:
                    values[target] = value
        variant = make(options, values)
        if taken and variant.is_joint:
            # The tensors of each mask make their steps apart.
            raise InvalidHyperparameter(
                f"{dialect.name}: a rule with a number of the whole model, as a norm to clip by, cannot be masked; "
                "optax.chain puts optax.clip_by_global_norm before one without"
            )
        found[taken] = variant, values
    return found
