"""What the tests of the catalogue are told of one optimizer in one library: the arguments to compare it with."""

from __future__ import annotations

from typing import Any

#: (spec, library, the library's name for it) → what to call it with, beside the learning rate.
Cases = dict[tuple[str, str, str], list[dict[str, Any]]]
