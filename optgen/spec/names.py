"""Names that a spec cannot use, each with the reason: what the language leaves free and something else needs.

Words of the language itself stand in `optgen.spec.language`; what C takes is renamed there, in
`optgen.targets.native.printer`, and entries of a library's state in `optgen.runtime.state_layout`.
"""

from __future__ import annotations

import keyword
import re

#: For whatever a spec names: words of the code that is generated. Parameters and variables there have the spec's names.
GENERATED = {
    **dict.fromkeys("jax jnp xp math functools triton tl".split(), "a module of the generated code"),
    **dict.fromkeys("tuple zip isinstance any float".split(), "a function of Python in the generated code"),
    **dict.fromkeys("scalars BLOCK OUTER INNER RANK WIDE SCALED".split(), "an argument of generated kernels"),
}
#: What the compiler makes of names, and names of its own.
_COMPILER_NAME = re.compile(
    r"_(new|lag\d+|ptr|scratch|parts)\Z|\A(theta_update|model_size|(tensor|row|column|matrix)_count)\Z"
)

_TORCH_FLAG = "an argument of torch's optimizers that no rule reads"
_SCHEDULERS = "where torch's schedulers keep a number of their own, among the hyperparameters"
#: For hyperparameters and options, which are arguments of optimizers and entries of groups of parameters.
ARGUMENTS = {
    "self": "the optimizer itself, in Python's methods",
    "params": "the parameters, in torch's optimizers and groups",
    "param_names": "the parameters' names, in torch's groups",
    **dict.fromkeys(("foreach", "capturable", "differentiable", "fused"), _TORCH_FLAG),
    "skip_nonfinite": "an argument of every optimizer here: leave out a step that is not finite",
    "state_dtype": "an argument of every optimizer here: how states are kept",
    "skipped_steps": "the number of steps that were left out, in groups",
    **dict.fromkeys(("initial_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum"), _SCHEDULERS),
}
#: For inputs, which are given to a step by name, beside what every step is given.
INPUTS = {
    "self": ARGUMENTS["self"],
    "params": "the parameters, in optax's update",
    "updates": "the gradients, in optax's update",
    "state": "what the optimizer keeps, in optax's update",
    "tx": "the transformation, in apply_gradients",
    "gradients": "the gradients, in apply_gradients",
    "grads": "the gradients, in a step of optgen.optim",
    "closure": "the function that a step calls first",
    "axis_name": "the axes of a mesh that a step is split over",
}
_OF_TABLE = {"hyperparameters": ARGUMENTS, "options": ARGUMENTS, "inputs": INPUTS}


def keyword_problem(name: str) -> tuple[str, str] | None:
    """Why a word of Python names nothing, and what to do about it; None if it is none."""
    if not keyword.iskeyword(name):
        return None
    instead = ", such as weight_decay" if name == "lambda" else ""
    return f"'{name}' is a Python keyword", f"choose another name{instead}"


def name_problem(name: str) -> tuple[str, str] | None:
    """Why a name cannot be used in equations, and what to do about it; None if it can."""
    if name.startswith("_") or "__" in name or name.endswith("_"):
        return f"'{name}' is not a name here", "names start and end with a letter or digit, without '__'"
    if name in GENERATED:
        return f"'{name}' is a word of the generated code", "choose another name"
    if _COMPILER_NAME.search(name):
        return f"'{name}' is a name of the kind that the compiler makes", "choose another name"
    return None


def declared_problem(name: str, table: str) -> tuple[str, str] | None:
    """Why a table of a spec cannot declare a name that equations could use, and what to do; None if it can."""
    why = _OF_TABLE.get(table, {}).get(name)
    return (f"'{name}' is {why}", "choose another name") if why else None
