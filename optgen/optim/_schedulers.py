"""Learning rates that count their own steps, with the interface of braintools' schedulers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, StateMismatch
from optgen.frontends.weights.cells import HasValue, cell
from optgen.optim._owner import Owner


class LRScheduler:
    """A learning rate, or one for each group of weights, that changes when `step` is called.

    Attributes:
        last_epoch: holds the number of steps done, under `.value`.
        current_lrs: holds the list of the groups' learning rates, under `.value`.
        optimizer: the optimizer that it is attached to, None if none.
    """

    def __init__(self, base_lr: float | list[float] = 1e-3, last_epoch: int = 0) -> None:
        if isinstance(last_epoch, bool) or not isinstance(last_epoch, int | np.integer):
            raise HyperparameterTypeError(f"{type(self).__name__}: last_epoch is an integer, not {last_epoch!r}")
        if last_epoch < 0:
            raise InvalidHyperparameter(f"{type(self).__name__}: last_epoch = {last_epoch} is below 0, the first step")
        self.optimizer: Any = None
        self.last_epoch = cell(int(last_epoch))
        self.base_lrs = list(base_lr) if isinstance(base_lr, list | tuple) else [base_lr]
        self._current_lrs = cell(list(self.base_lrs))

    @property
    def base_lrs(self) -> list[Any]:
        """The learning rate of each group that the schedule scales."""
        return self._base_lrs

    @base_lrs.setter
    def base_lrs(self, values: list[Any]) -> None:
        self._base_lrs = list(values)

    @property
    def current_lrs(self) -> HasValue:
        """The groups' learning rates, in a list under `.value`."""
        return self._current_lrs

    def get_lr(self) -> list[Any]:
        """The groups' learning rates after `last_epoch` steps."""
        raise NotImplementedError

    def get_last_lr(self) -> list[Any]:
        """The groups' learning rates, as `step` or `apply` last set them."""
        return list(self._current_lrs.value)

    def attach_optimizer(self, optimizer: Any) -> None:
        """Make an optimizer of `optgen.optim` read its learning rate here, as `lr=scheduler` does.

        Raises:
            TypeError: it is no such optimizer.
        """
        if not isinstance(optimizer, Owner):
            raise TypeError(f"{type(self).__name__}: an optimizer of optgen.optim is attached, not {optimizer!r}")
        optimizer.lr = self

    @property
    def has_base(self) -> bool:
        """Whether a group can have a base learning rate of its own, from which its rate follows."""
        return True

    def extend(self, base_lr: Any = None) -> None:
        """Give one more group of weights a learning rate: that of the first group, or one of its own base."""
        bases = self.base_lrs
        self.base_lrs = [*bases, bases[0] if base_lr is None else base_lr]
        self._current_lrs.value = [*self._current_lrs.value, self.get_lr()[len(bases)]]

    def rebase(self, group: int, base_lr: Any) -> None:
        """Give one group another base learning rate, from which its rate follows at once."""
        self.base_lrs = [base_lr if position == group else base for position, base in enumerate(self.base_lrs)]
        self.set_rate(group, self.get_lr()[group])

    def set_rate(self, group: int, rate: Any) -> None:
        """Set the learning rate of one group, until the next step of the scheduler."""
        self._current_lrs.value = [rate if i == group else old for i, old in enumerate(self._current_lrs.value)]

    def step(self, epoch: Any = None) -> None:
        """Count one step, or go to the given one, and set the learning rates."""
        self.last_epoch.value = self.last_epoch.value + 1 if epoch is None else self._checked_epoch(epoch)
        self.apply(lambda rate: rate)

    def step_epoch(self) -> None:
        """Advance by one step; another name for `step()`."""
        self.step()

    def apply(self, apply_fn: Callable[[Any], Any]) -> None:
        """Set each group's learning rate to a function of what it is after `last_epoch` steps."""
        self._current_lrs.value = [apply_fn(rate) for rate in self.get_lr()]

    def __call__(self, count: Any) -> Any:
        """The first group's learning rate, negated, as braintools' schedulers give it; `count` is not looked at."""
        return -self._current_lrs.value[0]

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here."""
        return {
            "last_epoch": self.last_epoch.value,
            "base_lrs": list(self.base_lrs),
            "current_lrs": list(self.current_lrs.value),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            KeyError: an entry is missing; nothing is changed then.
            StateMismatch: an entry is no count, or no learning rate for each group; nothing is changed then.
        """
        epoch, base_lrs, current_lrs = self.checked_state(state_dict)
        self.last_epoch.value = epoch
        self.base_lrs = base_lrs
        self.current_lrs.value = current_lrs

    def checked_state(self, state_dict: Mapping[str, Any]) -> tuple[Any, list[Any], list[Any]]:
        """The step, the base rates and the current rates of a saved state; raises what `load_state_dict` does."""
        label = type(self).__name__
        epoch = state_dict["last_epoch"]
        if not _is_number(epoch) or int(epoch) != epoch or epoch < 0:
            raise StateMismatch(f"{label}: 'last_epoch' of the saved state is a count, not {epoch!r}")
        found = []
        for name in ("base_lrs", "current_lrs"):
            rates = state_dict["base_lrs"] if name not in state_dict and name != "base_lrs" else state_dict[name]
            if not isinstance(rates, list | tuple) or not rates or not all(map(_is_rate, rates)):
                raise StateMismatch(f"{label}: '{name}' of the saved state has a rate for each group, not {rates!r}")
            found.append(list(rates))
        if len(found[0]) != len(found[1]):
            raise StateMismatch(f"{label}: the saved state has {len(found[0])} base rates and {len(found[1])} rates")
        return epoch, found[0], found[1]

    def _checked_epoch(self, epoch: Any) -> Any:
        if isinstance(epoch, int | np.integer) and epoch < 0:
            raise InvalidHyperparameter(f"{type(self).__name__}: step {epoch} is below 0, the first one")
        return epoch

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch.value}, current_lrs={self.current_lrs.value})"


def _is_number(value: Any) -> bool:
    kinds = np.number | jax.Array | np.ndarray
    return not isinstance(value, bool) and (
        isinstance(value, int | float)
        or (isinstance(value, kinds) and np.ndim(value) == 0 and np.isrealobj(value) and bool(np.isfinite(value)))
    )


def _is_rate(value: Any) -> bool:
    return _is_number(value) and bool(value >= 0)


class FixedLR(LRScheduler):
    """The learning rate of an optimizer that was given a number: `step` changes nothing."""

    def get_lr(self) -> list[Any]:
        """The groups' learning rates."""
        return list(self.base_lrs)
