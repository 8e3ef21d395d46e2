"""The class behind every optimizer of `optgen.brainpy`."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from optgen.arguments.binding import bind, signature
from optgen.arguments.own import ADDED, checked_flag
from optgen.arguments.settings import arguments_of, settings
from optgen.brainpy._exceptions import in_brainpys_words
from optgen.brainpy._files import read_states, write_states
from optgen.brainpy._schedulers import Scheduler, make_schedule
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.contract.formats import scales_of
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, NotRegistered, StateMismatch, TreeMismatch
from optgen.frontends.names import generated_class
from optgen.frontends.weights.cells import HasValue, View, cell
from optgen.frontends.weights.rules import GeneratedRule, check_identity
from optgen.frontends.weights.saved_state import STATE_FORMAT, count_of, expect, unpacked
from optgen.frontends.weights.weights import Weights, flat_weights
from optgen.runtime.formats.codes import Blocks
from optgen.runtime.jax.trees import all_finite

_NUMBERS = itertools.count()


class StateLoadResult(NamedTuple):
    """The keys that did not fit when a state was loaded: always none, since such states are refused."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Optimizer:
    """A stateful optimizer: give it variables by name, then gradients at every step.

    Subclasses are made by `optimizer_class`.

    Attributes:
        lr: the scheduler of the learning rate; `lr()` is the rate of the next step.
        name: what it is called; the names of its state do not depend on it.
    """

    entry: ClassVar[Entry]
    dialect: ClassVar[Dialect]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        label = type(self).__name__
        if not hasattr(self, "entry"):
            raise NotImplementedError(f"{label} is the base of the optimizers; use one of them")
        given = bind(label, self.__signature__, args, kwargs)
        self._skips = checked_flag(label, given.pop("skip_nonfinite", False))
        state_dtype = given.pop("state_dtype", None)
        own = {a.name: given.pop(a.name, None) for a in self.dialect.arguments if not a.targets}
        if own.get("name") is not None and not isinstance(own["name"], str):
            raise HyperparameterTypeError(f"{label}: name is a string, not {own['name']!r}")
        self.name: str = own.get("name") or f"{label}{next(_NUMBERS)}"
        chosen = settings(self.entry.manifest, self.dialect, {n: v for n, v in given.items() if n != "lr"})
        self._rule = GeneratedRule(self.entry, replace(chosen, state_dtype=state_dtype))
        try:
            self.lr: Scheduler = make_schedule(given.get("lr", arguments_of(self.dialect, chosen)["lr"]))
        except InvalidHyperparameter as error:
            raise type(error)(f"{label}: {error}") from None
        self._weights = Weights(label)
        self._state: HasValue | None = None
        self._skipped = cell(jnp.zeros([], jnp.int32))
        self.register_train_vars(own.get("train_vars"))

    # What it trains.

    @property
    def vars_to_train(self) -> dict[Any, HasValue]:
        """The variables by name."""
        return self._weights.named()

    def train_vars(self) -> dict[Any, HasValue]:
        """The variables by name."""
        return self.vars_to_train

    def register_train_vars(self, train_vars: Any = None) -> None:
        """Say which variables to train, and start their state; called again, it adds variables.

        Args:
            train_vars: a name for each, and the Variable, or any object whose `.value` is updated.

        Raises:
            TreeMismatch: it is no mapping, a value is not made of floating-point arrays, or a name is taken.
        """
        label = type(self).__name__
        with in_brainpys_words():
            if train_vars is not None and not isinstance(train_vars, Mapping):
                kind = type(train_vars).__name__
                raise TreeMismatch(f"{label}: train_vars is a mapping of names to Variables, not a {kind}")
            if not train_vars:
                return
            new = self._weights.add(flat_weights(label, train_vars))
        values = self._weights.values(self._weights)
        if self._state is None:
            self._state = cell(self._rule.start(values, self.lr()))
        elif new:
            self._state.value = self._rule.late(self._state.value, values, new, self.lr())

    def register_vars(self, train_vars: Any = None) -> None:
        """The old name of `register_train_vars`."""
        warnings.warn("register_vars is deprecated, use register_train_vars", UserWarning, stacklevel=2)
        self.register_train_vars(train_vars)

    # Steps.

    def check_grads(self, grads: Any) -> None:
        """Check gradients against the variables.

        Raises:
            TreeMismatch: one is missing or extra, or its tree, shape or dtype is another.
        """
        with in_brainpys_words():
            self._weights.gradients(grads)

    def update(self, grads: Mapping[Hashable, Any]) -> None:
        """Update the variables in place, and count a call of the scheduler.

        Args:
            grads: the gradient of each variable, by name.

        Raises:
            NotRegistered: there are no variables.
            TreeMismatch: a gradient is missing or extra, or its tree, shape or dtype is another; nothing is changed
                then.
        """
        state = self._registered()
        with in_brainpys_words():
            gradients = self._weights.gradients(grads)
        ok = all_finite(list(gradients.values())) if self._skips else None
        values = self._weights.values(self._weights)
        new, state.value = self._rule.step(values, gradients, state.value, jnp.asarray(self.lr(), float), {}, ok)
        self._weights.move(new)
        done = 1 if ok is None else ok.astype(jnp.int32)
        self._skipped.value = self._skipped.value + (1 - done)
        self.lr.step_call(done)

    def _registered(self) -> HasValue:
        if self._state is None:
            raise NotRegistered(f"{type(self).__name__}: call register_train_vars(variables) first")
        return self._state

    @property
    def step(self) -> View:
        """The number of steps done, under `.value`."""
        return View(lambda: self._state.value["count"] if self._state is not None else 0, self._set_count)

    def _set_count(self, count: Any) -> None:
        state = self._registered()
        state.value = {**state.value, "count": jnp.asarray(count, jnp.int32)}

    @property
    def skipped_steps(self) -> View:
        """The number of steps that were left out because a gradient was not finite, under `.value`."""
        return View(lambda: self._skipped.value, lambda value: setattr(self._skipped, "value", jnp.asarray(value)))

    # Its state.

    @property
    def implicit_vars(self) -> dict[str, View]:
        """The rule's states by the library's names: `w_m` is `m` of the variable `w`. Each has a `.value`."""
        if self._state is None:
            return {}
        return {name: self._view(name) for name in self._named(self._state.value) if name != "step"}

    def vars(self) -> dict[str, Any]:
        """The state of the optimizer by name, each under `.value`: the same names in every process."""
        found: dict[str, Any] = {"step": self.step, **self.implicit_vars} if self._state is not None else {}
        counters = {name: value for name, value in vars(self.lr).items() if name.startswith("last_")}
        return {**found, **{f"lr.{name}": value for name, value in counters.items()}}

    def _view(self, name: str) -> View:
        def write(value: Any) -> None:
            state = self._registered()
            named = self._named(state.value)
            array = jnp.asarray(value, named[name].dtype)
            if array.shape != named[name].shape:
                label = type(self).__name__
                raise TreeMismatch(f"{label}: {name} has shape {named[name].shape}, and is given {array.shape}")
            state.value = self._unnamed({**named, name: array}, state.value)

        return View(lambda: self._named(self._registered().value)[name], write)

    def _names(self, state: Any) -> Any:
        """The library's name of each array of a state, in a tree like the state."""
        spelled = self.dialect.states

        def named(whole: str, value: Any) -> Any:
            if isinstance(value, Blocks):
                return Blocks(whole, scales_of(whole))
            leaves, tree = jax.tree.flatten(value)
            several = isinstance(value, tuple)
            return jax.tree.unflatten(tree, [whole + (str(i) if several else "") for i in range(len(leaves))])

        return {
            "count": "step",
            "tensors": {
                tensor: {name: named(f"{tensor}_{spelled.get(name, name)}", value) for name, value in kept.items()}
                for tensor, kept in state["tensors"].items()
            },
            "shared": {name: named(spelled.get(name, name), value) for name, value in state["shared"].items()},
        }

    def _named(self, state: Any) -> dict[str, Any]:
        """The arrays of a state by the library's names."""
        return dict(zip(jax.tree.leaves(self._names(state)), jax.tree.leaves(state), strict=True))

    def _unnamed(self, named: Mapping[str, Any], like: Any) -> Any:
        """The state of which `_named` gives the arrays."""
        return jax.tree.map(lambda name: named[name], self._names(like))

    def state_dict(self) -> dict[str, Any]:
        """The state to save for continuing from here: numbers, strings and arrays in dicts.

        The names do not depend on the optimizer's own, so that another one can be given what this one has saved.

        Raises:
            NotRegistered: there are no variables.
        """
        state = self._registered()
        return {
            "format": STATE_FORMAT,
            "optimizer": type(self).__name__,
            **self._rule.identity(),
            "skipped_steps": self._skipped.value,
            "state": self._named(state.value),
            "lr": {"kind": type(self.lr).__name__, "state": self.lr.state_dict()},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> StateLoadResult:
        """Go on from what `state_dict` gave, of this optimizer or of another one like it.

        Raises:
            NotRegistered: there are no variables.
            StateMismatch: it is of another rule, other options, other variables, another scheduler or another version
                of the format; nothing is changed then.
        """
        label = type(self).__name__
        held = self._registered()
        if not isinstance(state_dict, Mapping):
            raise StateMismatch(f"{label}: a saved state is a mapping, not {type(state_dict).__name__}")
        expect(label, state_dict, "format", STATE_FORMAT)
        check_identity(label, state_dict, self._rule)
        named = unpacked(label, state_dict.get("state"), self._named(held.value))
        rates = state_dict.get("lr")
        if not isinstance(rates, Mapping) or rates.get("kind") != type(self.lr).__name__:
            kind = rates.get("kind") if isinstance(rates, Mapping) else rates
            raise StateMismatch(f"{label}: the learning rate was saved from {kind}, and here it is {self.lr!r}")
        skipped = count_of(label, "skipped_steps", state_dict.get("skipped_steps", 0))
        self.lr.load_state_dict(rates["state"])
        held.value = self._unnamed(named, held.value)
        self._skipped.value = jnp.asarray(skipped, jnp.int32)
        return StateLoadResult([], [])

    def save_states(self, filename: str | Path) -> None:
        """Write `state_dict` to a file whose name ends in `.npz`.

        Raises:
            ValueError: its name ends in something else.
            OSError: it cannot be written.
        """
        write_states(filename, self.state_dict())

    def load_states(self, filename: str | Path) -> StateLoadResult:
        """Go on from a file that `save_states` wrote.

        Raises:
            StateMismatch: see `load_state_dict`; or the file is no such file.
            OSError: it cannot be read.
        """
        return self.load_state_dict(read_states(filename))

    def __getattr__(self, name: str) -> Any:
        """The value of a constructor's argument."""
        rule = self.__dict__.get("_rule")
        found = arguments_of(self.dialect, rule.settings) if rule is not None else {}
        if name not in found:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return found[name]

    def __repr__(self) -> str:
        told = {**arguments_of(self.dialect, self._rule.settings), "lr": self.lr}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in told.items())})"


def optimizer_class(entry: Entry, dialect: Dialect) -> type[Optimizer]:
    """The class of one optimizer, with brainpy's name and arguments."""
    return generated_class(Optimizer, entry, dialect, "optgen.brainpy", signature(dialect, *ADDED))
