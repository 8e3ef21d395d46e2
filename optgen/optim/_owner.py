"""The optimizer as its parameter groups and schedulers see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.frontends.weights.weights import Weights


class Owner:
    """Base of every optimizer of `optgen.optim`.

    Attributes:
        entry: the optimizer that was generated.
        dialect: how its arguments are spelled.
        weights: all weights that it trains.
        lr: the learning rate of the first group's next step, or on assignment the scheduler that it comes from.
    """

    entry: ClassVar[Entry]
    dialect: ClassVar[Dialect]
    weights: Weights
    lr: Any

    @property
    def own_settings(self) -> Mapping[str, Any]:
        """The arguments of the rule besides the learning rate, by name."""
        raise NotImplementedError
