"""Running a generated jax module on the tensors of a model.

The generated functions compute numbers of a step, one tensor, or numbers of the model; here they are called in order
and handed each other's results by name. Everything works on tracers, so all of it runs inside jit, vmap, scan and grad.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from optgen.compiler.kinds import Kind, kept_shapes
from optgen.errors import TreeMismatch
from optgen.runtime.layout import Layout
from optgen.targets.manifest import CaseInfo, Function, StateInfo, VariantInfo

#: A state as it is stored: an array, or for a vector per axis a tuple of arrays.
Stored = Any

#: The forms in which a step may be asked for, and the result of a rule that adds something to its parameter.
UPDATE_FORM, PARAMETER_FORM = "update", "theta_new"
UPDATE = "theta_update"


@dataclass(frozen=True, slots=True)
class ModelState:
    """All that a rule keeps: a mapping per tensor, and what is kept once for the model."""

    tensors: tuple[Mapping[str, Stored], ...]
    shared: Mapping[str, Stored]


class JaxVariant:
    """One generated variant, ready to run.

    Args:
        optimizer: the optimizer's name, for messages.
        info: the variant.
        module: the generated module that holds its functions.
    """

    def __init__(self, optimizer: str, info: VariantInfo, module: types.ModuleType) -> None:
        self.optimizer = optimizer
        self.info = info
        self._module = module
        reads = {a for case in info.cases for f in case.jax for a in f.arguments}
        #: Whether the update depends on the parameters, which then have to be given.
        self.reads_parameters = "theta" in reads or any(case.result != UPDATE for case in info.cases)

    def __deepcopy__(self, memo: dict[int, Any]) -> JaxVariant:
        """Compiled code is shared, not copied."""
        return self

    def case_of(self, shape: tuple[int, ...]) -> CaseInfo:
        """The case that a tensor of a shape takes."""
        return self._case(self._layout(shape).shape(shape))

    def _case(self, shape: tuple[int, ...]) -> CaseInfo:
        """The case that a tensor of a shape takes."""
        if not self.info.case_function:
            return self.info.cases[0]
        choose = getattr(self._module, self.info.case_function)
        index: int = choose(**_sizes(shape))
        return self.info.cases[index]

    def state_names(self) -> tuple[str, ...]:
        """Every state of any case, in the order of the spec."""
        return tuple(dict.fromkeys(state.name for case in self.info.cases for state in case.states))

    def shared_names(self) -> frozenset[str]:
        """The states that are kept once for the model, not for each tensor."""
        shared = (Kind.STEP.value, Kind.GLOBAL.value)
        return frozenset(s.name for case in self.info.cases for s in case.states if s.kind in shared)

    def init(self, parameters: Sequence[jax.Array], hyperparameters: Mapping[str, Any]) -> ModelState:
        """The state before the first step, in float64 for float64 parameters and float32 for all others."""
        shared: dict[str, Stored] = {}
        tensors: list[dict[str, Stored]] = []
        shared_names = self.shared_names()
        widest = jnp.result_type(*(arithmetic_dtype(theta) for theta in parameters)) if parameters else jnp.float32
        for theta in parameters:
            dtype = arithmetic_dtype(theta)
            layout = self._layout(theta.shape)
            theta = layout.into(theta)
            case = self._case(theta.shape)
            first = self._first_values(case, theta.astype(dtype), _cast(hyperparameters, dtype))
            kept: dict[str, Stored] = {}
            for state in case.states:
                start = first.get(state.name, 0.0)
                if state.name in shared_names:
                    shared.setdefault(state.name, _filled(state, start, theta.shape, widest))
                else:
                    kept[state.name] = _filled(state, start, theta.shape, dtype)
            kinds = {state.name: state.kind for state in case.states}
            tensors.append(layout.states(kinds, kept, back=True))
        return ModelState(tuple(tensors), shared)

    def _first_values(self, case: CaseInfo, theta: jax.Array, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        for function in case.jax:
            if function.level == "initial":
                return self._call(function, {**hyperparameters, "theta": theta})
        return {}

    def step(
        self,
        gradients: Sequence[jax.Array],
        state: ModelState,
        parameters: Sequence[jax.Array] | None,
        t: jax.Array | int,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        form: str = UPDATE_FORM,
    ) -> tuple[tuple[jax.Array, ...], ModelState]:
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
        layouts = [self._layout(gradient.shape) for gradient in gradients]
        if all(layout.is_plain for layout in layouts):
            return self._step(gradients, state, parameters, t, hyperparameters, inputs or {}, form)
        if parameters is not None:
            _check_shapes(self.optimizer, gradients, parameters)
            parameters = [layout.into(theta) for layout, theta in zip(layouts, parameters, strict=True)]
        gradients = [layout.into(gradient) for layout, gradient in zip(layouts, gradients, strict=True)]
        kinds = {info.name: info.kind for case in self.info.cases for info in case.states}
        given = {
            # Of two kinds of inputs that come as one value per tensor, one number per element has the tensor's axes.
            name: [
                layout.into(value) if jnp.ndim(value) == len(layout.order) else value
                for layout, value in zip(layouts, values, strict=True)
            ]
            if isinstance(values, tuple | list)
            else values
            for name, values in (inputs or {}).items()
        }
        before = zip(layouts, state.tensors, strict=True)
        state = ModelState(tuple(layout.states(kinds, tensor) for layout, tensor in before), state.shared)
        results, after = self._step(gradients, state, parameters, t, hyperparameters, given, form)
        tensors = zip(layouts, after.tensors, strict=True)
        return (
            tuple(layout.back(result) for layout, result in zip(layouts, results, strict=True)),
            ModelState(tuple(layout.states(kinds, tensor, back=True) for layout, tensor in tensors), after.shared),
        )

    def _layout(self, shape: tuple[int, ...]) -> Layout:
        return Layout.of(self.info.matrix_axes, shape, jnp.transpose)

    def _step(
        self,
        gradients: Sequence[jax.Array],
        state: ModelState,
        parameters: Sequence[jax.Array] | None,
        t: jax.Array | int,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any],
        form: str,
    ) -> tuple[tuple[jax.Array, ...], ModelState]:
        """The same, on tensors whose matrix axes are the last two."""
        self._check(gradients, state, parameters)
        envs = [
            self._environment(index, gradient, state, parameters, t, hyperparameters, inputs)
            for index, gradient in enumerate(gradients)
        ]
        cases = [self._case(gradient.shape) for gradient in gradients]
        sizes = {"model_size": sum(g.size for g in gradients), "tensor_count": len(gradients)}
        for env in envs:
            env.update(sizes)
        self._run(cases, envs)
        results, tensors = [], []
        shared = dict(state.shared)
        for index, (case, env, gradient) in enumerate(zip(cases, envs, gradients, strict=True)):
            theta = parameters[index] if parameters is not None else None
            results.append(_result(case, env, theta, gradient, form))
            kept = {}
            for info in case.states:
                if info.name in state.shared:
                    # Every tensor has the same value; the most precise one is kept.
                    if env["t"].dtype == state.shared[info.name].dtype:
                        shared[info.name] = _pushed(info, state.shared[info.name], env, t)
                else:
                    kept[info.name] = _pushed(info, state.tensors[index][info.name], env, t)
            tensors.append(kept)
        return tuple(results), ModelState(tuple(tensors), shared)

    def _check(self, gradients: Sequence[jax.Array], state: ModelState, parameters: Sequence[jax.Array] | None) -> None:
        """Refuse arrays that would broadcast, or belong to another model, before anything is computed."""
        if len(state.tensors) != len(gradients):
            raise TreeMismatch(
                f"{self.optimizer}: {len(gradients)} gradients, and the state is one of {len(state.tensors)} tensors"
            )
        if parameters is not None:
            _check_shapes(self.optimizer, gradients, parameters)
        for index, (gradient, kept) in enumerate(zip(gradients, state.tensors, strict=True)):
            for info in self._case(gradient.shape).states:
                stored = kept.get(info.name, state.shared.get(info.name))
                history = (info.depth,) if info.depth > 1 else ()
                wanted = [history + shape for shape in kept_shapes(Kind(info.kind), gradient.shape)]
                found = [jnp.shape(array) for array in (stored if isinstance(stored, tuple) else (stored,))]
                if stored is None or found != wanted:
                    raise TreeMismatch(
                        f"{self.optimizer}: gradient {index} has shape {gradient.shape}, and state '{info.name}' was "
                        f"made for a parameter of another shape"
                    )

    def _environment(
        self,
        index: int,
        gradient: jax.Array,
        state: ModelState,
        parameters: Sequence[jax.Array] | None,
        t: jax.Array | int,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What names mean for one tensor before any function has run."""
        theta = parameters[index] if parameters is not None else None
        dtype = arithmetic_dtype(gradient if theta is None else theta)
        env: dict[str, Any] = dict(_cast(hyperparameters, dtype))
        env |= _sizes(gradient.shape)
        env["t"] = jnp.asarray(t, dtype)
        env["count"] = t
        env["g"] = gradient.astype(dtype)
        if theta is not None:
            env["theta"] = theta.astype(dtype)
        per_tensor = self.info.inputs
        for name in per_tensor:
            value = inputs[name]
            env[name] = jnp.asarray(value[index] if isinstance(value, tuple | list) else value, dtype)
        for info in self._case(gradient.shape).states:
            if info.name in state.shared:
                env |= _unpacked(info, state.shared[info.name].astype(dtype), t)
            else:
                env |= _unpacked(info, state.tensors[index][info.name], t)
        return env

    def _run(self, cases: Sequence[CaseInfo], envs: Sequence[dict[str, Any]]) -> None:
        """Call the functions of all tensors, each as soon as what it needs is known.

        A fold over the model is known when every tensor has given its part; tensors of different cases may get there
        after different numbers of calls.
        """
        once: dict[tuple[str, Any], dict[str, Any]] = {}
        parts: dict[str, tuple[str, list[jax.Array]]] = {}
        pending = [[f for f in case.jax if f.level != "initial"] for case in cases]
        while any(pending):
            called = False
            for functions, env in zip(pending, envs, strict=True):
                while functions and all(name in env for name in functions[0].arguments):
                    function = functions.pop(0)
                    called = True
                    # Numbers of the step or the model are the same for all tensors of one precision.
                    key = (function.name, env["t"].dtype)
                    if function.level == "tensor":
                        values = self._call(function, env)
                    elif key in once:
                        values = once[key]
                    else:
                        call = self._call_in_float64 if function.level == "step" else self._call
                        values = once.setdefault(key, call(function, env))
                    folded = dict(function.folds)
                    env |= {name: value for name, value in values.items() if name not in folded}
                    for name, operation in function.folds:
                        parts.setdefault(name, (operation, []))[1].append(values[name])
            for name in [n for n, (_, gathered) in parts.items() if len(gathered) == len(envs)]:
                total = _combined(*parts.pop(name))
                called = True
                for env in envs:
                    env[name] = total.astype(env["t"].dtype)
            assert called, "a function waits for a value that none computes"

    def _call_in_float64(self, function: Function, env: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers of the step, computed in float64 and cast once, as for every target.

        There are a handful per step, and some of them cancel: RAdam's rho loses three digits in float32.
        """
        dtype = env["t"].dtype
        with jax.enable_x64(True):
            wide = {name: _converted(env[name], jnp.float64) for name in function.arguments}
            if "t" in wide:
                # The count itself: as a float32 number it would be exact up to 2**24 only.
                wide["t"] = _converted(jnp.asarray(env["count"]), jnp.float64)
            values = self._call(function, wide)
            return {name: _converted(value, dtype) for name, value in values.items()}

    def _call(self, function: Function, env: Mapping[str, Any]) -> dict[str, Any]:
        values = getattr(self._module, function.name)(*(env[name] for name in function.arguments))
        return dict(zip(function.returns, values, strict=True))


def _converted(value: Any, dtype: Any) -> Any:
    """A number as an array of a dtype; Python numbers and booleans stay as they are."""
    if not isinstance(value, jax.Array) or jnp.issubdtype(value.dtype, jnp.bool_):
        return value
    # Not `astype`, which would bring float64 back to float32 wherever it is not the default.
    return lax.convert_element_type(value, dtype)


def _check_shapes(optimizer: str, gradients: Sequence[jax.Array], parameters: Sequence[jax.Array]) -> None:
    for index, (gradient, theta) in enumerate(zip(gradients, parameters, strict=True)):
        if theta.shape != gradient.shape:
            raise TreeMismatch(f"{optimizer}: gradient {index} has shape {gradient.shape}, its parameter {theta.shape}")


def arithmetic_dtype(array: jax.Array) -> Any:
    """The precision in which a tensor's step is computed, and its state kept.

    Raises:
        TreeMismatch: the tensor does not hold real floating-point numbers.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TreeMismatch(f"parameters and gradients are floating-point arrays, and this one is {array.dtype}")
    return jnp.float64 if array.dtype == jnp.float64 else jnp.float32


def _sizes(shape: tuple[int, ...]) -> dict[str, int]:
    size = 1
    for length in shape:
        size *= length
    return {
        "size": size,
        "rank": len(shape),
        "rows": shape[-2] if len(shape) >= 2 else 1,
        "columns": shape[-1] if shape else 1,
    }


def _cast(hyperparameters: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """Python numbers stay, so that what they determine is folded in float64; arrays take the arithmetic's dtype."""
    return {
        name: float(value) if isinstance(value, int | float) else jnp.asarray(value, dtype)
        for name, value in hyperparameters.items()
    }


def _filled(state: StateInfo, start: Any, shape: tuple[int, ...], dtype: Any) -> Stored:
    shapes = kept_shapes(Kind(state.kind), shape)
    history = (state.depth,) if state.depth > 1 else ()
    # Copies: a state that starts at the parameter must not be the parameter's own buffer, which may be donated.
    arrays = tuple(jnp.array(jnp.broadcast_to(jnp.asarray(start, dtype), history + kept)) for kept in shapes)
    return arrays if Kind(state.kind) is Kind.AXIS else arrays[0]


def _unpacked(state: StateInfo, stored: Stored, t: jax.Array | int) -> dict[str, Any]:
    """A state's earlier values by the names they have in the functions."""
    if state.depth == 1:
        return {state.name: stored}
    names = [state.name, *(f"{state.name}_lag{lag}" for lag in range(2, state.depth + 1))]
    return {
        name: jax.tree.map(lambda ring, lag=lag: ring[(t - 1 - lag) % state.depth], stored)
        for lag, name in enumerate(names, start=1)
    }


def _pushed(state: StateInfo, stored: Stored, env: Mapping[str, Any], t: jax.Array | int) -> Stored:
    """A state after the step; in a history the new value takes the oldest one's place."""
    # A value computed from numbers of the step alone may be a Python number still.
    new = jax.tree.map(lambda old, value: jnp.asarray(value, old.dtype), stored, env[state.new])
    if state.depth == 1:
        return new
    return jax.tree.map(lambda ring, value: ring.at[(t - 1) % state.depth].set(value), stored, new)


def _combined(operation: str, parts: Sequence[jax.Array]) -> jax.Array:
    total = parts[0]
    for part in parts[1:]:
        if operation == "sum":
            total = total + part
        else:
            total = jnp.maximum(total, part) if operation == "max" else jnp.minimum(total, part)
    return total


def _result(
    case: CaseInfo, env: Mapping[str, Any], theta: jax.Array | None, gradient: jax.Array, form: str
) -> jax.Array:
    value: jax.Array = env[case.result]
    if form == UPDATE_FORM:
        update = value if case.result == UPDATE else value - env["theta"]
        return update.astype(gradient.dtype)
    assert theta is not None, "new parameters cannot be computed without parameters"
    new = env["theta"] + value if case.result == UPDATE else value
    return new.astype(theta.dtype)
