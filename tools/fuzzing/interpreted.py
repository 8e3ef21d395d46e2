"""Triton's interpreter, as it has to be set up: before anything else imports Triton."""

from __future__ import annotations

from typing import Any


def mend() -> None:
    """Let a comparison of single numbers be spread over a block as one of truth values, as the compiler does.

    The interpreter keeps the numbers' type, and `&` and `|` refuse floats.
    """
    import numpy as np
    from triton.runtime import interpreter

    handle = interpreter.TensorHandle

    def create_splat(_: object, result_type: Any, argument: Any) -> Any:
        value = np.ravel(argument.data)[0]
        return handle(np.full(result_type.shape, value, dtype=argument.data.dtype), argument.dtype.scalar)

    interpreter.InterpreterBuilder.create_splat = create_splat
