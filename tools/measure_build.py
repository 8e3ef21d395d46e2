"""How long `optgen build` takes: everything, one edited spec, and nothing to do.

    python tools/measure_build.py

Works on copies of the catalogue's specs in a temporary folder, with a cache of its own, so that it changes nothing.
Each figure is the median of several runs of the command in a process of its own, start of Python included.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SPECS = Path(__file__).resolve().parents[1] / "specs"
RUNS = 5


def build(folder: Path) -> float:
    """Seconds that one build takes."""
    command = [sys.executable, "-m", "optgen", "build"]
    command += ["--specs", str(folder / "specs"), "--output", str(folder / "generated")]
    environment = {**os.environ, "OPTGEN_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def forget_everything(folder: Path) -> None:
    shutil.rmtree(folder / "generated", ignore_errors=True)
    shutil.rmtree(folder / "cache", ignore_errors=True)


def edit_one(folder: Path) -> None:
    """Change the largest spec, which takes longest."""
    path = max((folder / "specs").glob("*.toml"), key=lambda path: path.stat().st_size)
    path.write_text(f"{path.read_text()}# edited\n")


def main() -> None:
    cases: list[tuple[str, Callable[[Path], None]]] = [
        ("everything", forget_everything),
        ("one edited spec", edit_one),
        ("nothing to do", lambda folder: None),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(SPECS, folder / "specs")
        build(folder)  # so that Python's own caches are warm, as after the first command of a day
        print(f"optgen build of {len(list(SPECS.glob('*.toml')))} specs, median of {RUNS} runs")
        print(f"{'what':<16}  seconds  slowest")
        for what, prepare in cases:
            seconds = []
            for _ in range(RUNS):
                prepare(folder)
                seconds.append(build(folder))
            print(f"{what:<16}  {statistics.median(seconds):7.2f}  {max(seconds):7.2f}")


if __name__ == "__main__":
    main()
