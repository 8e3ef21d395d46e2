"""Optimizers built from one's own equations, driven through the front-ends as their users do.

A target is named `LIBRARY-BACKEND DTYPE`, in JAX `jax-BACKEND-FORM DTYPE`. What it
keeps is shown as the reference keeps it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from optgen.contract.kinds import Kind
from optgen.custom import CustomOptimizer
from optgen.reference.compare import Snapshot
from optgen.reference.interpret import InterpretedState, Interpreter
from tools.fuzzing.case import Case

Array = np.ndarray[Any, Any]

EAGER = ("torch-arrays", "torch-native", "numpy-arrays", "numpy-native")
JAX = ("jax-arrays-apply", "jax-arrays-update", "jax-native-apply", "jax-native-update")
#: In processes of their own: Triton's interpreter has to be chosen before Triton is imported.
TRITON = ("triton-interpreted",)


@contextmanager
def using(backend: str) -> Iterator[None]:
    """Have steps made by some backend."""
    before = os.environ.get("OPTGEN_BACKEND")
    os.environ["OPTGEN_BACKEND"] = backend
    try:
        yield
    finally:
        if before is None:
            del os.environ["OPTGEN_BACKEND"]
        else:
            os.environ["OPTGEN_BACKEND"] = before


def laid_out(array: Array, layout: str) -> Array:
    """A copy of an array, in memory of some sort."""
    if layout == "turned" and array.ndim >= 2:
        found = np.zeros(array.shape[::-1], array.dtype).T
    elif layout == "gaps" and array.ndim:
        found = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    else:
        found = np.zeros(array.shape, array.dtype)
    found[...] = array
    return found


class Target:
    """An optimizer with a model, ready to step.

    Args:
        made: the compiled rule.
        case: how it is built.
        reference: says which states tensors have.
        backend: what makes its steps.
    """

    def __init__(self, made: CustomOptimizer, case: Case, reference: Interpreter, backend: str) -> None:
        self.made = made
        self.case = case
        self.reference = reference
        self.backend = backend
        self.t = 0

    def states_of(self, shape: tuple[int, ...]) -> list[tuple[str, Kind, int]]:
        """Names, kinds and depths of a tensor's states."""
        from optgen.contract.kinds import matrix_order

        shape = tuple(shape[axis] for axis in matrix_order(self.reference.rule.matrix_axes, shape))
        program = self.reference.programs[self.reference.case_of(shape)]
        return [(s.name, s.kind, s.depth) for s in program.states]

    def newest_first(self, stored: Any, depth: int) -> list[Any]:
        """The values of a state, from the ring in which they are kept."""

        def entry(place: Any) -> Any:
            if isinstance(stored, tuple | list):
                return tuple(on_host(part)[place] for part in stored)
            return on_host(stored)[place]

        return [entry((self.t - 1 - lag) % depth) for lag in range(depth)] if depth > 1 else [entry(...)]

    def snapshot_of(
        self, parameters: Sequence[Array], find: Callable[[int, str], Any], find_shared: Callable[[str], Any]
    ) -> Snapshot:
        """Make a snapshot, given how to find each state."""
        shared: dict[str, list[Any]] = {}
        states = []
        for index, parameter in enumerate(parameters):
            kept = {}
            for name, kind, depth in self.states_of(parameter.shape):
                if kind in (Kind.STEP, Kind.GLOBAL):
                    if name not in shared:
                        shared[name] = self.newest_first(find_shared(name), depth)
                else:
                    kept[name] = self.newest_first(find(index, name), depth)
            states.append(kept)
        return Snapshot(tuple(parameters), tuple(states), shared)


def on_host(value: Any) -> Array:
    """A copy as an array of numpy; of 16 bits, in float32."""
    if type(value).__module__.startswith("torch"):
        value = value.detach().cpu()
        return (value.float() if value.element_size() == 2 else value).numpy().copy()
    return np.array(value)


