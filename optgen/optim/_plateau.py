"""The scheduler that waits for a metric, which is no function of the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from optgen.errors import InvalidHyperparameter
from optgen.frontends.weights.cells import cell
from optgen.optim._schedulers import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """Reduces the learning rate when a metric has stopped getting better.

    It counts as braintools does. torch looks at the metric during the cooldown too, and leaves out reductions of less
    than `eps`.

    Args:
        base_lr: the first learning rate, or one for each group.
        mode: min if the metric is to get smaller, max if larger.
        factor: what the rate is multiplied by (0 < factor < 1).
        patience: steps without improvement that are let pass (patience >= 0).
        threshold: by how much the metric has to be better to count as such (threshold >= 0).
        threshold_mode: rel for a part of the best metric, abs for a difference.
        cooldown: steps after a reduction at which the metric is not looked at (cooldown >= 0).
        min_lr: the rate is not reduced below this, or one for each group.
        eps: accepted as in braintools, where it has no effect.
        last_epoch: steps done already.

    Raises:
        InvalidHyperparameter: a value is outside its domain.
    """

    def __init__(
        self,
        base_lr: float | list[float] = 1e-3,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
        last_epoch: int = 0,
    ) -> None:
        super().__init__(base_lr, last_epoch)
        for name, value, choices in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in choices:
                raise InvalidHyperparameter(f"ReduceLROnPlateau: {name} is one of {', '.join(choices)}, not {value!r}")
        if not 0 < factor < 1:
            raise InvalidHyperparameter(f"ReduceLROnPlateau: factor = {factor!r} is outside its domain: 0 < factor < 1")
        counts = {"patience": patience, "threshold": threshold, "cooldown": cooldown}
        for name, count in counts.items():
            if not count >= 0:
                raise InvalidHyperparameter(f"ReduceLROnPlateau: {name} = {count!r} is outside its domain: {name} >= 0")
        least = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr]
        if not 1 <= len(least) <= len(self.base_lrs):
            message = f"ReduceLROnPlateau: min_lr has {len(least)} entries, and there are {len(self.base_lrs)} groups"
            raise InvalidHyperparameter(message)
        self.min_lrs = least + [least[-1]] * (len(self.base_lrs) - len(least))
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.best = cell(float("inf") if mode == "min" else -float("inf"))
        self.num_bad_epochs = cell(0)
        self.cooldown_counter = cell(0)

    def step(self, metric: Any, epoch: int | None = None) -> None:  # type: ignore[override]  # the metric is its point
        """Look at the metric, and reduce the learning rates if it has been no better for too long.

        Args:
            metric: one number; under jit an array.
            epoch: the step, if it is not the next one.
        """
        self.last_epoch.value = self.last_epoch.value + 1 if epoch is None else self._checked_epoch(epoch)
        waiting = self.cooldown_counter.value > 0
        better = self._is_better(metric, self.best.value)
        bad = jnp.where(better, 0, self.num_bad_epochs.value + 1)
        bad = jnp.where(waiting, self.num_bad_epochs.value, bad)
        reduce = jnp.logical_and(jnp.logical_not(waiting), bad > self.patience)
        self.best.value = jnp.where(jnp.logical_and(jnp.logical_not(waiting), better), metric, self.best.value)
        self.num_bad_epochs.value = jnp.where(reduce, 0, bad)
        counted = jnp.where(waiting, self.cooldown_counter.value - 1, self.cooldown_counter.value)
        self.cooldown_counter.value = jnp.where(reduce, self.cooldown, counted)
        self._current_lrs.value = [
            jnp.where(reduce, jnp.maximum(rate * self.factor, least), rate)
            for rate, least in zip(self._current_lrs.value, self.min_lrs, strict=True)
        ]

    def extend(self, base_lr: Any = None) -> None:
        """Give one more group of weights a learning rate: that of the last group, or one of its own base."""
        base = self.base_lrs[-1] if base_lr is None else base_lr
        rate = self._current_lrs.value[-1] if base_lr is None else base_lr
        self.base_lrs = [*self.base_lrs, base]
        self.min_lrs = [*self.min_lrs, self.min_lrs[-1]]
        self._current_lrs.value = [*self._current_lrs.value, rate]

    def rebase(self, group: int, base_lr: Any) -> None:
        """Give one group another learning rate."""
        self.base_lrs = [base_lr if position == group else base for position, base in enumerate(self.base_lrs)]
        self.set_rate(group, base_lr)

    def get_lr(self) -> list[Any]:
        """The groups' learning rates."""
        return list(self._current_lrs.value)

    def _is_better(self, metric: Any, best: Any) -> Any:
        margin = self.threshold if self.mode == "max" else -self.threshold
        wanted = best * (1 + margin) if self.threshold_mode == "rel" else best + margin
        return metric > wanted if self.mode == "max" else metric < wanted

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here."""
        own = {name: getattr(self, name).value for name in ("best", "num_bad_epochs", "cooldown_counter")}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            KeyError: an entry is missing; nothing is changed then.
        """
        own = {name: state_dict[name] for name in ("best", "num_bad_epochs", "cooldown_counter")}
        super().load_state_dict(state_dict)
        for name, value in own.items():
            getattr(self, name).value = value
