"""The learning rate of an optimizer: from a number or a scheduler, one for each group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optgen.arguments.settings import Settings
from optgen.frontends.weights.cells import View
from optgen.frontends.weights.rules import GeneratedRule, OptaxRule, rate_name
from optgen.optim._groups import ParameterGroup
from optgen.optim._owner import Owner
from optgen.optim._schedulers import FixedLR, LRScheduler


class Rated(Owner):
    """Base class for an optimizer's learning rates: a number or a scheduler, and one rate for each group."""

    _settings: Settings
    _first: ParameterGroup
    _groups: list[ParameterGroup]
    _added: list[LRScheduler]

    def _start_rate(self, lr: Any) -> None:
        """The first group's scheduler: the one that was given, or one that holds a number."""
        rule = self._first.rule
        if isinstance(lr, LRScheduler):
            self._first.follow(lr)
            self._first.checked_rate(self._first.rate)
            lr.optimizer = self
        elif isinstance(rule, GeneratedRule) and rule.rate is not None:
            value = self._settings.values[rule.rate] if lr is None else self._first.checked_rate(lr)
            self._first.follow(FixedLR(value))

    @property
    def lr(self) -> Any:
        """The learning rate of the first group's next step; raises AttributeError where the rule has none.

        Setting it to a number takes the place of a scheduler; setting it to a scheduler makes all groups follow that
        which followed the one before.
        """
        if self._first.scheduler is not None:
            return self._first.rate
        name = rate_name(self.entry)
        rule = self._first.rule
        if isinstance(rule, GeneratedRule) and name is not None and name in rule.settings.schedules:
            count = self._first.state.value["count"] if self._first.state is not None else 0
            return rule.settings.schedules[name](count)
        raise AttributeError(f"{type(self).__name__} has no learning rate")

    @lr.setter
    def lr(self, value: Any) -> None:
        first = self._first
        if first.scheduler is None and not (isinstance(first.rule, OptaxRule) and isinstance(value, LRScheduler)):
            first.set_rate(value)  # which says why it cannot be set
        before = first.scheduler
        if not isinstance(value, LRScheduler):
            checked = first.checked_rate(value)
            if isinstance(before, FixedLR):
                before.rebase(first.position, checked)
            else:
                first.follow(FixedLR(checked))
            return
        first.checked_rate(value.current_lrs.value[0])
        for position, group in enumerate(self._groups or [first]):
            if group.scheduler is before:
                group.follow(value, position)
        value.optimizer = self

    @property
    def lr_scheduler(self) -> LRScheduler | None:
        """The scheduler of the first group's learning rate; where that was a number, one that holds it."""
        return self._first.scheduler

    _lr_scheduler = lr_scheduler

    @property
    def base_lr(self) -> Any:
        """The learning rate that the first group's scheduler starts from."""
        return self.lr if self._first.scheduler is None else self._first.scheduler.base_lrs[self._first.position]

    _base_lr = base_lr

    @property
    def current_lr(self) -> Any:
        """The learning rate of the first group's next step; what is set holds until the scheduler's next step."""
        return self.lr

    @current_lr.setter
    def current_lr(self, value: Any) -> None:
        self._first.set_rate(value)

    @property
    def _current_lr(self) -> View:
        return View(lambda: self.current_lr, self._first.set_rate)

    @property
    def schedulers(self) -> list[LRScheduler]:
        """The schedulers that `add_scheduler` was given."""
        return list(self._added)

    def add_scheduler(self, scheduler: LRScheduler) -> None:
        """Take the learning rate from a scheduler from now on, as `lr = scheduler` does, and list it.

        Raises:
            TypeError: it is no scheduler of `optgen.optim`.
        """
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{type(self).__name__}: a scheduler of optgen.optim is added, not {scheduler!r}")
        self.lr = scheduler
        self._added.append(scheduler)

    def get_last_lr(self) -> list[Any]:
        """The learning rate of each group."""
        return [group.rate for group in self._groups] or [self.current_lr]

    def lr_apply(self, apply_fn: Callable[[Any], Any]) -> None:
        """Set each group's learning rate to a function of what it is, until its scheduler's next step."""
        for group in self._groups or [self._first]:
            group.set_rate(apply_fn(group.rate))
