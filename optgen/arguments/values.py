"""Values of options and hyperparameters, checked before anything is built."""

from __future__ import annotations

import numbers
import re
import sys
from typing import Any

import numpy as np

from optgen.contract.declarations import MAX_COUNT, Hyperparameter, Option, OptionValue
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter


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
    is_new = callable(value) and not hyperparameter.varies and library not in GROUPED
    hint = "; its spec would have to say varies = true" if is_new else ""
    raise HyperparameterTypeError(f"{label} is {accepted_types(library, hyperparameter.varies)}, not {value!r}{hint}")


#: What hyperparameters are in the libraries whose groups of parameters hold them; schedulers change them there.
GROUPED = {"torch": "a number or a tensor", "lucid": "a number"}


def accepted_types(library: str, varies: bool) -> str:
    """The values that a hyperparameter may have in a library's front-end, in its words."""
    return GROUPED.get(library) or ("a number, an array or a schedule" if varies else "a number or an array")
