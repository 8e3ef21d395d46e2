"""The table that the native driver runs: the kernels of a plan, for the tensors of one model, as integers.

The table holds no address: arrays are counted, and the caller hands their places over at every step. Its rows are those
of `optgen.runtime.native.rows`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from optgen.runtime.native.chunks import PER_THREAD
from optgen.runtime.native.items import ItemMaker
from optgen.runtime.native.library import Kernels
from optgen.runtime.native.places import Place
from optgen.runtime.native.sections import Sections
from optgen.runtime.native.tensors import CaseTensors, Tensor, Workspace, group_tensors, place_model_partials
from optgen.runtime.native.transfers import add_transfers
from optgen.runtime.rounds import rounds


def make_table(
    kernels: Kernels,
    variant: str,
    tensors: Sequence[Tensor],
    shared: Mapping[str, Place],
    *,
    is_update: bool,
) -> np.ndarray:
    """The table of one variant for the tensors of a model.

    Args:
        kernels: of the generated file.
        variant: its name.
        tensors: in the model's order.
        shared: states and inputs of which there is one number for the model.
        is_update: whether the result is what is to be added to the parameter.

    Returns:
        int64, one axis.

    Raises:
        TreeMismatch: an array is shorter than what kernels would do with it.
    """
    low_precision = frozenset[str]().union(*(tensor.low_precision for tensor in tensors))
    cases = kernels.plan.variant(variant).cases_for(low_precision)
    workspace, sections = Workspace(), Sections()
    groups = group_tensors(kernels, cases, tensors, workspace)
    model_partials = place_model_partials(groups, workspace)
    add_transfers(kernels.plan, groups, shared, sections)
    maker = ItemMaker(kernels, workspace, sections, model_partials)
    _add_kernels(groups, maker, sections)
    _add_deferred(groups, maker, sections)
    sections.add_phase(item for group in groups for item in maker.copies(group))
    return sections.to_array(
        [group.row for group in groups],
        workspace=workspace.size,
        scalars=len(kernels.plan.scalars),
        is_update=is_update,
        most_threads=max(1, sum(math.prod(tensor.shape) for tensor in tensors) // PER_THREAD),
    )


def _add_kernels(groups: Sequence[CaseTensors], maker: ItemMaker, sections: Sections) -> None:
    """Add the kernels of all cases side by side, so that reductions over the model see every tensor."""
    for part in rounds([group.case for group in groups]):
        items_of_groups = [
            [
                [item for m in group.members if not m.defers(launch) for item in maker.of_tensor(group, launch, m)]
                for launch in launches
            ]
            for group, launches in zip(groups, part.of_tensors, strict=True)
        ]
        for side_by_side in zip_longest(*items_of_groups, fillvalue=[]):
            sections.add_phase(item for items in side_by_side for item in items)
        sections.add_phase(maker.of_model(groups[index], launch) for index, launch in part.of_model)


def _add_deferred(groups: Sequence[CaseTensors], maker: ItemMaker, sections: Sections) -> None:
    """Add the kernels that have been left to the end."""
    for launches in zip_longest(*(group.case.launches for group in groups)):
        sections.add_phase(
            item
            for group, launch in zip(groups, launches, strict=True)
            for member in group.members
            if launch is not None and member.defers(launch)
            for item in maker.of_tensor(group, launch, member)
        )
