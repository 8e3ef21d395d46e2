"""Schedulers of braintools that take more than their schedule's hyperparameters: an epoch count, a function.

Here stands only how those arguments become hyperparameters, or what a user's own function does to the schedule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optgen.errors import InvalidHyperparameter
from optgen.frontends.weights.cells import View
from optgen.optim._scheduled import LAST_EPOCH, ScheduledLR
from optgen.schedules.schedule import Schedule


def _parameters(**defaults: Any) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([*(inspect.Parameter(n, kind, default=d) for n, d in defaults.items()), LAST_EPOCH])


class OneCycle(ScheduledLR):
    """Up to the largest learning rate along a line, and down from it along half a cosine or a line, once.

    Args:
        max_lr: the largest rate.
        total_steps: steps of the cycle.
        epochs: instead of `total_steps`: epochs of the cycle.
        steps_per_epoch: with `epochs`: steps in each.
        pct_start: part of the steps in which the rate rises (0 < pct_start < 1).
        anneal_strategy: the way down (cos or linear).
        div_factor: the first rate is max_lr/div_factor (div_factor > 0).
        final_div_factor: the last rate is max_lr/final_div_factor (final_div_factor > 0).
        last_epoch: steps done already.

    Raises:
        InvalidHyperparameter: a value is outside its domain, or the number of steps is not given.
    """

    __signature__ = _parameters(
        max_lr=0.01, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3, anneal_strategy="cos",
        div_factor=25.0, final_div_factor=1e4,
    )  # fmt: skip

    def schedules(self, given: Mapping[str, Any]) -> list[Schedule]:
        """The schedule of each group."""
        values = dict(given)
        total = values.pop("total_steps", None)
        epochs, each = values.pop("epochs", None), values.pop("steps_per_epoch", None)
        if total is None and (epochs is None or each is None):
            raise InvalidHyperparameter("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
        for name, value in (("epochs", epochs), ("steps_per_epoch", each)):
            if total is None and not value > 0:
                raise InvalidHyperparameter(f"OneCycleLR: {name} = {value!r} is outside its domain: {name} > 0")
        return super().schedules({**values, "total_steps": epochs * each if total is None else total})

    @property
    def base_lrs(self) -> list[Any]:
        """The first learning rate of each group."""
        return [s.base / s.settings.values["div_factor"] for s in self._schedules]

    @base_lrs.setter
    def base_lrs(self, values: list[Any]) -> None:
        # What is set is the first rate; the schedule scales with the largest.
        first = [s.base / s.settings.values["div_factor"] for s in self._schedules]
        self._schedules = [
            s if own == new else s.with_base(new * s.settings.values["div_factor"])
            for s, own, new in zip(self._schedules, first, values, strict=False)
        ]


class Cyclic(ScheduledLR):
    """Up and down between two learning rates, the height constant, halved with each cycle or decaying.

    Args:
        base_lr: the lower rate.
        max_lr: the upper rate.
        step_size_up: steps in which the rate rises (step_size_up > 0).
        step_size_down: steps in which it falls; as many as it rises if None.
        mode: triangular, triangular2 or exp_range; not looked at where `scale_fn` is given.
        gamma: factor of the height at each step, in the mode exp_range (gamma > 0).
        scale_fn: a function of the number of the cycle, counted from 1, or of the step: the factor on the height.
        scale_mode: cycle or iterations: what `scale_fn` is given.
        last_epoch: steps done already.

    Raises:
        InvalidHyperparameter: a value is outside its domain.
    """

    __signature__ = _parameters(
        base_lr=1e-3, max_lr=0.01, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0, scale_fn=None,
        scale_mode="cycle",
    )  # fmt: skip

    def schedules(self, given: Mapping[str, Any]) -> list[Schedule]:
        """The schedule of each group; its height is the user's to scale where there is a `scale_fn`."""
        values = dict(given)
        self._scale_fn: Callable[[Any], Any] | None = values.pop("scale_fn", None)
        self._scale_mode = values.pop("scale_mode", "cycle")
        if self._scale_mode not in ("cycle", "iterations"):
            message = f"CyclicLR: scale_mode is one of cycle, iterations, not {self._scale_mode!r}"
            raise InvalidHyperparameter(message)
        found = super().schedules(values)
        if self._scale_fn is not None:
            found = super().schedules({**values, "mode": "triangular"})
        return found

    def get_lr(self) -> list[Any]:
        """The groups' learning rates after `last_epoch` steps."""
        rates = super().get_lr()
        if self._scale_fn is None:
            return rates
        epoch = self.last_epoch.value
        settings = self._schedules[0].settings.values
        up, down = settings["step_size_up"], settings["step_size_down"]
        count = epoch if self._scale_mode == "iterations" else 1 + epoch // (up + (down or up))
        scale = self._scale_fn(count)
        return [s.base + (rate - s.base) * scale for s, rate in zip(self._schedules, rates, strict=True)]


