"""A generated variant as C functions that change arrays in place, wherever in this process's memory they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optgen.contract.kernel_plan import RESULT
from optgen.contract.kinds import Kind
from optgen.runtime.formats.bits import stream_of
from optgen.runtime.in_place import single
from optgen.runtime.native.call import Array, CallBuffers
from optgen.runtime.native.library import Kernels, address_of, driver
from optgen.runtime.native.memory import HostMemory
from optgen.runtime.native.places import Place
from optgen.runtime.native.table import make_table
from optgen.runtime.native.tensors import Tensor
from optgen.runtime.state import ModelState
from optgen.runtime.threads import Team, thread_count
from optgen.runtime.variant import ArrayVariant


@dataclass(slots=True)
class PreparedCall:
    """A step whose arrays are known.

    Attributes:
        kernels: the compiled file.
        table: the work of the step, see `make_table`.
        addresses: of the arrays; those of other arrays of the same shapes may be written over them.
        gradients: which of the addresses are those of the gradients.
        sizes: step scalars that follow from the shapes.
        owners: arrays that have to outlive the step.
    """

    kernels: Kernels
    table: np.ndarray
    addresses: np.ndarray
    gradients: Sequence[int]
    sizes: Mapping[str, int]
    owners: Sequence[np.ndarray]
    _scalars: np.ndarray = field(init=False, repr=False)
    _pointers: tuple[int, int, int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._scalars = np.zeros(max(1, len(self.kernels.plan.scalars)))
        self._pointers = (
            address_of(self.table),
            address_of(self.kernels.addresses),
            address_of(self._scalars),
            address_of(self.addresses),
        )

    def prepare_for_device(self) -> bool:
        """See `PreparedStep`: the host is the device."""
        return False

    @property
    def can_skip(self) -> bool:
        """See `PreparedStep`."""
        return False

    def run_on_device(self, *_: Any) -> dict[str, Any]:
        """See `PreparedStep`."""
        raise NotImplementedError("steps on a CPU are numbered by the host")

    def move_gradients(self, addresses: Sequence[int]) -> bool:
        """See `PreparedStep.move_gradients`."""
        self.addresses[self.gradients] = addresses
        return True

    def run(self, t: int, hyperparameters: Mapping[str, Any], team: Team) -> None:
        """Make the step.

        Args:
            t: its number, counted from 1.
            hyperparameters: a value for each that the variant uses, and for inputs that are single numbers.
            team: the threads that work.

        Raises:
            MemoryError: there is none for intermediate values; nothing has been changed.
        """
        values = {"t": t, **self.sizes, **hyperparameters}
        if self.kernels.plan.scalars:
            self._scalars[:] = [float(values.get(name, 0.0)) for name in self.kernels.plan.scalars]
        table, functions, scalars, addresses = self._pointers
        failed = driver().optgen_run(table, functions, scalars, t, addresses, team.size, team.parallel)
        if failed:
            raise MemoryError("there is no memory for a step's intermediate values")


class NativeRule:
    """One variant, ready to run.

    Args:
        kernels: the compiled file.
        variant: the same variant on arrays: it says which case a shape takes, and makes the first state.
        memory: says where the arrays of a library stand.
    """

    def __init__(self, kernels: Kernels, variant: ArrayVariant, memory: Callable[[Array], HostMemory]) -> None:
        self.kernels = kernels
        self.variant = variant
        self.memory = memory
        self._tables: dict[Any, np.ndarray] = {}

    def step(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        state: ModelState,
        t: int,
        hyperparameters: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        results: Sequence[Array] | None = None,
        team: Team | None = None,
    ) -> None:
        """One step on all tensors; parameters and state change in place.

        Args:
            parameters: of any real floating-point dtype.
            gradients: of the parameters' shapes, of any real floating-point dtype.
            state: arrays that can be written; also single numbers, of the step and of the model, are arrays.
            t: the number of this step, counted from 1.
            hyperparameters: a value for each that the variant uses.
            inputs: the extra values that the rule asks for; one per tensor where its kind is tensor or element.
            results: arrays for what is to be added to the parameters; then these stay as they are.
            team: the threads that work; as many as there are processors if None.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together; nothing has been changed.
        """
        if not parameters:
            return
        self.prepared(parameters, gradients, state, inputs, results).run(
            t, {**hyperparameters, **single(inputs or {})}, team or Team(thread_count())
        )

    def takes(self, formats: Mapping[str, str], shapes: Sequence[tuple[int, ...]]) -> bool:
        """See `InPlaceRule.takes`."""
        return self.variant.keeps_places(formats, shapes)

    def prepared(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        state: ModelState,
        inputs: Mapping[str, Any] | None = None,
        results: Sequence[Array] | None = None,
    ) -> PreparedCall:
        """A step with all but the numbers; for the arguments see `step`.

        Raises:
            TreeMismatch: parameters, gradients and state do not fit together.
        """
        self.variant.check(gradients, state, parameters)
        buffers = CallBuffers(self.memory)
        is_update = results is not None
        tensors = [
            self._tensor(buffers, index, theta, gradient, values, inputs or {}, results, state)
            for index, (theta, gradient, values) in enumerate(zip(parameters, gradients, state.tensors, strict=True))
        ]
        # States that there is one of for the model are the same in every case.
        infos = {info.name: info for case in self.variant.info.cases for info in case.states}
        shared = {name: buffers.add_writable(value, infos[name]) for name, value in state.shared.items()}
        for name, value in single(inputs or {}).items():
            shared[name] = buffers.add(np.array(float(value)), None)
        key = (tuple(_table_key(tensor) for tensor in tensors), tuple(shared.items()), is_update)
        table = self._tables.get(key)
        if table is None:
            table = make_table(self.kernels, self.variant.info.name, tensors, shared, is_update=is_update)
            self._tables = {**self._tables, key: table} if len(self._tables) < 16 else {key: table}
        sizes = {"tensor_count": len(tensors), "model_size": sum(math.prod(tensor.shape) for tensor in tensors)}
        addresses = np.array(buffers.addresses, np.uint64)
        return PreparedCall(self.kernels, table, addresses, buffers.gradients, sizes, buffers.owners)

    def _tensor(
        self,
        buffers: CallBuffers,
        index: int,
        theta: Array,
        gradient: Array,
        values: Mapping[str, Any],
        inputs: Mapping[str, Any],
        results: Sequence[Array] | None,
        state: ModelState,
    ) -> Tensor:
        """One tensor, whose arrays are added to the buffers of the call; `values` are those of its states."""
        memory = self.memory(theta)
        layout = self.variant.layout(memory.shape)
        order = () if layout.is_plain else layout.order
        case = self.variant.case_index(layout.shape(memory.shape))
        infos = {info.name: info for info in self.variant.info.cases[case].states}
        arrays: dict[str, tuple[Place, ...]] = {"theta": (buffers.add_writable(theta, None, order),)}
        buffers.gradients.append(len(buffers.addresses))
        arrays["g"] = (buffers.add(gradient, None, order),)
        arrays[RESULT] = arrays["theta"] if results is None else (buffers.add_writable(results[index], None, order),)
        for name, value in values.items():
            info = infos[name]
            if name in state.formats:
                stream = stream_of(state.number(index), self.variant.state_names().index(name))
                arrays[name] = (buffers.add_formatted(value, state.formats[name], stream),)
            elif isinstance(value, tuple):
                arrays[name] = tuple(buffers.add_writable(part, info) for part in value)
            else:
                is_element = info.kind is Kind.ELEMENT
                arrays[name] = (buffers.add_writable(value, info, order if is_element else ()),)
        for name, value in inputs.items():
            if isinstance(value, list | tuple):
                own = value[index]
                is_element = len(getattr(own, "shape", ())) == len(memory.shape)
                arrays[name] = (buffers.add(own, None, order if is_element else ()),)
        return Tensor(case, layout.shape(memory.shape), 64 if memory.dtype == "float64" else 32, arrays)


def _table_key(tensor: Tensor) -> tuple[Any, ...]:
    """All that a table depends on of a tensor, to be hashed."""
    return tensor.case, tensor.shape, tensor.bits, tuple(tensor.arrays.items())
