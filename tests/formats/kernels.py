"""Numbers that kernels store in formats, in a process of its own: prints how many bits differ from numpy's.

    python -m tests.formats.kernels BACKEND

A process of its own, since Triton's interpreter has to be chosen before Triton is imported. Prints a JSON object: by
format and kind of numbers, how many codes and scales differ.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["OPTGEN_BACKEND"] = sys.argv[1]
os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch

import optgen.torch
from optgen.contract.formats import EIGHT_BIT, EIGHT_BIT_STOCHASTIC
from optgen.runtime.formats.bits import key_of
from optgen.runtime.formats.codes import Blocks, encoded
from tests.formats.libraries import LIBRARIES, minute_numbers


def differing(x: np.ndarray, state_dtype: str) -> int:
    """How many bytes of what a step stores are others than numpy's; the momentum of a first step is the gradient."""
    parameter = torch.nn.Parameter(torch.zeros(x.shape))
    parameter.grad = torch.tensor(x)
    optimizer = optgen.torch.SGD([parameter], lr=0.1, momentum=0.9, state_dtype=state_dtype)
    optimizer.step()
    kept = optimizer.state[parameter]
    with np.errstate(all="ignore"):
        expected = encoded(LIBRARIES["numpy"][0], x, state_dtype, key_of(1, 0, 0))
    assert isinstance(expected, Blocks)
    codes = kept["momentum_buffer"].numpy() != expected.codes
    scales = kept["momentum_buffer_scales"].numpy().view(np.int32) != expected.scales.view(np.int32)
    return int(codes.sum() + scales.sum())


def main() -> None:
    found = {
        state_dtype: {name: differing(x, state_dtype) for name, x in minute_numbers().items()}
        for state_dtype in (EIGHT_BIT, EIGHT_BIT_STOCHASTIC)
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
