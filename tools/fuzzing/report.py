"""The fuzzer's command: making cases, running them, and telling what came of it."""

from __future__ import annotations

import argparse
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.fuzzing.case import Case, from_toml, to_toml
from tools.fuzzing.choosing import INTERPRETED, TARGETS, matching, sampled, turned
from tools.fuzzing.comparing import Failure, Outcome
from tools.fuzzing.models import random_model
from tools.fuzzing.pool import run_all
from tools.fuzzing.rules import Rules


@dataclass(slots=True)
class Tally:
    """Figures of all cases so far."""

    rules: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    bounded: int = 0
    failed: set[int] = field(default_factory=set)
    seconds: Counter[str] = field(default_factory=Counter)
    groups: dict[str, list[tuple[Case, Failure]]] = field(default_factory=dict)

    def add(self, case: Case, targets: tuple[str, ...], outcome: Outcome) -> None:
        """Count one more."""
        if outcome.refused:
            self.refused[_message(outcome.refused)] += 1
        elif targets:
            for target in targets:
                self.targets[target] += 1
        for target, count in outcome.steps.items():
            self.steps[target.split()[0]] += count
        self.compared += outcome.compared
        self.bounded += outcome.bounded
        self.seconds.update(outcome.seconds)
        if outcome.failures:
            self.failed.add(case.seed)
        for failure in outcome.failures:
            self.groups.setdefault(signature(failure), []).append((case, failure))


def signature(failure: Failure) -> str:
    """Name what failures have in common that are most likely one fault."""
    name, _, dtype = failure.target.partition(" ")
    family = "-".join(name.split("-")[:2])
    narrow = f" {dtype}" if dtype not in ("float32", "float64", "") else ""
    return f"{family}{narrow}: {failure.kind}: {failure.what}"


def _message(refused: str) -> str:
    """A refusal without the names in it."""
    first = refused.split("\n")[0]
    return re.sub(r"'[^']*'", "'…'", re.sub(r"\d+", "#", first.split(": ", 1)[-1]))


def made(seed: int) -> Case:
    """The case of a seed."""
    return replace(Rules(seed).case(), model=random_model(seed))


def environment(targets: tuple[str, ...]) -> dict[str, str]:
    """Environment that processes which run some targets need."""
    return dict(INTERPRETED) if any(t.startswith("triton") for t in targets) else {}


def fuzz(given: argparse.Namespace) -> int:
    """Make rules and run them; 1 if one failed."""
    chosen = matching(given.targets) if given.targets else TARGETS if given.all_targets else None

    def cases() -> Iterator[tuple[Case, tuple[str, ...]]]:
        for seed in range(given.seed, given.seed + given.rules):
            case = made(seed)
            targets = chosen if chosen is not None else sampled(seed)
            interpreted = tuple(t for t in targets if t.startswith("triton"))
            if chosen is None and seed % 20 == 0:
                interpreted = ("triton-interpreted float32",)
            yield case, tuple(t for t in targets if t not in interpreted)
            if interpreted:
                yield case, interpreted

    tally = Tally()
    start = time.perf_counter()
    told = start
    seen: set[int] = set()
    for case, targets, outcome in run_all(cases(), given.workers, given.limit, environment):
        if case.seed in seen:
            # The rest of a rule's targets: it is counted once.
            outcome.refused = ""
        else:
            seen.add(case.seed)
            tally.rules += 1
        new = [s for s in map(signature, outcome.failures) if s not in tally.groups]
        tally.add(case, targets, outcome)
        for name in new:
            print(f"seed {case.seed}: {name}", flush=True)
        if time.perf_counter() - told > 60:
            told = time.perf_counter()
            print(f"  {tally.rules} rules in {told - start:.0f} s, {len(tally.failed)} failed", flush=True)
    print_tally(tally, given.seed, time.perf_counter() - start)
    if given.minimise:
        from tools.fuzzing.shrink import minimise_groups

        minimise_groups(tally.groups, given.minimise, given.corpus, given.limit)
    return int(bool(tally.groups))


def print_tally(tally: Tally, first: int, seconds: float) -> None:
    """Print the figures."""
    refused = sum(tally.refused.values())
    print(f"\n{tally.rules} rules (seeds {first} to {first + tally.rules - 1}) in {seconds:.0f} s")
    print(f"refused by the compiler: {refused} ({refused / max(1, tally.rules):.1%})")
    for message, count in tally.refused.most_common(25):
        print(f"  {count:5d}  {message}")
    print(f"steps: {sum(tally.steps.values())}; " + ", ".join(f"{n} {c}" for n, c in sorted(tally.steps.items())))
    print("targets: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.targets.items())))
    share = tally.bounded / max(1, tally.compared)
    print(f"numbers compared: {tally.compared}, of which known to 1% or exactly: {share:.1%}")
    print("seconds: " + ", ".join(f"{name} {spent:.0f}" for name, spent in tally.seconds.most_common()))
    print(f"rules that failed: {len(tally.failed)}")
    for name, members in sorted(tally.groups.items(), key=lambda item: -len(item[1])):
        seeds = ", ".join(dict.fromkeys(str(case.seed) for case, _ in members[:6]))
        print(f"  {len(members):4d}  {name}   [{seeds}]")


def read_cases(path: Path) -> dict[str, Case]:
    """The cases of a folder or a file, by name."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    return {file.stem: from_toml(file.read_text()) for file in files}


def targets_of(case: Case, words: str = "") -> tuple[str, ...]:
    """The targets that a case of the corpus is run on: those that it names, or those that failed and some by turns."""
    if words:
        return matching(words)
    return case.targets or tuple(dict.fromkeys((*case.failed, *turned(zlib.crc32(case.equations.encode())))))


def replay(path: Path, words: str, workers: int, limit: float) -> int:
    """Run the cases of a corpus; 1 if one fails. `-` for words means all targets."""
    words = "float" if words == "-" else words
    cases = read_cases(path)
    names = {id(case): name for name, case in cases.items()}

    def parts() -> Iterator[tuple[Case, tuple[str, ...]]]:
        for case in cases.values():
            targets = targets_of(case, words)
            yield case, tuple(t for t in targets if not t.startswith("triton"))
        for case in cases.values():
            if interpreted := tuple(t for t in targets_of(case, words) if t.startswith("triton")):
                yield case, interpreted

    failed = 0
    for case, _, outcome in run_all(parts(), workers, limit, environment):
        if outcome.refused:
            failed += 1
            print(f"{names[id(case)]}: refused: {outcome.refused}")
        for failure in outcome.failures:
            failed += 1
            print(f"{names[id(case)]}: {failure.target}: {failure.kind}: {failure.what}\n    {failure.detail[-400:]}")
    print(f"{len(cases)} cases, {failed} failures")
    return int(failed > 0)


def show(seed: int) -> int:
    """Print a seed's rule."""
    print(to_toml(made(seed)))
    return 0
