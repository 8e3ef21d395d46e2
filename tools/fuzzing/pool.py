"""Worker processes: each runs many cases, and whatever ends or stops one is a failure of the case it was at."""

from __future__ import annotations

import json
import os
import queue
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.fuzzing.case import Case, to_dict
from tools.fuzzing.comparing import Failure, Outcome

ROOT = Path(__file__).parents[2]


class Worker:
    """One process.

    Args:
        environment: what is set in it besides this one's own.
        recycle: after how many cases a new process takes over.
    """

    def __init__(self, environment: dict[str, str], recycle: int = 150) -> None:
        self.environment = environment
        self.recycle = recycle
        self.process: subprocess.Popen[str] | None = None
        self.done = 0
        self.said = b""  # and not read yet

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        command = [sys.executable, "-m", "tools.fuzzing.worker"]
        self.done, self.said = 0, b""
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.errors.close()
            self.process = None

    def run(self, case: Case, targets: tuple[str, ...], limit: float) -> Outcome:
        """Run a case.

        Args:
            case: the case.
            targets: what to run it on.
            limit: seconds after which a target, or compiling, counts as hanging.
        """
        if self.process is None or self.done >= self.recycle:
            self.close()
            self.process = self._start()
            # Importing the libraries is not the case's fault, neither now nor in the first case.
            self._line(120.0)
            limit += 60.0
        self.done += 1
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"case": to_dict(case), "targets": targets}) + "\n")
        self.process.stdin.flush()
        doing = "compiler"
        while True:
            line = self._line(limit)
            if line is None or not line:
                kind = "timeout" if line is None else "crash"
                code = self.process.poll() if line is None else self.process.wait()
                self.errors.seek(0)
                said = self.errors.read()[-1500:]
                self.close()
                what = f"no answer in {limit:.0f} s" if kind == "timeout" else f"exit status {code}"
                return Outcome(failures=[Failure(doing, kind, what, said)])
            told = json.loads(line)
            if "doing" in told:
                doing = told["doing"]
                continue
            failures = [Failure(**failure) for failure in told.pop("failures")]
            return Outcome(**told, failures=failures)

    def _line(self, limit: float) -> str | None:
        """Read what the process says next; empty if it has ended, None if it says nothing in time."""
        assert self.process is not None
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        end = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self.said:
                if not selector.select(max(0.0, end - time.monotonic())):
                    return None
                more = os.read(pipe, 1 << 16)
                if not more:
                    return ""
                self.said += more
        line, _, self.said = self.said.partition(b"\n")
        return line.decode()


def run_all(
    cases: Iterable[tuple[Case, tuple[str, ...]]],
    workers: int,
    limit: float,
    environment: Callable[[tuple[str, ...]], dict[str, str]] = lambda targets: {},
) -> Iterator[tuple[Case, tuple[str, ...], Outcome]]:
    """Run cases on several processes; results come as they are there."""
    given = iter(cases)
    lock = threading.Lock()
    found: queue.Queue[Any] = queue.Queue()

    def work() -> None:
        own: dict[str, Worker] = {}
        while True:
            with lock:
                item = next(given, None)
            if item is None:
                break
            case, targets = item
            needs = environment(targets)
            worker = own.setdefault(json.dumps(needs), Worker(needs))
            found.put((case, targets, worker.run(case, targets, limit)))
        for worker in own.values():
            worker.close()
        found.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    running = workers
    while running:
        item = found.get()
        if item is None:
            running -= 1
        else:
            yield item


def as_line(outcome: Outcome) -> str:
    """An outcome as one line of JSON."""
    return json.dumps(asdict(outcome))
