"""Running a generated module of array functions on the tensors of a model, whatever library the arrays are of.

The generated functions compute numbers of a step, one tensor, or numbers of the model; here they are called in order
and handed each other's results by name. What differs between libraries stands behind `Arrays`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optgen.contract.kinds import Kind, kept_shapes
from optgen.contract.manifest import CaseInfo, StateInfo, VariantInfo
from optgen.runtime.arrays import Array, Arrays
from optgen.runtime.axes import AxisOrder
from optgen.runtime.calls import FunctionCalls
from optgen.runtime.checks import check_arrays, check_shapes
from optgen.runtime.formats.codes import closed, opened
from optgen.runtime.shapes import shape_numbers
from optgen.runtime.state import UPDATE, UPDATE_FORM, ModelState, Stored, unpacked, value_names


class ArrayVariant:
    """One generated variant, ready to run on the arrays of one library.

    Args:
        optimizer: the optimizer's name, for messages.
        info: the variant.
        module: the generated module that holds its functions.
        arrays: the library.
    """

    def __init__(self, optimizer: str, info: VariantInfo, module: types.ModuleType, arrays: Arrays) -> None:
        self.optimizer = optimizer
        self.info = info
        self.arrays = arrays
        self._calls = FunctionCalls(module, arrays, info.hyperparameters)
        reads = {a for case in info.cases for f in case.jax for a in f.arguments}
        #: Whether the update depends on the parameters, which then have to be given.
        self.reads_parameters = "theta" in reads or any(case.result != UPDATE for case in info.cases)

    @property
    def is_joint(self) -> bool:
        """Whether all tensors have to make their steps together: something is folded over, or kept for, the model."""
        return bool(self.shared_names(Kind.GLOBAL)) or any(f.folds for case in self.info.cases for f in case.jax)

    def __deepcopy__(self, memo: dict[int, Any]) -> ArrayVariant:
        """Compiled code is shared, not copied."""
        return self

    def case_of(self, shape: tuple[int, ...]) -> CaseInfo:
        """The case that a tensor of a shape takes."""
        return self._case(self.layout(shape).shape(shape))

    def kinds_of(self, shape: tuple[int, ...]) -> dict[str, Kind]:
        """The kind of each state of a tensor of a shape; another case may keep other numbers under the same name."""
        return {state.name: state.kind for state in self.case_of(shape).states}

    def _case(self, shape: tuple[int, ...]) -> CaseInfo:
        """The case that a tensor takes whose matrix axes are the last two."""
        return self.info.cases[self.case_index(shape)]

    def _cases(self, gradients: Sequence[Array]) -> list[CaseInfo]:
        """The case of each gradient, whose matrix axes are the last."""
        return [self._case(tuple(gradient.shape)) for gradient in gradients]

    def case_index(self, shape: tuple[int, ...]) -> int:
        """Which of the variant's cases that is."""
        if not self.info.case_function:
            return 0
        choose = getattr(self._calls.module, self.info.case_function)
        numbers = shape_numbers(shape)
        index: int = choose(numbers["size"], numbers["rank"], numbers["rows"], numbers["columns"])
        return index

    def state_names(self) -> tuple[str, ...]:
        """Every state of any case, in the order of the spec."""
        return tuple(dict.fromkeys(state.name for case in self.info.cases for state in case.states))

    def shared_names(self, *kinds: Kind) -> frozenset[str]:
        """The states that are kept once for the model, not for each tensor; those of some kinds, if any are given."""
        shared = kinds or (Kind.STEP, Kind.GLOBAL)
        return frozenset(s.name for case in self.info.cases for s in case.states if s.kind in shared)

    def init(self, parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> ModelState:
        """The state before the first step, in float64 for float64 parameters and float32 for all others."""
        shared: dict[str, Stored] = {}
        tensors: list[dict[str, Stored]] = []
        shared_names = self.shared_names()
        arrays = self.arrays
        widest = arrays.widest([arrays.arithmetic_dtype(theta) for theta in parameters])
        for theta in parameters:
            dtype = arrays.arithmetic_dtype(theta)
            layout = self.layout(tuple(theta.shape))
            theta = layout.into(theta)
            shape = tuple(theta.shape)
            case = self._case(shape)
            first = self._first_values(case, arrays.cast(theta, dtype), self._hyperparameters(hyperparameters, dtype))
            kept: dict[str, Stored] = {}
            for state in case.states:
                start = first.get(state.name, 0.0)
                if state.name in shared_names:
                    shared.setdefault(state.name, self._filled(state, start, shape, widest, theta))
                else:
                    kept[state.name] = self._filled(state, start, shape, dtype, theta)
            kinds = {state.name: state.kind for state in case.states}
            tensors.append(layout.states(kinds, kept, back=True))
        return ModelState(tuple(tensors), shared)

    def _hyperparameters(self, values: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
        return {name: self.arrays.hyperparameter(value, dtype) for name, value in values.items()}

    def _filled(self, state: StateInfo, start: Any, shape: tuple[int, ...], dtype: Any, like: Array) -> Stored:
        shapes = kept_shapes(state.kind, shape)
        history = (state.depth,) if state.depth > 1 else ()
        if state.kind is Kind.STEP:
            return self.arrays.filled_on_host(start, history, dtype)
        found = tuple(self.arrays.filled(start, history + kept, dtype, like) for kept in shapes)
        return found if state.kind is Kind.AXIS else found[0]

    def _first_values(self, case: CaseInfo, theta: Array, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        for function in case.jax:
            if function.level == "initial":
                return self._calls.call(function, {**hyperparameters, "theta": theta})
        return {}

    def step(
        self,
        gradients: Sequence[Array],
        state: ModelState,
        parameters: Sequence[Array] | None,
        t: Any,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        form: str = UPDATE_FORM,
    ) -> tuple[tuple[Array, ...], ModelState]:
        """One step.

        Args:
            gradients: one array per tensor.
            state: from `init` or the last step.
            parameters: one array per tensor; may be None where `reads_parameters` is False and the form is `update`.
            t: the number of this step, counted from 1.
            hyperparameters: a value for each that the variant uses; Python numbers are folded in float64.
            inputs: the extra values that the rule asks for; one per tensor where its kind is tensor or element.
            form: `update` for what is to be added to the parameters, in the gradient's dtype, or `theta_new` for the
                new parameters, in theirs.

        Returns:
            one array per tensor, and the state after the step.
        """
        if state.formats:
            wide = replace(state, tensors=opened(self.arrays, state.tensors, state.formats), formats={})
            results, after = ArrayVariant.step(self, gradients, wide, parameters, t, hyperparameters, inputs, form)
            numbers = [state.number(index) for index in range(len(after.tensors))]
            names = self.state_names()
            formats, count = state.formats, t + state.ahead
            tensors = closed(self.arrays, after.tensors, formats, names, count, numbers, state.places)
            return results, replace(after, tensors=tensors, formats=state.formats)
        layouts = [self.layout(tuple(gradient.shape)) for gradient in gradients]
        if all(layout.is_plain for layout in layouts):
            return self._step(gradients, state, parameters, t, hyperparameters, inputs or {}, form)
        if parameters is not None:
            check_shapes(self.optimizer, gradients, parameters)
            parameters = [layout.into(theta) for layout, theta in zip(layouts, parameters, strict=True)]
        kinds = [self.kinds_of(tuple(gradient.shape)) for gradient in gradients]
        gradients = [layout.into(gradient) for layout, gradient in zip(layouts, gradients, strict=True)]
        given = {
            # Of two kinds of inputs that come as one value per tensor, one number per element has the tensor's axes.
            name: [
                layout.into(value) if len(getattr(value, "shape", ())) == len(layout.order) else value
                for layout, value in zip(layouts, values, strict=True)
            ]
            if isinstance(values, tuple | list)
            else values
            for name, values in (inputs or {}).items()
        }
        before = zip(layouts, kinds, state.tensors, strict=True)
        tensors = tuple(layout.states(own, tensor) for layout, own, tensor in before)
        state = ModelState(tensors, state.shared, state.ahead)
        results, after = self._step(gradients, state, parameters, t, hyperparameters, given, form)
        moved = zip(layouts, kinds, after.tensors, strict=True)
        tensors = tuple(layout.states(own, tensor, back=True) for layout, own, tensor in moved)
        return (
            tuple(layout.back(result) for layout, result in zip(layouts, results, strict=True)),
            ModelState(tensors, after.shared, after.ahead),
        )

    def shape_numbers(self, gradient: Array) -> dict[str, int]:
        """The numbers of a tensor's shape that equations ask for."""
        return shape_numbers(gradient.shape)

    def keeps_places(self, formats: Mapping[str, str], shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether all states that are in formats stand in the order in which the rule sees them."""
        return all(
            self.layout(shape).is_plain or formats.keys().isdisjoint(s.name for s in self.case_of(shape).states)
            for shape in shapes
        )

    def shapes_of(self, state: StateInfo, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes in which a tensor of a shape keeps a value of a state: several for a vector per axis."""
        kind = state.kind
        # One number per element is kept in the tensor's own order of axes.
        return kept_shapes(kind, shape if kind is Kind.ELEMENT else self.layout(shape).shape(shape))

    def layout(self, shape: tuple[int, ...]) -> AxisOrder:
        """The order of a tensor's axes while the rule works on it."""
        return AxisOrder.of(self.info.matrix_axes, shape, self.arrays.transpose)

    def _step(
        self,
        gradients: Sequence[Array],
        state: ModelState,
        parameters: Sequence[Array] | None,
        t: Any,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any],
        form: str,
    ) -> tuple[tuple[Array, ...], ModelState]:
        """Make a step on tensors whose matrix axes are the last two."""
        check_arrays(self.optimizer, self._cases(gradients), gradients, state, parameters)
        dtypes = [self._dtype(index, gradients, parameters) for index in range(len(gradients))]
        step_values = self._step_values(state, t, inputs)
        envs = [
            self._environment(index, gradient, dtype, state, parameters, t, hyperparameters, inputs, step_values)
            for index, (gradient, dtype) in enumerate(zip(gradients, dtypes, strict=True))
        ]
        cases = self._cases(gradients)
        sizes = {"model_size": sum(self.shape_numbers(g)["size"] for g in gradients), "tensor_count": len(gradients)}
        for env in envs:
            env.update(sizes)
        given = [list(env.values()) if case.borrowed else [] for case, env in zip(cases, envs, strict=True)]
        self._calls.run(cases, envs, step_values, dtypes)
        for case, env, gradient, dtype, values in zip(cases, envs, gradients, dtypes, given, strict=True):
            self._settle(case, env, gradient, dtype, values)
        results, tensors = [], []
        shared = dict(state.shared)
        for index, (case, env, gradient, dtype) in enumerate(zip(cases, envs, gradients, dtypes, strict=True)):
            theta = parameters[index] if parameters is not None else None
            results.append(self._result(case, env, theta, gradient, form))
            kept = {}
            for info in case.states:
                if info.name in state.shared:
                    # Every tensor has the same value; the most precise one is kept.
                    if dtype == self.arrays.widest(dtypes):
                        shared[info.name] = self._pushed(info, state.shared[info.name], env, t + state.ahead)
                else:
                    kept[info.name] = self._pushed(info, state.tensors[index][info.name], env, t + state.ahead)
            tensors.append(kept)
        return tuple(results), ModelState(tuple(tensors), shared, state.ahead)

    def _settle(self, case: CaseInfo, env: dict[str, Any], gradient: Array, dtype: Any, given: Sequence[Any]) -> None:
        """Give what a step leaves its full shape, and memory that is not that of what it was given.

        A function may return a number where an array is kept, or one of its arguments, which is about to be written.
        """
        flat = [part for value in given for part in (value if isinstance(value, tuple) else (value,))]
        kinds = {state.new: state.kind for state in case.states}
        for name in case.borrowed:
            kind = kinds.get(name, Kind.ELEMENT)
            if kind is Kind.STEP:
                continue  # kept as a number, which has no memory
            parts = env[name] if isinstance(env[name], tuple) else (env[name],)
            shapes = kept_shapes(kind, tuple(gradient.shape))
            full = tuple(
                self.arrays.apart(self.arrays.spread(part, shape, dtype, gradient), flat)
                for part, shape in zip(parts, shapes, strict=True)
            )
            env[name] = full if kind is Kind.AXIS else full[0]

    def check(self, gradients: Sequence[Array], state: ModelState, parameters: Sequence[Array] | None) -> None:
        """Refuse arrays that would broadcast, or belong to another model.

        Raises:
            TreeMismatch: shapes do not fit, or the state is another rule's.
        """
        layouts = [self.layout(tuple(gradient.shape)) for gradient in gradients]
        if all(layout.is_plain for layout in layouts):
            check_arrays(self.optimizer, self._cases(gradients), gradients, state, parameters)
            return
        if parameters is not None:
            check_shapes(self.optimizer, gradients, parameters)
            parameters = [layout.into(theta) for layout, theta in zip(layouts, parameters, strict=True)]
        kinds = [self.kinds_of(tuple(gradient.shape)) for gradient in gradients]
        before = zip(layouts, kinds, state.tensors, strict=True)
        tensors = [layout.states(own, kept) for layout, own, kept in before]
        gradients = [layout.into(gradient) for layout, gradient in zip(layouts, gradients, strict=True)]
        own = ModelState(tuple(tensors), state.shared, state.ahead)
        check_arrays(self.optimizer, self._cases(gradients), gradients, own, parameters)

    def _step_values(self, state: ModelState, t: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers of the step in their own precision, for the functions that compute with them in float64.

        As a float32 number the count, for one, would be exact up to 2**24 only.
        """
        values = {"t": t}
        for name in self.info.inputs:
            value = inputs[name]
            if not isinstance(value, tuple | list):
                values[name] = float(value) if isinstance(value, int) else value
        for info in {info.name: info for case in self.info.cases for info in case.states}.values():
            if info.kind is Kind.STEP:
                values |= unpacked(info, state.shared[info.name], t + state.ahead)
        return values

    def _environment(
        self,
        index: int,
        gradient: Array,
        dtype: Any,
        state: ModelState,
        parameters: Sequence[Array] | None,
        t: Any,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any],
        step_values: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The values of names for one tensor before any function has run."""
        arrays = self.arrays
        env = self._hyperparameters(hyperparameters, dtype)
        env |= self.shape_numbers(gradient)
        env["t"] = arrays.step_number(t, dtype)
        env["g"] = arrays.cast(gradient, dtype)
        if parameters is not None:
            env["theta"] = arrays.cast(parameters[index], dtype)
        for name in self.info.inputs:
            value = inputs[name]
            env[name] = arrays.number(value[index] if isinstance(value, tuple | list) else value, dtype)
        for info in self._case(tuple(gradient.shape)).states:
            if info.kind is Kind.STEP:
                env |= {name: arrays.kept_step_number(step_values[name], dtype) for name in value_names(info)}
            elif info.name in state.shared:
                env |= unpacked(info, arrays.cast(state.shared[info.name], dtype), t + state.ahead)
            else:
                kept = unpacked(info, state.tensors[index][info.name], t + state.ahead)
                env |= {name: self._cast(value, dtype) for name, value in kept.items()}
        return env

    def _cast(self, value: Stored, dtype: Any) -> Stored:
        if isinstance(value, tuple):
            return tuple(self.arrays.cast(part, dtype) for part in value)
        return self.arrays.cast(value, dtype)

    def _dtype(self, index: int, gradients: Sequence[Array], parameters: Sequence[Array] | None) -> Any:
        return self.arrays.arithmetic_dtype(gradients[index] if parameters is None else parameters[index])

    def _pushed(self, state: StateInfo, stored: Stored, env: Mapping[str, Any], t: Any) -> Stored:
        """A state after the step; in a history the new value takes the oldest one's place."""
        new = env[state.new]
        if isinstance(stored, tuple):
            return tuple(self._pushed_array(state, a, b, t) for a, b in zip(stored, new, strict=True))
        return self._pushed_array(state, stored, new, t)

    def _pushed_array(self, state: StateInfo, stored: Array, new: Any, t: Any) -> Array:
        # A value computed from numbers of the step alone may be a Python number still.
        value = self.arrays.as_stored(new, stored)
        return value if state.depth == 1 else self.arrays.replaced(stored, (t - 1) % stored.shape[0], value)

    def _result(self, case: CaseInfo, env: Mapping[str, Any], theta: Array | None, gradient: Array, form: str) -> Array:
        value = env[case.result]
        if form == UPDATE_FORM:
            update = value if case.result == UPDATE else value - env["theta"]
            return self.arrays.cast(update, gradient.dtype)
        assert theta is not None, "new parameters cannot be computed without parameters"
        new = env["theta"] + value if case.result == UPDATE else value
        return self.arrays.cast(new, theta.dtype)
