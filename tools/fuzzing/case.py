"""One thing to try: a rule, how it is built, a model, and what to run it on; as text that a corpus keeps."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Dtypes of parameters that targets compute with in float32.
NARROW = ("bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Model:
    """Tensors and what is done with them.

    Attributes:
        shapes: one for each tensor.
        seed: of the random numbers in parameters, gradients and inputs.
        steps: how many are made.
        special: what stands among the gradients besides normal numbers: `zeros`, `nan`, `inf`, in any number.
        layout: how torch's and numpy's tensors lie in memory: `plain`, `turned` or `gaps`.
        start: the size of the first parameters.
    """

    shapes: tuple[tuple[int, ...], ...] = ((2, 3), (4,))
    seed: int = 0
    steps: int = 3
    special: tuple[str, ...] = ()
    layout: str = "plain"
    start: float = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """A rule and what to run it on.

    Attributes:
        equations: the rule's text.
        hyperparameters, options, inputs: the entries of these tables of a spec, by name.
        wraps: the name of an optimizer of the catalogue, or the case whose rule is wrapped; None for neither. It is
            called `base` in the equations.
        arguments: values given when the optimizer is built, by the names of hyperparameters and options.
        targets: the only targets to run, `TARGET DTYPE`; some of all by turns if empty.
        failed: those in which it once failed, which are run in any case.
        seed: what it was made from, -1 if by hand.
        note: what failed, for the corpus.
    """

    equations: str
    hyperparameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    wraps: str | Case | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    model: Model = field(default_factory=Model)
    targets: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    seed: int = -1
    note: str = ""

    def spec(self, name: str = "fuzzed") -> str:
        """The text of the spec file."""
        lines = ["[optimizer]", f'name = "{name}"', f'class = "{name.capitalize()}"', 'title = "Fuzzed"']
        lines += ['summary = ""', *(['wraps = "base"'] if self.wraps is not None else []), ""]
        for table in ("hyperparameters", "options", "inputs"):
            entries: Mapping[str, Mapping[str, Any]] = getattr(self, table)
            if entries:
                lines += [f"[{table}]", *(f"{n} = {_toml(entry)}" for n, entry in entries.items()), ""]
        return "\n".join([*lines, "[equations]", f"rule = '''\n{self.equations.strip()}\n'''", ""])


def _toml(value: Any) -> str:
    """A value as TOML spells it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    return repr(value)


def to_dict(case: Case) -> dict[str, Any]:
    """A case as plain values, without what is as by default."""
    model, default = case.model, Model()
    found: dict[str, Any] = {}
    for name in ("note", "seed", "equations", "arguments", "hyperparameters", "options", "inputs"):
        value = getattr(case, name)
        if value not in ("", -1) and value != {}:
            found[name] = dict(value) if isinstance(value, Mapping) else value
    for name in ("targets", "failed"):
        if getattr(case, name):
            found[name] = list(getattr(case, name))
    if case.wraps is not None:
        found["wraps"] = case.wraps if isinstance(case.wraps, str) else to_dict(case.wraps)
    told = {n: getattr(model, n) for n in ("seed", "steps", "special", "layout", "start")}
    told = {n: list(v) if isinstance(v, tuple) else v for n, v in told.items() if v != getattr(default, n)}
    return {**found, "model": {"shapes": [list(shape) for shape in model.shapes], **told}}


def from_dict(found: Mapping[str, Any]) -> Case:
    """A case of plain values."""
    model = dict(found.get("model", {}))
    if "shapes" in model:
        model["shapes"] = tuple(tuple(shape) for shape in model["shapes"])
    if "special" in model:
        model["special"] = tuple(model["special"])
    wraps = found.get("wraps")
    rest = {name: value for name, value in found.items() if name not in ("model", "wraps", "targets", "failed")}
    rest["equations"] = rest["equations"].strip()
    return Case(
        **rest,
        wraps=from_dict(wraps) if isinstance(wraps, Mapping) else wraps,
        targets=tuple(found.get("targets", ())),
        failed=tuple(found.get("failed", ())),
        model=Model(**model),
    )


def to_toml(case: Case) -> str:
    """A case as a file of the corpus."""
    return _tables(to_dict(case), "")


def _tables(found: dict[str, Any], prefix: str) -> str:
    lines = []
    for name, value in found.items():
        if name == "equations":
            lines.append(f"equations = '''\n{value.strip()}\n'''")
        elif not isinstance(value, Mapping):
            lines.append(f"{name} = {_toml(value)}")
    for name, value in found.items():
        if isinstance(value, Mapping) and name == "wraps":
            lines += ["", f"[{prefix}wraps]", _tables(dict(value), f"{prefix}wraps.")]
        elif isinstance(value, Mapping):
            lines += ["", f"[{prefix}{name}]", *(f"{key} = {_toml(entry)}" for key, entry in value.items())]
    return "\n".join(lines) + ("" if prefix else "\n")


def from_toml(text: str) -> Case:
    """A case from a file of the corpus."""
    return from_dict(tomllib.loads(text))


def with_targets(case: Case, targets: tuple[str, ...]) -> Case:
    """The case, to be run on some targets."""
    return replace(case, targets=targets)
