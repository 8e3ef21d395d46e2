"""The rules that stateful optimizers run: a generated one, or an optax transformation; and the step of several at once.

What a front-end adds is its interface: how weights are named, where the learning rate comes from, what is saved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from optgen.arguments.settings import Settings
from optgen.catalogue.entry import Entry
from optgen.errors import StateMismatch, TreeMismatch
from optgen.frontends.pickling import PickledAsBuilt
from optgen.frontends.weights.saved_state import expect
from optgen.frontends.weights.weights import Path
from optgen.runtime.formats.codes import closed
from optgen.runtime.formats.state_dtypes import formats_of
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.state import PARAMETER_FORM, ModelState

#: A tree of arrays for each weight.
Values = Mapping[Path, Any]
#: What a line search asks for; rules that do not search take no notice.
SEARCH_INPUTS = ("value", "value_fn", "grad")


class StatefulRule(Protocol):
    """A rule that steps some weights and keeps its state."""

    def start(self, values: Values, rate: Any) -> Any:
        """The state before the first step, a tree of arrays."""
        ...

    def late(self, state: Any, values: Values, new: Iterable[Path], rate: Any) -> Any:
        """The state with that of weights which come later, started; that of the others stays."""
        ...

    def step(
        self, values: Values, gradients: Values, state: Any, rate: Any, inputs: Mapping[str, Any], ok: Any
    ) -> tuple[dict[Path, Any], Any]:
        """New values and the state after a step, or both as they were where `ok` is an array that is False."""
        ...

    def identity(self) -> dict[str, Any]:
        """Plain values that a saved state must have in common with this rule to fit."""
        ...


def rate_name(entry: Entry) -> str | None:
    """The hyperparameter that is the learning rate, None where the rule has none; also that of a wrapped optimizer."""
    return next((h.name for h in entry.manifest.hyperparameters if h.name == "lr"), None)


class GeneratedRule(PickledAsBuilt):
    """A rule of the catalogue, or a user's own, with its settings.

    Args:
        entry: the optimizer.
        settings: values for its options and hyperparameters.

    Attributes:
        rate: the name of the learning rate, None where the rule has none or it is a function of the step.
        needs: the inputs that a step asks for besides the gradients.
    """

    def __init__(self, entry: Entry, settings: Settings) -> None:
        self.entry = entry
        self.settings = settings
        self.variant: JaxVariant = entry.variant(settings.options, {**settings.values, **settings.schedules})
        manifest = entry.manifest
        self.formats = formats_of(manifest.class_name, settings.state_dtype, self.variant.info)
        named = rate_name(entry)
        used = [n for n in self.variant.info.hyperparameters if n not in settings.schedules]
        self.rate = named if named in used else None
        varying = {h.name for h in manifest.hyperparameters if h.varies} | {named}
        # What is known for good is compiled in, folded in float64; what varies, or is an array, is passed each step.
        fixed = {n for n in used if n not in varying and isinstance(settings.values[n], float | int)}
        self.fixed = {n: settings.values[n] for n in used if n in fixed}
        self._varying = {n: settings.values[n] for n in used if n not in fixed and n != self.rate}
        self.needs = tuple(self.variant.info.inputs)
        kinds = {declared.name: declared.kind for declared in manifest.inputs}
        self.needs_per_weight = tuple(n for n in self.needs if kinds[n] in ("tensor", "element"))
        self._scheduled: Callable[..., Any] | None = None

    def _numbers(self, rate: Any) -> dict[str, Any]:
        given = self._varying if self.rate is None else {**self._varying, self.rate: rate}
        return {name: jnp.asarray(value, float) for name, value in given.items()}

    def start(self, values: Values, rate: Any) -> Any:
        """The state before the first step: the count of steps, each tensor's arrays, and what is kept once."""
        count = jnp.zeros([], jnp.int32)
        first = {name: schedule(count) for name, schedule in self.settings.schedules.items()}
        state = self.variant.init(_leaves(values), {**self.fixed, **self._numbers(rate), **first})
        started = closed(self.variant.arrays, state.tensors, self.formats, self.variant.state_names(), None)
        tensors = dict(zip(leaf_names(values), map(dict, started), strict=True))
        return {"count": count, "tensors": tensors, "shared": dict(state.shared)}

    def late(self, state: Any, values: Values, new: Iterable[Path], rate: Any) -> Any:
        """The state with the new weights' tensors at their start; the count goes on."""
        started = self.start(values, rate)
        kept = set(leaf_names({path: value for path, value in values.items() if path not in set(new)}))
        tensors = {n: state["tensors"][n] if n in kept else fresh for n, fresh in started["tensors"].items()}
        return {**state, "tensors": tensors}

    def step(
        self, values: Values, gradients: Values, state: Any, rate: Any, inputs: Mapping[str, Any], ok: Any
    ) -> tuple[dict[Path, Any], Any]:
        """New values and the state after a step, compiled."""
        names = leaf_names(values)
        if names != list(state["tensors"]) and set(names) != set(state["tensors"]):
            known = ", ".join(state["tensors"])
            raise TreeMismatch(
                f"{self.entry.manifest.class_name}: the weights are now {', '.join(names)}, and the state was made for "
                f"{known}"
            )
        leaves, tree = jax.tree.flatten(list(values.values()))
        tensors = [state["tensors"][name] for name in names]
        given = {
            name: tuple(_leaves(inputs[name])) if name in self.needs_per_weight else inputs[name] for name in self.needs
        }
        run = self._compiled()
        new, (count, kept, shared) = run(
            leaves, _leaves(gradients), (state["count"], tensors, state["shared"]), self._numbers(rate), given, ok
        )
        after = {"count": count, "tensors": dict(zip(names, kept, strict=True)), "shared": shared}
        return dict(zip(values, jax.tree.unflatten(tree, new), strict=True)), after

    def _compiled(self) -> Callable[..., Any]:
        """The jitted step: shared by all optimizers of the same settings, unless a schedule is part of it."""
        if not self.settings.schedules:
            return compiled_step(self.variant, tuple(self.fixed.items()), tuple(self.formats.items()))
        if self._scheduled is None:
            self._scheduled = _jitted_step(self.variant, self.fixed, self.formats, self.settings.schedules)
        return self._scheduled

    def identity(self) -> dict[str, Any]:
        """The rule's name and its options."""
        return {"rule": self.entry.manifest.name, "options": dict(self.settings.options)}


