"""How far into an array the driver goes, and refusing to have it go further than there are numbers.

C takes every place in its table for right. Places are checked here, where a table is made, against the shapes of the
arrays: once for each model, not at every step.
"""

from __future__ import annotations

from collections.abc import Sequence

from optgen.errors import TreeMismatch
from optgen.runtime.native.places import Place
from optgen.runtime.native.rows import Indexing


def check_ring(place: Place) -> None:
    """Refuse a value of a history that is not kept.

    Raises:
        TreeMismatch: the history is shorter.
    """
    if not 0 <= place.lag <= place.depth:
        raise TreeMismatch(f"a step reads a state {place.lag} steps back, and {place.depth} are kept")


def check_extent(place: Place, numbers: int, what: str) -> None:
    """Refuse an array that is shorter than what is done with it.

    Raises:
        TreeMismatch: it is.
    """
    if place.count < numbers:
        raise TreeMismatch(f"{what} goes through {numbers} numbers of an array that has {place.count}")


def reach(indexing: Indexing, count: int, line: int, rows: int) -> int:
    """How many numbers of an array a kernel comes to that goes through `count` numbers of another.

    Args:
        indexing: of the array; neither `AXES` nor `PART`.
        count: a whole number of lines where `indexing` tells lines apart.
        line: numbers of a line, 0 where nothing is told apart by lines.
        rows: lines of a matrix.
    """
    if indexing is Indexing.SAME:
        return count
    lines = -(-count // line) if line else 0
    if indexing is Indexing.LINE:
        return lines
    matrices = -(-lines // rows) if rows else 0
    return matrices * line if indexing is Indexing.COLUMN else matrices


def check_family(places: Sequence[Place], lengths: Sequence[int], what: str) -> None:
    """Refuse vectors of axes that are shorter than these.

    Raises:
        TreeMismatch: they are, or there are fewer of them.
    """
    if len(places) != len(lengths):
        raise TreeMismatch(f"{what} goes through {len(lengths)} axes, and there are vectors for {len(places)}")
    for place, length in zip(places, lengths, strict=True):
        check_extent(place, length, what)
