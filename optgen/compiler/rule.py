"""The value that specialising makes: straight-line equations of one variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optgen.contract.declarations import Hyperparameter, Input
from optgen.language.source import Source
from optgen.language.syntax import Node


@dataclass(frozen=True, slots=True)
class Equation:
    """`name = value`; names are unique within a case.

    In `value`, `Name` means a hyperparameter, an input, `g`, `t`, a shape name or an earlier equation, and `Timed`
    an older value of a state or of `theta`. `branch` marks a `where` that was an `if` on the step. `turns` tells
    equations apart that stand at one place of the text: the values of the loops around it, and the names under which
    optimizers are called whose equation it is.
    """

    name: str
    value: Node
    source: Source
    branch: bool = False
    turns: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """The equations for the tensors whose shape meets `conditions` (a condition and whether it must hold).

    `final` says which equation gives each state's value at `[t]`, and `theta`'s.
    """

    conditions: tuple[tuple[Node, bool], ...]
    equations: tuple[Equation, ...]
    final: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """Straight-line equations of one variant.

    `initial` holds the value at step 0 of each state that does not start at zero; `matrix_axes` says which two axes of
    a tensor are its rows and columns.
    """

    name: str
    hyperparameters: tuple[Hyperparameter, ...]
    inputs: tuple[Input, ...]
    cases: tuple[Case, ...]
    initial: Mapping[str, Node]
    source: Source
    matrix_axes: str = "last"
