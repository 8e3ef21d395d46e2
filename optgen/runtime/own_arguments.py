"""Arguments that are a front-end's own and none of the rule's: what they mean, and their types in stubs."""

from __future__ import annotations

import inspect

#: Name → what docstrings say of it, and its type in stubs. Where and with which default a library has them is said by
#: the specs' dialects.
OWN_ARGUMENTS: dict[str, tuple[str, str]] = {
    "train_vars": ("the variables to train, by name; may be registered later", "Mapping[str, Any] | None"),
    "name": ("a name for the optimizer, for what prints it", "str | None"),
    "tx": ("an optax transformation to run instead of the rule", "optax.GradientTransformation | None"),
    "linesearch": (
        "'zoom', 'backtracking', or an optax transformation that searches along the direction; step then takes value= "
        "and value_fn=",
        "str | optax.GradientTransformationExtraArgs | None",
    ),
    "base_optimizer": (
        "the optimizer that is wrapped: one of optgen.optim or an optax transformation; Adam if None",
        "Any",
    ),
    "lr": (
        "the learning rate of the wrapped optimizer, a number or a scheduler; its own if None",
        "Number | None",
    ),
}

#: What the stateful front-ends add to every library's arguments.
SKIP_NONFINITE = inspect.Parameter("skip_nonfinite", inspect.Parameter.KEYWORD_ONLY, default=False)
SKIP_MEANING = "leave a step out, and count it in `skipped_steps`, when a gradient is not finite"
