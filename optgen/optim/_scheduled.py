"""Schedulers whose rate is one of the catalogue's schedules."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp

from optgen.arguments.binding import bind
from optgen.contract.dialects import Dialect
from optgen.errors import InvalidHyperparameter
from optgen.optim._schedulers import LRScheduler
from optgen.schedules.arguments import schedule_settings
from optgen.schedules.manifest import LrScheduleManifest
from optgen.schedules.schedule import Schedule

#: What the front-end adds to the arguments of a schedule.
LAST_EPOCH = inspect.Parameter("last_epoch", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0)


class ScheduledLR(LRScheduler):
    """A scheduler whose rate is a schedule of the catalogue. Subclasses are made by `scheduler_class`."""

    manifest: ClassVar[LrScheduleManifest]
    dialect: ClassVar[Dialect]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        given = bind(type(self).__name__, self.__signature__, args, kwargs)
        last_epoch = given.pop("last_epoch", 0)
        self._schedules = self.schedules(given)
        super().__init__(self.base_lrs, last_epoch)
        self.apply(lambda rate: rate)

    def schedules(self, given: Mapping[str, Any]) -> list[Schedule]:
        """The schedule of each group; an argument that is one number may be a list, of one for each group.

        Raises:
            InvalidHyperparameter: a value is wrong, or lists are not of one length.
        """
        name = type(self).__name__
        single = {
            a.name for a in self.dialect.arguments if a.targets[0] in {h.name for h in self.manifest.hyperparameters}
        }
        listed = {n: list(v) for n, v in given.items() if n in single and isinstance(v, list | tuple)}
        lengths = {len(values) for values in listed.values()} or {1}
        if len(lengths) > 1 or 0 in lengths:
            told = ", ".join(f"{n} has {len(v)}" for n, v in listed.items())
            raise InvalidHyperparameter(f"{name}: there is one value for each group, and {told}")
        found = []
        for group in range(lengths.pop()):
            values = {**given, **{n: v[group] for n, v in listed.items()}}
            found.append(Schedule(self.manifest, schedule_settings(self.manifest, self.dialect, values), name))
        return found

    @property
    def base_lrs(self) -> list[Any]:
        """The learning rate of each group that the schedule scales."""
        return [schedule.base for schedule in self._schedules]

    @base_lrs.setter
    def base_lrs(self, values: list[Any]) -> None:
        last = self._schedules[-1]
        filled = [*self._schedules, *([last] * (len(values) - len(self._schedules)))]
        self._schedules = [s.with_base(base) for s, base in zip(filled, values, strict=False)]

    @property
    def has_base(self) -> bool:
        """Whether a group can have a base learning rate of its own, from which its rate follows."""
        return bool(self.manifest.base)

    def __getattr__(self, name: str) -> Any:
        """The value of an argument of the schedule, that of the first group."""
        schedules: list[Schedule] = self.__dict__.get("_schedules", [])
        if not schedules:
            raise AttributeError(name)
        for argument in self.dialect.arguments:
            if argument.name == name and argument.targets:
                known = {**schedules[0].settings.options, **schedules[0].settings.values}
                values = tuple(known[target] for target in argument.targets)
                return values if argument.packed else values[0]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def schedule(self) -> Schedule:
        """The first group's schedule, a function of the number of steps done."""
        return self._schedules[0]

    def get_lr(self) -> list[Any]:
        """The groups' learning rates after `last_epoch` steps: Python floats outside of jit, arrays under it."""
        epoch = self.last_epoch.value
        if isinstance(epoch, int):
            return [schedule.at(epoch) if schedule.known else schedule(epoch) for schedule in self._schedules]
        return [schedule(jnp.asarray(epoch)) for schedule in self._schedules]
