"""Learning-rate schedules with the interface of brainpy's schedulers.

A scheduler is called for its rate. It counts from -1, and moves on by `step_epoch`, which the user calls, or, where it
is based on calls, by `step_call`, which the optimizer calls after each update.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from optgen.arguments.binding import bind
from optgen.contract.dialects import Dialect
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, StateMismatch
from optgen.frontends.weights.cells import HasValue, cell
from optgen.schedules.arguments import schedule_settings, schedule_signature
from optgen.schedules.docstrings import described_schedule
from optgen.schedules.manifest import LrScheduleManifest
from optgen.schedules.manifests import spelled
from optgen.schedules.schedule import Schedule


def plain(value: Any) -> Any:
    """A number or an array; of a Variable, what it holds."""
    return value.value if hasattr(value, "value") else value


class Scheduler:
    """A learning rate that depends on the number of epochs.

    Args:
        lr: the learning rate that it starts from, a number or a Variable.
        last_epoch: the last epoch that is done; -1 before the first.

    Raises:
        InvalidHyperparameter: `last_epoch` is below -1, or `lr` below 0.
        HyperparameterTypeError: a value is of the wrong type.
    """

    def __init__(self, lr: Any, last_epoch: int = -1) -> None:
        self.set_value(lr)
        self.last_epoch: HasValue = self._counter("last_epoch", last_epoch)

    def _counter(self, name: str, value: Any) -> HasValue:
        label = type(self).__name__
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise HyperparameterTypeError(f"{label}: {name} is an integer, not {value!r}")
        if value < -1:
            raise InvalidHyperparameter(f"{label}: {name} = {value} is below -1, which is before the first")
        return cell(jnp.asarray(value, jnp.int32))

    def set_value(self, learning_rate: Any) -> None:
        """Start from another learning rate.

        Raises:
            InvalidHyperparameter: it is negative or not finite.
            HyperparameterTypeError: it is no number.
        """
        value = plain(learning_rate)
        label = type(self).__name__
        if isinstance(value, bool) or not (isinstance(value, int | float) or hasattr(value, "dtype")):
            raise HyperparameterTypeError(f"{label}: lr is a number, an array or a Variable, not {learning_rate!r}")
        if np.ndim(value) != 0:
            raise HyperparameterTypeError(f"{label}: lr is one number, not an array of shape {np.shape(value)}")
        if isinstance(value, int | float) and not 0 <= value < float("inf"):
            raise InvalidHyperparameter(f"{label}: lr = {value!r} is outside its domain: lr >= 0")
        self.lr = learning_rate

    def step_epoch(self) -> None:
        """Count an epoch."""
        self.last_epoch.value = self.last_epoch.value + 1

    def step_call(self, done: Any = 1) -> None:
        """Count a call, where the scheduler is based on calls; `done` is 0 for one that is left out."""

    def __call__(self, i: Any = None) -> Any:
        """The learning rate: of the next epoch or call, or of the one that is given."""
        raise NotImplementedError(f"{type(self).__name__}: a subclass says what the rate is")

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here."""
        return {"lr": plain(self.lr), "last_epoch": self.last_epoch.value}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            StateMismatch: an entry is missing or extra; nothing is changed then.
        """
        wanted = set(self.state_dict())
        if set(state_dict) != wanted:
            raise StateMismatch(
                f"{type(self).__name__}: a saved scheduler holds {', '.join(sorted(wanted))}, and this one "
                f"{', '.join(map(str, state_dict)) or 'nothing'}"
            )
        counters = {name: int(state_dict[name]) for name in wanted if name != "lr"}
        if hasattr(self.lr, "value"):
            self.lr.value = jnp.asarray(state_dict["lr"])
        else:
            rate = state_dict["lr"]
            self.set_value(rate.item() if isinstance(rate, np.ndarray | np.generic) else rate)
        for name, count in counters.items():
            getattr(self, name).value = jnp.asarray(count, jnp.int32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={plain(self.lr)}, last_epoch={self.last_epoch.value})"


class CallBasedScheduler(Scheduler):
    """A learning rate that depends on the number of updates.

    Args:
        lr: the learning rate that it starts from, a number or a Variable.
        last_epoch: the last epoch that is done; -1 before the first.
        last_call: the last update that is done; -1 before the first.

    Raises:
        InvalidHyperparameter: a count is below -1, or `lr` below 0.
        HyperparameterTypeError: a value is of the wrong type.
    """

    def __init__(self, lr: Any, last_epoch: int = -1, last_call: int = -1) -> None:
        super().__init__(lr, last_epoch)
        self.last_call: HasValue = self._counter("last_call", last_call)

    def step_call(self, done: Any = 1) -> None:
        """Count a call; `done` is 0 for one that is left out."""
        self.last_call.value = self.last_call.value + done

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here."""
        return {**super().state_dict(), "last_call": self.last_call.value}


