"""Parameter groups: weights that an optimizer trains with hyperparameters of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from optgen.arguments.settings import Settings, arguments_of, settings
from optgen.arguments.values import check_value
from optgen.errors import InvalidHyperparameter, StateMismatch
from optgen.frontends.weights.cells import HasValue, View, cell
from optgen.frontends.weights.rules import GeneratedRule, StatefulRule, Values, check_identity, rate_name
from optgen.frontends.weights.saved_state import expect, packed, unpacked
from optgen.frontends.weights.weights import Path, Weights
from optgen.optim._owner import Owner
from optgen.optim._schedulers import FixedLR, LRScheduler


class ParameterGroup(MutableMapping[str, Any]):
    """Some of an optimizer's weights, a rule with its settings, and the state that the rule keeps of them.

    As a mapping it holds `params`, `lr` (under `.value`), and every other argument of the rule. All but `params` may be
    set at any time: `optimizer.param_groups[1]["weight_decay"] = 0.1`.
    """

    def __init__(self, owner: Owner, rule: StatefulRule, scheduler: LRScheduler | None, position: int) -> None:
        self._owner = owner
        self.rule = rule
        self.scheduler = scheduler
        self.position = position  # in the scheduler's list of rates
        self.paths: list[Path] = []
        self.state: HasValue | None = None

    @property
    def label(self) -> str:
        """The group's name in messages."""
        return type(self._owner).__name__

    @property
    def rate(self) -> Any:
        """The learning rate of the next step; None where the rule has none."""
        return None if self.scheduler is None else self.scheduler.current_lrs.value[self.position]

    def set_rate(self, rate: Any) -> None:
        """Set the learning rate, until the scheduler's next step.

        Raises:
            AttributeError: the rule has none, or it is a function of the step.
            InvalidHyperparameter: it is outside its domain.
        """
        if self.scheduler is None:
            raise AttributeError(f"{self.label}: the learning rate {self._without_rate()}")
        checked = self.checked_rate(rate)
        if isinstance(self.scheduler, FixedLR):
            self.scheduler.rebase(self.position, checked)
        else:
            self.scheduler.set_rate(self.position, checked)

    def _without_rate(self) -> str:
        scheduled = isinstance(self.rule, GeneratedRule) and bool(self.rule.settings.schedules)
        return "is a schedule and cannot be set" if scheduled else "is not part of this rule"

    def checked_rate(self, rate: Any) -> Any:
        """A learning rate that is inside its domain."""
        entry = self._owner.entry
        declared = {h.name: h for h in entry.manifest.hyperparameters}.get(rate_name(entry) or "")
        return rate if declared is None else check_value(f"{self.label}: lr", declared, rate)

    def follow(self, scheduler: LRScheduler | None, position: int = 0) -> None:
        """Take the learning rate from a scheduler."""
        if scheduler is not None:
            while len(scheduler.current_lrs.value) <= position:
                scheduler.extend()
        self.scheduler, self.position = scheduler, position

    def start(self, weights: Weights, paths: list[Path]) -> None:
        """Take weights, whose state starts; that of the weights that are there already stays."""
        values = weights.values([*self.paths, *paths])
        if self.state is None:
            self.state = cell(self.rule.start(values, self.rate))
        else:
            self.state.value = self.rule.late(self.state.value, values, paths, self.rate)
        self.paths = [*self.paths, *paths]

    def moved(self, gradients: Values, inputs: Mapping[str, Any], ok: Any) -> tuple[dict[Path, Any], Any]:
        """New values of the weights and the state after a step; nothing is changed yet."""
        assert self.state is not None
        values = self._owner.weights.values(self.paths)
        own = {path: gradients[path] for path in self.paths}
        mine = {
            name: {path: value[path] for path in self.paths} if name in self.rule_needs_per_weight() else value
            for name, value in inputs.items()
        }
        return self.rule.step(values, own, self.state.value, self.rate, mine, ok)

    def rule_needs_per_weight(self) -> tuple[str, ...]:
        """The inputs of a step that are one for each weight."""
        return getattr(self.rule, "needs_per_weight", ())

    # As a mapping.

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self._owner.weights.named(self.paths)
        if name == "lr":
            return View(lambda: self.rate, self.set_rate)
        return self._arguments()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "params":
            raise TypeError(f"{self.label}: the weights of a group are not exchanged; add another group")
        if name == "lr":
            if isinstance(value, LRScheduler):
                self.follow(value)
                value.optimizer = self._owner
            else:
                self.set_rate(value.value if isinstance(value, View) else value)
            return
        if name not in self._arguments():
            raise KeyError(f"{self.label} has no {name!r}; a group has {', '.join(self)}")
        self.exchange({**self._arguments(), name: value})

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{self.label}: a group keeps its {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(["params", "lr", *self._arguments()])

    def __len__(self) -> int:
        return 2 + len(self._arguments())

    def __repr__(self) -> str:
        return f"<group of {len(self.paths)} weights, lr {self.rate}>"

    def _arguments(self) -> dict[str, Any]:
        if not isinstance(self.rule, GeneratedRule):
            return dict(self._owner.own_settings)
        found = arguments_of(self._owner.dialect, self.rule.settings)
        return {name: value for name, value in found.items() if name != "lr"}

    def exchange(self, given: Mapping[str, Any]) -> None:
        """Go on with other settings.

        Raises:
            InvalidHyperparameter: one is wrong, or what the rule keeps under them is not what it keeps now.
        """
        if not isinstance(self.rule, GeneratedRule):
            raise InvalidHyperparameter(f"{self.label}: an optax transformation's settings are its own")
        changed = settings(self._owner.entry.manifest, self._owner.dialect, given)
        self._take(changed, self.rule.settings)

    def _take(self, changed: Settings, before: Settings) -> None:
        assert isinstance(self.rule, GeneratedRule)
        name = rate_name(self._owner.entry)
        values = dict(changed.values)
        if name is not None and name in values:
            values[name] = before.values[name]
        rule = GeneratedRule(self.rule.entry, replace(before, options=changed.options, values=values))
        if self.state is not None:
            fresh = rule.start(self._owner.weights.values(self.paths), self.rate)
            try:
                unpacked(self.label, packed(self.state.value), fresh)
            except StateMismatch:
                raise InvalidHyperparameter(
                    f"{self.label}: this setting changes what is kept of each weight; make a new optimizer or group"
                ) from None
        self.rule = rule

    # What is saved.

    def saved(self) -> dict[str, Any]:
        """The settings, for `state_dict`."""
        values = self.rule.settings.values if isinstance(self.rule, GeneratedRule) else {}
        rate = rate_name(self._owner.entry)
        return {
            **self.rule.identity(),
            "lr": self.rate,
            "hyperparameters": {name: value for name, value in values.items() if name != rate},
            "position": self.position,
        }

    def restored(self, saved: Mapping[str, Any], arrays: Any) -> tuple[StatefulRule, Any]:
        """The rule and the state that a saved group stands for; nothing is changed yet.

        Raises:
            StateMismatch: it is of another rule, other options or other weights.
        """
        check_identity(self.label, saved, self.rule)
        rule = self.rule
        if isinstance(rule, GeneratedRule):
            rate = rate_name(self._owner.entry)
            kept = saved.get("hyperparameters")
            expect(self.label, {"hyperparameters": sorted(kept or {})}, "hyperparameters",
                   sorted(n for n in rule.settings.values if n != rate))  # fmt: skip
            assert isinstance(kept, Mapping)
            declared = {h.name: h for h in self._owner.entry.manifest.hyperparameters}
            values = {n: check_value(f"{self.label}: {n}", declared[n], value) for n, value in kept.items()}
            values = {**rule.settings.values, **values}
            rule = GeneratedRule(rule.entry, replace(rule.settings, values=values))
        like = rule.start(self._owner.weights.values(self.paths), self.rate)
        return rule, unpacked(self.label, arrays, like)
