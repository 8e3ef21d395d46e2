"""The class behind every optimizer of `optgen.optim`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import jax.numpy as jnp
import optax

from optgen.arguments.binding import bind
from optgen.arguments.own import ADDED, checked_flag
from optgen.arguments.settings import Settings, arguments_of, settings
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, NotRegistered, StateMismatch, TreeMismatch
from optgen.frontends.weights.cells import HasValue, View, cell, refreshed
from optgen.frontends.weights.rules import SEARCH_INPUTS, GeneratedRule, OptaxRule, StatefulRule, rate_name
from optgen.frontends.weights.weights import Weights, flat_weights, shown
from optgen.optax._factory import transformation
from optgen.optim._checkpoints import load, save
from optgen.optim._groups import ParameterGroup
from optgen.optim._rates import Rated
from optgen.optim._schedulers import LRScheduler
from optgen.runtime.jax.trees import all_finite


class Optimizer(Rated):
    """A stateful optimizer: give it weights once, then gradients at every step.

    Subclasses are made by `optimizer_class`; they differ in the entry they build from and in their signature. Whoever
    derives from one and defines `default_tx` gets that optax transformation instead of the rule.
    """

    __signature__: ClassVar[inspect.Signature]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        label = type(self).__name__
        given = bind(label, self.__signature__, args, kwargs)
        self._skips = checked_flag(label, given.pop("skip_nonfinite", False))
        self._own = {a.name: given.pop(a.name, None) for a in self.dialect.arguments if not a.targets}
        lr = self._own.pop("lr", None) if "lr" in self._own else given.get("lr")
        if isinstance(lr, LRScheduler) and "lr" in given:
            given["lr"] = lr.current_lrs.value[0]
        state_dtype = given.pop("state_dtype", None)
        self._settings: Settings = replace(settings(self.entry.manifest, self.dialect, given), state_dtype=state_dtype)
        self.weights = Weights(label)
        self._groups = []
        self._added = []
        self._steps = cell(jnp.zeros([], jnp.int32))
        self._skipped = cell(jnp.zeros([], jnp.int32))
        self._first = ParameterGroup(self, self._rule(), None, 0)
        self._start_rate(lr)
        own = self._own_tx()
        if own is not None:
            self._first.rule = own

    def _rule(self) -> StatefulRule:
        return GeneratedRule(self.entry, self._settings)

    def _own_tx(self) -> OptaxRule | None:
        """A transformation of the user's in place of the rule, None if there is none."""
        given = self._own.get("tx")
        if given is not None and not isinstance(given, optax.GradientTransformation):
            raise HyperparameterTypeError(
                f"{type(self).__name__}: tx is an optax.GradientTransformation, not {given!r}"
            )
        if given is None and type(self).default_tx is not Optimizer.default_tx:
            given = self.default_tx()
        if given is None:
            return None
        if self._settings.state_dtype is not None:
            raise InvalidHyperparameter(
                f"{type(self).__name__}: state_dtype is for states of the rule, and here an optax transformation of "
                "yours keeps its own"
            )
        return OptaxRule(given)

    # What it is.

    @property
    def own_settings(self) -> Mapping[str, Any]:
        """The arguments of the rule besides the learning rate, by name."""
        return {n: v for n, v in arguments_of(self.dialect, self._settings).items() if n != "lr"}

    def argument(self, name: str) -> Any:
        """The value of a constructor's argument, that of the first group."""
        return self._own[name] if name in self._own else self._first[name]

    def change(self, name: str, value: Any) -> None:
        """Set an argument of the first group, as `param_groups[0][name] = value` does."""
        if name in self._own:
            raise AttributeError(f"{type(self).__name__}: {name} is fixed when the optimizer is made")
        self._first[name] = value

    @property
    def step_count(self) -> View:
        """The number of steps done, under `.value`."""
        return _counter(self._steps)

    @property
    def skipped_steps(self) -> View:
        """The number of steps that were left out because a gradient was not finite, under `.value`."""
        return _counter(self._skipped)

    @property
    def param_states(self) -> dict[Any, HasValue]:
        """The weights by name, of all groups."""
        return self.weights.named()

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The groups: the first of `register_trainable_weights`, then those of `add_param_group`."""
        return list(self._groups)

    @property
    def opt_state(self) -> HasValue | None:
        """The state of the first group, under `.value`; None before there are weights."""
        return self._first.state

    @property
    def param_groups_opt_states(self) -> list[HasValue]:
        """The states of the other groups."""
        return [group.state for group in self._groups[1:] if group.state is not None]

    @property
    def tx(self) -> optax.GradientTransformation:
        """This optimizer as an optax transformation, with a state of its own."""
        given = self._own.get("tx")
        return self.default_tx() if given is None else given

    def default_tx(self) -> optax.GradientTransformation:
        """The first group's rule as an optax transformation, which reads the learning rate from this optimizer."""
        rule = GeneratedRule(self.entry, self._settings) if not self._groups else self._first.rule
        assert isinstance(rule, GeneratedRule)
        chosen = rule.settings
        if rule.rate is not None:
            chosen = replace(chosen, schedules={**chosen.schedules, rule.rate: self._rate_now})
        return transformation(self.entry, chosen, self.dialect)

    def _rate_now(self, count: Any) -> Any:
        return jnp.asarray(self._first.rate, float)

    # Weights.

    def register_trainable_weights(self, weights: Any) -> Optimizer:
        """Say which weights to train, and start their state.

        Called again, it adds weights to the first group: their state starts at the group's count of steps, and that
        of the others stays as it is. `add_param_group` gives weights a count of their own.

        Args:
            weights: a mapping of names to objects whose `.value`, an array or a tree of arrays, is updated; mappings
                and lists may lie in it. An object under several names is one weight.

        Returns:
            the optimizer.

        Raises:
            TreeMismatch: there are none, a value is not made of floating-point arrays, or a name is taken.
        """
        given = flat_weights(type(self).__name__, weights)
        paths = self.weights.add(given)
        for name in ("_steps", "_skipped"):
            setattr(self, name, refreshed(getattr(self, name)))
        if not self._groups:
            self._groups = [self._first]
        if paths or self._first.state is None:
            self._first.start(self.weights, paths)
        return self

    def add_param_group(self, params: Any, **kwargs: Any) -> None:
        """Train more weights, with hyperparameters of their own.

        A group is a model of its own for whatever the rule folds over the model, `grad_clip_norm` included, and counts
        its own steps.

        Args:
            params: as for `register_trainable_weights`.
            **kwargs: arguments of the constructor; those that are not given are the first group's. `lr` may be a
                scheduler, which this group follows alone. A number is what the optimizer's scheduler scales for this
                group; without `lr`, the group has the scheduler's rate.

        Raises:
            NotRegistered: there are no weights yet.
            TreeMismatch: one of the weights is trained already; see also `register_trainable_weights`.
            InvalidHyperparameter: a value is wrong.
            TypeError: the rule has no such argument.
        """
        label = type(self).__name__
        self._registered()
        given = flat_weights(label, params)
        for path, weight in given.items():
            known = self.weights.path_of(weight)
            if known is not None:
                raise TreeMismatch(f"{label}: weight {shown(path)!r} is trained already, as {shown(known)!r}")
        lr = kwargs.pop("lr", None)
        bind(label, self.__signature__, (), {**_needed(self.__signature__), **kwargs})
        group = ParameterGroup(self, self._group_rule(kwargs), None, 0)
        rate = lr if lr is None or isinstance(lr, LRScheduler) else group.checked_rate(lr)
        main, position = self._groups[0].scheduler, len(self._groups)
        scaled = rate is not None and not isinstance(rate, LRScheduler)
        if scaled and main is not None and not main.has_base:
            raise InvalidHyperparameter(
                f"{label}: lr = {lr!r} of a group cannot follow {type(main).__name__}, whose values are the learning "
                f"rates themselves; give the group a scheduler of its own"
            )
        paths = self.weights.add(given)
        if isinstance(rate, LRScheduler):
            group.follow(rate)
            rate.optimizer = self
        elif main is not None:
            group.follow(main, position)
            if scaled:
                main.rebase(position, rate)
        group.start(self.weights, paths)
        self._groups.append(group)

    def _group_rule(self, kwargs: Mapping[str, Any]) -> StatefulRule:
        label = type(self).__name__
        fixed = [name for name in kwargs if name in self._own or name in {p.name for p in ADDED}]
        if fixed:
            raise TypeError(f"{label}: {', '.join(fixed)} is the optimizer's, not a group's")
        first = self._first.rule
        if not isinstance(first, GeneratedRule):
            if kwargs:
                raise TypeError(f"{label}: an optax transformation's settings are its own, not a group's: {kwargs}")
            return first
        chosen = settings(self.entry.manifest, self.dialect, {**self._first._arguments(), **kwargs})
        name = rate_name(self.entry)
        values = dict(chosen.values)
        if name is not None:
            values[name] = first.settings.values[name]
        return GeneratedRule(first.entry, replace(first.settings, options=chosen.options, values=values))

    # Steps.

    def update(self, grads: Any, **inputs: Any) -> Any:
        """Make a step; another name for `step`."""
        return self.step(grads, **inputs)

    def step(self, grads: Any = None, closure: Callable[[], Any] | None = None, **inputs: Any) -> Any:
        """Update the weights in place.

        Args:
            grads: the gradient of each weight, by the names they were registered under.
            closure: a function without arguments, called before the update; what it returns is the loss, or, where
                `grads` is not given, the loss and the gradients.
            **inputs: what else the rule asks for at every step; like the gradients where it is one per weight. Of what
                a line search asks for, `value`, `value_fn` and `grad`, other rules take no notice.

        Returns:
            the loss that the closure returned, None without one.

        Raises:
            NotRegistered: no weights were registered.
            TypeError: an input is missing, or one that the rule does not ask for; or the closure gives no gradients.
            TreeMismatch: a gradient is missing or extra, or its tree, shape or dtype is another; nothing is changed
                then.
        """
        self._registered()
        loss = None
        if closure is not None:
            loss = closure()
            if grads is None:
                if not isinstance(loss, tuple) or len(loss) != 2:
                    raise TypeError(
                        f"{type(self).__name__}: without grads, the closure returns the loss and the gradients, "
                        f"not {type(loss).__name__}"
                    )
                loss, grads = loss
        gradients = self.weights.gradients(grads)
        given = self._inputs(inputs, grads)
        ok = all_finite(list(gradients.values())) if self._skips else None
        # All groups are computed before any is changed.
        moved = [group.moved(gradients, given, ok) for group in self._groups]
        for group, (values, state) in zip(self._groups, moved, strict=True):
            assert group.state is not None
            group.state.value = state
            self.weights.move(values)
        done = 1 if ok is None else ok.astype(jnp.int32)
        self._steps.value = self._steps.value + done
        if ok is not None:
            self._skipped.value = self._skipped.value + (1 - done)
        return loss

    def _inputs(self, inputs: Mapping[str, Any], grads: Any) -> dict[str, Any]:
        rule: Any = self._first.rule
        allowed = (*rule.needs, *SEARCH_INPUTS)
        missing = [name for name in rule.needs if name not in inputs and name != "grad"]
        unknown = [name for name in inputs if name not in allowed]
        if missing or unknown:
            takes = ", ".join(f"{name}=..." for name in rule.needs) or "no inputs"
            raise TypeError(f"{type(self).__name__}: step takes {takes} besides the gradients, not {sorted(inputs)}")
        found = {name: inputs.get(name, grads) for name in rule.needs}
        for name in rule.needs_per_weight:
            found[name] = self.weights.gathered(name, inputs[name])
        return found

    def _registered(self) -> None:
        if not self._groups:
            raise NotRegistered(f"{type(self).__name__}: call register_trainable_weights(weights) first")

    # What is saved.

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here: numbers, strings and arrays in dicts.

        Raises:
            NotRegistered: there are no weights yet.
        """
        self._registered()
        return save(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave: the state, the counts, the hyperparameters and the schedulers.

        Raises:
            NotRegistered: there are no weights yet.
            StateMismatch: it is of another rule, other options, other weights, other groups or another version of the
                format; nothing is changed then.
        """
        self._registered()
        if not isinstance(state_dict, Mapping):
            raise StateMismatch(f"{type(self).__name__}: a saved state is a mapping, not {type(state_dict).__name__}")
        load(self, state_dict)

    def __repr__(self) -> str:
        told = [f"lr={self._first.rate}", *(f"{name}={value!r}" for name, value in self.own_settings.items())]
        return f"{type(self).__name__}({', '.join(told)})"


def _counter(held: HasValue) -> View:
    return View(lambda: held.value, lambda value: setattr(held, "value", jnp.asarray(value, jnp.int32)))


def _needed(called: inspect.Signature) -> dict[str, Any]:
    """Something for each argument without default, so that the others can be bound."""
    return {p.name: None for p in called.parameters.values() if p.default is inspect.Parameter.empty}
