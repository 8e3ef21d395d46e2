"""Generated learning-rate schedules as functions of the number of steps done: what `optgen.optax` hands out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, UnknownSchedule
from optgen.runtime.lr_schedule_arguments import ScheduleSettings, bound_settings, own_dialect, schedule_signature
from optgen.runtime.lr_schedule_docstrings import described_schedule
from optgen.runtime.lr_schedule_manifests import generated_function, schedule_manifest, spelled
from optgen.spec.model import DIALECTS, Dialect
from optgen.suggestions import did_you_mean
from optgen.targets.lr_schedule_manifest import LrScheduleManifest


class Schedule:
    """A learning rate as a function of the number of steps done, which an optax optimizer takes as its learning rate.

    Attributes:
        manifest: the schedule of the catalogue.
        settings: the values of its hyperparameters and options.
    """

    def __init__(self, manifest: LrScheduleManifest, settings: ScheduleSettings, label: str) -> None:
        self.manifest = manifest
        self.settings = settings
        self._label = label
        self._arguments = tuple(settings.values[name] for name in manifest.order)
        flat = [x for value in self._arguments for x in (value if isinstance(value, tuple) else (value,))]
        self.known = all(x is None or isinstance(x, int | float) for x in flat)

    def __call__(self, count: Any) -> jax.Array:
        """The learning rate.

        It is computed in float64 and rounded once, whatever jax's default is: `0.95**1000` in float32 is wrong in its
        fifth digit, since 0.95 itself is rounded.

        Args:
            count: the number of steps done: a Python integer, or an integer array of any shape, traced or not.

        Returns:
            An array of jax's default floating-point dtype, of the shape of `count`, or of `count` and the
            hyperparameters broadcast where those are arrays.
        """
        if self.known and isinstance(count, int | np.integer):
            return jnp.asarray(self.at(int(count)), float)
        dtype = jnp.result_type(float)
        function = generated_function(self.manifest.name, "jax")
        with jax.enable_x64(True):
            arguments = [_wide(value) for value in (count, *self._arguments)]
            return lax.convert_element_type(function(*arguments, **self.settings.options), dtype)

    def at(self, step: float) -> float:
        """The learning rate after that many steps as a Python float, computed in float64 without jax.

        Raises:
            HyperparameterTypeError: a hyperparameter is an array, or the step is no number.
        """
        if isinstance(step, bool) or not isinstance(step, int | float | np.number):
            raise HyperparameterTypeError(f"{self._label}: a step is a number, not {step!r}")
        if not self.known:
            raise HyperparameterTypeError(f"{self._label}: a hyperparameter is an array, so call the schedule itself")
        function = generated_function(self.manifest.name, "host")
        return float(function(step, *self._arguments, **self.settings.options))

    def factor(self, step: float) -> float:
        """The learning rate after that many steps, divided by `base`: what torch's `LambdaLR` takes.

        Raises:
            InvalidHyperparameter: `base` is 0.
            HyperparameterTypeError: a hyperparameter is an array.
        """
        value, base = self.at(step), self.base
        if base == 0:
            raise InvalidHyperparameter(f"{self._label}: there is no factor on {self.manifest.base} = 0")
        return value / float(base)

    @property
    def base(self) -> Any:
        """The learning rate that `factor` is relative to; 1 for a schedule whose values are all given."""
        return self.settings.values[self.manifest.base] if self.manifest.base else 1.0

    def with_base(self, base: Any) -> Schedule:
        """The same schedule of another base learning rate; of one that has none, the schedule itself."""
        if not self.manifest.base:
            return self
        values = {**self.settings.values, self.manifest.base: base}
        return Schedule(self.manifest, ScheduleSettings(values, self.settings.options), self._label)

    def __repr__(self) -> str:
        told = {**self.settings.values, **self.settings.options}
        return f"<{self._label}: {self.manifest.name}, {', '.join(f'{n}={v!r}' for n, v in told.items())}>"


ScheduleFactory = Callable[..., Schedule]


def _wide(value: Any) -> Any:
    """Numbers and arrays in float64; within `jax.enable_x64` only."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(_wide(entry) for entry in value)
    return lax.convert_element_type(jnp.asarray(value), jnp.float64)


def schedule_factory(manifest: LrScheduleManifest, dialect: Dialect, module: str) -> ScheduleFactory:
    """The function that makes a schedule, with a library's name, arguments and defaults."""

    def build(*args: Any, **kwargs: Any) -> Schedule:
        return Schedule(manifest, bound_settings(manifest, dialect, args, kwargs), dialect.name)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = module
    build.__doc__ = described_schedule(manifest, dialect)
    build.__signature__ = schedule_signature(manifest, dialect).replace(  # type: ignore[attr-defined]
        return_annotation=Schedule
    )
    return build


def spelled_schedule(library: str, name: str) -> ScheduleFactory:
    """The function that makes a schedule in a library's spelling: `spelled_schedule("torch", "StepLR")(step_size=30)`.

    torch's schedules take no learning rate; theirs is 1, so that the value is the factor on the optimizer's own.

    Raises:
        UnknownSchedule: the library is not known, or has no such schedule.
    """
    if library not in DIALECTS:
        raise UnknownSchedule(f"no library {library!r} is known; there are: {', '.join(DIALECTS)}")
    known = spelled(library)
    if name not in known:
        hint = did_you_mean(name, known, f"there are: {', '.join(known) or 'none'}")
        raise UnknownSchedule(f"no schedule '{name}' of {library}; {hint}")
    return schedule_factory(*known[name], "optgen.schedules")


def own_schedule(name: str) -> ScheduleFactory:
    """The function that makes a schedule of the catalogue, under the names of its spec.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    manifest = schedule_manifest(name)
    return schedule_factory(manifest, own_dialect(manifest), "optgen.schedules")


def optax_factories() -> dict[str, Callable[..., Any]]:
    """Every schedule that optax has, by its name there."""
    found: dict[str, Callable[..., Any]] = {
        name: schedule_factory(manifest, dialect, "optgen.optax")
        for name, (manifest, dialect) in spelled("optax").items()
    }
    return found | {"join_schedules": optax.join_schedules, "sgdr_schedule": sgdr_schedule}


def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Callable[..., Any]:
    """Cycles of warm-up and cosine decay one after the other, each with its own arguments.

    Args:
        cosine_kwargs: for each cycle, the arguments of `warmup_cosine_decay_schedule`; `decay_steps` is its length.

    Returns:
        A function of the number of steps done.

    Raises:
        InvalidHyperparameter: there is no cycle, or the arguments of one are wrong.
        HyperparameterTypeError: the arguments are no list.
    """
    if not isinstance(cosine_kwargs, Iterable) or isinstance(cosine_kwargs, Mapping | str):
        raise HyperparameterTypeError(f"sgdr_schedule: cosine_kwargs is a list of arguments, not {cosine_kwargs!r}")
    cycles = list(cosine_kwargs)
    if not cycles:
        raise InvalidHyperparameter("sgdr_schedule: cosine_kwargs names no cycle")
    build = spelled_schedule("optax", "warmup_cosine_decay_schedule")
    schedules = [build(**cycle) for cycle in cycles]
    lengths = [int(cycle["decay_steps"]) for cycle in cycles]
    return optax.join_schedules(schedules, [sum(lengths[: i + 1]) for i in range(len(lengths) - 1)])  # type: ignore[no-any-return]
