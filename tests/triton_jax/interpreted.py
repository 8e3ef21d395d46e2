"""Steps inside jit by interpreted Triton kernels, beside the functions of the jax target.

    python -m tests.triton_jax.interpreted (float32|float64) NAME...
    python -m tests.triton_jax.interpreted shards
    python -m tests.triton_jax.interpreted elsewhere

Everything but the device is real: what a step is traced to, the call that XLA makes, the C that fills in addresses and
starts kernels. In place of CUDA's driver stands one that tells of launches, and these are interpreted. Prints one JSON
object: for each optimizer the largest difference of parameters and states relative to 1 or the larger number, and how
many kernels a step started; for a step that is traced for a GPU and run on a CPU, what it says.
"""

from __future__ import annotations

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"
if "shards" in sys.argv:
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import ctypes
import json
import subprocess
import tempfile
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from triton.backends.compiler import GPUTarget

import optgen.optax
from optgen.catalogue.entry import catalogue_entry
from optgen.runtime.jax import kernel_starts
from optgen.runtime.jax import kernel_variant as jax_kernels
from optgen.runtime.jax import triton as triton_jax
from optgen.runtime.jax.call import known_to_xla, register_function, xla_source
from optgen.runtime.jax.kernel_variant import KernelJaxVariant
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.native.c_compiler import compiler
from optgen.runtime.state import PARAMETER_FORM, ModelState

SHAPES = {"w": (130, 140), "b": (37,), "e": (0, 3), "s": (), "c": (5, 3, 2, 4), "l": (3000,)}
STEPS = 3
_TYPES = {"i64": ctypes.c_int64, "fp32": ctypes.c_float, "fp64": ctypes.c_double}

#: Arguments of transformations.
WAYS: dict[str, list[dict[str, Any]]] = {
    "adamw": [{}, *({"state_dtype": one} for one in ("8bit", "8bit_stochastic", "bfloat16"))],
    "sgd": [{"momentum": 0.9, "state_dtype": "8bit"}],
    "lamb": [{"state_dtype": "8bit_stochastic"}],
}

#: Transformations, and how arrays are split over two devices.
WHERE = [("adamw", "manual"), ("adamw", "explicit"), ("lamb", "explicit"), ("adamw", "auto")]

#: What stands in for machine code is the place here of what would have been compiled.
COMPILED: list[tuple[Any, tuple[str, ...], dict[str, Any]]] = []
LAUNCHED: list[str] = []
FAILED: list[BaseException] = []
#: Devices have threads of their own, and the interpreter has what belongs to one kernel.
ONE_AT_A_TIME = threading.Lock()


def compiled(kernel: Any, types: tuple[str, ...], constants: Any, target: GPUTarget, options: Any) -> Any:
    """In place of what Triton compiles."""
    COMPILED.append((kernel, types, dict(constants)))
    metadata = SimpleNamespace(
        target=target, num_warps=options["num_warps"], shared=0, global_scratch_size=0, name="kernel"
    )
    return SimpleNamespace(asm={"cubin": b"%d" % len(COMPILED)}, metadata=metadata)


@ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p))
def launched(image: bytes, programs: int, threads: int, arguments: Any) -> None:
    """Interprets a launch."""
    try:
        kernel, types, constants = COMPILED[int(image) - 1]
        tensors = []
        for index, name in enumerate(types):
            address = ctypes.cast(arguments[index], ctypes.POINTER(ctypes.c_uint64))[0]
            # Its length is nothing to the interpreter.
            tensors.append(torch.frombuffer((_TYPES[name] * 1).from_address(address), dtype=_DTYPES[name]))
        for index in (len(types), len(types) + 1):
            assert not ctypes.cast(arguments[index], ctypes.POINTER(ctypes.c_uint64))[0]
        assert threads in (32, 128)
        LAUNCHED.append(kernel.fn.__name__)
        with ONE_AT_A_TIME:
            kernel[(programs,)](*tensors, **constants)
    except BaseException as error:  # noqa: BLE001 - it cannot pass through C, and is raised after the step
        FAILED.append(error)


_DTYPES = {"i64": torch.int64, "fp32": torch.float32, "fp64": torch.float64}


