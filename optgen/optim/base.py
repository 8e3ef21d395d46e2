"""The class behind every optimizer of `optgen.optim`."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import optax

from optgen.errors import NotRegistered, TreeMismatch
from optgen.optim.schedulers import LRScheduler
from optgen.runtime.arguments import Settings, bind, check_value, dialect_of, settings, signature
from optgen.runtime.docstrings import described
from optgen.runtime.entry import Entry
from optgen.runtime.jax import PARAMETER_FORM, JaxVariant, ModelState
from optgen.spec.model import Dialect


class HasValue(Protocol):
    """Anything that holds an array, or a tree of arrays, under a settable `.value`."""

    value: Any


class _Holder:
    """Holds one value; what stands in for a brainstate State where the weights are none."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Optimizer:
    """A stateful optimizer: give it weights once, then gradients at every step.

    Subclasses are made by `optimizer_class`; they differ in the entry they build from and in their signature.
    """

    entry: ClassVar[Entry]
    dialect: ClassVar[Dialect]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        manifest = self.entry.manifest
        given = bind(type(self).__name__, self.__signature__, args, kwargs)
        self._scheduler: LRScheduler | None = None
        for argument in self.dialect.arguments:
            scheduler = given.get(argument.name)
            if argument.targets == ("lr",) and isinstance(scheduler, LRScheduler):
                self._scheduler = scheduler
                given[argument.name] = scheduler.current_lrs.value[0]
        self._settings: Settings = settings(manifest, self.dialect, given)
        self._variant: JaxVariant = self.entry.variant(
            self._settings.options, {**self._settings.values, **self._settings.schedules}
        )
        varying = {h.name for h in manifest.hyperparameters if h.varies}
        used = [n for n in self._variant.info.hyperparameters if n not in self._settings.schedules]
        # What is known for good is compiled in, folded in float64; what varies, or is an array, is passed each step.
        fixed = {n for n in used if n not in varying and isinstance(self._settings.values[n], float | int)}
        self._fixed = {n: self._settings.values[n] for n in used if n in fixed}
        self._varying_values = {n: self._settings.values[n] for n in used if n not in fixed}
        self._weights: dict[Hashable, HasValue] = {}
        self._scheduled_step: Callable[..., Any] | None = None
        self._state: HasValue | None = None
        self._varying: HasValue | None = None

    @property
    def step_count(self) -> int:
        """The number of steps done; raises NotRegistered before there are weights."""
        return int(self._registered().value[0])

    @property
    def lr(self) -> Any:
        """The learning rate of the next step; raises AttributeError where the rule has none."""
        if self._scheduler is not None:
            return self._scheduler.current_lrs.value[0]
        if "lr" in self._settings.schedules:
            return self._settings.schedules["lr"](self.step_count)
        if "lr" not in self._varying_values:
            raise AttributeError(f"{type(self).__name__} has no learning rate")
        told = self._varying_values["lr"]
        if self._varying is None or bool(jnp.asarray(told, float) == self._varying.value["lr"]):
            return told  # as it was given, not as the array's dtype rounds it
        return float(self._varying.value["lr"])

    @lr.setter
    def lr(self, value: float | LRScheduler) -> None:
        if "lr" not in self._varying_values:
            why = "is a schedule and cannot be set" if "lr" in self._settings.schedules else "is not part of this rule"
            raise AttributeError(f"{type(self).__name__}: the learning rate {why}")
        (declared,) = (h for h in self.entry.manifest.hyperparameters if h.name == "lr")
        self._scheduler = value if isinstance(value, LRScheduler) else None
        if isinstance(value, LRScheduler):
            value = value.current_lrs.value[0]
        self._varying_values["lr"] = check_value(f"{type(self).__name__}: lr", declared, value)
        if self._varying is not None:
            self._varying.value = {**self._varying.value, "lr": jnp.asarray(self._varying_values["lr"], float)}

    def register_trainable_weights(self, weights: Mapping[Hashable, HasValue]) -> None:
        """Say which weights to train, and start their state.

        Args:
            weights: a name for each, and the object whose `.value`, an array or a tree of arrays, is updated.

        Raises:
            TreeMismatch: there are none, or a value is not made of floating-point arrays.
        """
        if not isinstance(weights, Mapping) or not all(hasattr(weight, "value") for weight in weights.values()):
            raise TreeMismatch(f"{type(self).__name__}: weights are a mapping of names to objects with a .value")
        if not weights:
            raise TreeMismatch(f"{type(self).__name__} was given no weights")
        leaves, _ = jax.tree.flatten([weight.value for weight in weights.values()])
        count = jnp.zeros([], jnp.int32)
        varying = {name: jnp.asarray(value, float) for name, value in self._varying_values.items()}
        first = {name: schedule(count) for name, schedule in self._settings.schedules.items()}
        state = self._variant.init([jnp.asarray(leaf) for leaf in leaves], {**self._fixed, **varying, **first})
        holder = _holder_type(weights)
        self._weights = dict(weights)
        self._state = holder((count, [dict(tensor) for tensor in state.tensors], dict(state.shared)))
        self._varying = holder(varying)

    def step(self, grads: Mapping[Hashable, Any], **inputs: Any) -> None:
        """Update the weights in place.

        Args:
            grads: the gradient of each weight, by the names they were registered under.
            **inputs: what else the rule asks for at every step; like the gradients where it is one per weight.

        Raises:
            NotRegistered: no weights were registered.
            TypeError: an input is missing, or one that the rule does not ask for.
            TreeMismatch: a gradient is missing or extra, or its tree or shape is another; nothing is changed then.
        """
        holder = self._registered()
        assert self._varying is not None
        self._check_names(grads)
        values = [weight.value for weight in self._weights.values()]
        leaves, tree = jax.tree.flatten(values)
        gradients = self._flat_gradients(grads, values)
        given = self._flat_inputs(inputs)
        if self._scheduler is not None:
            rate = jnp.asarray(self._scheduler.current_lrs.value[0], float)
            self._varying.value = {**self._varying.value, "lr": rate}
        new, state = self._compiled()(leaves, gradients, holder.value, self._varying.value, given)
        holder.value = state
        for weight, value in zip(self._weights.values(), jax.tree.unflatten(tree, new), strict=True):
            weight.value = value

    def _flat_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        wanted = self._variant.info.inputs
        if set(inputs) != set(wanted):
            takes = ", ".join(f"{name}=..." for name in wanted) or "no inputs"
            raise TypeError(f"{type(self).__name__}: step takes {takes} besides the gradients, not {sorted(inputs)}")
        kinds = {declared.name: declared.kind for declared in self.entry.manifest.inputs}
        per_weight = ("tensor", "element")
        found: dict[str, Any] = {}
        for name in wanted:
            found[name] = inputs[name]
            if kinds[name] in per_weight:
                trees = [inputs[name][weight] for weight in self._weights]
                found[name] = tuple(leaf for tree in trees for leaf in jax.tree.leaves(tree))
        return found

    def _compiled(self) -> Callable[..., Any]:
        """The jitted step: shared by all optimizers of the same settings, unless a schedule is part of it."""
        if not self._settings.schedules:
            return compiled_step(self._variant, tuple(self._fixed.items()))
        if self._scheduled_step is None:
            self._scheduled_step = jitted_step(self._variant, self._fixed, self._settings.schedules)
        return self._scheduled_step

    def _registered(self) -> HasValue:
        if self._state is None:
            raise NotRegistered(f"{type(self).__name__}: call register_trainable_weights(weights) first")
        return self._state

    def _check_names(self, grads: Mapping[Hashable, Any]) -> None:
        missing = [name for name in self._weights if name not in grads]
        extra = [name for name in grads if name not in self._weights]
        if missing or extra:
            problems = [f"no gradient for {missing}"] if missing else []
            problems += [f"no weight for {extra}"] if extra else []
            raise TreeMismatch(f"{type(self).__name__}: {' and '.join(problems)}")

    def _flat_gradients(self, grads: Mapping[Hashable, Any], values: list[Any]) -> list[jax.Array]:
        found: list[jax.Array] = []
        for name, value in zip(self._weights, values, strict=True):
            leaves, tree = _flattened(grads[name])
            wanted, wanted_tree = _flattened(value)
            if tree != wanted_tree:
                raise TreeMismatch(
                    f"{type(self).__name__}: the gradient of {name!r} is {tree}, its weight {wanted_tree}"
                )
            for leaf, weight in zip(leaves, wanted, strict=True):
                if jnp.shape(leaf) != jnp.shape(weight):
                    raise TreeMismatch(
                        f"{type(self).__name__}: the gradient of {name!r} has shape {jnp.shape(leaf)}, "
                        f"its weight {jnp.shape(weight)}"
                    )
                found.append(jnp.asarray(leaf))
        return found


