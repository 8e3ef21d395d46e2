"""How optimizers are spelled where parameters come in groups: as torch and lucid do, or in their manner."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optgen.arguments.binding import signature
from optgen.arguments.own import ADDED
from optgen.arguments.spelling import completed
from optgen.catalogue.manifests import catalogue_manifest, catalogue_names
from optgen.contract.choice import dialect_defaults
from optgen.contract.declarations import Hyperparameter, OptionValue
from optgen.contract.dialects import Argument, Dialect
from optgen.contract.formats import without_scales
from optgen.contract.manifest import Manifest
from optgen.contract.state_names import without_axis
from optgen.errors import TreeMismatch

#: What a library's optimizers take besides hyperparameters, with its defaults.
FLAGS: dict[str, dict[str, OptionValue | None]] = {
    "torch": {"foreach": None, "capturable": False, "differentiable": False, "fused": None},
    "lucid": {},
}

#: What a library's groups hold that is no argument, by (library, class); no other value is taken.
FIXED: dict[tuple[str, str], dict[str, OptionValue]] = {("torch", "AdamW"): {"decoupled_weight_decay": True}}

#: These hyperparameters are one argument, `betas`, as in the libraries' own.
_BETAS = ("beta1", "beta2", "beta3")

#: What comes first, where a rule has it.
_FIRST = ("lr", *_BETAS, "eps", "weight_decay")


def spellings(manifest: Manifest, library: str) -> list[Dialect]:
    """Every name of an optimizer in a library with its arguments, those of the front-end included."""
    found = [d for d in manifest.dialects if d.library == library] or [_in_its_manner(manifest, library)]
    added = tuple(Argument(p.name, (), (p.default,), keyword_only=True) for p in ADDED)
    return [replace(dialect, arguments=(*dialect.arguments, *added)) for dialect in found]


def own_spelling(manifest: Manifest, library: str) -> Dialect:
    """The spelling of a user's own optimizer: a library's first, with every hyperparameter and option an argument."""
    return completed(manifest, spellings(manifest, library)[0])


def fixed_entries(dialect: Dialect) -> dict[str, OptionValue]:
    """The entries of groups for which the spelling has no argument."""
    arguments = {argument.name for argument in dialect.arguments}
    fixed = FIXED.get((dialect.library, dialect.name), {})
    return {name: value for name, value in fixed.items() if name not in arguments}


def check_saved_group(label: str, manifest: Manifest, dialect: Dialect, saved: Mapping[str, Any]) -> None:
    """Refuse a saved group of a wider spelling whose rule is another: it says what this one has no argument for.

    Raises:
        TreeMismatch: a hyperparameter or option that is no argument has another value than it has here.
    """
    options, values = dialect_defaults(manifest, dialect)
    arguments = {name for a in dialect.arguments for name in (a.name, *a.targets)}
    for name, value in {**options, **values}.items():
        if name not in arguments and name in saved and saved[name] != value:
            raise TreeMismatch(f"{label}: the state is of a rule with {name}={saved[name]!r}, and here it is {value!r}")


@functools.cache
def _kept_by_library(library: str) -> frozenset[str]:
    """The names under which a library's own optimizers keep states."""
    manifests = map(catalogue_manifest, catalogue_names())
    spelled = (d for manifest in manifests for d in manifest.dialects if d.library == library)
    return frozenset(name for dialect in spelled for name in dialect.states.values())


def is_kept_elsewhere(manifest: Manifest, dialect: Dialect, entry: str) -> bool:
    """Whether other options of a rule, or optimizers of the dialect's library, keep a state under a name."""
    own = {dialect.states.get(state.name, state.name) for state in manifest.states}
    kept = without_scales(entry)
    return kept in own or without_axis(kept) in own or kept in _kept_by_library(dialect.library)


def call_signature(dialect: Dialect) -> inspect.Signature:
    """The constructor's signature: the parameters, and the dialect's arguments."""
    params = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([params, *signature(dialect).parameters.values()])


def _in_its_manner(manifest: Manifest, library: str) -> Dialect:
    order = {name: position for position, name in enumerate(_FIRST)}
    own = sorted(manifest.hyperparameters, key=lambda h: order.get(h.name, len(order)))
    names = {h.name for h in own} | {o.name for o in manifest.options}
    betas = [h for h in own if h.name in _BETAS and "betas" not in names]
    arguments: list[Argument] = []
    for h in own:
        if len(betas) < 2 or h not in betas:
            arguments.append(_argument(h, by_keyword=h.name in manifest.shared))
        elif h is betas[0]:
            arguments.append(Argument("betas", tuple(b.name for b in betas), tuple(b.default for b in betas), True))
    arguments += [Argument(o.name, (o.name,), (o.default,), keyword_only=True) for o in manifest.options]
    arguments += [Argument(n, (), (default,), keyword_only=True) for n, default in FLAGS[library].items()]
    return Dialect(library, manifest.class_name, tuple(arguments))


def _argument(h: Hyperparameter, *, by_keyword: bool) -> Argument:
    return Argument(h.name, (h.name,), (h.default,), keyword_only=by_keyword)