def prepare(defines: tuple[str, ...]) -> None:
    """Have the driver of this folder stand in for CUDA's, and this machine for one with a GPU."""
    folder = tempfile.mkdtemp()
    path = Path(folder) / "driver.so"
    source = Path(__file__).with_name("driver.c")
    subprocess.run([*compiler(), "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    ctypes.CDLL(str(path)).listen(launched)
    target = "optgen_triton"
    library = known_to_xla(xla_source("gpu", defines), "optgen_gpu", (), target, "cpu")
    assert not register_function(library, "optgen_gpu_open")(str(path).encode())
    kernel_starts.library = lambda: library
    kernel_starts.compiled = compiled
    triton_jax.gpu = lambda: GPUTarget("cuda", 90, 32)
    jax_kernels.platform = lambda: "gpu"


def by_variant(name: str, dtype: Any) -> dict[str, Any]:
    """Steps of an optimizer's default variant, each from where the jax target has come to."""
    entry = catalogue_entry(name)
    values = {h.name: 0.1 if h.default is None else h.default for h in entry.manifest.hyperparameters}
    variant = entry.variant({option.name: option.default for option in entry.manifest.options}, values)
    assert isinstance(variant, KernelJaxVariant)
    used = {n: values[n] for n in variant.info.hyperparameters}
    kinds = {declared.name: declared.kind for declared in entry.manifest.inputs}
    random = np.random.default_rng(0)

    def tensors() -> list[Any]:
        return [jnp.asarray(random.standard_normal(shape), dtype) for shape in SHAPES.values()]

    def step(kernels: bool, gradients: Any, state: Any, parameters: Any, t: Any, lr: Any, inputs: Any) -> Any:
        make = KernelJaxVariant.step if kernels else JaxVariant.step
        given = {**used, **lr}
        results, after = make(variant, gradients, ModelState(*state), parameters, t, given, inputs, PARAMETER_FORM)
        return results, (after.tensors, dict(after.shared))

    run = jax.jit(step, static_argnums=0)
    parameters = tensors()
    first = variant.init(parameters, used)
    state = (first.tensors, dict(first.shared))
    lr = {"lr": jnp.asarray(used["lr"])} if "lr" in used else {}
    worst = 0.0
    for t in range(1, STEPS + 1):
        inputs = {n: [jnp.abs(x) for x in tensors()] if kinds[n] == "element" else 1.5 for n in variant.info.inputs}
        given = (tensors(), state, parameters, jnp.int32(t), lr, inputs)
        LAUNCHED.clear()
        ours = jax.block_until_ready(run(True, *given))
        launches = len(LAUNCHED)
        if FAILED:
            raise FAILED[0]
        parameters, state = run(False, *given)
        worst = max(worst, difference(jax.tree.leaves(ours), jax.tree.leaves((parameters, state))))
        parameters = list(parameters)
    return {"difference": worst, "launches": launches}


def by_optax(name: str, backend: str, dtype: Any, arguments: dict[str, Any]) -> tuple[list[Any], int]:
    """Parameters and states after some steps of a transformation, and how many kernels the last one started."""
    os.environ["OPTGEN_BACKEND"] = backend
    random = np.random.default_rng(0)

    def tree() -> dict[str, Any]:
        return {key: jnp.asarray(random.standard_normal(shape), dtype) for key, shape in SHAPES.items()}

    tx = getattr(optgen.optax, name)(1e-2, **arguments)
    params = tree()
    state = tx.init(params)
    step = jax.jit(lambda p, s, g: optgen.optax.apply_gradients(tx, g, s, p), donate_argnums=(0, 1))
    where = None
    for _ in range(STEPS):
        LAUNCHED.clear()
        params, state = jax.block_until_ready(step(params, state, tree()))
        stand = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((params, state)) if leaf.size > 1]
        # Donated arrays are changed where they are.
        assert where in (None, stand) or backend == "arrays"
        where = stand
        if FAILED:
            raise FAILED[0]
    return jax.tree.leaves((params, state)), len(LAUNCHED)


def by_shards(name: str, way: str, backend: str) -> tuple[list[Any], int]:
    """Parameters and states after steps where each of two devices has its own part of two tensors.

    Args:
        name: the transformation.
        way: `manual` in `shard_map`; `explicit` where the types of arrays say how they are split; `auto` where only
            XLA knows.
        backend: of kernels or arrays.
    """
    os.environ["OPTGEN_BACKEND"] = backend
    dtype = jnp.float32
    kind = jax.sharding.AxisType.Explicit if way == "explicit" else jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,))
    split = jax.sharding.PartitionSpec("data")
    random = np.random.default_rng(0)
    tx = getattr(optgen.optax, name)(1e-2)
    params = {"w": jnp.asarray(random.standard_normal((40, 30)), dtype), "b": jnp.ones(64, dtype)}
    params["whole"] = jnp.ones(7, dtype)
    state = tx.init(params)
    # One tensor is the same on both, which jax checks of the results.
    layout = jax.tree.map(lambda leaf: split if leaf.size > 7 else jax.sharding.PartitionSpec(), (params, state))

    def step(params: Any, state: Any, gradients: Any) -> Any:
        return optgen.optax.apply_gradients(tx, gradients, state, params)

    def placed(tree: Any, specs: Any) -> Any:
        return jax.tree.map(lambda leaf, spec: jax.device_put(leaf, jax.NamedSharding(mesh, spec)), tree, specs)

    if way == "manual":
        step = jax.shard_map(step, mesh=mesh, in_specs=(*layout, layout[0]), out_specs=layout)
    else:
        params, state = placed(params, layout[0]), placed(state, layout[1])
    step = jax.jit(step)
    for _ in range(STEPS):
        LAUNCHED.clear()
        gradients = {k: jnp.asarray(random.standard_normal(v.shape), dtype) for k, v in params.items()}
        gradients = gradients if way == "manual" else placed(gradients, layout[0])
        params, state = jax.block_until_ready(step(params, state, gradients))
        if FAILED:
            raise FAILED[0]
    for leaf, spec in zip(jax.tree.leaves(params), jax.tree.leaves(layout[0]), strict=True):
        assert leaf.sharding.is_equivalent_to(jax.NamedSharding(mesh, spec), leaf.ndim)
    return jax.tree.leaves((params, state)), len(LAUNCHED)


