"""Native kernels inside jit: a call of C that XLA makes, which changes donated arrays in place.

Where XLA would have to gather arrays from several devices for it, under vmap and in derivatives the functions of the
jax target compute the same.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from optgen.compiler.kinds import Kind
from optgen.runtime.formats import Blocks, stream_of
from optgen.runtime.in_place import single
from optgen.runtime.jax import UPDATE_FORM, JaxVariant, ModelState
from optgen.runtime.native.build import SOURCES, Source
from optgen.runtime.native.choice import backend, made_or_told
from optgen.runtime.native.launches import written_late
from optgen.runtime.native.library import Kernels, driver, thread_count
from optgen.runtime.native.loading import compiled
from optgen.runtime.native.places import TYPES, Place, dense_place, state_place
from optgen.runtime.native.table import Tensor, make_table
from optgen.targets.kernels.plan import RESULT, CasePlan
from optgen.targets.manifest import StateInfo

_TARGET = "optgen_native"


def xla_source() -> Source:
    """What is compiled for XLA to call, against the interface of the jax that is installed."""
    include = Path(jax.ffi.include_dir())
    interface = hashlib.sha256((include / "xla/ffi/api/c_api.h").read_bytes()).hexdigest()
    text = (SOURCES / "xla.c").read_text()
    return Source("xla", f"/* xla/ffi/api/c_api.h: {interface} */\n{text}", (SOURCES, include))


@functools.cache
def _register() -> Callable[..., int]:
    """Makes the driver known to XLA; returns the function that makes a table known to the driver.

    Raises:
        NoCompiler: it cannot be compiled.
    """
    library = compiled(xla_source())
    capsule = jax.ffi.pycapsule(library.optgen_xla)  # type: ignore[no-untyped-call]
    jax.ffi.register_ffi_target(_TARGET, capsule, platform="cpu")
    register: Callable[..., int] = library.optgen_register
    register.restype = ctypes.c_int64  # type: ignore[attr-defined]
    register.argtypes = [  # type: ignore[attr-defined]
        *(ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    ]
    return register


#: Models of fewer numbers than this are left to XLA, whose own loops are as fast there as a call of C.
SMALLEST = 4096

#: Tables that have been registered, and the addresses of their kernels: XLA may call them as long as the process lives.
_REGISTERED: dict[str, tuple[np.ndarray, np.ndarray]] = {}


class NativeJaxVariant(JaxVariant):
    """A variant whose steps are C kernels where these can run, and the generated jax functions elsewhere.

    Args:
        kernels: gives the compiled file; asked when a step is first made that can use it.
        *arguments: see `JaxVariant`.
    """

    def __init__(self, kernels: Callable[[], Kernels], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._kernels = kernels
        self._states = {state.name: state for case in self.info.cases for state in case.states}

    def step(
        self,
        gradients: Sequence[jax.Array],
        state: ModelState,
        parameters: Sequence[jax.Array] | None,
        t: Any,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        form: str = UPDATE_FORM,
    ) -> tuple[tuple[jax.Array, ...], ModelState]:
        """See `ArrayVariant.step`."""
        inputs = inputs or {}
        can_run = _can_run(gradients, state, parameters, inputs) and not self._is_better_left(form)
        can_run = can_run and (not state.formats or all(self.layout(g.shape).is_plain for g in gradients))
        kernels = made_or_told(self._kernels) if can_run else None
        if kernels is None:
            return super().step(gradients, state, parameters, t, hyperparameters, inputs, form)
        if any(not state.formats.keys().isdisjoint(case.read_again) for case in self._cases(kernels)):
            return super().step(gradients, state, parameters, t, hyperparameters, inputs, form)
        self.check(gradients, state, parameters)
        # Python numbers are part of the program; everything else is an argument of what is called.
        fixed = {name: float(value) for name, value in hyperparameters.items() if isinstance(value, int | float)}
        given = (
            tuple(gradients),
            tuple(dict(kept) for kept in state.tensors),
            dict(state.shared),
            None if parameters is None else tuple(parameters),
            jnp.asarray(t, jnp.int32),
            {name: value for name, value in hyperparameters.items() if name not in fixed},
            dict(inputs),
        )
        # What does not change from step to step.
        numbers = tuple(state.number(index) for index in range(len(gradients)))
        told = _Told(fixed, state.ahead, state.formats, numbers, form)
        arrays = functools.partial(self._by_arrays, told)
        native = functools.partial(self._by_kernels, kernels, told)

        @jax.custom_jvp
        def run(given: Any) -> Any:
            return batched(given)

        @jax.custom_batching.custom_vmap
        def batched(given: Any) -> Any:
            return native(given)

        @batched.def_vmap
        def _(size: int, is_batched: Any, given: Any) -> tuple[Any, Any]:
            axes = jax.tree.map(lambda one: 0 if one else None, is_batched[0])
            found = jax.vmap(arrays, in_axes=(axes,), axis_size=size)(given)
            return found, jax.tree.map(lambda _: True, found)

        run.defjvp(lambda primals, tangents: jax.jvp(arrays, primals, tangents))
        results, tensors, shared = run(given)
        return tuple(results), ModelState(tuple(tensors), shared, state.ahead, state.formats)

    def _cases(self, kernels: Kernels) -> Sequence[CasePlan]:
        return kernels.plan.variant(self.info.name).cases

    def _is_better_left(self, form: str) -> bool:
        """Whether XLA does better by itself: it makes one loop of an update and of what is done with that.

        A kernel has to write the update to memory that XLA asks the system for at every step. That costs more than the
        kernel saves where a rule is one pass over the parameters.
        """
        return form == UPDATE_FORM and backend() == "auto" and all(case.passes == 1 for case in self.info.cases)

    def _by_arrays(self, told: _Told, given: Any) -> Any:
        gradients, tensors, shared, parameters, t, varying, inputs = given
        before = ModelState(tensors, shared, told.ahead, told.formats, told.numbers)
        results, after = super().step(gradients, before, parameters, t, {**told.fixed, **varying}, inputs, told.form)
        return tuple(results), tuple(dict(kept) for kept in after.tensors), dict(after.shared)

    def _by_kernels(self, kernels: Kernels, told: _Told, given: Any) -> Any:
        """One call of C, with an alias for every array that it changes."""
        gradients, tensors, shared, parameters, t, varying, inputs = given
        is_update = told.form == UPDATE_FORM
        cases = self._cases(kernels)
        wide = [case.read_again for case in cases]
        over_gradient = is_update and all(_frees_gradient(case) for case in cases)
        call = _Call()
        rows, results, kept_outputs = [], [], []
        for index, gradient in enumerate(gradients):
            layout = self.layout(tuple(gradient.shape))
            order = () if layout.is_plain else layout.order
            theta = gradient if parameters is None else parameters[index]
            arrays: dict[str, tuple[Place, ...]] = {"g": (call.read(gradient, order),)}
            arrays["theta"] = arrays["g"] if parameters is None else (call.read(theta, order),)
            result = gradient if is_update else theta
            if is_update:
                arrays[RESULT] = (call.write(result, arrays["g"][0] if over_gradient else None, order),)
            else:
                arrays[RESULT] = (call.write(result, arrays["theta"][0], order),)
            results.append(arrays[RESULT][0])
            kept: dict[str, Any] = {}
            shape = layout.shape(gradient.shape)
            case = self.case_index(shape)
            for name, value in tensors[index].items():
                info = self._states[name]
                own = order if Kind(info.kind) is Kind.ELEMENT else ()
                if name in told.formats:
                    stream = stream_of(told.numbers[index], self.state_names().index(name))
                    kept[name] = call.change_formatted(value, told.formats[name], stream)
                    arrays[name] = (kept[name],)
                    continue
                if name in wide[case]:
                    value = value.astype(self.arrays.arithmetic_dtype(theta))
                parts = value if isinstance(value, tuple) else (value,)
                arrays[name] = tuple(call.change(part, own, info) for part in parts)
                kept[name] = arrays[name] if isinstance(value, tuple) else arrays[name][0]
            kept_outputs.append(kept)
            for name, value in inputs.items():
                if isinstance(value, list | tuple):
                    one = jnp.asarray(value[index])
                    arrays[name] = (call.read(one, order if one.ndim == len(order) else ()),)
            bits = 64 if theta.dtype == jnp.float64 else 32
            rows.append(Tensor(case, shape, bits, arrays))
        model = {name: call.change(value, (), self._states[name]) for name, value in shared.items()}
        places = {**model, **{name: call.read(jnp.asarray(value)) for name, value in single(inputs).items()}}
        table = make_table(kernels, self.info.name, rows, places, is_update=is_update)
        values = {**told.fixed, **varying, "t": t, "tensor_count": float(len(gradients))}
        values["model_size"] = float(sum(math.prod(g.shape) for g in gradients))
        with jax.enable_x64(True):
            numbers = [_wide(values.get(name, 0.0)) for name in kernels.plan.scalars] or [_wide(0.0)]
            found = jax.ffi.ffi_call(
                _TARGET,
                call.outputs,
                # Batches are taken apart before.
                vmap_method="sequential",
                input_output_aliases={2 + at: out for out, at in enumerate(call.aliased) if at is not None},
            )(jnp.stack(numbers), t + jnp.int32(told.ahead), *call.given, key=_registered(table, kernels))

        def output(place: Any) -> Any:
            if not isinstance(place, tuple) and place.scales >= 0:
                return Blocks(found[place.buffer // 2], found[place.scales // 2])
            return tuple(map(output, place)) if isinstance(place, tuple) else found[place.buffer // 2]

        def stored(before: Any, after: Any) -> Any:
            return after if isinstance(after, tuple | Blocks) else after.astype(before.dtype)

        return (
            tuple(output(place) for place in results),
            tuple(
                {name: stored(before[name], output(place)) for name, place in kept.items()}
                for before, kept in zip(tensors, kept_outputs, strict=True)
            ),
            {name: output(place) for name, place in model.items()},
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """What is part of the program that a step is compiled to.

    Attributes:
        fixed: hyperparameters that are Python numbers.
        ahead, formats, numbers: see `ModelState`.
        form: see `ArrayVariant.step`.
    """

    fixed: Mapping[str, float]
    ahead: int
    formats: Mapping[str, str]
    numbers: Sequence[int]
    form: str


class _Call:
    """The arrays of one call. The driver counts them as XLA does, arguments by even numbers and results by odd ones."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.outputs: list[Any] = []
        self.aliased: list[int | None] = []

    def read(self, array: Any, order: tuple[int, ...] = ()) -> Place:
        """An array that is read."""
        self.given.append(array)
        return dense_place(2 * len(self.given) - 2, str(array.dtype), tuple(array.shape), order)

    def write(self, like: Any, over: Place | None, order: tuple[int, ...] = ()) -> Place:
        """An array of the shape and dtype of another, made in the memory of one that is read if there is such."""
        at = self._made(like, None if over is None else over.buffer // 2)
        return dense_place(at, str(like.dtype), tuple(like.shape), order)

    def change(self, array: Any, order: tuple[int, ...], state: StateInfo) -> Place:
        """A state, which is changed where it is."""
        at = self._changed(array)
        return dense_place(at, str(array.dtype), tuple(array.shape), order, is_ring=state.depth > 1)

    def change_formatted(self, value: Any, format: str, stream: int) -> Place:
        """The same for a state in a format of states."""
        parts = (value.codes, value.scales) if isinstance(value, Blocks) else (value,)
        at, *scales = [self._changed(part) for part in parts]
        return state_place(at, format, stream, *scales)

    def _changed(self, array: Any) -> int:
        """An array that is read and written over; which of the buffers it is then."""
        self.given.append(array)
        return self._made(array, len(self.given) - 1)

    def _made(self, like: Any, over: int | None) -> int:
        self.outputs.append(jax.ShapeDtypeStruct(like.shape, like.dtype))  # type: ignore[no-untyped-call]
        self.aliased.append(over)
        return 2 * len(self.outputs) - 1


def _can_run(gradients: Sequence[Any], state: ModelState, parameters: Any, inputs: Mapping[str, Any]) -> bool:
    """Whether all arrays can only be on one CPU, and are of types that kernels know."""
    if jax.default_backend() != "cpu" or jax.device_count() > 1 or not gradients:
        return False
    # A length may be a symbol, which is known when the program that is exported runs.
    lengths = [n for gradient in gradients for n in gradient.shape]
    if not all(isinstance(n, int) for n in lengths) or sum(gradient.size for gradient in gradients) < SMALLEST:
        return False
    kept = [value for tensor in state.tensors for name, value in tensor.items() if name not in state.formats]
    leaves = jax.tree.leaves([list(gradients), kept, dict(state.shared), parameters, dict(inputs)])
    return all(str(jnp.result_type(leaf)) in TYPES for leaf in leaves)


def _frees_gradient(case: CasePlan) -> bool:
    """Whether no kernel reads the gradient after one has written the result."""
    if written_late(case, (1,)):
        return False
    launches = case.launches
    reads = [index for index, launch in enumerate(launches) if any(a.name == "g" for a in launch.arguments)]
    writes = [index for index, launch in enumerate(launches) if any(a.name == RESULT for a in launch.arguments)]
    return not reads or max(reads) <= min(writes)


def _registered(table: np.ndarray, kernels: Kernels) -> str:
    """The key by which a call finds its table."""
    key = hashlib.sha256(kernels.identity.encode() + table.tobytes()).hexdigest()
    if key not in _REGISTERED:
        _REGISTERED[key] = (table, kernels.addresses)
        run = ctypes.cast(driver().optgen_run, ctypes.c_void_p)
        failed = _register()(key.encode(), table.ctypes.data, kernels.addresses.ctypes.data, run, thread_count())
        if failed:
            raise MemoryError("there is no memory for a table of kernels")
    return key


def _wide(value: Any) -> jax.Array:
    """A number in float64, whatever the default is."""
    return lax.convert_element_type(jnp.asarray(value), jnp.float64)
