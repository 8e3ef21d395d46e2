"""Saved states as files: arrays in numpy's `.npz`, the rest as JSON beside them; nothing in it is code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from optgen.errors import StateMismatch

_REST = "optgen"


def write_states(filename: str | Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts of arrays, numbers and strings.

    Raises:
        ValueError: the file's name does not end in `.npz`.
        OSError: it cannot be written.
    """
    path = _checked(filename)
    arrays: dict[str, Any] = {}
    rest = json.dumps(_taken(state, arrays))
    with path.open("wb") as file:
        arrays[_REST] = np.frombuffer(rest.encode(), np.uint8)
        np.savez(file, **arrays)


def read_states(filename: str | Path) -> dict[str, Any]:
    """Read a file that `write_states` wrote.

    Raises:
        StateMismatch: the file is none that `write_states` wrote.
        ValueError: its name does not end in `.npz`.
        OSError: it cannot be read.
    """
    path = _checked(filename)
    try:
        with np.load(path, allow_pickle=False) as archive:
            rest = json.loads(archive[_REST].tobytes().decode())
            found: dict[str, Any] = _put_back(rest, archive)
            return found
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StateMismatch(f"{path} holds no state of an optimizer: {error}") from None


def _checked(filename: str | Path) -> Path:
    path = Path(filename)
    if path.suffix != ".npz":
        raise ValueError(f"states are kept in a file whose name ends in .npz, not in {path.name!r}")
    return path


def _taken(value: Any, arrays: dict[str, Any]) -> Any:
    """The value with its arrays taken out."""
    if isinstance(value, Mapping):
        return {key: _taken(inner, arrays) for key, inner in value.items()}
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        name = f"array{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {_REST: name, "dtype": str(value.dtype)}
    return value


def _put_back(value: Any, archive: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) == {_REST, "dtype"}:
        array = archive[value[_REST]]
        # numpy writes the bytes of a dtype that it does not know, bfloat16 for one.
        return array if str(array.dtype) == value["dtype"] else array.view(value["dtype"])
    return {key: _put_back(inner, archive) for key, inner in value.items()}
