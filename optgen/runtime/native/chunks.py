"""How the numbers of a tensor are shared out: in chunks that do not depend on how many threads there are."""

from __future__ import annotations

from typing import NamedTuple

from optgen.contract.kernel_plan import BLOCKS, Launch
from optgen.runtime.shapes import count_of

#: Numbers that one thread goes through before it looks for further work; a reduction leaves a partial result for each
#: chunk.
CHUNK = 16384
#: Rows of a band, at least on average, where a large matrix is reduced, and its numbers: a band leaves a partial result
#: for each of its columns.
BAND = 256
BAND_NUMBERS = 2 * CHUNK
#: Lines of at most so many numbers are handed to a kernel several at a time.
SHORT = 64
#: Numbers that a kernel is handed at once, numbers of a row that one thread reduces at most, and how many arrays a
#: kernel may take, as in c/sizes.h.
STRETCH = 1024
WIDEST = 4096
MOST_ARGUMENTS = 96
#: Numbers below which a further thread does not pay.
PER_THREAD = 32768


class Chunks(NamedTuple):
    """The work of an item as it is shared out.

    Attributes:
        size: how much of it a thread does at a time: numbers, results or matrices.
        number: how many chunks there are.
    """

    size: int
    number: int


def chunks_of(count: int) -> Chunks:
    """Share out numbers that are gone through from end to end."""
    return Chunks(CHUNK, -(-count // CHUNK))


def part_size(count: int, parts: int) -> int:
    """How large parts are, the last aside, that are as alike as they can be; 1 of nothing."""
    return max(1, -(-count // max(1, parts)))


def part_count(count: int, size: int) -> int:
    """How many parts of at most a size there are; one of nothing."""
    return max(1, -(-count // size))


def partial_count(launch: Launch, shape: tuple[int, ...]) -> int:
    """How many partial results a launch leaves for each of its reductions to a single number."""
    if launch.form != BLOCKS:
        return 1
    return chunks_of(count_of(launch.domain, shape)).number
