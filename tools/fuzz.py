"""Random rules of the whole equation language, on random models, in every target, against the reference interpreter.

    python tools/fuzz.py --rules 3000 --seed 1 [--targets torch,jax-arrays] [--all-targets] [--workers 2]
    python tools/fuzz.py --replay tests/fuzz/corpus
    python tools/fuzz.py --show 17

Every rule is known by its seed. Failures are grouped by what is wrong; `--minimise` makes the smallest rule of each
group and writes it to the corpus.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tools.fuzzing.report import fuzz, replay, show


def main() -> int:
    """Run the command; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=300, help="how many rules to make")
    parser.add_argument("--seed", type=int, default=0, help="the first rule's seed")
    parser.add_argument("--targets", default="", help="words in the names of targets, separated by commas")
    parser.add_argument("--all-targets", action="store_true", help="every rule in every target")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that a target may take for a rule")
    parser.add_argument("--minimise", type=int, default=0, metavar="N", help="failures to make smaller, one of a group")
    parser.add_argument("--corpus", type=Path, help="folder for what was made smaller")
    parser.add_argument("--replay", type=Path, metavar="PATH", help="run the cases of a folder or a file instead")
    parser.add_argument("--show", type=int, metavar="SEED", help="print the rule of a seed instead")
    given = parser.parse_args()
    # Of compiled kernels every optimisation level has the same bits, and the lowest is there soonest.
    os.environ.setdefault("OPTGEN_CFLAGS", "-O1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="optgen-fuzz-") as cache:
        os.environ.setdefault("OPTGEN_CACHE", cache)
        if given.show is not None:
            return show(given.show)
        if given.replay is not None:
            return replay(given.replay, "-" if given.all_targets else given.targets, given.workers, given.limit)
        return fuzz(given)


if __name__ == "__main__":
    raise SystemExit(main())
