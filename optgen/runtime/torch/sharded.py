"""Parameters of which each process holds a part: refused by name where a step would not be that of whole tensors.

There are three kinds. A `DTensor` (`fully_shard`, tensor parallelism) knows its whole shape, and torch reduces over its
parts. Flat parameters of `FullyShardedDataParallel` are tensors of one process without that knowledge. Behind
`ZeroRedundancyOptimizer` an optimizer has some of the model's tensors, each of them whole.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from optgen.contract.formats import BFLOAT16_NEAREST, is_eight_bit
from optgen.contract.kernel_plan import Fold, VariantPlan
from optgen.contract.kinds import MODEL_SYMBOLS, SHAPE_SYMBOLS, Kind
from optgen.contract.manifest import VariantInfo
from optgen.errors import TreeMismatch, UnsupportedSharding

Tensor = torch.Tensor


def is_sharded(tensor: Any) -> bool:
    """Whether a tensor is a DTensor, of which each process holds a part or a copy."""
    # No tensor can be one before the module has been imported, which takes a second.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def is_flattened(parameter: Tensor) -> bool:
    """Whether `FullyShardedDataParallel` has put a parameter's numbers into a flat one, or it is such a flat one."""
    return bool(getattr(parameter, "_fsdp_flattened", False))


def is_made_by_zero() -> bool:
    """Whether the caller is making the optimizer of one of several processes for a `ZeroRedundancyOptimizer`.

    It tells an optimizer's constructor nothing of itself: the calls that lead here do.
    """
    module = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")
    frame = sys._getframe(1) if module is not None else None
    while frame is not None:
        if frame.f_globals.get("__name__") == module.__name__:  # type: ignore[union-attr]
            return getattr(frame.f_locals.get("self"), "world_size", 2) > 1
        frame = frame.f_back
    return False


def as_placed(value: Tensor, like: Tensor) -> Tensor:
    """A result for a tensor to hold: of a DTensor, the parts of it that each process holds of the other."""
    if not is_sharded(value):
        return value
    placed: Any = value
    shaped: Any = like
    found: Tensor = placed.redistribute(placements=shaped.placements) if is_sharded(like) else placed.full_tensor()
    return found


