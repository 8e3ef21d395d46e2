"""Triton kernels inside jit: one call that XLA makes, which starts them on all tensors and changes donated arrays.

The kernels are those that step torch's tensors, compiled when a step is traced. Where arrays stand XLA says when it
makes the call, and C fills in the table of addresses then (`native/c/gpu.c`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from triton.backends.compiler import GPUTarget

from optgen.errors import NoCompiler
from optgen.runtime.jax import kernel_starts
from optgen.runtime.jax.static_arguments import KernelStep, StaticArguments, dtypes_of
from optgen.runtime.jax.traced import Step
from optgen.runtime.jax.variant import JaxVariant
from optgen.runtime.state import ModelState
from optgen.runtime.triton.launcher import Launcher

#: The types of arrays that kernels take.
_FLOATS = {"float32", "float64", "bfloat16", "float16"}


def gpu() -> GPUTarget | None:
    """The GPU that kernels are compiled for, that of the default device; None if it is none of NVIDIA's."""
    capability = str(getattr(jax.devices()[0], "compute_capability", ""))
    major, _, minor = capability.partition(".")
    return GPUTarget("cuda", 10 * int(major) + int(minor), 32) if major.isdigit() and minor.isdigit() else None


def by_triton(
    variant: JaxVariant,
    load: Callable[[], Launcher],
    gradients: Sequence[Any],
    state: ModelState,
    parameters: Sequence[Any],
    inputs: Mapping[str, Any],
) -> KernelStep | None:
    """The step by Triton's kernels on some arrays, with the new parameters in place of the old ones.

    None where the rule keeps histories, kernels do not know the types of arrays, or these may be on several devices and
    have to be folded over, or it is not known how they are split.

    Raises:
        NoCompiler: what XLA calls cannot be compiled, or CUDA's driver not be loaded.
    """
    target = gpu()
    if target is None:
        return None
    if not dtypes_of(gradients, state, parameters, inputs) <= _FLOATS:
        return None
    launcher = load()
    cases = launcher.plan.variant(variant.info.name).cases
    if any(entry.depth > 1 for case in cases for entry in case.states):
        return None
    step = functools.partial(_step, variant, launcher, target)
    if not _are_on_one_device():
        is_apart = variant.is_elementwise and not state.formats and not inputs
        if not (is_apart and _are_split_alike(gradients, state, parameters)):
            return None
        step = functools.partial(_on_each_device, step)
    kernel_starts.library()
    return step


def why_not() -> str:
    """Why these kernels do not run on the default device; empty if they do."""
    if gpu() is None:
        return "its GPU is none of NVIDIA's"
    try:
        kernel_starts.library()
    except NoCompiler as error:
        return str(error)
    return ""


def _are_on_one_device() -> bool:
    """Whether every array can only be on one device: there is no other, or each has its own part (`shard_map`)."""
    mesh = jax.sharding.get_abstract_mesh()
    is_manual = not mesh.empty and all(kind == jax.sharding.AxisType.Manual for kind in mesh.axis_types)
    return jax.device_count() == 1 or is_manual


def _are_split_alike(gradients: Sequence[Any], state: ModelState, parameters: Sequence[Any]) -> bool:
    """Whether the types of arrays say how they are split over devices, and all arrays of a tensor are so alike."""
    meshes = {jax.typeof(theta).sharding.mesh for theta in parameters}
    kinds = {kind for mesh in meshes for kind in (mesh.axis_types if not mesh.empty else (None,))}
    if len(meshes) != 1 or kinds != {jax.sharding.AxisType.Explicit}:
        return False
    return all(
        jax.typeof(one).sharding == jax.typeof(theta).sharding
        for theta, gradient, kept in zip(parameters, gradients, state.tensors, strict=True)
        for one in (gradient, *kept.values())
    )


def _on_each_device(step: KernelStep, told: StaticArguments, given: Any) -> Any:
    """A step by each device on its own parts of all tensors, which nothing moves."""
    _, tensors, shared, parameters, *_ = given
    split = jax.tree.map(lambda leaf: jax.typeof(leaf).sharding.spec, (given, (parameters, tensors, shared)))
    mesh = jax.typeof(parameters[0]).sharding.mesh
    local = functools.partial(step, told)
    return jax.shard_map(local, mesh=mesh, in_specs=(split[0],), out_specs=split[1])(given)


def _step(variant: JaxVariant, launcher: Launcher, target: GPUTarget, told: StaticArguments, given: Any) -> Any:
    """A call for the numbers of the step where there are any to compute, and one for everything else."""
    with jax.enable_x64(True):
        return Step(variant, launcher, target, told, given).run()
