"""A generated optimizer as an optax gradient transformation: what the factories of `optgen.optax` return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.errors import MissingInput, TreeMismatch
from optgen.runtime.arguments import Settings, bind, dialect_of, settings
from optgen.runtime.docstrings import described
from optgen.runtime.entry import Entry
from optgen.runtime.jax import JaxVariant, ModelState, arithmetic_dtype
from optgen.runtime.optax_arguments import (
    Extras,
    counted_as_given,
    extras,
    front_end_signature,
    is_given,
    variants_by_mask,
)
from optgen.runtime.optax_layout import Layout, Slot, library_class, own_layout, resolved
from optgen.runtime.optax_storage import Storage, as_mapping, stored_number
from optgen.runtime.optax_trees import check_same_shapes, check_same_tree, checked_leaves, columns, mask_values
from optgen.spec.model import Dialect, StateLayout

Factory = Callable[..., optax.GradientTransformationExtraArgs]

#: More steps in a row than any run has: a step that is not finite is never applied.
_NEVER = 2**31 - 1


def factory(entry: Entry, dialect: Dialect | None = None) -> Factory:
    """The factory of one optimizer, in optax's spelling; in the first where optax has several names for it."""
    manifest = entry.manifest
    dialect = dialect or dialect_of(manifest, "optax")
    call_signature = front_end_signature(dialect)

    def build(*args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        given = bind(dialect.name, call_signature, args, kwargs)
        own = extras(dialect, call_signature, given)
        chosen = counted_as_given(manifest, dialect, settings(manifest, dialect, own.spelled), given)
        made = _Transformation(entry, dialect, chosen, own)
        transformation = optax.GradientTransformationExtraArgs(made.init, made.update)
        if not own.skip_nonfinite:
            return transformation
        skipping = optax.apply_if_finite(transformation, _NEVER)
        return optax.GradientTransformationExtraArgs(skipping.init, skipping.update)

    build.__name__ = build.__qualname__ = dialect.name
    build.__module__ = "optgen.optax"
    build.__doc__ = described(manifest, dialect)
    build.__signature__ = call_signature.replace(  # type: ignore[attr-defined]
        return_annotation=optax.GradientTransformationExtraArgs
    )
    return build


@dataclass(slots=True)
class _Model:
    """A model's tensors in one step, and what is kept for them."""

    gradients: list[jax.Array]
    structure: Any
    parameters: list[jax.Array] | None
    dtypes: list[Any]
    taken: tuple[list[bool], ...]


class _Transformation:
    """The functions of one gradient transformation.

    Args:
        entry: the optimizer.
        dialect: the spelling of its arguments, and the layout of its state.
        chosen: checked settings.
        own: the arguments that speak to the front-end.
    """

    def __init__(self, entry: Entry, dialect: Dialect, chosen: Settings, own: Extras) -> None:
        self.name = dialect.name
        self.manifest = entry.manifest
        self.chosen = chosen
        self.own = own
        self.variants = variants_by_mask(entry, dialect, chosen, own)
        self.variant: JaxVariant = self.variants[(True,) * len(own.masks)][0]
        self.names = self.variant.state_names()
        self.shared = self.variant.shared_names()
        self.said: StateLayout | None = dialect.layout
        if dialect.layout is None:
            self.layout = own_layout(self.name, entry.manifest.class_name, self.names)
        else:
            arguments = own.arguments
            self.layout = resolved(
                self.name,
                dialect.layout,
                lambda argument: is_given(arguments.get(argument)),
                lambda argument: callable(arguments.get(argument)),
            )
        self.history, self.ahead = self._history()
        self.storage = Storage(self.variant, self.said is None, self.history)
        self.parameters = self.said.parameters if self.said is not None else None
        self.beside = tuple(source for _, source in self.parameters.fields) if self.parameters is not None else ()
        self.clock = self.layout.clock()

    def _history(self) -> tuple[int | None, int]:
        if self.said is None or self.said.history is None:
            return None, 0
        length = self.chosen.options[self.said.history[0]]
        assert isinstance(length, int)
        return length, self.said.history[1]

    def init(self, params: Any) -> Any:
        """The state before the first step."""
        theta, _ = self._split(params, "params", required=False)
        leaves, structure = checked_leaves(self.name, "parameter", theta)
        first = [slot.first() if slot.counts else jnp.zeros((), jnp.int32) for slot in self.layout.slots]
        state = self.variant.init(leaves, self._hyperparameters(self.variant, first, self.chosen.values))
        values = []
        for slot in self.layout.slots:
            if slot.counts:
                values.append(slot.first())
            elif slot.source in self.own.transformations:
                values.append(self.own.transformations[slot.source].init(theta))
            elif slot.source in self.own.keys:
                values.append(self.own.keys[slot.source])
            elif slot.source in self.chosen.values and slot.source not in self.names:
                values.append(jnp.asarray(self.chosen.values[slot.source], _lowest(leaves)))
            elif slot.source in self.shared or slot.source not in self.names:
                value = state.shared.get(slot.source, 0.0)
                dtype = self._number_dtype(slot.source, leaves)
                info = self.storage.infos.get(slot.source)
                values.append(value if self.said is None and leaves else stored_number(value, self.history, info, dtype))
            else:
                dtype = self.own.dtypes.get(slot.source)
                stored = [
                    self.storage.stored(
                        slot.source, leaf.shape, kept.get(slot.source), None, leaf.dtype if dtype is None else dtype
                    )
                    for leaf, kept in zip(leaves, state.tensors, strict=True)
                ]
                values.append(jax.tree.unflatten(structure, stored))
        return self.layout.pack(values)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """One step: what is to be added to the parameters, and the state after it."""
        values = self.layout.unpack(state)
        theta, beside = self._split(params, "params", required=self.parameters is not None)
        model = self._model(updates, theta)
        stored = self._stored(model, updates, values, beside)
        count = jnp.zeros((), jnp.int32) if self.clock is None else self._steps(values, self.clock)
        inputs, given, carried = self._inputs(model, updates, theta, values, count, extra)
        if given is not None:
            # What is added is what another transformation gives, in its dtype.
            model.gradients = [given[i].astype(_result_dtype(model, i, stored, given)) for i in range(len(given))]
        else:
            for index, gradient in enumerate(model.gradients):
                model.gradients[index] = gradient.astype(self._dtype(model, index, stored))
        results, after = self._step(model, values, stored, count + 1, inputs)
        found = jax.tree.unflatten(model.structure, results)
        values = self._after(model, values, stored, after, carried)
        found = self._run_after(found, theta, values, extra)
        if self.parameters is not None:
            found = self._joined(found, model, stored, after)
        return found, self.layout.pack(values)

    def _steps(self, values: list[Any], index: int) -> Any:
        return jnp.asarray(self.layout.slots[index].steps(values[index]))

    def _split(self, params: Any, what: str, *, required: bool) -> tuple[Any, dict[str, Any]]:
        """Parameters, and the states that optax keeps beside them."""
        if self.parameters is None:
            return params, {}
        found = {source: getattr(params, name, None) for name, source in self.parameters.fields}
        if any(value is None for value in found.values()):
            if required:
                raise TreeMismatch(
                    f"{self.name}: {what} is {type(params).__name__}, expected {self.parameters.type} with "
                    f"{', '.join(name for name, _ in self.parameters.fields)}"
                )
            return found.get("theta") or params, {}
        return found.pop("theta"), found

    def _joined(self, update: Any, model: _Model, stored: dict[str, list[Any]], after: ModelState) -> Any:
        """The update of the parameters and of the states that optax keeps beside them."""
        assert self.parameters is not None
        changes = {"theta": update}
        for name in self.beside:
            if name != "theta":
                moved = [
                    (kept[name] - old.astype(kept[name].dtype)).astype(old.dtype)
                    for kept, old in zip(after.tensors, stored[name], strict=True)
                ]
                changes[name] = jax.tree.unflatten(model.structure, moved)
        made = library_class(self.parameters.type, tuple(name for name, _ in self.parameters.fields))
        return made(*(changes[source] for _, source in self.parameters.fields))

    def _model(self, updates: Any, theta: Any) -> _Model:
        gradients, structure = checked_leaves(self.name, "gradient", updates)
        reads = any(variant.reads_parameters for variant, _ in self.variants.values())
        parameters = None
        if theta is None and reads:
            raise MissingInput(f"{self.name}: update needs the parameters: update(grads, state, params)")
        if theta is not None:
            check_same_tree(self.name, updates, theta)
            parameters, _ = checked_leaves(self.name, "parameter", theta)
            check_same_shapes(self.name, updates, theta)
        dtypes = [arithmetic_dtype(array) for array in (gradients if parameters is None else parameters)]
        taken = tuple(mask_values(self.name, name, mask, updates) for name, mask in self.own.masks.items())
        return _Model(gradients, structure, parameters, dtypes, taken)

    def _stored(
        self, model: _Model, updates: Any, values: list[Any], beside: Mapping[str, Any]
    ) -> dict[str, list[Any]]:
        """What the state holds for each tensor, by state."""
        found = {name: jax.tree.leaves(value) for name, value in beside.items()}
        for slot, value in zip(self.layout.slots, values, strict=True):
            if slot.source in self.names and slot.source not in self.shared:
                where = f"state.{slot.name}"
                column = columns(self.name, where, model.structure, updates, value)
                for index, gradient in enumerate(model.gradients):
                    paths = f"{self.name}: leaf {index} of {where}"
                    self.storage.check(slot.source, gradient.shape, column[index], paths)
                found[slot.source] = column
        return found

    def _inputs(
        self, model: _Model, updates: Any, theta: Any, values: list[Any], count: Any, extra: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[jax.Array] | None, dict[str, Any]]:
        """The rule's inputs, the update that another transformation gives, and what the arguments' states become."""
        at = {slot.source: value for slot, value in zip(self.layout.slots, values, strict=True)}
        kinds = {declared.name: declared.kind for declared in self.manifest.inputs}
        found: dict[str, Any] = {}
        carried: dict[str, Any] = {}
        given = None
        for name in self.variant.info.inputs:
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
                value = optax.tree.random_like(drawn, updates, sampler=jax.random.normal)
            else:
                raise MissingInput(f"{self.name}: update also needs {name}=...")
            if kinds[name] in ("tensor", "element"):
                value = columns(self.name, name, model.structure, updates, value)
            found[name] = value
        return found, given, carried

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
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(run, state)[0])
        period = jnp.asarray(self.chosen.values[every]).astype(jnp.int32)
        found: tuple[Any, Any] = jax.lax.cond(count % period == 0, run, lambda before: (zeros, before), state)
        return found

    def _hyperparameters(self, variant: JaxVariant, values: list[Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers of a step; a function is asked for its value at the count that the state keeps for it."""
        counts = {slot.schedule: values[i] for i, slot in reversed(list(enumerate(self.layout.slots))) if slot.schedule}
        clock = values[self.clock] if self.clock is not None else None
        found = {}
        for name in variant.info.hyperparameters:
            if name in self.chosen.schedules:
                count = counts.get(self.own.spelled_as.get(name, name), clock)
                found[name] = self.chosen.schedules[name](count)
            else:
                found[name] = numbers[name]
        return found

    def _step(
        self, model: _Model, values: list[Any], stored: dict[str, list[Any]], t: Any, inputs: dict[str, Any]
    ) -> tuple[list[jax.Array], ModelState]:
        """Run the variants, each on the tensors that the masks leave to it."""
        widest = jnp.result_type(*model.dtypes) if model.dtypes else jnp.float32
        shared = {
            slot.source: value.astype(widest)
            for slot, value in zip(self.layout.slots, values, strict=True)
            if slot.source in self.shared
        }
        kept = [
            as_mapping(
                tuple(stored),
                [
                    self.storage.kept(name, gradient.shape, column[index], model.dtypes[index])
                    for name, column in stored.items()
                ],
            )
            for index, gradient in enumerate(model.gradients)
        ]
        count = len(model.gradients)
        groups: dict[tuple[bool, ...], list[int]] = {}
        for index in range(count):
            groups.setdefault(tuple(mask[index] for mask in model.taken), []).append(index)
        results: list[Any] = [None] * count
        tensors: list[Any] = [None] * count
        for group, places in groups.items():
            variant, numbers = self.variants[group]
            found, after = variant.step(
                [model.gradients[i] for i in places],
                ModelState(tuple(kept[i] for i in places), shared, self.ahead),
                None if model.parameters is None else [model.parameters[i] for i in places],
                t,
                self._hyperparameters(variant, values, numbers),
                {n: [v[i] for i in places] if isinstance(v, list) else v for n, v in inputs.items()},
            )
            shared = dict(after.shared)
            for place, result, tensor in zip(places, found, after.tensors, strict=True):
                results[place], tensors[place] = result, tensor
        return results, ModelState(tuple(tensors), shared)

    def _after(
        self,
        model: _Model,
        values: list[Any],
        stored: dict[str, list[Any]],
        after: ModelState,
        carried: Mapping[str, Any],
    ) -> list[Any]:
        """The values of the state after a step."""
        found = []
        for slot, value in zip(self.layout.slots, values, strict=True):
            if slot.counts:
                found.append(slot.next(value, self.chosen.values))
            elif slot.source in self.shared:
                found.append(after.shared[slot.source].astype(value.dtype))
            elif slot.source in self.names:
                column = [
                    self.storage.stored(slot.source, gradient.shape, kept.get(slot.source), old, None)
                    for gradient, kept, old in zip(model.gradients, after.tensors, stored[slot.source], strict=True)
                ]
                found.append(jax.tree.unflatten(model.structure, column))
            else:
                found.append(carried.get(slot.source, value))
        return self._restarted(model, found)

    def _restarted(self, model: _Model, values: list[Any]) -> list[Any]:
        """The same, with the states of transformations that start anew as they were before their first step."""
        for argument, (switch, name) in self.own.restarts.items():
            if not self.own.arguments[switch]:
                continue
            count = next(v for slot, v in zip(self.layout.slots, values, strict=True) if slot.name == name)
            index = next(i for i, slot in enumerate(self.layout.slots) if slot.source == argument)
            theta = jax.tree.unflatten(model.structure, model.parameters)
            values[index] = jax.tree.map(
                lambda old, new, again=count == 0: jnp.where(again, jnp.asarray(new).astype(old.dtype), old),
                values[index],
                self.own.transformations[argument].init(theta),
            )
        return values

    def _run_after(self, found: Any, theta: Any, values: list[Any], extra: Mapping[str, Any]) -> Any:
        """The rule's update, after what comes behind it."""
        for argument in self.own.after:
            index = next(i for i, slot in enumerate(self.layout.slots) if slot.source == argument)
            transformation = self.own.transformations[argument]
            found, values[index] = transformation.update(found, values[index], theta, **extra)
        return found

    def _dtype(self, model: _Model, index: int, stored: dict[str, list[Any]]) -> Any:
        """The dtype of a tensor's update: what its gradient, its state and its parameter together have in optax."""
        if self.said is None:
            return model.gradients[index].dtype
        return _result_dtype(model, index, stored, None, self.variants[tuple(mask[index] for mask in model.taken)][0])

    def _number_dtype(self, name: str, leaves: list[jax.Array]) -> Any:
        if self.said is not None and name in self.said.dtypes.get("default", ()):
            return jnp.zeros(()).dtype
        return _lowest(leaves)


def _result_dtype(
    model: _Model,
    index: int,
    stored: dict[str, list[Any]],
    given: list[jax.Array] | None,
    variant: JaxVariant | None = None,
) -> Any:
    dtypes = [(given or model.gradients)[index].dtype]
    if variant is not None:
        dtypes += [leaf.dtype for column in stored.values() for leaf in jax.tree.leaves(column[index])]
        if variant.reads_parameters and model.parameters is not None:
            dtypes.append(model.parameters[index].dtype)
    return jnp.result_type(*dtypes)


def _lowest(leaves: list[jax.Array]) -> Any:
    """The narrowest dtype of some arrays, in which optax keeps numbers of the model."""
    return min((leaf.dtype for leaf in leaves), key=lambda dtype: jnp.finfo(dtype).bits, default=jnp.zeros(()).dtype)


__all__ = ["Factory", "Layout", "Slot", "factory"]