class EagerTarget(Target):
    """torch's or numpy's front-end."""

    def __init__(self, library: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.library = library
        self.parameters: list[Any] = []
        self.optimizer: Any = None

    def start(self, parameters: Sequence[Array], layout: str) -> None:
        """Start from these parameters."""
        arrays = [laid_out(p, layout) for p in parameters]
        factory = self.made.torch if self.library == "torch" else self.made.lucid
        self.parameters = [_torch_parameter(a) if self.library == "torch" else Parameter(a) for a in arrays]
        with using(self.backend):
            self.optimizer = factory(self.parameters, **self.case.arguments)

    def step(self, gradients: Sequence[Array], inputs: Mapping[str, Any]) -> None:
        """Do one step."""
        convert = _torch_tensor if self.library == "torch" else np.array
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = convert(gradient)
        given = {
            name: {p: convert(v) for p, v in zip(self.parameters, value, strict=True)}
            if isinstance(value, list)
            else value
            for name, value in inputs.items()
        }
        with using(self.backend):
            self.optimizer.step(**given)
        self.t += 1

    def snapshot(self) -> Snapshot:
        """Take a snapshot."""
        arrays = [on_host(p if self.library == "torch" else p.data) for p in self.parameters]
        states = [self.optimizer.state.get(p, {}) for p in self.parameters]

        def find(index: int, name: str) -> Any:
            if name in states[index]:
                return states[index][name]
            # torch keeps the vectors of a tensor's axes as entries of their own.
            return tuple(states[index][f"{name}_{axis}"] for axis in range(max(1, arrays[index].ndim)))

        return self.snapshot_of(
            arrays,
            find,
            lambda name: next(kept[name] for kept in states if name in kept),
        )


class Parameter:
    """As lucid's: an array and its gradient."""

    def __init__(self, data: Array) -> None:
        self.data = data
        self.grad: Array | None = None


def _torch_tensor(array: Array) -> Any:
    import torch

    if array.dtype.name == "bfloat16":
        return torch.tensor(array.astype(np.float32)).to(torch.bfloat16)
    # Memory is shared, so that tensors lie in it as the array does.
    return torch.from_numpy(array) if all(s >= 0 for s in array.strides) else torch.tensor(array)


def _torch_parameter(array: Array) -> Any:
    import torch

    torch.set_num_threads(2)
    return torch.nn.Parameter(_torch_tensor(array))


class JaxTarget(Target):
    """optax's interface under jit.

    Args:
        form: `apply` for the new parameters in one call, `update` for what is added to them.
    """

    def __init__(self, form: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.form = form

    def start(self, parameters: Sequence[Array], layout: str) -> None:
        """Start from these parameters."""
        import jax
        import jax.numpy as jnp
        import optax

        import optgen.optax

        given = {("learning_rate" if name == "lr" else name): value for name, value in self.case.arguments.items()}
        if any(hyperparameter.name == "lr" for hyperparameter in self.made.entry.manifest.hyperparameters):
            given.setdefault("learning_rate", self.reference.hyperparameters.get("lr", 0.1))
        self.parameters = [jnp.array(p) for p in parameters]
        with using(self.backend):
            tx = self.made.optax(**given)
            self.state = tx.init(self.parameters)

        def run(gradients: Any, state: Any, current: Any, inputs: Any) -> Any:
            if self.form == "apply":
                return optgen.optax.apply_gradients(tx, gradients, state, current, **inputs)
            updates, after = tx.update(gradients, state, current, **inputs)
            return optax.apply_updates(current, updates), after

        self._run = jax.jit(run, donate_argnums=(1, 2) if self.case.model.seed % 2 else ())

    def step(self, gradients: Sequence[Array], inputs: Mapping[str, Any]) -> None:
        """Do one step."""
        import jax
        import jax.numpy as jnp

        given = jax.tree.map(jnp.asarray, (list(gradients), dict(inputs)))
        with using(self.backend):
            self.parameters, self.state = self._run(given[0], self.state, self.parameters, given[1])
        self.t += 1

    def snapshot(self) -> Snapshot:
        """Take a snapshot."""
        return self.snapshot_of(
            [on_host(p) for p in self.parameters],
            lambda index, name: getattr(self.state, name)[index],
            lambda name: getattr(self.state, name),
        )


class TritonTarget(EagerTarget):
    """The generated Triton kernels in Triton's interpreter, on torch's tensors."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__("torch", *arguments)


def make_target(name: str, made: CustomOptimizer, case: Case, reference: Interpreter) -> EagerTarget | JaxTarget:
    """A target by its name, without the dtype."""
    library, backend, *form = name.split("-")
    match library:
        case "jax":
            return JaxTarget(form[0], made, case, reference, backend)
        case "triton":
            return TritonTarget(made, case, reference, "triton")
    return EagerTarget(library, made, case, reference, backend)


def state_of(snapshot: Snapshot, t: int, given: Callable[[Any], Any]) -> InterpretedState:
    """Convert a snapshot to a state of the reference."""
    from optgen.reference.interpret import TensorState

    def history(states: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            name: [tuple(map(given, value)) if isinstance(value, tuple) else given(value) for value in values]
            for name, values in states.items()
        }

    tensors = [TensorState(given(p), history(s)) for p, s in zip(snapshot.parameters, snapshot.states, strict=True)]
    return InterpretedState(tensors, history(snapshot.shared), t)


@functools.cache
def prepare() -> None:
    """Make steps of small models by native kernels in JAX as well, and compile without taking long about it."""
    import jax

    import optgen.runtime.jax.native as native

    native.SMALLEST = 0
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)
