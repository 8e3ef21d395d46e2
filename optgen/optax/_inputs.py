"""Inputs of a rule's step besides gradients: from the caller, from keys, and from other transformations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.arguments.settings import Settings
from optgen.contract.manifest import Manifest, VariantInfo
from optgen.errors import MissingInput, TreeMismatch
from optgen.optax._arguments import Extras
from optgen.optax._layout import OptaxLayout
from optgen.runtime.jax.mesh import split_along
from optgen.runtime.jax.parts import Part
from optgen.runtime.jax.trees import columns, no_change


@dataclass(slots=True)
class ModelTree:
    """A model's tensors in one step, and what is kept for them.

    Attributes:
        gradients: its leaves.
        structure: the tree of these.
        parameters: if they are given.
        dtypes: in which the steps of tensors are computed.
        taken: for each mask, whether it takes a tensor.
        parts: which part of each tensor a device has.
    """

    gradients: list[jax.Array]
    structure: Any
    parameters: list[jax.Array] | None
    dtypes: list[Any]
    taken: tuple[list[bool], ...]
    parts: list[Part | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Given:
    """Inputs of one step.

    Attributes:
        values: the rule's inputs; one for each tensor of those that are.
        update: what another transformation adds to the parameters, for each tensor.
        carried: the new states of the arguments that gave something.
    """

    values: dict[str, Any]
    update: list[jax.Array] | None
    carried: dict[str, Any]


class Inputs:
    """The inputs of one transformation, and the other transformations that run before and after its rule.

    Args:
        optimizer: what messages call it.
        manifest: its optimizer's.
        info: the variant.
        own: the arguments that speak to the front-end.
        chosen: checked settings.
        layout: of the state.
    """

    def __init__(
        self, optimizer: str, manifest: Manifest, info: VariantInfo, own: Extras, chosen: Settings, layout: OptaxLayout
    ) -> None:
        self.name = optimizer
        self.info = info
        self.own = own
        self.chosen = chosen
        self.layout = layout
        self.kinds = {declared.name: declared.kind for declared in manifest.inputs}

    def of_step(
        self,
        model: ModelTree,
        updates: Any,
        theta: Any,
        values: list[Any],
        count: Any,
        extra: Mapping[str, Any],
        axes: tuple[str, ...],
    ) -> Given:
        """Collect the inputs of a step.

        Args:
            model: the tensors.
            updates: the tree of gradients.
            theta: the tree of parameters.
            values: those of the state, one for each slot.
            count: the number of steps done.
            extra: what the caller gives besides.
            axes: those that `axis_name` names.

        Raises:
            MissingInput: the caller does not give what nobody else does.
            TreeMismatch: it is of another tree, or noise would be the same on several devices.
        """
        at = {slot.source: value for slot, value in zip(self.layout.slots, values, strict=True)}
        found: dict[str, Any] = {}
        carried: dict[str, Any] = {}
        given = None
        for name in self.info.inputs:
            if name in extra:
                value = extra[name]
            elif name in self.own.gives:
                argument, every = self.own.gives[name]
                value, carried[argument] = self._given(argument, every, updates, at[argument], theta, count, extra)
                if not every:
                    given = columns(self.name, f"the update of {argument}", model.structure, updates, value)
            elif name in self.own.draws:
                argument = self.own.draws[name]
                carried[argument], drawn = jax.random.split(at[argument])
                value = self._noise(drawn, model, axes)
            else:
                raise MissingInput(f"{self.name}: update also needs {name}=...")
            if self.kinds[name] in ("tensor", "element"):
                value = columns(self.name, name, model.structure, updates, value)
            found[name] = value
        return Given(found, given, carried)

    def _given(
        self,
        argument: str,
        every: str,
        updates: Any,
        state: Any,
        theta: Any,
        count: Any,
        extra: Mapping[str, Any],
    ) -> tuple[Any, Any]:
        transformation = self.own.transformations[argument]

        def run(before: Any) -> tuple[Any, Any]:
            found, after = transformation.update(updates, before, theta, **extra)
            return found, after

        if not every:
            return run(state)
        zeros = jax.tree.map(no_change, jax.eval_shape(run, state)[0])
        period = jnp.asarray(self.chosen.values[every]).astype(jnp.int32)
        found: tuple[Any, Any] = jax.lax.cond(count % period == 0, run, lambda before: (zeros, before), state)
        return found

    def _noise(self, key: jax.Array, model: ModelTree, axes: tuple[str, ...]) -> Any:
        """Normal noise for each number of the gradients, that of whole tensors where devices have parts.

        Raises:
            TreeMismatch: nothing tells which part of a tensor a device has.
        """
        wholes = []
        for gradient, part in zip(model.gradients, model.parts, strict=True):
            if part is None and split_along(gradient, axes):
                raise TreeMismatch(
                    f"{self.name}: noise asks for the places of numbers in whole tensors: specs=... gives a "
                    "PartitionSpec for each parameter, as in_specs does"
                )
            shape = gradient.shape if part is None else part.whole
            wholes.append(jax.ShapeDtypeStruct(shape, gradient.dtype))  # type: ignore[no-untyped-call]
        tree = jax.tree.unflatten(model.structure, wholes)
        drawn = jax.tree.leaves(optax.tree.random_like(key, tree, sampler=jax.random.normal))
        own = [whole if part is None else part.of(whole) for whole, part in zip(drawn, model.parts, strict=True)]
        return jax.tree.unflatten(model.structure, own)

    def restarted(self, model: ModelTree, values: list[Any]) -> list[Any]:
        """The values of the state after a step, the states of transformations that start anew as before their first."""
        for argument, (switch, name) in self.own.restarts.items():
            if not self.own.arguments[switch]:
                continue
            count = next(v for slot, v in zip(self.layout.slots, values, strict=True) if slot.name == name)
            index = next(i for i, slot in enumerate(self.layout.slots) if slot.source == argument)
            theta = jax.tree.unflatten(model.structure, model.parameters or [])
            values[index] = jax.tree.map(
                lambda old, new, again=count == 0: jnp.where(again, jnp.asarray(new), old).astype(
                    jnp.asarray(old).dtype
                ),
                values[index],
                self.own.transformations[argument].init(theta),
            )
        return values

    def run_after(self, found: Any, theta: Any, values: list[Any], extra: Mapping[str, Any]) -> Any:
        """The rule's update, after what comes behind it."""
        for argument in self.own.after:
            index = next(i for i, slot in enumerate(self.layout.slots) if slot.source == argument)
            transformation = self.own.transformations[argument]
            found, values[index] = transformation.update(found, values[index], theta, **extra)
        return found