@functools.lru_cache(maxsize=128)
def compiled_step(
    variant: JaxVariant, fixed: tuple[tuple[str, Any], ...], formats: tuple[tuple[str, str], ...] = ()
) -> Callable[..., Any]:
    """One step of a variant under jit, for hyperparameters that are known for good."""
    return _jitted_step(variant, dict(fixed), dict(formats), {})


def _jitted_step(
    variant: JaxVariant,
    fixed: Mapping[str, Any],
    formats: Mapping[str, str],
    schedules: Mapping[str, Callable[..., Any]],
) -> Callable[..., Any]:
    """One step under jit; hyperparameters that vary, and the step, are arguments of what is compiled."""

    @jax.jit
    def run(parameters: Any, gradients: Any, state: Any, varying: Any, inputs: Any, ok: Any = None) -> Any:
        count, tensors, shared = state
        hyperparameters = {**fixed, **varying, **{name: schedule(count) for name, schedule in schedules.items()}}
        t = optax.safe_increment(count)
        before = ModelState(tuple(tensors), shared, formats=formats)
        new, after = variant.step(gradients, before, parameters, t, hyperparameters, inputs, PARAMETER_FORM)
        result = list(new), (t, [dict(tensor) for tensor in after.tensors], dict(after.shared))
        return result if ok is None else selected(ok, result, (list(parameters), state))

    return run