class PiecewiseValues(ScheduledLR):
    """One given value between each two boundaries.

    Args:
        base_lr: not looked at, but for how many groups there are; the values are all of the rate.
        boundaries: steps at which the next value begins; [1000, 2000] if None.
        values: the learning rates, one more than boundaries; [1.0, 0.1, 0.01] if None.
        last_epoch: steps done already.

    Raises:
        InvalidHyperparameter: the boundaries do not increase, or the lists' lengths do not fit.
    """

    __signature__ = _parameters(base_lr=1e-3, boundaries=None, values=None)

    def schedules(self, given: Mapping[str, Any]) -> list[Schedule]:
        """The schedule of each group, the same for all."""
        values = {name: value for name, value in given.items() if value is not None}
        base = values.pop("base_lr", 1e-3)
        self._given_base_lrs = list(base) if isinstance(base, list | tuple) else [base]
        return super().schedules(values) * len(self._given_base_lrs)

    @property
    def base_lrs(self) -> list[Any]:
        """The base learning rates as the user has set them."""
        return list(self._given_base_lrs)

    @base_lrs.setter
    def base_lrs(self, values: list[Any]) -> None:
        self._given_base_lrs = list(values)
        self._schedules = [self._schedules[0]] * len(self._given_base_lrs)

    @property
    def has_base(self) -> bool:
        """False: the values are the learning rates themselves."""
        return False


class WarmRestarts(ScheduledLR):
    """A scheduler that begins again after each period, and tells where in the period it is."""

    def _period(self) -> tuple[int, int]:
        """Steps since the last restart, and the length of the period."""
        values = self._schedules[0].settings.values
        since, length = int(self.last_epoch.value), int(values["T_0"])
        while since >= length:
            since -= length
            length *= int(values["T_mult"])
        return since, length

    @property
    def T_cur(self) -> View:
        """Steps since the last restart, under `.value`; setting it moves the scheduler within its period."""

        def move(since: Any) -> None:
            self.last_epoch.value = int(self.last_epoch.value) + int(since) - self._period()[0]
            self.apply(lambda rate: rate)

        return View(lambda: self._period()[0], move)

    @property
    def T_i(self) -> View:
        """Steps of the period, under `.value`."""

        def same(length: Any) -> None:
            if int(length) != self._period()[1]:
                message = f"{type(self).__name__}: the period of this step is {self._period()[1]}, not {length!r}"
                raise InvalidHyperparameter(message)

        return View(lambda: self._period()[1], same)

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here; the position in the period is for readers."""
        since, length = self._period()
        return {**super().state_dict(), "T_cur": since, "T_i": length}


#: The classes above by the names of braintools.
EXTENDED: dict[str, type[ScheduledLR]] = {
    "OneCycleLR": OneCycle,
    "CyclicLR": Cyclic,
    "PiecewiseConstantSchedule": PiecewiseValues,
    "CosineAnnealingWarmRestarts": WarmRestarts,
}
