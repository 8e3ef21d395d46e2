"""The layout of each group's state: chosen by the group's arguments, and cached while these are the same objects."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optgen.arguments.settings import settings
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.errors import InvalidHyperparameter
from optgen.frontends.groups.dialect import is_kept_elsewhere
from optgen.runtime.backend import made_or_told, triton_or_told
from optgen.runtime.formats.state_dtypes import formats_of
from optgen.runtime.torch.memory import torch_memory
from optgen.runtime.torch.sharded import Sharding
from optgen.torch._arguments import is_constant, plain, tensors_of
from optgen.torch._layout import TorchLayout


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """Values of a group's arguments.

    Attributes:
        count: how many entries the group has.
        read: gives the arguments of a group, those that this one has.
        given: what it gave.
    """

    count: int
    read: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    given: tuple[Any, ...]
    layout: TorchLayout
    hyperparameters: dict[str, Any]


class LayoutChoices:
    """The layouts of an optimizer's groups.

    Args:
        label: what messages call the optimizer.
        entry: its variants.
        dialect: its arguments.
        fixed: entries that torch's groups of this name hold beside arguments, with their values.
    """

    def __init__(self, label: str, entry: Entry, dialect: Dialect, fixed: Mapping[str, Any]) -> None:
        self.label = label
        self.entry = entry
        self.dialect = dialect
        self.fixed = fixed
        self._layouts: dict[Any, TorchLayout] = {}
        self._choices: dict[int, GroupChoice] = {}

    def of(self, index: int, group: Mapping[str, Any]) -> tuple[TorchLayout, dict[str, Any]]:
        """The result of `choose` for a group, cached while its arguments are the very objects they were."""
        last = self._choices.get(index)
        if last is not None and len(group) == last.count and all(map(operator.is_, last.read(group), last.given)):
            return last.layout, last.hyperparameters
        layout, hyperparameters = self.choose(group)
        # Two at least, for which the values come as a tuple.
        arguments = (argument.name for argument in self.dialect.arguments)
        names = ["params", *(name for name in (*arguments, *self.fixed) if name in group)]
        read = operator.itemgetter(*names)
        given = read(group)
        if all(map(is_constant, given[1:])):
            self._choices[index] = GroupChoice(len(group), read, given, layout, hyperparameters)
        return layout, hyperparameters

    def choose(self, group: Mapping[str, Any]) -> tuple[TorchLayout, dict[str, Any]]:
        """The variant that a group's arguments stand for, and its hyperparameters.

        Raises:
            InvalidHyperparameter: a value is outside its domain.
            HyperparameterTypeError: a value is of the wrong type.
        """
        for name, value in self.fixed.items():
            if group.get(name, value) != value:
                raise InvalidHyperparameter(f"{self.label}: {name} is {value!r}, not {group[name]!r}")
        given = {a.name: plain(group[a.name]) for a in self.dialect.arguments if a.name in group and a.targets}
        chosen = settings(self.entry.manifest, self.dialect, given)
        variant = self.entry.torch_variant(chosen.options, chosen.values)
        # Tensors as they were given: autograd may follow them.
        values = {**chosen.values, **tensors_of(self.dialect, group)}
        formats = formats_of(self.label, group.get("state_dtype"), variant.info, self.dialect.states)
        on_device = bool(group.get("capturable") or group.get("fused"))
        # A step that may be left out is prepared anew, since more is asked of where its parameters lie.
        key = (variant.info.name, on_device, bool(group.get("skip_nonfinite")), *formats.items())
        if key not in self._layouts:
            make = functools.partial(self.entry.native_rule, chosen.options, chosen.values, variant, torch_memory)
            make_triton = functools.partial(self.entry.triton_rule, chosen.options, chosen.values, variant)
            plan = functools.partial(self.entry.plan, chosen.options, chosen.values)
            self._layouts[key] = TorchLayout(
                functools.partial(triton_or_told, make_triton),
                Sharding(self.label, variant.info, plan, formats),
                on_device,
                variant,
                self.dialect,
                functools.partial(made_or_told, make),
                formats,
                functools.partial(is_kept_elsewhere, self.entry.manifest, self.dialect),
            )
        layout = self._layouts[key]
        return layout, {name: values[name] for name in variant.info.hyperparameters}