class Sharding:
    """A variant's requirements for sharded parameters.

    Args:
        label: what messages call the optimizer.
        info: the variant.
        plan: its reductions; asked for only where parameters are not whole.
        formats: of its states.
    """

    def __init__(
        self, label: str, info: VariantInfo, plan: Callable[[], VariantPlan], formats: Mapping[str, str]
    ) -> None:
        self.label = label
        self.info = info
        self.formats = formats
        self._plan = plan
        states = {state.name: state for case in info.cases for state in case.states}
        reads = {name for case in info.cases for f in case.jax for name in f.arguments}
        folds = any(f.folds for case in info.cases for f in case.jax)
        is_global = any(state.kind is Kind.GLOBAL for state in states.values())
        #: Whether a tensor's step depends on the other tensors.
        self.is_of_model = folds or is_global or not reads.isdisjoint(MODEL_SYMBOLS)
        self._reads_shape = not reads.isdisjoint(SHAPE_SYMBOLS) or len(info.cases) > 1
        on_host = (Kind.STEP, Kind.GLOBAL)
        #: States that are no tensor of the parameter's shape.
        self.apart = [
            name
            for name, state in states.items()
            if state.kind not in on_host and (state.kind is not Kind.ELEMENT or state.depth > 1)
        ]

    def _folds(self) -> list[Fold]:
        return [fold for case in self._plan().cases for fold in case.folds]

    def check(self, parameters: Sequence[Tensor], skip: bool, is_part: bool) -> None:
        """Refuse parameters whose step could not be that of whole tensors.

        Args:
            parameters: of a group.
            skip: whether steps are left out where gradients are not finite.
            is_part: whether other processes have the other parameters of the model.

        Raises:
            UnsupportedSharding: it could not.
        """
        if is_part:
            self._check_part("ZeroRedundancyOptimizer gives each process some of the model's tensors", skip)
        flat = [p for p in parameters if is_flattened(p)]
        if flat:
            self._check_flat(flat, skip)
        sharded = [p for p in parameters if is_sharded(p)]
        if sharded:
            self._check_sharded(parameters, sharded)

    def _check_part(self, why: str, skip: bool) -> None:
        if self.is_of_model:
            raise self._refused(f"the rule reduces over the whole model, and {why}")
        if skip:
            raise self._refused(f"skip_nonfinite=True is decided over the whole model, and {why}")

    def _check_flat(self, flat: Sequence[Tensor], skip: bool) -> None:
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            self._check_part("flat parameters of FullyShardedDataParallel are a part of it in each process", skip)
        elif not any(getattr(p, "_is_flat_param", False) for p in flat):
            return  # one process has all tensors, in their own shapes
        if self._reads_shape or self.apart or any(f.kind is not Kind.GLOBAL for f in self._folds()):
            raise self._refused(
                "the rule depends on each tensor as a whole, and a flat parameter of FullyShardedDataParallel is parts "
                "of several"
            )
        eight_bit = [name for name, format in self.formats.items() if is_eight_bit(format)]
        if eight_bit:
            raise self._refused(
                f"a state in 8 bits ({', '.join(eight_bit)}) has scales for blocks, which FullyShardedDataParallel "
                "cannot gather for a checkpoint"
            )

    def _check_sharded(self, parameters: Sequence[Tensor], sharded: Sequence[Any]) -> None:
        formats = sorted(set(self.formats.values()) - {BFLOAT16_NEAREST})
        if formats:
            raise self._refused(f"states in {' and '.join(formats)} are not made for DTensors (state_dtype)")
        if self.apart:
            raise self._refused(
                f"states ({', '.join(self.apart)}) have another shape than their parameter, a DTensor, and are not "
                "kept in parts"
            )
        if any(p.is_complex() for p in sharded):
            raise self._refused("complex parameters are not supported as DTensors")
        if self.is_of_model:
            if len(sharded) < len(parameters):
                raise self._refused("the rule reduces over DTensors and plain tensors of one group together")
            if len({p.device_mesh for p in sharded}) > 1:
                raise self._refused("the rule reduces over DTensors of several device meshes together")
        if any(map(_has_empty_part, sharded)) and any(f.operation in ("max", "min") for f in self._folds()):
            raise self._refused("the rule takes a maximum, and some process has an empty part of a DTensor")

    def check_gradients(self, parameters: Sequence[Tensor], inputs: Mapping[str, Any]) -> None:
        """Refuse gradients and inputs that are not sharded as their parameters are.

        Raises:
            TreeMismatch: one is a DTensor, and the other is none.
        """
        for p in parameters:
            given = {"a gradient": p.grad} | {
                name: values[p] for name, values in inputs.items() if isinstance(values, Mapping) and p in values
            }
            for name, value in given.items():
                if isinstance(value, Tensor) and value.ndim and is_sharded(value) != is_sharded(p):
                    raise TreeMismatch(f"{self.label}: {name} is {described(value)}, and its parameter {described(p)}")

    def _refused(self, why: str) -> UnsupportedSharding:
        return UnsupportedSharding(f"{self.label}: {why}")


def described(tensor: Any) -> str:
    """The name of a tensor in messages."""
    return "a DTensor" if is_sharded(tensor) else "a plain tensor"


def _has_empty_part(parameter: Any) -> bool:
    """Whether some process holds nothing of a DTensor that has numbers."""
    lengths = [{length} for length in parameter.shape]
    for size, placement in zip(parameter.device_mesh.shape, parameter.placements, strict=True):
        if placement.is_shard():
            lengths[placement.dim] = {part for length in lengths[placement.dim] for part in _parts(length, size)}
    return math.prod(parameter.shape) > 0 and any(0 in found for found in lengths)


def _parts(length: int, count: int) -> list[int]:
    """The lengths into which torch cuts an axis."""
    part = -(-length // count)
    return [max(0, min(part, length - part * index)) for index in range(count)]
