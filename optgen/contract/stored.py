"""Values that are kept as JSON files beside generated code, and read back at run time."""

from __future__ import annotations

from typing import TypeVar

import msgspec

Stored = TypeVar("Stored")


def to_json(value: object) -> str:
    """A value as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


def from_json(data: bytes, kind: type[Stored], version: int) -> Stored:
    """A value from the bytes of its file; its field `format` says which version of optgen wrote it.

    Raises:
        ValueError: the bytes are no such value, or one of another version.
    """
    try:
        value = msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a {kind.__name__} of this version of optgen: {error}") from None
    found = getattr(value, "format", None)
    if found != version:
        raise ValueError(f"a {kind.__name__} of format {found}; this version of optgen reads {version}")
    return value
