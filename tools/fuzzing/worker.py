"""Runs cases that come as lines of JSON, and answers each with one: the process behind `pool.Worker`."""

from __future__ import annotations

import faulthandler
import json
import os
import sys


def main() -> None:
    """Answer until the input ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()
    if os.environ.get("TRITON_INTERPRET") == "1":
        from tools.fuzzing.interpreted import mend

        mend()
    # Libraries are imported with the first case that needs them: sanitizers are told of few.
    from tools.fuzzing.case import from_dict
    from tools.fuzzing.comparing import run_case
    from tools.fuzzing.pool import as_line

    def answer(line: str) -> None:
        answers.write(line + "\n")
        answers.flush()

    answer(json.dumps({"doing": "start"}))
    for line in sys.stdin:
        given = json.loads(line)
        outcome = run_case(
            from_dict(given["case"]), tuple(given["targets"]), lambda what: answer(json.dumps({"doing": what}))
        )
        answer(as_line(outcome))


if __name__ == "__main__":
    main()
