"""Names for what the compiler makes."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """The names that are taken, and new ones that are not.

    Attributes:
        taken: all names so far; others may be added.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self._counts: dict[str, int] = {}

    def fresh(self, base: str) -> str:
        """A name that was not taken, and is now: `base`, `base_2`, `base_3`, ..."""
        count = self._counts.get(base, 1)
        name = base if count == 1 else f"{base}_{count}"
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self._counts[base] = count
        self.taken.add(name)
        return name
