"""The largest move of a single weight in one step, for every rule of `optgen.torch` and every format of states.

    python tools/measure_state_moves.py [NAME ...]

A second moment that is rounded to zero, while the first is not, moves a weight by many times the learning rate, which
the accuracy of a network hides. Prints, for each rule that keeps states with a number for each element, the largest
|change| of a weight in units of lr, over the first 270 steps of a network on handwritten digits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

import optgen.torch
from optgen.runtime.formats import EIGHT_BIT, FORMATS
from tools.measure_state_formats import Digits

LR = 1e-3
STEPS = 270

#: Rules that take more than gradients, are without a learning rate, or have states named one by one.
_OTHERS = ("GeneratedOptimizer", "LBFGS", "NoisySGD", "PolyakSGD")

#: Besides each rule with its defaults.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "AdamW": [{"amsgrad": True}, {"betas": (0.9, 0.95)}],
    "Lion": [{"weight_decay": 0.1}],
    "RMSprop": [{"momentum": 0.9}, {"centered": True}],
    "SGD": [{"momentum": 0.9}],
}


def classes() -> list[str]:
    """The rules whose largest move is measured."""
    return sorted(n for n in dir(optgen.torch) if n[0].isupper() and n not in _OTHERS)


def _losses(digits: Digits) -> Iterator[torch.Tensor]:
    while True:
        yield from digits.epoch()


def _inputs(name: str, parameters: list[torch.nn.Parameter]) -> dict[str, Any]:
    """Sophia's estimate of the Hessian's diagonal: that of Gauss and Newton is about the square of the gradient."""
    return {"hessian": {p: p.grad**2 for p in parameters if p.grad is not None}} if name == "Sophia" else {}


def largest_move(name: str, state_dtype: Any, options: Mapping[str, Any], seed: int = 0, steps: int = STEPS) -> float:
    """The largest |change| of a weight in one step, in units of the learning rate.

    Args:
        name: a class of `optgen.torch`.
        state_dtype: the format of its states.
        options: other arguments of the class.
        seed: of the network.
        steps: how many are made.
    """
    digits = Digits(seed)
    optimizer = getattr(optgen.torch, name)(digits.parameters, lr=LR, state_dtype=state_dtype, **options)
    largest = 0.0
    for _, _ in zip(range(steps), _losses(digits), strict=False):
        before = [p.detach().clone() for p in digits.parameters]
        optimizer.step(**_inputs(name, digits.parameters))
        moves = [float((p.detach() - q).abs().max()) for p, q in zip(digits.parameters, before, strict=True)]
        largest = max(largest, *moves)
    return largest / LR


def keeps_moments(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a rule has a state that formats are for."""
    p = torch.nn.Parameter(torch.ones(2, 2))
    p.grad = torch.ones(2, 2)
    optimizer = getattr(optgen.torch, name)([p], lr=LR, state_dtype=EIGHT_BIT, **options)
    optimizer.step(**_inputs(name, [p]))
    return any(isinstance(v, torch.Tensor) and v.dtype == torch.uint8 for v in optimizer.state[p].values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all if none is named")
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in classes()]:
        parser.error(f"there is no '{unknown[0]}'; there are: {', '.join(classes())}")
    table = Table(box=None, pad_edge=False)
    for column in ("rule", "float32", *FORMATS):
        table.add_column(column, justify="left" if column == "rule" else "right", no_wrap=True)
    for name in names or classes():
        for options in ({}, *OPTIONS.get(name, ())):
            if keeps_moments(name, options):
                moves = [largest_move(name, state_dtype, options) for state_dtype in (None, *FORMATS)]
                shown = ", ".join(f"{key}={value}" for key, value in options.items())
                table.add_row(f"{name}({shown})" if shown else name, *(f"{move:.3g}" for move in moves))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
