"""Saving an optimizer of `optgen.optim` and going on from what was saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optgen.errors import OptgenError, StateMismatch
from optgen.frontends.weights.cells import View
from optgen.frontends.weights.saved_state import STATE_FORMAT, count_of, expect, packed
from optgen.optim._groups import ParameterGroup
from optgen.optim._schedulers import FixedLR, LRScheduler


class Restorable(Protocol):
    """An optimizer as it is saved."""

    @property
    def param_groups(self) -> Sequence[ParameterGroup]:
        """Its groups of weights."""

    @property
    def step_count(self) -> View:
        """The number of steps done, under `.value`."""

    @property
    def skipped_steps(self) -> View:
        """The number of steps left out, under `.value`."""

    @property
    def base_lr(self) -> Any:
        """The learning rate that the first group's scheduler starts from."""


def save(optimizer: Restorable) -> dict[str, Any]:
    """The state of an optimizer that has weights. The keys are braintools', and what those cannot hold."""
    groups = optimizer.param_groups
    schedulers = _schedulers(optimizer)
    first = groups[0]
    states = [packed(group.state.value) for group in groups if group.state is not None]
    return {
        "format": STATE_FORMAT,
        "optimizer": type(optimizer).__name__,
        "step_count": optimizer.step_count.value,
        "skipped_steps": optimizer.skipped_steps.value,
        "lr": first.rate,
        "base_lr": None if first.scheduler is None else optimizer.base_lr,
        "param_groups": {
            str(i): {**group.saved(), "scheduler": _index(schedulers, group.scheduler)}
            for i, group in enumerate(groups)
        },
        "opt_state": states[0],
        "param_groups_opt_states": {str(i): state for i, state in enumerate(states[1:])},
        "schedulers": {
            str(i): {"kind": type(scheduler).__name__, "state": scheduler.state_dict()}
            for i, scheduler in enumerate(schedulers)
        },
    }


def _schedulers(optimizer: Restorable) -> list[LRScheduler]:
    """The schedulers that groups follow, each once."""
    found: list[LRScheduler] = []
    for group in optimizer.param_groups:
        if group.scheduler is not None and _index(found, group.scheduler) is None:
            found.append(group.scheduler)
    return found


def _index(schedulers: list[LRScheduler], scheduler: LRScheduler | None) -> int | None:
    return next((i for i, other in enumerate(schedulers) if other is scheduler), None)


def load(optimizer: Restorable, saved: Mapping[str, Any]) -> None:
    """Go on from a saved state.

    Raises:
        StateMismatch: it does not fit the optimizer; nothing is changed then.
    """
    label = type(optimizer).__name__
    expect(label, saved, "format", STATE_FORMAT)
    groups = optimizer.param_groups
    stored = _part(label, saved, "param_groups")
    others = _part(label, saved, "param_groups_opt_states")
    if len(stored) != len(groups) or len(others) != len(groups) - 1:
        raise StateMismatch(
            f"{label}: the saved state has {len(stored)} parameter groups, and here there are {len(groups)}"
        )
    for key in ("step_count", "skipped_steps", "opt_state"):
        if key not in saved:
            raise StateMismatch(f"{label}: the saved state has no entry '{key}'; it holds {', '.join(map(str, saved))}")
    restored = []
    for i, group in enumerate(groups):
        entry = _part(label, stored, str(i))
        restored.append(group.restored(entry, saved["opt_state"] if i == 0 else others.get(str(i - 1))))
    counts = {name: count_of(label, name, saved[name]) for name in ("step_count", "skipped_steps")}
    _load_rates(optimizer, saved)
    for group, (rule, state) in zip(groups, restored, strict=True):
        assert group.state is not None
        group.rule = rule
        group.state.value = state
    optimizer.step_count.value = counts["step_count"]
    optimizer.skipped_steps.value = counts["skipped_steps"]


def _part(label: str, saved: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = saved.get(key)
    if not isinstance(found, Mapping):
        raise StateMismatch(f"{label}: '{key}' of the saved state is a mapping, not {type(found).__name__}")
    return found


def _load_rates(optimizer: Restorable, saved: Mapping[str, Any]) -> None:
    """Restore the schedulers. Where a number stands in for a scheduler that was saved, it becomes the saved rate."""
    label = type(optimizer).__name__
    mine = _schedulers(optimizer)
    stored = _part(label, saved, "schedulers")
    groups = [_part(label, _part(label, saved, "param_groups"), str(i)) for i in range(len(optimizer.param_groups))]
    plan: dict[int, Mapping[str, Any]] = {}
    rates = []
    for group, entry in zip(optimizer.param_groups, groups, strict=True):
        index, own = entry.get("scheduler"), _index(mine, group.scheduler)
        if (index is None) != (own is None):
            has = "a learning rate that is held" if index is not None else "no learning rate"
            raise StateMismatch(
                f"{label}: the saved state has {has}, and this optimizer {'not' if own is None else 'has'}"
            )
        if index is None or own is None:
            continue
        found = _part(label, stored, str(index))
        kind, wanted = found.get("kind"), type(mine[own]).__name__
        same = kind == wanted and entry.get("position") == group.position and plan.get(own, found) is found
        if same:
            plan[own] = found
        elif isinstance(mine[own], FixedLR):
            rates.append((group, entry["lr"]))
        else:
            raise StateMismatch(
                f"{label}: the learning rate was saved from {kind}, and here it comes from {wanted}; load first, then "
                f"set lr to the new scheduler"
            )
    before = [(mine[own], mine[own].state_dict()) for own in plan]
    try:
        for own, found in plan.items():
            mine[own].load_state_dict(_part(label, found, "state"))
        for group, rate in rates:
            group.set_rate(rate)
    except (OptgenError, KeyError, TypeError, ValueError) as error:
        for scheduler, state in before:
            scheduler.load_state_dict(state)
        raise StateMismatch(f"{label}: the saved state of a scheduler does not fit: {error}") from None
