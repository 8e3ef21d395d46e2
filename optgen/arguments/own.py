"""Arguments that are a front-end's own and none of the rule's: what they mean, and their types in stubs.

Where and with which default a library has them is said by the specs' dialects.
"""

from __future__ import annotations

import inspect
from typing import NamedTuple

import numpy as np

from optgen.contract.dialects import Dialect
from optgen.errors import HyperparameterTypeError

#: What front-ends add to every library's arguments, where a dialect has none of that name.
SKIP_NONFINITE = inspect.Parameter("skip_nonfinite", inspect.Parameter.KEYWORD_ONLY, default=False)
STATE_DTYPE = inspect.Parameter("state_dtype", inspect.Parameter.KEYWORD_ONLY, default=None)
ADDED = (SKIP_NONFINITE, STATE_DTYPE)
#: Those whose signatures are not made from a dialect alone.
ADDING = ("optax", "braintools", "brainpy")


def checked_flag(label: str, value: object) -> bool:
    """The switch `skip_nonfinite`.

    Raises:
        HyperparameterTypeError: it is no bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise HyperparameterTypeError(f"{label}: {SKIP_NONFINITE.name} is True or False, not {value!r}")
    return bool(value)


class OwnArgument(NamedTuple):
    """An argument's meaning, for docstrings, and its type, for stubs."""

    meaning: str
    type: str


_MASKS = "a tree of True and False, a prefix of one, or a function that makes one from the parameters: which tensors"
_TRANSFORMATION = "optax.GradientTransformation"
_SKIP = "leave a step out, and count it in `skipped_steps`, when a gradient is not finite"

_STATE_DTYPE = OwnArgument(
    "in what format states are kept: 'bfloat16', 'bfloat16_nearest', '8bit', '8bit_stochastic', or a mapping of states "
    "to these; None: that of the arithmetic",
    "Any",
)

_OF_EVERY_LIBRARY = {
    "foreach": OwnArgument("taken for torch's sake; all tensors are stepped together either way", "bool | None"),
    "capturable": OwnArgument("whether the step may be captured in a CUDA graph; refused where it cannot be", "bool"),
    "differentiable": OwnArgument("whether autograd follows the step", "bool"),
    "fused": OwnArgument(
        "taken for torch's sake; True has GradScaler leave unscaling and skipping to the step", "bool | None"
    ),
    "train_vars": OwnArgument("the variables to train, by name; may be registered later", "Mapping[str, Any] | None"),
    "name": OwnArgument("a name for the optimizer, for what prints it", "str | None"),
    "tx": OwnArgument("an optax transformation to run instead of the rule", f"{_TRANSFORMATION} | None"),
    "linesearch": OwnArgument(
        "'zoom', 'backtracking', or an optax transformation that searches along the direction; step then takes value= "
        "and value_fn=",
        "str | optax.GradientTransformationExtraArgs | None",
    ),
    "base_optimizer": OwnArgument(
        "the optimizer that is wrapped: one of optgen.optim or an optax transformation; Adam if None", "Any"
    ),
    "lr": OwnArgument(
        "the learning rate of the wrapped optimizer, a number or a scheduler; its own if None", "Number | None"
    ),
    SKIP_NONFINITE.name: OwnArgument(_SKIP, "bool"),
    STATE_DTYPE.name: _STATE_DTYPE,
}

_OF_OPTAX = {
    "mu_dtype": OwnArgument("dtype of the first moment; that of the parameter if None", "Any"),
    "accumulator_dtype": OwnArgument("dtype of the accumulator; that of the parameter if None", "Any"),
    "dtype_momentum": OwnArgument("dtype of the accumulator", "Any"),
    "state_dtype": OwnArgument("dtype of the moved point; that of the parameter if None", "Any"),
    "mask": OwnArgument(f"{_MASKS} are decayed", "Any"),
    "weight_decay_mask": OwnArgument(f"{_MASKS} are decayed", "Any"),
    "trust_ratio_mask": OwnArgument(f"{_MASKS} are multiplied by the ratio", "Any"),
    "key": OwnArgument("a key of jax.random, or an integer, for the noise", "Any"),
    "seed": OwnArgument("the older name of key", "Any"),
    "fast_optimizer": OwnArgument("the gradient transformation that is wrapped", _TRANSFORMATION),
    "base_optimizer": OwnArgument("the gradient transformation that is wrapped", _TRANSFORMATION),
    "reset_state": OwnArgument("whether the wrapped transformation starts anew after each synchronisation", "bool"),
    "linesearch": OwnArgument(
        "the gradient transformation that scales the step, None for none", f"{_TRANSFORMATION} | None"
    ),
    "hessian_diagonal_fn": OwnArgument(
        "the gradient transformation whose update is the estimate of the Hessian's diagonal", _TRANSFORMATION
    ),
    "verbose": OwnArgument("taken for optax's sake; True is refused", "bool"),
    "print_win_rate_every_n_steps": OwnArgument("taken for optax's sake; nothing is printed", "int"),
    SKIP_NONFINITE.name: OwnArgument(
        "leave a step out when a gradient is not finite, and count it, as optax.apply_if_finite does", "bool"
    ),
}


def added(dialect: Dialect) -> dict[str, tuple[inspect.Parameter, OwnArgument]]:
    """The arguments that a front-end adds to a dialect's, by name."""
    if dialect.library not in ADDING:
        return {}
    own = {argument.name for argument in dialect.arguments}
    return {
        p.name: (p, _STATE_DTYPE if p is STATE_DTYPE else own_argument(dialect.library, p.name))
        for p in ADDED
        if p.name not in own
    }


def own_argument(library: str, name: str) -> OwnArgument:
    """The meaning and type of a front-end's own argument in a library's spelling."""
    return _OF_OPTAX[name] if library == "optax" else _OF_EVERY_LIBRARY[name]
