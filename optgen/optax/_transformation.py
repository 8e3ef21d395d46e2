"""One gradient transformation over a generated rule: its state before the first step, and a step."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.arguments.settings import Settings
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.contract.formats import is_stochastic
from optgen.contract.kinds import Kind
from optgen.contract.library_state import LibraryStateLayout
from optgen.errors import InvalidHyperparameter, MissingInput, TreeMismatch
from optgen.frontends.pickling import PickledAsBuilt
from optgen.optax._arguments import Extras, is_given, variants_by_mask
from optgen.optax._dtypes import StateDtypes
from optgen.optax._inputs import Inputs, ModelTree
from optgen.optax._layout import library_class, own_layout, resolved
from optgen.optax._storage import Rings, Storage
from optgen.runtime.formats.codes import closed
from optgen.runtime.jax.complex import complex_dtype
from optgen.runtime.jax.mesh import axes_named
from optgen.runtime.jax.parts import check_formats, parts_of
from optgen.runtime.jax.trees import check_same_shapes, check_same_tree, checked_leaves, columns, mask_values
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.state import PARAMETER_FORM, UPDATE_FORM, ModelState


class Transformation(PickledAsBuilt):
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
        history = dialect.layout.history if dialect.layout is not None else None
        length = chosen.options[history.length] if history is not None else 1
        assert isinstance(length, int)
        if history is not None and length == 1:
            # Of a history of one, the rule keeps nothing: it makes the newest value itself. It is given one older
            # value, of zeros, so that it keeps what optax does.
            chosen = replace(chosen, options={**chosen.options, history.length: 2})
        self.chosen = chosen
        self.own = own
        self.may_be_complex = dialect.layout is not None and dialect.layout.complex
        self.variants = variants_by_mask(entry.variant, dialect, chosen, own)
        self._of_complex = functools.cache(lambda: variants_by_mask(entry.complex_variant, dialect, chosen, own))
        self.variant: JaxVariant = self.variants[(True,) * len(own.masks)][0]
        self.names = self.variant.state_names()
        self.shared = self.variant.shared_names()
        # Those of other variants as well: optax lays out what this one leaves out.
        self.kept_per_tensor = {name for name in self.names if name not in self.shared} | {
            state.name
            for variant in entry.manifest.variants
            for case in variant.cases
            for state in case.states
            if state.kind not in (Kind.STEP, Kind.GLOBAL)
        }
        self.said: LibraryStateLayout | None = dialect.layout
        if dialect.layout is None:
            self.layout = own_layout(self.name, entry.manifest.class_name, (*self.names, *own.transformations))
        else:
            arguments = own.arguments
            self.layout = resolved(
                self.name,
                dialect.layout,
                lambda argument: is_given(arguments.get(argument)),
                lambda argument: callable(arguments.get(argument)),
                lambda argument: arguments.get(argument) is not None,
            )
        self.rings = self._rings(length)
        shown = {slot.source: slot.name for slot in self.layout.slots if slot.source in self.names}
        state_dtype = own.state_dtype or chosen.state_dtype
        self.dtypes = StateDtypes(self.name, self.variant.info, self.said, own, state_dtype, shown)
        self.formats = self.dtypes.formats
        if any(map(is_stochastic, self.formats.values())):
            # Random bits are to be others in every step.
            self.layout = self.layout.counted()
        self.storage = Storage(self.variant, self.said is None, self.rings, self.formats)
        self.parameters = self.said.parameters if self.said is not None else None
        self.beside = tuple(source for _, source in self.parameters.fields) if self.parameters is not None else ()
        self.clock = self.layout.clock()
        self.inputs = Inputs(self.name, self.manifest, self.variant.info, own, chosen, self.layout)

    def _check_real(self, tensors: list[jax.Array]) -> None:
        if self.formats and any(map(jnp.iscomplexobj, tensors)):
            raise TreeMismatch(
                f"{self.name}: state_dtype is for real parameters; optax.contrib.split_real_and_imaginary makes such"
            )

    def _variants(self, tensors: list[jax.Array]) -> Mapping[tuple[bool, ...], tuple[JaxVariant, Mapping[str, Any]]]:
        """By mask, what computes on some tensors."""
        return self._of_complex() if any(map(jnp.iscomplexobj, tensors)) else self.variants

    def _rings(self, length: int) -> Rings:
        """The states of which the layout has histories of a length."""
        if self.said is None or self.said.history is None:
            return Rings()
        told = self.said.history
        for name in told.states:
            if name not in self.names:
                argument = self.own.spelled_as[told.length]
                raise InvalidHyperparameter(
                    f"{self.name}: with {argument} = {length} the rule keeps no {name}, of which optax keeps a history"
                )
        return Rings(told.states, length, told.ahead)

    def init(self, params: Any) -> Any:
        """The state before the first step."""
        theta, _ = self._split(params, required=False)
        leaves, structure = checked_leaves(self.name, "parameter", theta, may_be_complex=self.may_be_complex)
        first = [slot.first() if slot.counts else jnp.zeros((), jnp.int32) for slot in self.layout.slots]
        variant = self._variants(leaves)[(True,) * len(self.own.masks)][0]
        state = variant.init(leaves, self._hyperparameters(self.variant, first, self.chosen.values))
        self._check_real(leaves)
        started = closed(variant.arrays, state.tensors, self.formats, self.names, None)
        values = []
        for slot in self.layout.slots:
            if slot.counts:
                values.append(slot.first())
            elif slot.source in self.own.transformations:
                values.append(self.own.transformations[slot.source].init(theta))
            elif slot.source in self.own.keys:
                # A copy: the state may be donated, and the next `init` starts from the key again.
                values.append(jnp.copy(self.own.keys[slot.source]))
            elif slot.source in self.chosen.values and slot.source not in self.names:
                # A copy as well: the number may be an array of the caller's.
                number = self.chosen.values[slot.source]
                values.append(jnp.array(number, self.dtypes.first_number(slot.source, leaves)))
            elif slot.source in self.shared or slot.source not in self.kept_per_tensor:
                value = state.shared.get(slot.source, 0.0)
                dtype = self.dtypes.first_number(slot.source, leaves)
                values.append(value if self.said is None and leaves else self.storage.number(slot.source, value, dtype))
            else:
                name = slot.source
                stored = [
                    self.storage.stored(name, leaf.shape, kept.get(name), None, self.dtypes.first(name, leaf))
                    for leaf, kept in zip(leaves, started, strict=True)
                ]
                values.append(jax.tree.unflatten(structure, stored))
        return self.layout.pack(values)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """One step: what is to be added to the parameters, and the state after it."""
        return self._made(updates, state, params, extra, UPDATE_FORM)

    def apply(self, gradients: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """One step: the new parameters, and the state after it."""
        if self.parameters is not None or self.own.after:
            updates, after = self.update(gradients, state, params, **extra)
            return optax.apply_updates(params, updates), after
        return self._made(gradients, state, params, extra, PARAMETER_FORM)

    def _made(self, updates: Any, state: Any, params: Any, extra: Mapping[str, Any], form: str) -> tuple[Any, Any]:
        values = self.layout.unpack(state)
        theta, beside = self._split(params, required=True)
        model = self._model(updates, theta)
        stored = self._stored(model, updates, values, beside)
        count = self._steps(values)
        axes = axes_named(self.name, extra.get("axis_name"))
        model.parts = parts_of(self.name, extra.get("specs"), updates, model.gradients, axes)
        check_formats(self.name, self.formats, model.gradients, model.parts, axes)
        found = self.inputs.of_step(model, updates, theta, values, count, extra, axes)
        if found.update is not None:
            # What is added is what another transformation gives, in its dtype.
            model.gradients = found.update
        elif self.said is not None:
            model.gradients = [g.astype(self._update_dtype(model, i, stored)) for i, g in enumerate(model.gradients)]
        results, after = self._step(model, values, stored, count, found.values, form, axes)
        result = jax.tree.unflatten(model.structure, results)
        values = self._after(model, values, stored, after, count, found.carried)
        result = self.inputs.run_after(result, theta, values, extra)
        if self.parameters is not None:
            result = self._joined(result, model, stored, after)
        return result, self.layout.pack(values)

    def _steps(self, values: list[Any]) -> Any:
        """The number of steps done, as far as the state tells."""
        if self.clock is None:
            return jnp.zeros((), jnp.int32)
        return jnp.asarray(self.layout.slots[self.clock].steps(values[self.clock]))

    def _split(self, params: Any, *, required: bool) -> tuple[Any, dict[str, Any]]:
        """Parameters, and the states that optax keeps beside them."""
        if self.parameters is None:
            return params, {}
        found = {source: getattr(params, name, None) for name, source in self.parameters.fields}
        if any(value is None for value in found.values()):
            if required:
                raise TreeMismatch(
                    f"{self.name}: params is {type(params).__name__}, expected {self.parameters.type} with "
                    f"{', '.join(name for name, _ in self.parameters.fields)}"
                )
            return params, {}
        return found.pop("theta"), found

    def _joined(self, update: Any, model: ModelTree, stored: dict[str, list[Any]], after: ModelState) -> Any:
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

    def _model(self, updates: Any, theta: Any) -> ModelTree:
        gradients, structure = checked_leaves(self.name, "gradient", updates, may_be_complex=self.may_be_complex)
        reads = any(variant.reads_parameters for variant, _ in self.variants.values())
        parameters = None
        if theta is None and reads:
            raise MissingInput(f"{self.name}: update needs the parameters: update(grads, state, params)")
        if theta is not None:
            check_same_tree(self.name, updates, theta)
            parameters, _ = checked_leaves(self.name, "parameter", theta, may_be_complex=self.may_be_complex)
            check_same_shapes(self.name, updates, theta)
        dtypes = [complex_dtype(array) for array in (gradients if parameters is None else parameters)]
        taken = tuple(mask_values(self.name, name, mask, updates) for name, mask in self.own.masks.items())
        return ModelTree(gradients, structure, parameters, dtypes, taken)

    def _stored(
        self, model: ModelTree, updates: Any, values: list[Any], beside: Mapping[str, Any]
    ) -> dict[str, list[Any]]:
        """The stored arrays of each tensor, by state."""
        found = {name: jax.tree.leaves(value) for name, value in beside.items()}
        for slot, value in zip(self.layout.slots, values, strict=True):
            if slot.source in self.names and slot.source not in self.shared:
                where = f"state.{slot.name}"
                column = columns(self.name, where, model.structure, updates, value)
                for index, gradient in enumerate(model.gradients):
                    label = f"{self.name}: leaf {index} of {where}"
                    self.storage.check(slot.source, gradient.shape, column[index], label)
                    self.dtypes.check(slot.source, column[index], label)
                found[slot.source] = column
            elif slot.source in self.shared:
                self.dtypes.check(slot.source, value, f"{self.name}: state.{slot.name}")
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
        self,
        model: ModelTree,
        values: list[Any],
        stored: dict[str, list[Any]],
        count: Any,
        inputs: dict[str, Any],
        form: str,
        axes: tuple[str, ...],
    ) -> tuple[list[jax.Array], ModelState]:
        """Run the variants, each on the tensors that the masks leave to it."""
        widest = jnp.result_type(*model.dtypes) if model.dtypes else jnp.float32
        shared = {
            slot.source: self.storage.kept_number(slot.source, value, count).astype(widest)
            for slot, value in zip(self.layout.slots, values, strict=True)
            if slot.source in self.shared
        }
        kept = []
        for index, gradient in enumerate(model.gradients):
            own = {n: self.storage.kept(n, gradient.shape, column[index], count) for n, column in stored.items()}
            # What is kept beside the parameters moves by a difference, which is taken before it is rounded.
            kept.append(
                {
                    name: value.astype(model.dtypes[index]) if name in self.beside else value
                    for name, value in own.items()
                    if value is not None
                }
            )
        groups: dict[tuple[bool, ...], list[int]] = {}
        for index in range(len(kept)):
            groups.setdefault(tuple(mask[index] for mask in model.taken), []).append(index)
        results: list[Any] = [None] * len(kept)
        tensors: list[Any] = [None] * len(kept)
        for group, places in groups.items():
            variant, numbers = self._variants(model.gradients)[group]
            parts = [model.parts[i] for i in places]
            in_whole = [None if part is None else part.places for part in parts]
            before = tuple(kept[i] for i in places)
            found, after = variant.step(
                [model.gradients[i] for i in places],
                ModelState(before, shared, self.rings.ahead, self.formats, places, axes, in_whole),
                None if model.parameters is None else [model.parameters[i] for i in places],
                optax.safe_increment(count),
                self._hyperparameters(variant, values, numbers),
                {n: [v[i] for i in places] if isinstance(v, list) else v for n, v in inputs.items()},
                form,
            )
            shared = dict(after.shared)
            for place, result, tensor in zip(places, found, after.tensors, strict=True):
                results[place], tensors[place] = result, tensor
        return results, ModelState(tuple(tensors), shared)

    def _after(
        self,
        model: ModelTree,
        values: list[Any],
        stored: dict[str, list[Any]],
        after: ModelState,
        count: Any,
        carried: Mapping[str, Any],
    ) -> list[Any]:
        """The values of the state after a step."""
        found = []
        for slot, value in zip(self.layout.slots, values, strict=True):
            if slot.counts:
                found.append(slot.next(value, self.chosen.values))
            elif slot.source in self.shared:
                found.append(self.storage.next_number(slot.source, after.shared[slot.source], value, count))
            elif slot.source in self.names:
                column = [
                    self.storage.stored(slot.source, gradient.shape, kept.get(slot.source), old, None, count)
                    for gradient, kept, old in zip(model.gradients, after.tensors, stored[slot.source], strict=True)
                ]
                found.append(jax.tree.unflatten(model.structure, column))
            else:
                found.append(carried.get(slot.source, value))
        return self.inputs.restarted(model, found)

    def _update_dtype(self, model: ModelTree, index: int, stored: dict[str, list[Any]]) -> Any:
        """The dtype of a tensor's update."""
        variant, _ = self.variants[tuple(mask[index] for mask in model.taken)]
        theta = None if model.parameters is None else model.parameters[index]
        own = {name: column[index] for name, column in stored.items()}
        return self.dtypes.update(model.gradients[index], theta, variant.reads_parameters, own)