def beside_parts(backend: str) -> tuple[list[Any], int]:
    """A step in `shard_map` that keeps a number of each tensor: that of one which all devices have is no part."""
    os.environ["OPTGEN_BACKEND"] = backend
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    tx = optgen.optax.novograd(1e-2)
    specs = {"part": jax.P("data"), "whole": jax.P()}
    params = {"part": jnp.ones((40, 3)), "whole": jnp.full(5, 2.0)}

    def step(params: Any) -> Any:
        after, state = optgen.optax.apply_gradients(tx, jax.tree.map(jnp.sin, params), tx.init(params), params)
        return after, state[0].nu["whole"]

    split = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(specs,), out_specs=(specs, jax.P())))
    LAUNCHED.clear()
    found = jax.block_until_ready(split(params))
    if FAILED:
        raise FAILED[0]
    return jax.tree.leaves(found), len(LAUNCHED)


def difference(ours: list[Any], theirs: list[Any]) -> float:
    """The largest one."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        worst = max(worst, float(np.max(np.abs(x - y) / np.maximum(1.0, np.maximum(abs(x), abs(y))), initial=0.0)))
    return worst


def main() -> None:
    dtype, *names = sys.argv[1:]
    jax.config.update("jax_enable_x64", dtype == "float64")
    prepare(() if dtype == "elsewhere" else ("OPTGEN_WITHOUT_STREAM=1",))
    found: dict[str, Any] = {}
    if dtype == "elsewhere":
        try:
            by_optax("adamw", "triton", jnp.float32, {})
        except jax.errors.JaxRuntimeError as error:
            found["said"] = str(error)
    if dtype == "shards":
        for name, way in WHERE:
            ours, launches = by_shards(name, way, "triton")
            theirs, _ = by_shards(name, way, "arrays")
            found[f"{name}, {way}"] = {"difference": difference(ours, theirs), "launches": launches}
        ours, launches = beside_parts("triton")
        found["novograd, manual"] = {"difference": difference(ours, beside_parts("arrays")[0]), "launches": launches}
    for name in names:
        found[name] = by_variant(name, dtype)
    for name in set(names) & set(WAYS):
        for arguments in WAYS[name]:
            ours, launches = by_optax(name, "triton", dtype, arguments)
            theirs, _ = by_optax(name, "arrays", dtype, arguments)
            found[f"{name}({arguments})"] = {"difference": difference(ours, theirs), "launches": launches}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
