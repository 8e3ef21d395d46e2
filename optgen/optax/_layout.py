"""The state of a gradient transformation as optax lays it out: made, taken apart and put together again.

What stands where is data, in the manifest's dialects. The conditions of a layout are resolved when a transformation is
built; what is left is a tree of objects whose fields are slots.
"""

from __future__ import annotations

import functools
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optgen.contract.library_state import COUNT, LibraryStateLayout, StatePart
from optgen.errors import TreeMismatch


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the state that holds a value.

    Attributes:
        source: what it holds: a count, a state, a number or the state of an argument.
        name: of its field.
        schedule: the argument that is asked for its value at this count, if it is one.
    """

    source: str
    name: str
    schedule: str = ""

    @property
    def counts(self) -> bool:
        """Whether it holds the number of steps in some form."""
        return COUNT.fullmatch(self.source) is not None

    def steps(self, value: Any) -> Any:
        """The number of steps done that a count stands for; for one that starts again, since it did."""
        match = COUNT.fullmatch(self.source)
        assert match is not None
        if match["first"]:
            return jnp.where(value, 0, 1).astype(jnp.int32)
        return value - int(match["ahead"]) if match["ahead"] else value

    def first(self) -> jax.Array:
        """The count before the first step."""
        match = COUNT.fullmatch(self.source)
        assert match is not None
        return jnp.array(True) if match["first"] else jnp.array(int(match["ahead"] or 0), jnp.int32)

    def next(self, value: Any, hyperparameters: Mapping[str, Any]) -> Any:
        """The count after a step."""
        match = COUNT.fullmatch(self.source)
        assert match is not None
        if match["first"]:
            return jnp.array(False)
        if match["period"]:
            return (value + 1) % jnp.asarray(hyperparameters[match["period"]]).astype(jnp.int32)
        return optax.safe_increment(value)


@dataclass(frozen=True, slots=True)
class _Node:
    """An object of the state; without a type, a tuple."""

    type: Any
    items: tuple[Any, ...]


@dataclass(slots=True)
class OptaxLayout:
    """The layout of one transformation's state.

    Args:
        optimizer: what messages call it.
        root: the state's object, or a slot.
    """

    optimizer: str
    root: Any
    slots: list[Slot] = field(init=False)

    def __post_init__(self) -> None:
        self.slots = list(_slots(self.root))

    def clock(self) -> int | None:
        """Which slot tells the number of steps, the most telling one."""
        for form in ("t", "ahead", "period", "first"):
            for index, slot in enumerate(self.slots):
                if slot.counts and (slot.source == "t" if form == "t" else COUNT.fullmatch(slot.source)[form]):  # type: ignore[index]
                    return index
        return None

    def counted(self) -> OptaxLayout:
        """This layout, in a tuple with the number of steps where it does not contain that."""
        tells = any(slot.source == "t" or COUNT.fullmatch(slot.source)["ahead"] for slot in self.slots if slot.counts)  # type: ignore[index]
        return self if tells else OptaxLayout(self.optimizer, _Node(None, (Slot("t", "count"), self.root)))

    def pack(self, values: list[Any]) -> Any:
        """The state that holds values, one for each slot."""
        return _packed(self.root, iter(values))

    def unpack(self, state: Any) -> list[Any]:
        """The values of a state.

        Raises:
            TreeMismatch: it is a state of another kind.
        """
        values: list[Any] = []
        self._collect(self.root, state, "state", values)
        return values

    def _collect(self, node: Any, value: Any, where: str, values: list[Any]) -> None:
        if isinstance(node, Slot):
            values.append(value)
            return
        if node.type is None:
            found = f"a tuple of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
            if hasattr(value, "_fields") or not isinstance(value, tuple | list) or len(value) != len(node.items):
                found = type(value).__name__ if hasattr(value, "_fields") else found
                raise self._mismatch(where, found, f"a tuple of {len(node.items)}")
            for index, (item, part) in enumerate(zip(node.items, value, strict=True)):
                self._collect(item, part, f"{where}[{index}]", values)
            return
        # Look-alikes pass: a state may come from a process with another release of optax.
        if getattr(value, "_fields", None) != node.type._fields or type(value).__name__ != node.type.__name__:
            raise self._mismatch(where, type(value).__name__, node.type.__name__)
        for name, item, part in zip(node.type._fields, node.items, value, strict=True):
            self._collect(item, part, f"{where}.{name}", values)

    def _mismatch(self, where: str, found: str, wanted: str) -> TreeMismatch:
        return TreeMismatch(
            f"{self.optimizer}: {where} is {found}, expected {wanted}: this is not a state that this optimizer's init "
            "makes with these arguments"
        )


def resolved(
    optimizer: str,
    layout: LibraryStateLayout,
    given: Callable[[str], bool],
    scheduled: Callable[[str], bool],
    masked: Callable[[str], bool],
) -> OptaxLayout:
    """The layout under the arguments of a call.

    Args:
        optimizer: what messages call it.
        layout: what the dialect says.
        given: whether an argument is given: neither None nor False.
        scheduled: whether it is a function of the number of steps.
        masked: whether it is a mask, which False is as well.
    """

    def part(found: StatePart) -> Any:
        if found.parts is not None:
            return _Node(None, tuple(made for inner in found.parts if (made := part(inner)) is not None))
        if found.of:
            return Slot(found.of, found.of) if given(found.of) else _Node(optax.EmptyState, ())
        if not all(given(word) if not word.startswith("not ") else not given(word[4:]) for word in found.when):
            return _Node(library_class(found.otherwise, ()), ()) if found.otherwise else None
        if found.schedule and scheduled(found.schedule):
            node = _Node(library_class(found.scheduled, ("count",)), (Slot("t", "count", found.schedule),))
        else:
            names = tuple(name for name, _ in found.fields)
            asked = {name: argument for argument, name in layout.schedules.items()}
            slots = tuple(Slot(source, name, asked.get(name, "")) for name, source in found.fields)
            node = _Node(library_class(found.type, names), slots)
        return _Node(library_class("MaskedState", ("inner_state",)), (node,)) if masked(found.mask) else node

    return OptaxLayout(optimizer, part(layout.state))


def own_layout(optimizer: str, class_name: str, names: tuple[str, ...]) -> OptaxLayout:
    """The layout of an optimizer that optax does not have: the number of steps, and a field for each name."""
    # `count` is the number of steps, as in optax; a state of that name gets another.
    own = "count_state"
    while own in names:
        own += "_state"
    fields = ("count", *(own if name == "count" else name for name in names))
    slots = (Slot("t", "count"), *(Slot(name, field) for name, field in zip(names, fields[1:], strict=True)))
    return OptaxLayout(optimizer, _Node(_look_alike(f"{class_name}State", fields), slots))


@functools.cache
def library_class(name: str, fields: tuple[str, ...]) -> Any:
    """A class of the installed optax, wherever it keeps it; one that looks the same if it has none of these fields."""
    for module in sorted(module for module in sys.modules if module == "optax" or module.startswith("optax.")):
        found = getattr(sys.modules[module], name, None)
        if isinstance(found, type) and getattr(found, "_fields", None) == fields:
            return found
    return _look_alike(name, fields)


@functools.cache
def _look_alike(name: str, fields: tuple[str, ...]) -> Any:
    made = namedtuple(name, fields)  # type: ignore[misc]  # the fields are known only now
    made.__module__ = __name__
    made.__doc__ = "The state of a generated optimizer."
    # Such a type is no attribute of a module, so pickle is told how to make it again.
    made.__reduce__ = _reduced  # type: ignore[method-assign, assignment]
    return made


def _reduced(state: Any) -> tuple[Any, ...]:
    return _restored, (type(state).__name__, state._fields, tuple(state))


def _restored(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return _look_alike(name, fields)(*values)


def _slots(node: Any) -> Iterator[Slot]:
    if isinstance(node, Slot):
        yield node
        return
    for item in node.items:
        yield from _slots(item)


def _packed(node: Any, values: Iterator[Any]) -> Any:
    if isinstance(node, Slot):
        return next(values)
    items = [_packed(item, values) for item in node.items]
    return tuple(items) if node.type is None else node.type(*items)
