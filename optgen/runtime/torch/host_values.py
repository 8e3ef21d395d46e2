"""Numbers of the host on a device, sent without waiting, also by graphs that replay the sending."""

from __future__ import annotations

import numpy as np
import torch

Tensor = torch.Tensor


def is_capturing() -> bool:
    """Whether a graph captures what is started now."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def sent(array: np.ndarray, to: Tensor | None, device: torch.device | None = None) -> Tensor:
    """Numbers of the host on a device, in a tensor's memory or a new one, without waiting for either."""
    given = torch.from_numpy(array)
    if to is None:
        to = torch.empty(given.shape, dtype=given.dtype, device=device)
    is_apart = to.device.type != "cpu"
    return to.copy_(given.pin_memory() if is_apart else given, non_blocking=is_apart)


class Sent:
    """Numbers of the host on a device, which are sent again when they change.

    A graph that captures the sending reads the host's memory at every replay. That memory is the graph's own from then
    on, and lives as long as this; it has to be there before, since none can be allocated during a capture.

    Args:
        array: the numbers.
        device: where they are wanted.

    Attributes:
        there: the same on the device, and of the same shape.
    """

    def __init__(self, array: np.ndarray, device: torch.device) -> None:
        self.there = sent(array, None, device)
        self._last = array.copy()
        self._spare: Tensor | None = None
        self._captured: list[Tensor] = []
        self._reserve()

    def send(self, array: np.ndarray) -> None:
        """Have these numbers there, of the same shape and type; nothing is done if they are.

        Raises:
            RuntimeError: a graph captures this, and another one has done so since numbers were last sent without one.
        """
        if is_capturing():
            if self._spare is None:
                raise RuntimeError("another graph captured this step: make a step between the two captures")
            self._spare.copy_(torch.from_numpy(array))
            self.there.copy_(self._spare, non_blocking=True)
            self._captured.append(self._spare)
            self._spare = None
            return
        self._reserve()
        # A replay may have sent others.
        if self._captured or not np.array_equal(array, self._last):
            self._last = array.copy()
            sent(array, self.there)

    def _reserve(self) -> None:
        if self._spare is None:
            self._spare = torch.empty(
                self.there.shape, dtype=self.there.dtype, pin_memory=self.there.device.type != "cpu"
            )