@functools.lru_cache(maxsize=128)
def compiled_step(variant: JaxVariant, fixed: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    """One step of a variant under jit, for hyperparameters that are known for good."""
    return jitted_step(variant, dict(fixed), {})


def jitted_step(
    variant: JaxVariant, fixed: Mapping[str, Any], schedules: Mapping[str, Callable[..., Any]]
) -> Callable[..., Any]:
    """One step under jit; hyperparameters that vary, and the step, are arguments of what is compiled."""

    @jax.jit
    def run(parameters: Any, gradients: Any, state: Any, varying: Any, inputs: Any) -> Any:
        count, tensors, shared = state
        hyperparameters = {**fixed, **varying, **{name: schedule(count) for name, schedule in schedules.items()}}
        t = optax.safe_increment(count)
        new, after = variant.step(
            gradients, ModelState(tuple(tensors), shared), parameters, t, hyperparameters, inputs, PARAMETER_FORM
        )
        return list(new), (t, [dict(tensor) for tensor in after.tensors], dict(after.shared))

    return run


def _flattened(value: Any) -> tuple[list[Any], Any]:
    leaves, tree = jax.tree.flatten(value)
    return leaves, tree


def _holder_type(weights: Mapping[Hashable, HasValue]) -> Callable[[Any], HasValue]:
    """Brainstate's State where the weights are States, so that its transformations see what a step changes."""
    brainstate = sys.modules.get("brainstate")
    if brainstate is not None and any(isinstance(weight, brainstate.State) for weight in weights.values()):
        return brainstate.LongTermState  # type: ignore[no-any-return]
    return _Holder


def optimizer_class(entry: Entry, dialect: Dialect | None = None) -> type[Optimizer]:
    """The class of one optimizer, with braintools' name and arguments; the first if it has several names for it."""
    manifest = entry.manifest
    dialect = dialect or dialect_of(manifest, "braintools")
    return type(
        dialect.name,
        (Optimizer,),
        {
            "entry": entry,
            "dialect": dialect,
            "__signature__": signature(dialect),
            "__module__": "optgen.optim",
            "__doc__": described(manifest, dialect),
        },
    )
