"""Rules that once failed in some target, and those written by hand beside them, together in every target there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.fuzzing.choosing import TARGETS
from tools.fuzzing.pool import Worker
from tools.fuzzing.report import environment, read_cases, targets_of

CORPUS = read_cases(Path(__file__).parent / "corpus")


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Processes of their own: a rule may end one, Triton's interpreter needs one, and JAX is set up otherwise."""
    cache = {
        "OPTGEN_CFLAGS": "-O1",
        "OPTGEN_CACHE": os.environ.get("OPTGEN_CACHE", str(tmp_path_factory.mktemp("cache"))),
    }
    found = {True: Worker({**cache, **environment(("triton",))}, 1000), False: Worker(cache, 1000)}
    yield found
    for worker in found.values():
        worker.close()


@pytest.mark.parametrize("name", CORPUS)
def test_rules_of_the_corpus(name, workers):
    case = CORPUS[name]
    targets = targets_of(case)
    for interpreted in (False, True):
        some = tuple(t for t in targets if t.startswith("triton") is interpreted)
        if some:
            outcome = workers[interpreted].run(case, some, 60.0)
            assert outcome.refused == ""
            assert [(f.target, f.kind, f.what, f.detail) for f in outcome.failures] == []


def test_the_corpus_as_a_whole_is_run_in_every_target():
    assert {target for case in CORPUS.values() for target in targets_of(case)} >= set(TARGETS)
