"""Schedulers made of others: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from optgen.errors import InvalidHyperparameter
from optgen.optim._plateau import ReduceLROnPlateau
from optgen.optim._schedulers import LRScheduler


def _checked(name: str, schedulers: Sequence[Any]) -> list[LRScheduler]:
    """The schedulers as a list.

    Raises:
        TypeError: one is no scheduler, or waits for a metric.
        InvalidHyperparameter: there is none.
    """
    found = list(schedulers)
    if not found:
        raise InvalidHyperparameter(f"{name}: there are no schedulers")
    for position, scheduler in enumerate(found):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{name}: schedulers[{position}] is no scheduler of optgen.optim: {scheduler!r}")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise TypeError(f"{name}: schedulers[{position}] waits for a metric, which {name}.step does not take")
    return found


def _has_base(composed: LRScheduler, schedulers: Sequence[LRScheduler]) -> bool:
    """Whether a group's own base can be told to all schedulers as a factor."""
    return all(s.has_base for s in schedulers) and all(np.all(np.asarray(base) != 0) for base in composed.base_lrs)


class SequentialLR(LRScheduler):
    """One scheduler after the other, each counting its steps from its own start.

    Args:
        schedulers: in their order.
        milestones: the steps at which the second, the third and so on take over; they increase.
        last_epoch: steps done already.

    Raises:
        InvalidHyperparameter: there is not one milestone less than schedulers, or they do not increase.
        TypeError: one is no scheduler of `optgen.optim`, or waits for a metric.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = 0) -> None:
        self.schedulers = _checked("SequentialLR", schedulers)
        self.milestones = [int(milestone) for milestone in milestones]
        if len(self.schedulers) != len(self.milestones) + 1:
            found, wanted = len(self.milestones), len(self.schedulers) - 1
            raise InvalidHyperparameter(f"SequentialLR: milestones has {found} entries and should have {wanted}")
        for before, after in zip([-1, *self.milestones], self.milestones, strict=False):
            if not before < after:
                raise InvalidHyperparameter(
                    f"SequentialLR: milestones has to increase from 0 on, not {self.milestones}"
                )
        super().__init__(self.schedulers[0].base_lrs, last_epoch)
        if last_epoch:
            self._go_to(last_epoch)
        self.apply(lambda rate: rate)

    @property
    def current_scheduler_idx(self) -> Any:
        """Which scheduler is in charge."""
        return sum((self.last_epoch.value >= milestone) * 1 for milestone in self.milestones)

    def step(self, epoch: Any = None) -> None:
        """Count one step, or go to the given one, and set the learning rates."""
        self.last_epoch.value = self.last_epoch.value + 1 if epoch is None else self._checked_epoch(epoch)
        self._go_to(self.last_epoch.value)
        self.apply(lambda rate: rate)

    def _go_to(self, epoch: Any) -> None:
        """Move the scheduler in charge to its own step; the others stay where they are."""
        current = self.current_scheduler_idx
        for position, (start, scheduler) in enumerate(zip([0, *self.milestones], self.schedulers, strict=True)):
            if isinstance(current, int):
                if position == current:
                    scheduler.step(epoch - start)
            else:
                # Which one it is is known only when compiled code runs.
                scheduler.step(jnp.where(position == current, epoch - start, scheduler.last_epoch.value))

    @property
    def has_base(self) -> bool:
        """Whether a group can have a base learning rate of its own, from which its rate follows."""
        return _has_base(self, self.schedulers)

    def extend(self, base_lr: Any = None) -> None:
        """Give one more group of weights a learning rate: that of the last group, or in proportion to its own base."""
        factor = None if base_lr is None else base_lr / self.base_lrs[-1]
        for scheduler in self.schedulers:
            scheduler.extend(None if factor is None else scheduler.base_lrs[-1] * factor)
        super().extend(base_lr)

    def rebase(self, group: int, base_lr: Any) -> None:
        """Give one group another base learning rate, in proportion in all schedulers."""
        factor = base_lr / self.base_lrs[group]
        for scheduler in self.schedulers:
            scheduler.rebase(group, scheduler.base_lrs[group] * factor)
        super().rebase(group, base_lr)

    def get_lr(self) -> list[Any]:
        """The groups' learning rates of the scheduler in charge."""
        current = self.current_scheduler_idx
        if isinstance(current, int):
            return self.schedulers[current].get_lr()
        groups = zip(*(scheduler.get_lr() for scheduler in self.schedulers), strict=True)
        return [jnp.stack([jnp.asarray(rate, float) for rate in rates])[current] for rates in groups]

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here."""
        return {
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "milestones": list(self.milestones),
            "last_epoch": self.last_epoch.value,
            "current_scheduler_idx": self.current_scheduler_idx,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            InvalidHyperparameter: it is of another number of schedulers; nothing is changed then.
        """
        states = _states("SequentialLR", state_dict, self.schedulers)
        self.milestones = [int(milestone) for milestone in np.asarray(state_dict["milestones"])]
        self.last_epoch.value = state_dict["last_epoch"]
        for scheduler, state in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        self.apply(lambda rate: rate)


class ChainedScheduler(LRScheduler):
    """All schedulers at once: their factors on their base learning rates are multiplied.

    Args:
        schedulers: the first one's base learning rates are the chain's.

    Raises:
        InvalidHyperparameter: there is none.
        TypeError: one is no scheduler of `optgen.optim`, or waits for a metric.
    """

    def __init__(self, schedulers: Sequence[LRScheduler]) -> None:
        self.schedulers = _checked("ChainedScheduler", schedulers)
        super().__init__(self.schedulers[0].base_lrs)
        self.apply(lambda rate: rate)

    def step(self, epoch: Any = None) -> None:
        """Count one step, or go to the given one, in every scheduler, and set the learning rates."""
        self.last_epoch.value = self.last_epoch.value + 1 if epoch is None else self._checked_epoch(epoch)
        for scheduler in self.schedulers:
            scheduler.step(epoch)
        self.apply(lambda rate: rate)

    @property
    def has_base(self) -> bool:
        """Whether a group can have a base learning rate of its own, from which its rate follows."""
        return _has_base(self, self.schedulers)

    def get_lr(self) -> list[Any]:
        """The groups' learning rates: the base one times every scheduler's factor."""
        found = []
        for group, base in enumerate(self.base_lrs):
            rate = base
            for scheduler in self.schedulers:
                own = scheduler.base_lrs
                at = min(group, len(own) - 1)
                # A base of 0 stays 0, whatever it is multiplied by.
                rate = rate * (scheduler.get_lr()[at] / own[at] if own[at] else 0.0)
            found.append(rate)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here."""
        return {
            "last_epoch": self.last_epoch.value,
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            InvalidHyperparameter: it is of another number of schedulers; nothing is changed then.
        """
        states = _states("ChainedScheduler", state_dict, self.schedulers)
        self.last_epoch.value = state_dict["last_epoch"]
        for scheduler, state in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        self.apply(lambda rate: rate)


def _states(name: str, state_dict: Mapping[str, Any], schedulers: Sequence[LRScheduler]) -> list[Any]:
    states = list(state_dict["schedulers"])
    if len(states) != len(schedulers):
        raise InvalidHyperparameter(
            f"{name}: the state is of {len(states)} schedulers, and there are {len(schedulers)}"
        )
    return states