def selected(ok: Any, new: Any, old: Any) -> Any:
    """One of two trees of arrays."""
    return jax.tree.map(lambda a, b: jnp.where(ok, a, b), new, old)


class OptaxRule(PickledAsBuilt):
    """An optax transformation as a rule; it runs as it is, and is compiled with the function that it is called in.

    Args:
        transformation: what gives the updates; its own learning rate counts.
        searches: whether it takes the inputs of a line search.
    """

    rate = None
    needs: tuple[str, ...] = ()
    needs_per_weight: tuple[str, ...] = ()

    def __init__(self, transformation: optax.GradientTransformation, searches: bool = False) -> None:
        self._tx = optax.with_extra_args_support(transformation)
        if searches:
            self.needs = SEARCH_INPUTS

    def start(self, values: Values, rate: Any) -> Any:
        """The transformation's state."""
        return self._tx.init(_nested(values))

    def late(self, state: Any, values: Values, new: Iterable[Path], rate: Any) -> Any:
        """Refused: where the new weights' state would go is known to the transformation alone.

        Raises:
            StateMismatch: always.
        """
        raise StateMismatch(
            "an optax transformation's state is for the weights that it was started with: "
            "register all of them at once, or give the others a group of their own"
        )

    def step(
        self, values: Values, gradients: Values, state: Any, rate: Any, inputs: Mapping[str, Any], ok: Any
    ) -> tuple[dict[Path, Any], Any]:
        """New values and the state after a step."""
        parameters = _nested(values)
        updates, after = self._tx.update(_nested(gradients), state, parameters, **inputs)
        new = optax.apply_updates(parameters, updates)
        if ok is not None:
            new, after = selected(ok, (new, after), (parameters, state))
        return {path: _at(new, path) for path in values}, after

    def identity(self) -> dict[str, Any]:
        """That it is a transformation: its state says the rest."""
        return {"rule": "optax", "options": {}}


def _nested(values: Values) -> dict[Any, Any]:
    """The trees by their paths, as the user's own mapping has them."""
    found: dict[Any, Any] = {}
    for path, value in values.items():
        node = found
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return found


def _at(nested: Any, path: Path) -> Any:
    for key in path:
        nested = nested[key]
    return nested


def _leaves(values: Values) -> list[jax.Array]:
    return [leaf for value in values.values() for leaf in jax.tree.leaves(value)]


def leaf_names(values: Values) -> list[str]:
    """A name for each array of the weights, the same in every process: `layer.w`, or `layer.w['k']` inside a tree."""
    found = []
    for path, value in values.items():
        name = ".".join(map(str, path[0] if len(path) == 1 and isinstance(path[0], tuple) else path))
        found += [name + jax.tree_util.keystr(keys) for keys, _ in jax.tree_util.tree_flatten_with_path(value)[0]]
    if len(set(found)) == len(found):
        return found
    # Two paths read alike: (1, "a") and ("1", "a").
    return [
        repr(path) + jax.tree_util.keystr(keys)
        for path, value in values.items()
        for keys, _ in jax.tree_util.tree_flatten_with_path(value)[0]
    ]


def check_identity(label: str, saved: Mapping[str, Any], rule: StatefulRule) -> None:
    """Check that a saved state is of the same rule with the same options.

    Raises:
        StateMismatch: it is not.
    """
    wanted = rule.identity()
    expect(label, saved, "rule", wanted["rule"])
    found = saved.get("options")
    if not isinstance(found, Mapping) or dict(found) != wanted["options"]:
        listed = found if isinstance(found, Mapping) else {}
        differing = [
            name for name in {**wanted["options"], **listed} if listed.get(name) != wanted["options"].get(name)
        ]
        told = "; ".join(f"{n} = {listed.get(n)!r}, and here it is {wanted['options'].get(n)!r}" for n in differing)
        raise StateMismatch(f"{label}: the saved state is of other options: {told or 'it names none'}")
