"""Native kernels inside jit: a call of C that XLA makes, which changes donated arrays in place."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from optgen.contract.kernel_plan import RESULT, CasePlan
from optgen.contract.kinds import Kind
from optgen.contract.manifest import StateInfo
from optgen.runtime.backend import backend, made_or_told
from optgen.runtime.formats.bits import stream_of
from optgen.runtime.formats.codes import Blocks, stored_count
from optgen.runtime.in_place import single
from optgen.runtime.jax.call import REGISTERING, Buffers, known_to_xla, register_function, xla_source
from optgen.runtime.jax.static_arguments import KernelStep, StaticArguments, dtypes_of
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.native.launches import deferred_values
from optgen.runtime.native.library import Kernels, driver
from optgen.runtime.native.places import TYPES, Place, dense_place, state_place
from optgen.runtime.native.table import make_table
from optgen.runtime.native.tensors import Tensor
from optgen.runtime.state import UPDATE_FORM, ModelState
from optgen.runtime.threads import thread_count

_TARGET = "optgen_native"

#: Models of fewer numbers than this are left to XLA, whose own loops are as fast there as a call of C.
SMALLEST = 4096

#: How many arrays one call changes at most: XLA's time grows like the third power of that, 0.02 s for so many and 9 s
#: for 900.
MOST_CHANGED = 128
#: The same for a rule whose tensors have to be stepped by one call. Larger models of such are left to XLA's own loops,
#: for which it takes less time than for the call.
MOST_CHANGED_TOGETHER = 512

#: Tables that have been registered, and the addresses of their kernels: XLA may call them as long as the process lives.
_REGISTERED: dict[str, tuple[np.ndarray, np.ndarray]] = {}


def by_native(
    variant: JaxVariant,
    load: Callable[[], Kernels],
    gradients: Sequence[Any],
    state: ModelState,
    parameters: Any,
    inputs: Mapping[str, Any],
    form: str,
) -> KernelStep | None:
    """The step by C on some arrays; None where they may be on several devices, or it would be no faster.

    Raises:
        NoCompiler: native kernels are asked for, and cannot be had.
    """
    is_small = sum(gradient.size for gradient in gradients) < SMALLEST
    if jax.device_count() > 1 or is_small or _is_better_left(variant, form):
        return None
    if not dtypes_of(gradients, state, parameters, inputs) <= TYPES.keys():
        return None
    if variant.is_joint and backend() == "auto" and _changed(state.tensors) > MOST_CHANGED_TOGETHER:
        return None

    def made() -> Kernels:
        _library()  # there may be kernels, and no compiler for what XLA calls
        return load()

    kernels = made_or_told(made)
    return None if kernels is None else functools.partial(_step, variant, kernels)


@functools.cache
def _library() -> ctypes.CDLL:
    """The library of the function that XLA calls.

    Raises:
        NoCompiler: it cannot be compiled.
    """
    with REGISTERING:
        return known_to_xla(xla_source("xla"), "optgen_xla", ("optgen_register",), _TARGET, "cpu")


def _is_better_left(variant: JaxVariant, form: str) -> bool:
    """Whether XLA does better by itself: it makes one loop of an update and of what is done with that.

    A kernel has to write the update to memory that XLA asks the system for at every step. That costs more than the
    kernel saves where a rule is one pass over the parameters.
    """
    return form == UPDATE_FORM and backend() == "auto" and all(case.passes == 1 for case in variant.info.cases)


def _step(variant: JaxVariant, kernels: Kernels, told: StaticArguments, given: Any) -> Any:
    """A step as calls of C, each for some of the tensors."""
    gradients, tensors, shared, parameters, t, varying, inputs = given
    values = {**told.fixed, **varying, "t": t, "tensor_count": float(len(gradients))}
    values["model_size"] = float(sum(math.prod(g.shape) for g in gradients))
    with jax.enable_x64(True):
        numbers = jnp.stack([_wide(values.get(name, 0.0)) for name in kernels.plan.scalars] or [_wide(0.0)])
        ahead = t + jnp.int32(told.ahead)
    results: list[Any] = []
    after: list[dict[str, Any]] = []
    after_shared = dict(shared)
    for part in _parts(variant, tensors):
        of_part = {n: v[part] if isinstance(v, list | tuple) else v for n, v in inputs.items()}
        streams = replace(told, numbers=told.numbers[part])
        mine = None if parameters is None else parameters[part]
        own = _shared_names(variant, gradients[part]) if len(shared) else ()
        arrays = gradients[part], tensors[part], {n: v for n, v in shared.items() if n in own}, mine, of_part
        found, kept, numbers_after = _call(variant, kernels, streams, numbers, ahead, *arrays)
        results += found
        after += kept
        # Every call that has a number of the step computes the same from the same.
        after_shared |= numbers_after
    return tuple(results), tuple(after), after_shared


def _shared_names(variant: JaxVariant, gradients: Sequence[Any]) -> set[str]:
    """The states that are kept once for the model and that the cases of some tensors have."""
    cases = {id(case): case for case in (variant.case_of(tuple(gradient.shape)) for gradient in gradients)}
    return {state.name for case in cases.values() for state in case.states}


def _changed(tensors: Sequence[Mapping[str, Any]]) -> int:
    """How many arrays a step on tensors with some states changes."""
    return len(tensors) + len(jax.tree.leaves(list(tensors)))


def _parts(variant: JaxVariant, tensors: Sequence[Mapping[str, Any]]) -> list[slice]:
    """The tensors that calls are made for: `MOST_CHANGED` arrays are changed by one at most, if that can be."""
    if variant.is_joint:
        return [slice(0, len(tensors))]
    starts, changed = [0], 0
    for index, kept in enumerate(tensors):
        own = _changed([kept])
        if changed and changed + own > MOST_CHANGED:
            starts.append(index)
            changed = 0
        changed += own
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(tensors)], strict=True)]


def _call(
    variant: JaxVariant,
    kernels: Kernels,
    told: StaticArguments,
    numbers: jax.Array,
    t: jax.Array,
    gradients: Sequence[Any],
    tensors: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any],
    parameters: Sequence[Any] | None,
    inputs: Mapping[str, Any],
) -> tuple[list[Any], list[dict[str, Any]], dict[str, Any]]:
    """One call of C, with an alias for every array that it changes; it returns results, states and shared numbers."""
    is_update = told.form == UPDATE_FORM
    over_gradient = is_update and all(map(_frees_gradient, kernels.plan.variant(variant.info.name).all_cases))
    call = _XlaCall()
    rows, results, kept_outputs = [], [], []
    for index, gradient in enumerate(gradients):
        layout = variant.layout(tuple(gradient.shape))
        order = () if layout.is_plain else layout.order
        theta = gradient if parameters is None else parameters[index]
        arrays: dict[str, tuple[Place, ...]] = {"g": (call.place(gradient, order),)}
        arrays["theta"] = arrays["g"] if parameters is None else (call.place(theta, order),)
        result = gradient if is_update else theta
        if is_update:
            arrays[RESULT] = (call.write(result, arrays["g"][0] if over_gradient else None, order),)
        else:
            arrays[RESULT] = (call.write(result, arrays["theta"][0], order),)
        results.append(arrays[RESULT][0])
        kept: dict[str, Any] = {}
        shape = layout.shape(gradient.shape)
        case = variant.case_index(shape)
        infos = {info.name: info for info in variant.info.cases[case].states}
        for name, value in tensors[index].items():
            info = infos[name]
            own = order if info.kind is Kind.ELEMENT else ()
            if name in told.formats:
                stream = stream_of(told.numbers[index], variant.state_names().index(name))
                kept[name] = call.change_formatted(value, told.formats[name], stream)
                arrays[name] = (kept[name],)
                continue
            parts = value if isinstance(value, tuple) else (value,)
            arrays[name] = tuple(call.change(part, own, info) for part in parts)
            kept[name] = arrays[name] if isinstance(value, tuple) else arrays[name][0]
        kept_outputs.append(kept)
        for name, value in inputs.items():
            if isinstance(value, list | tuple):
                one = jnp.asarray(value[index])
                arrays[name] = (call.place(one, order if one.ndim == len(order) else ()),)
        bits = 64 if theta.dtype == jnp.float64 else 32
        rows.append(Tensor(case, shape, bits, arrays))
    # What is kept once is the same in every case.
    infos = {info.name: info for case in variant.info.cases for info in case.states}
    model = {name: call.change(value, (), infos[name]) for name, value in shared.items()}
    places = {**model, **{name: call.place(jnp.asarray(value)) for name, value in single(inputs).items()}}
    table = make_table(kernels, variant.info.name, rows, places, is_update=is_update)
    with jax.enable_x64(True):
        found = call.call(_TARGET, _registered(table, kernels), numbers, t)

    def output(place: Any) -> Any:
        if not isinstance(place, tuple) and place.scales >= 0:
            return Blocks(found[place.buffer // 2], found[place.scales // 2])
        return tuple(map(output, place)) if isinstance(place, tuple) else found[place.buffer // 2]

    def stored(before: Any, after: Any) -> Any:
        return after if isinstance(after, tuple | Blocks) else after.astype(before.dtype)

    return (
        [output(place) for place in results],
        [
            {name: stored(before[name], output(place)) for name, place in kept.items()}
            for before, kept in zip(tensors, kept_outputs, strict=True)
        ],
        {name: output(place) for name, place in model.items()},
    )


class _XlaCall(Buffers):
    """The arrays of one call, as the driver's table tells of them."""

    def place(self, array: Any, order: tuple[int, ...] = ()) -> Place:
        """An array that is read."""
        return dense_place(self.read(array), str(array.dtype), tuple(array.shape), order)

    def write(self, like: Any, over: Place | None, order: tuple[int, ...] = ()) -> Place:
        """An array of the shape and dtype of another, made in the memory of one that is read if there is such."""
        at = self.made(like.shape, like.dtype, None if over is None else over.buffer)
        return dense_place(at, str(like.dtype), tuple(like.shape), order)

    def change(self, array: Any, order: tuple[int, ...], state: StateInfo) -> Place:
        """A state, which is changed where it is."""
        at = self.changed(array)
        return dense_place(at, str(array.dtype), tuple(array.shape), order, is_ring=state.depth > 1)

    def change_formatted(self, value: Any, format: str, stream: int) -> Place:
        """The place of a state in a format of states, which the step writes."""
        parts = (value.codes, value.scales) if isinstance(value, Blocks) else (value,)
        at, *scales = [self.changed(part) for part in parts]
        return state_place(at, format, stored_count(*(part.shape for part in parts)), stream, *scales)


