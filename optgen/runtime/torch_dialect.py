"""How optimizers are spelled in torch: as torch does, and in its manner where torch has no such optimizer."""

from __future__ import annotations

import inspect
from dataclasses import replace

from optgen.runtime.arguments import signature
from optgen.spec.model import Argument, Dialect, Hyperparameter, OptionValue
from optgen.targets.manifest import Manifest

#: What torch's optimizers take besides hyperparameters, with torch's defaults.
FLAGS: dict[str, OptionValue | None] = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}

#: What every class here takes besides, by keyword.
ADDED: dict[str, OptionValue | None] = {"skip_nonfinite": False}

#: These hyperparameters are one argument, `betas`, as in torch's own.
_BETAS = ("beta1", "beta2", "beta3")

#: What comes first, where a rule has it.
_FIRST = ("lr", *_BETAS, "eps", "weight_decay")


def spellings(manifest: Manifest) -> list[Dialect]:
    """Every name of an optimizer in torch with its arguments, those of `ADDED` included."""
    found = [dialect for dialect in manifest.dialects if dialect.library == "torch"] or [_in_its_manner(manifest)]
    return [completed(dialect) for dialect in found]


def completed(dialect: Dialect) -> Dialect:
    """A spelling with what every class takes besides."""
    added = tuple(Argument(n, (), (default,), keyword_only=True) for n, default in ADDED.items())
    return replace(dialect, arguments=(*dialect.arguments, *added))


def call_signature(dialect: Dialect) -> inspect.Signature:
    """The constructor's signature: the parameters, and the dialect's arguments."""
    params = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([params, *signature(dialect).parameters.values()])


def _in_its_manner(manifest: Manifest) -> Dialect:
    order = {name: position for position, name in enumerate(_FIRST)}
    own = sorted(manifest.hyperparameters, key=lambda h: order.get(h.name, len(order)))
    betas = [h for h in own if h.name in _BETAS]
    arguments: list[Argument] = []
    for h in own:
        if len(betas) < 2 or h not in betas:
            arguments.append(_argument(h, by_keyword=h.name in manifest.shared))
        elif h is betas[0]:
            arguments.append(Argument("betas", tuple(b.name for b in betas), tuple(b.default for b in betas), True))
    arguments += [Argument(o.name, (o.name,), (o.default,), keyword_only=True) for o in manifest.options]
    arguments += [Argument(n, (), (default,), keyword_only=True) for n, default in FLAGS.items()]
    return Dialect("torch", manifest.class_name, tuple(arguments))


def _argument(h: Hyperparameter, *, by_keyword: bool) -> Argument:
    return Argument(h.name, (h.name,), (h.default,), keyword_only=by_keyword)
