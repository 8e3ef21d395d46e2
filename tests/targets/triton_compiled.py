"""Compiles generated Triton kernels ahead of time, without a GPU, and prints what became of them.

    python -m tests.targets.triton_compiled (default|all) NAME...

A process of its own: see `triton_interpreted`. Prints a JSON object: `kernels`, with one entry per kernel, GPU and
precision, and `bytes`, for each case by optimizer and variant what its kernels move and what the schedule says.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from optgen._paths import specs_folder
from optgen.pipeline.machine_code import PRECISIONS, verify
from optgen.pipeline.wrapping import wrapped_rule
from tests.targets.triton_rules import spec_named


def main() -> None:
    which, *names = sys.argv[1:]
    precisions = list(PRECISIONS) if which == "all" else ["float32"]
    kernels: list[dict[str, Any]] = []
    moved: list[tuple[str, str, int, int]] = []
    for name in names:
        spec = spec_named(name)
        found = verify(spec, wrapped_rule(spec, specs_folder()), precisions=precisions)
        kernels += [{**asdict(one), "problems": one.problems()} for one in found.kernels]
        moved += [(name, *one) for one in found.bytes]
    sys.stdout.write(json.dumps({"kernels": kernels, "bytes": moved}))


if __name__ == "__main__":
    main()