def _frees_gradient(case: CasePlan) -> bool:
    """Whether no kernel reads the gradient after one has written the result."""
    if deferred_values(case, (1,)):
        return False
    launches = case.launches
    reads = [index for index, launch in enumerate(launches) if any(a.name == "g" for a in launch.arguments)]
    writes = [index for index, launch in enumerate(launches) if any(a.name == RESULT for a in launch.arguments)]
    return not reads or max(reads) <= min(writes)


def _registered(table: np.ndarray, kernels: Kernels) -> str:
    """The key by which a call finds its table."""
    key = hashlib.sha256(kernels.identity.encode(errors="surrogateescape") + table.tobytes()).hexdigest()
    with REGISTERING:
        if key in _REGISTERED:
            return key
        register = register_function(
            _library(), "optgen_register", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
        )
        run = ctypes.cast(driver().optgen_run, ctypes.c_void_p)
        failed = register(key.encode(), table.ctypes.data, kernels.addresses.ctypes.data, run, thread_count())
        if failed:
            raise MemoryError("there is no memory for a table of kernels")
        _REGISTERED[key] = (table, kernels.addresses)
    return key


def _wide(value: Any) -> jax.Array:
    """A number in float64, whatever the default is."""
    return lax.convert_element_type(jnp.asarray(value), jnp.float64)
