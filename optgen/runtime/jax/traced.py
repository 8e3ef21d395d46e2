"""A step as it is traced for a GPU: which arrays Triton kernels are given, and what becomes of what they change."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from triton.backends.compiler import GPUTarget

from optgen.contract.formats import is_stochastic
from optgen.contract.kernel_plan import STATE_FORMATS, CasePlan, KernelPlan, StatePlan
from optgen.contract.kinds import Kind, kept_shapes
from optgen.runtime.formats.bits import stream_of
from optgen.runtime.formats.codes import Blocks
from optgen.runtime.in_place import single
from optgen.runtime.jax import kernel_starts
from optgen.runtime.jax.arrays import arithmetic_dtype
from optgen.runtime.jax.kernel_starts import BUFFER, CallArrays, Start
from optgen.runtime.jax.mesh import varying_of
from optgen.runtime.jax.static_arguments import StaticArguments
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.shapes import count_of, shape_numbers
from optgen.runtime.triton.device_arrays import DeviceArrays, DeviceMemory, KernelCall, axes_of, needs_axes
from optgen.runtime.triton.launcher import Launcher
from optgen.runtime.triton.sizes import NUMBER_OPTIONS, TYPES, itemsize, options_of

#: What makes a result of the step from the results of the call.
_Make = Callable[[Any], Any]


class Step:
    """A step as it is traced.

    Attributes:
        plans: the variant's cases, as states are stored here.
        cases: those that the model's tensors take, with these tensors.
        makes: what makes the results from those of the call: the new parameters, and for each tensor its states.
    """

    def __init__(
        self, variant: JaxVariant, launcher: Launcher, target: GPUTarget, told: StaticArguments, given: Any
    ) -> None:
        self.gradients, self.tensors, self.shared, self.parameters, t, varying, self.inputs = given
        self.variant, self.launcher, self.target, self.told = variant, launcher, target, told
        self.size = sum(math.prod(theta.shape) for theta in self.parameters)
        self.values = {**told.fixed, **varying, **single(self.inputs), "t": t, "model_size": float(self.size)}
        self.values["tensor_count"] = float(len(self.parameters))
        precisions = {str(arithmetic_dtype(theta)) for theta in self.parameters}
        self.model = "float64" if "float64" in precisions else "float32"
        self.places = CallArrays()
        #: Along which axes of a mesh every result varies: those of what all tensors read.
        self.varying = varying_of((varying, self.shared, single(self.inputs)))
        planned = launcher.plan.variant(variant.info.name)
        self.plans = planned.cases_for(self.narrow())
        kinds = {kind for case in self.plans for kind in (*kinds_of(case), *(fold.kind for fold in case.folds))}
        if Kind.GLOBAL in kinds:
            self.varying = varying_of(given)
        self.cases: dict[int, tuple[CasePlan, list[DeviceArrays]]] = {}
        self.makes: list[tuple[_Make, dict[str, _Make]]] = []
        self.rows: list[dict[str, Any]] = []
        #: For each tensor, along which axes of a mesh its results vary.
        self.varies: list[frozenset[str]] = []

    @property
    def plan(self) -> KernelPlan:
        """Of the generated module."""
        return self.launcher.plan

    def narrow(self) -> set[str]:
        """The states that are stored in less than the precision of the arithmetic."""
        return set(self.told.formats) | {
            name
            for theta, kept in zip(self.parameters, self.tensors, strict=True)
            for name, value in kept.items()
            if any(part.dtype.itemsize < itemsize(str(arithmetic_dtype(theta))) for part in jax.tree.leaves(value))
        }

    def run(self) -> Any:
        """The new parameters, states and numbers."""
        for index, theta in enumerate(self.parameters):
            layout = self.variant.layout(tuple(theta.shape))
            case = self.variant.case_index(layout.shape(tuple(theta.shape)))
            _, same = self.cases.setdefault(case, (self.plans[case], []))
            same.append(self.held(self.plans[case], index))
        self.place_tensor_numbers()
        cases = [case for case, _ in self.cases.values()]
        members = [some for _, some in self.cases.values()]
        of_step, shared = self.step_numbers(cases, members)
        model, of_model = self.model_numbers(cases)
        calls = self.launcher.calls(cases, members, self.model, self.size, self.places.filled)
        found = self.call(calls, of_step, model)
        return (
            tuple(make(found) for make, _ in self.makes),
            tuple({name: make(found) for name, make in kept.items()} for _, kept in self.makes),
            # A case that no tensor takes leaves its own as they are.
            {**self.shared, **shared, **{name: make(found) for name, make in of_model.items()}},
        )

    def held(self, case: CasePlan, index: int) -> DeviceArrays:
        """One tensor's arrays by the names that kernels have for them, each a place; and what its results are."""
        layout = self.variant.layout(tuple(self.parameters[index].shape))
        theta, gradient = (layout.into(each[index]) for each in (self.parameters, self.gradients))
        shape, number = tuple(theta.shape), str(arithmetic_dtype(theta))
        held = DeviceArrays(index, shape, number)
        every = [value[index] for value in self.inputs.values() if isinstance(value, list | tuple)]
        varying = self.varying | varying_of((theta, gradient, self.tensors[index], every))
        self.varies.append(varying)
        held.arrays["theta"] = self.places.changed_array(theta, varying)
        held.arrays["g"] = self.places.given_array(gradient)
        numbers: dict[str, Any] = {name: float(value) for name, value in shape_numbers(shape).items()}
        for one in case.inputs:
            if one.kind is Kind.TENSOR:
                numbers[one.name] = self.inputs[one.name][index]
            elif one.kind is Kind.ELEMENT:
                held.arrays[one.name] = self.places.given_array(layout.into(jnp.asarray(self.inputs[one.name][index])))
        if needs_axes(case):
            held.axes = self.places.constant(axes_of(shape))
        states = {entry.new: entry for entry in case.states}
        for buffer in case.buffers:
            count = count_of(buffer.kind, shape)
            if buffer.name in states:
                held.arrays[buffer.name] = self.places.made_array(count, number, varying)
            else:
                held.arrays[buffer.name] = self.places.memory(count, number)
        kept: dict[str, _Make] = {}
        for entry in case.states:
            kind = entry.kind
            if kind in (Kind.STEP, Kind.GLOBAL):
                continue
            value = self.tensors[index][entry.name]
            if entry.name in self.told.formats:
                kept[entry.name] = self.formatted(entry.name, value, held, varying)
            elif kind is Kind.TENSOR:
                numbers[entry.name] = value
                kept[entry.name] = functools.partial(self.new_tensor_number, held, entry.new, value.dtype)
            elif kind is Kind.ELEMENT:
                held.arrays[entry.name] = self.places.changed_array(layout.into(value), varying)
                kept[entry.name] = _array(held.arrays[entry.name], layout.back, value.dtype)
            else:
                kept[entry.name] = self.vectors(entry, value, held)
        for name, count in self.launcher.parts_of(case, shape, self.size).items():
            held.parts[name] = self.places.memory(count, number)
        self.makes.append((_array(held.arrays["theta"], layout.back, theta.dtype), kept))
        self.rows.append(numbers)
        return held

    def formatted(self, name: str, value: Any, held: DeviceArrays, varying: frozenset[str]) -> _Make:
        """Place a state that is stored in a format of states."""
        format = self.told.formats[name]
        held.formats[name] = STATE_FORMATS[format]
        held.streams[name] = stream_of(self.told.numbers[held.index], self.variant.state_names().index(name))
        if not isinstance(value, Blocks):
            place = self.places.changed_array(value, varying)
            held.arrays[name] = place._replace(dtype="uint16") if is_stochastic(format) else place
            return _array(place, _same, value.dtype)
        codes, scales = (self.places.changed_array(part, varying) for part in (value.codes, value.scales))
        held.arrays[name], held.scales[name] = codes, scales
        return lambda found: Blocks(_at(found, codes), _at(found, scales))

    def vectors(self, entry: StatePlan, value: Any, held: DeviceArrays) -> _Make:
        """Place a state of numbers per row, column, matrix or axis; those of the axes stand one after the other."""
        parts = value if isinstance(value, tuple) else (value,)
        new = held.arrays[entry.new]
        one = parts[0] if len(parts) == 1 else jnp.concatenate([p.astype(new.dtype).reshape(-1) for p in parts])
        held.arrays[entry.name] = self.places.given_array(one)
        shapes = kept_shapes(entry.kind, held.shape)
        ends = np.cumsum([math.prod(shape) for shape in shapes])

        def make(found: Any) -> Any:
            pieces = jnp.split(_at(found, new), ends[:-1])
            after = tuple(p.reshape(q.shape).astype(q.dtype) for p, q in zip(pieces, parts, strict=True))
            return after if isinstance(value, tuple) else after[0]

        return make

    def place_tensor_numbers(self) -> None:
        """Have the single numbers of tensors that are alike in one array, with a row for each tensor."""
        names = self.plan.tensor_numbers
        width = max(1, len(names))
        every = [held for _, members in self.cases.values() for held in members]
        for number, varying in {(held.number, self.varies[held.index]) for held in every}:
            some = [held for held in every if (held.number, self.varies[held.index]) == (number, varying)]
            values = [self.rows[held.index].get(name, 0.0) for held in some for name in names] or [0.0] * len(some)
            if all(isinstance(value, float) for value in values):
                place = self.places.given_array(np.array(values, number))
            else:
                one = jnp.stack([jnp.asarray(value, number) for value in values])
                place = self.places.changed_array(one, varying)
            for row, held in enumerate(some):
                held.numbers = place.part(row * width, width)

    def new_tensor_number(self, held: DeviceArrays, name: str, dtype: Any, found: Any) -> Any:
        """A state that is one number of a tensor, after the step."""
        assert held.numbers is not None
        row = held.numbers.address % BUFFER // itemsize(held.number)
        return _at(found, held.numbers)[row + self.plan.tensor_numbers.index(name)].astype(dtype)

    def step_numbers(
        self, cases: Sequence[CasePlan], members: Sequence[Sequence[DeviceArrays]]
    ) -> tuple[list[dict[str, DeviceMemory]], dict[str, Any]]:
        """The numbers of the step.

        Returns:
            for each case where they stand in each precision, and the states among them after the step.
        """
        placed: list[dict[str, DeviceMemory]] = []
        new: dict[str, Any] = {}
        names = self.plan.scalars
        for case, some in zip(cases, members, strict=True):
            states = [entry for entry in case.states if entry.kind is Kind.STEP]
            known = {**self.values, **{entry.name: self.shared[entry.name] for entry in states}}
            numbers = jnp.stack([jnp.asarray(known.get(name, 0.0), jnp.float64) for name in names] or [jnp.zeros(())])
            kernels = self.launcher.number_kernels(case.step, bool(self.told.formats))
            if kernels:
                places = CallArrays()
                place = places.changed_array(numbers, varying_of(numbers))
                codes = [kernel_starts.compiled(k, ("fp64",), c, self.target, NUMBER_OPTIONS) for k, c in kernels]
                starts = [Start(code, 1, (place.address,)) for code in codes]
                numbers = _at(places.finish(np.zeros(0, np.int64), [], starts), place)
            precisions = {held.number for held in some} | {self.model}
            placed.append({p: self.places.given_array(numbers.astype(p)) for p in precisions})
            new |= {e.name: numbers[names.index(e.new)].astype(self.shared[e.name].dtype) for e in states}
        return placed, new

    def model_numbers(self, cases: Sequence[CasePlan]) -> tuple[DeviceMemory, dict[str, _Make]]:
        """Where the numbers of the model stand, and what makes the states among them after the step."""
        names = self.plan.model_numbers
        states = {e.name: e for case in cases for e in case.states if e.kind is Kind.GLOBAL}
        known = {**self.values, **{name: self.shared[name] for name in states}}
        numbers = [jnp.asarray(known.get(name, 0.0), self.model) for name in names] or [jnp.zeros((), self.model)]
        one = jnp.stack(numbers)
        place = self.places.changed_array(one, self.varying) if states else self.places.given_array(one)

        def make(new: str, dtype: Any, found: Any) -> Any:
            return _at(found, place)[names.index(new)].astype(dtype)

        return place, {n: functools.partial(make, e.new, self.shared[n].dtype) for n, e in states.items()}

    def call(
        self, calls: Sequence[KernelCall], of_step: Sequence[Mapping[str, DeviceMemory]], model: DeviceMemory
    ) -> Any:
        """The call of all kernels."""
        tables = [np.pad(call.rows.reshape(-1), (0, call.rows.size % 2)) for call in calls]
        firsts = np.cumsum([0, *map(len, tables)])
        memory = self.places.memory(int(firsts[-1]), "int64")
        starts: list[Start] = []
        words: list[int] = []
        for call, first in zip(calls, firsts[:-1].tolist(), strict=True):
            columns = call.rows.shape[1]
            words += [first + row * columns + column for row in range(len(call.rows)) for column in call.addresses]
            given = [memory.part(first, 0)]
            if call.chunks is not None:
                given.append(self.places.constant(call.chunks))
            given += [of_step[call.case][call.number] if role == "scalars" else model for role in call.rest]
            types = tuple("i64" if place.dtype == "int64" else str(TYPES[place.dtype]) for place in given)
            code = kernel_starts.compiled(
                call.kernel, types, call.constants, self.target, options_of(call.launch, "cuda")
            )
            starts.append(Start(code, call.programs, tuple(place.address for place in given)))
        return self.places.finish(np.concatenate([np.zeros(0, np.int64), *tables]), words, starts)


def _array(place: DeviceMemory, back: Callable[[Any], Any], dtype: Any) -> _Make:
    """A function that makes a new array from the arrays that a call has changed."""
    return lambda found: back(_at(found, place)).astype(dtype)


def _at(found: Sequence[Any], place: DeviceMemory) -> Any:
    """The result of a call that a place is in."""
    buffer = place.address // BUFFER - 1
    assert buffer % 2, "only results are read"
    return found[buffer // 2]


def _same(array: Any) -> Any:
    return array


def kinds_of(case: CasePlan) -> list[Kind]:
    """The kinds of a case's states."""
    return [entry.kind for entry in case.states]