class _Scheduled(Scheduler):
    """A scheduler whose rate is a schedule of the catalogue. Subclasses are made by `scheduler_class`."""

    manifest: ClassVar[LrScheduleManifest]
    dialect: ClassVar[Dialect]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        label = type(self).__name__
        if self.dialect.instead:
            warnings.warn(f"{label} is deprecated, use {self.dialect.instead}", UserWarning, stacklevel=2)
        given = bind(label, self.__signature__, args, kwargs)
        counters = {name: given.pop(name) for name in ("last_epoch", "last_call") if name in given}
        lr = given.get("lr", 0.0)
        values = {name: plain(value) for name, value in given.items()}
        self._schedule = Schedule(self.manifest, schedule_settings(self.manifest, self.dialect, values), label)
        super().__init__(lr, **counters)

    def __call__(self, i: Any = None) -> Any:
        """The learning rate: of the next epoch or call, or of the one that is given."""
        count = self._count().value + 1 if i is None else i
        schedule = self._schedule
        if self.manifest.base:
            base = plain(self.lr)
            schedule = schedule if base is schedule.base or base == schedule.base else schedule.with_base(base)
        return schedule(count)

    def _count(self) -> HasValue:
        return self.last_call if isinstance(self, CallBasedScheduler) else self.last_epoch

    def __getattr__(self, name: str) -> Any:
        """The value of an argument of the schedule."""
        schedule: Schedule | None = self.__dict__.get("_schedule")
        if schedule is None:
            raise AttributeError(name)
        for argument in self.dialect.arguments:
            if argument.name == name and argument.targets:
                return {**schedule.settings.options, **schedule.settings.values}[argument.targets[0]]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        own = [a.name for a in self.dialect.arguments if a.targets and a.name != "lr"]
        told = [f"{name}={getattr(self, name)!r}" for name in own]
        told += [f"{name}={value}" for name, value in self.state_dict().items() if name != "lr"]
        return f"{type(self).__name__}({', '.join([f'lr={plain(self.lr)}', *told])})"


class _ScheduledByCalls(_Scheduled, CallBasedScheduler):
    """A scheduler whose schedule counts updates."""


def counters(dialect: Dialect) -> list[inspect.Parameter]:
    """The parameters that the front-end adds to a schedule's arguments."""
    names = ["last_epoch", *(["last_call"] if dialect.counts == "calls" else [])]
    return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=-1) for name in names]


def scheduler_class(manifest: LrScheduleManifest, dialect: Dialect) -> type[Scheduler]:
    """The class of one schedule's schedulers, with brainpy's name and arguments."""
    own = schedule_signature(manifest, dialect)
    return type(
        dialect.name,
        (_ScheduledByCalls if dialect.counts == "calls" else _Scheduled,),
        {
            "manifest": manifest,
            "dialect": dialect,
            "__signature__": own.replace(parameters=[*own.parameters.values(), *counters(dialect)]),
            "__module__": "optgen.brainpy",
            "__doc__": described_schedule(manifest, dialect),
        },
    )


@functools.cache
def scheduler_classes() -> dict[str, type[Scheduler]]:
    """Every scheduler of `optgen.brainpy`, by its name."""
    found = {name: scheduler_class(manifest, dialect) for name, (manifest, dialect) in spelled("brainpy").items()}
    return found | {"Scheduler": Scheduler, "CallBasedScheduler": CallBasedScheduler}


def make_schedule(scalar_or_schedule: Any) -> Scheduler:
    """The scheduler that is given, or one that holds a number.

    Raises:
        HyperparameterTypeError: it is neither scheduler nor number.
        InvalidHyperparameter: it is negative.
    """
    if isinstance(scalar_or_schedule, Scheduler):
        return scalar_or_schedule
    value = plain(scalar_or_schedule)
    if isinstance(value, bool) or not (isinstance(value, int | float) or hasattr(value, "dtype")):
        raise HyperparameterTypeError(f"lr is a number, a Variable or a scheduler, not {scalar_or_schedule!r}")
    if hasattr(value, "dtype") and not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) >= 0):
        raise InvalidHyperparameter(f"lr = {scalar_or_schedule!r} is negative")
    return scheduler_classes()["Constant"](scalar_or_schedule)
