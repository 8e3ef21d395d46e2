"""What is sent to a device, and what graphs that capture the sending replay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optgen.runtime.torch import host_values as triton_memory
from optgen.runtime.torch.host_values import Sent


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Holds whether a graph captures what is done."""
    now = [False]
    monkeypatch.setattr(triton_memory, "is_capturing", lambda: now[0])
    return now


def test_a_graph_replays_what_it_captured(capturing: list[bool]) -> None:
    """Whatever is sent afterwards; and after a replay the same numbers are sent again."""
    one, two = np.arange(3.0), np.arange(3.0) + 10
    table = Sent(one, torch.device("cpu"))
    capturing[0] = True
    table.send(two)
    capturing[0] = False
    (source,) = table._captured
    table.send(one)
    np.testing.assert_array_equal(table.there, one)
    table.there.copy_(source)
    np.testing.assert_array_equal(table.there, two)
    table.send(one)
    np.testing.assert_array_equal(table.there, one)


def test_each_graph_has_memory_of_its_own(capturing: list[bool]) -> None:
    """None can be allocated while one captures."""
    table = Sent(np.zeros(2), torch.device("cpu"))
    for value in (1.0, 2.0):
        table.send(np.zeros(2))
        capturing[0] = True
        table.send(np.full(2, value))
        capturing[0] = False
    assert [float(source[0]) for source in table._captured] == [1.0, 2.0]
    capturing[0] = True
    with pytest.raises(RuntimeError, match="between the two captures"):
        table.send(np.zeros(2))


def test_what_has_not_changed_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only other numbers are."""
    table = Sent(np.zeros(2), torch.device("cpu"))
    count = []
    monkeypatch.setattr(triton_memory, "sent", lambda *given: count.append(given))
    table.send(np.zeros(2))
    assert not count
    table.send(np.ones(2))
    assert len(count) == 1
