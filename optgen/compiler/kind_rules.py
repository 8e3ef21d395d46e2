"""Kinds: how many numbers a value is.

A tensor is seen as a stack of matrices: `columns` runs over its last matrix axis, `rows` over the one before, and
whatever other axes it has count the matrices. A kind says over which of these indices a value varies.
"""

from __future__ import annotations

from optgen.contract.kinds import Kind

_RANK = {
    Kind.CONSTANT: 0,
    Kind.STEP: 1,
    Kind.GLOBAL: 2,
    Kind.TENSOR: 3,
    Kind.MATRIX: 4,
    Kind.AXIS: 4,
    Kind.ROW: 5,
    Kind.COLUMN: 5,
    Kind.ELEMENT: 6,
}


class KindMismatch(Exception):
    """Two kinds that no broadcasting brings together."""


def join(a: Kind, b: Kind) -> Kind:
    """The kind of a value computed from values of two kinds.

    Raises:
        KindMismatch: one is per axis and the other varies within a tensor in another way.
    """
    if a is b:
        return a
    low, high = sorted((a, b), key=_RANK.__getitem__)
    if high is Kind.AXIS or low is Kind.AXIS:
        if low.is_scalar:
            return high
        raise KindMismatch
    if _RANK[low] == _RANK[high]:
        return Kind.ELEMENT  # a row and a column: their outer product
    return high


#: What a reduction makes of a kind, for each extent that fits it.
_REDUCED = {
    "rows": {Kind.ELEMENT: Kind.COLUMN, Kind.ROW: Kind.MATRIX},
    "columns": {Kind.ELEMENT: Kind.ROW, Kind.COLUMN: Kind.MATRIX},
    "other_axes": {Kind.ELEMENT: Kind.AXIS},
    "axes": {Kind.AXIS: Kind.ELEMENT},
    "tensor": dict.fromkeys((Kind.ELEMENT, Kind.ROW, Kind.COLUMN, Kind.MATRIX), Kind.TENSOR),
    "model": dict.fromkeys((Kind.ELEMENT, Kind.TENSOR), Kind.GLOBAL),
}


def reduced(kind: Kind, over: str) -> Kind:
    """The kind that is left when a value is folded over an extent.

    Raises:
        KindMismatch: the value does not vary over that extent.
    """
    try:
        return _REDUCED[over][kind]
    except KeyError:
        raise KindMismatch from None


def reducible(kind: Kind) -> tuple[str, ...]:
    """The extents that a value of a kind can be folded over."""
    return tuple(over for over, table in _REDUCED.items() if kind in table)
