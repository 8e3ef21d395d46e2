"""Arguments of torch's optimizers, and how the values of a group are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from optgen.contract.dialects import Dialect
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter

Tensor = torch.Tensor


def check_flags(label: str, group: Mapping[str, Any]) -> None:
    """Refuse what torch refuses of its own arguments, with its kind of error."""
    for name in ("foreach", "fused", "capturable", "differentiable", "skip_nonfinite"):
        if not isinstance(group.get(name), bool | None):
            raise HyperparameterTypeError(f"{label}: {name} is True or False, not {group[name]!r}")
    if group.get("fused") and group.get("differentiable"):
        raise RuntimeError(f"{label}: fused=True and differentiable=True do not go together")
    if group.get("fused") and group.get("foreach"):
        raise RuntimeError(f"{label}: fused=True and foreach=True do not go together")
    for name, value in group.items():
        parts = list(value) if isinstance(value, tuple | list) else [value]
        given = [isinstance(part, Tensor) for part in parts]
        if name == "params" or not any(given):
            continue
        if not all(given):
            raise InvalidHyperparameter(f"{label}: {name} holds both numbers and tensors: {value!r}")
        if any(part.numel() != 1 for part in parts):
            raise InvalidHyperparameter(f"{label}: {name} as a tensor holds one number, not {value!r}")
        if group.get("foreach") and not group.get("capturable"):
            raise InvalidHyperparameter(f"{label}: {name} as a tensor goes with capturable=True or foreach=False")


def plain(value: Any) -> Any:
    """Tensors of one number as Python numbers, so that their domain is checked as well."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.device.type == "cpu":
        return value.item()
    return tuple(plain(part) for part in value) if isinstance(value, tuple | list) else value


def is_constant(value: Any) -> bool:
    """Whether an object's value cannot change."""
    if isinstance(value, tuple):
        return all(map(is_constant, value))
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)


def tensors_of(dialect: Dialect, group: Mapping[str, Any]) -> dict[str, Tensor]:
    """The hyperparameters that a group gives as tensors, by the rule's names."""
    found: dict[str, Tensor] = {}
    for argument in dialect.arguments:
        value = group.get(argument.name)
        parts = value if argument.packed and isinstance(value, tuple | list) else (value,)
        found |= {t: p for t, p in zip(argument.targets, parts, strict=False) if isinstance(p, Tensor)}
    return found
