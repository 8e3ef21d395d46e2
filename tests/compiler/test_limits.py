"""Rules as large as the language takes them: long sums, long loops, chains of folds."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from typing import Any

import pytest

from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.errors import SpecError
from optgen.language.definition import define_spec
from optgen.language.model import Spec
from optgen.pipeline.optimizer import generate
from optgen.reference.compare import follow_float64
from tests.targets import eager_target, native_target

LAST = "theta[t] = theta[t-1] - lr*d"


def loop(body: str, first: str = "d = g", last: str = LAST) -> Callable[[int], str]:
    """A rule whose loop has a number of turns."""
    return lambda turns: f"{first}\nfor i in range({turns}):\n    {body}\n{last}"


def line(one: str, last: str = LAST) -> Callable[[int], str]:
    """A rule with many of one text in a line."""
    return lambda count: "d = " + one.join(["g"] * count) + f"\n{last}"


SIZED: dict[str, Callable[[int], str]] = {
    "products": loop("d = d*0.99"),
    "sums": loop("d = d + 0.01*g*i"),
    "choices": loop("d = where(d > 0.01*i, d - 0.01, d + 0.01*g)"),
    "squares": loop("d = 0.1*d*d + g"),
    "numbers of the step": loop("c = c*0.5 + lr", "c = t", "theta[t] = theta[t-1] - lr*g/c"),
    "constants": loop("c = c*0.5 + 1", "c = 1", "theta[t] = theta[t-1] - lr*g/c"),
    "branches": loop("if t == i:\n        d = d + g"),
    "a history": loop("d = d + h[t-1-i]*0.5", last=f"h[t] = g\n{LAST}"),
    "a state": loop("d = d + s[t-1]*0.01", last=f"s[t] = g\n{LAST}"),
    "aliases": loop("c = lr\n    d = d*c + c", "d = g\nc = lr"),
    "terms": line(" + "),
    "factors": line("*"),
    "conditions": lambda count: "d = where(" + " and ".join(["g < 9"] * count) + f", g, 1)\n{LAST}",
    "folds": loop("d = d/norm(d)"),
    "folds over the model": loop("d = d/norm(d, over=model)"),
}
#: More than the longest that Python's stack holds one in another, as many as the page promises.
LARGE = {"folds": 120, "folds over the model": 120, "terms": 980, "factors": 980, "conditions": 390, "branches": 300}


def spec_of(equations: str) -> Spec:
    return define_spec("large", equations, {"lr": 0.1})


def deep(frames: int, run: Callable[[], Any]) -> Any:
    """Result of a function that is called by many others, one inside the other, as in frameworks."""
    return run() if frames == 0 else deep(frames - 1, run)


@pytest.mark.parametrize("name", SIZED)
def test_large_rules_compile_and_compute_what_they_say(name: str) -> None:
    spec = deep(300, lambda: spec_of(SIZED[name](LARGE.get(name, 600))))
    choice = default_choice(spec)

    def compiled() -> tuple[Rule, eager_target.EagerTarget]:
        generate(spec, {"default": choice})
        return specialise(spec, choice), eager_target.compile_target(spec, "default", choice, {"lr": 0.1})

    rule, target = deep(300, compiled)
    assert follow_float64(rule, {"lr": 0.1}, target, ((3,), (2, 3)), 3) < 1e-12


@pytest.mark.parametrize(
    ("name", "size"), [("terms", 400), ("choices", 100), ("a history", 80), ("folds", 50), ("folds over the model", 50)]
)
def test_large_rules_have_kernels(name: str, size: int) -> None:
    spec = spec_of(SIZED[name](size))
    choice = default_choice(spec)
    target = native_target.compile_target(spec, "default", choice, {"lr": 0.1})
    assert follow_float64(specialise(spec, choice), {"lr": 0.1}, target, ((3,), (40, 3)), 3) < 1e-12


@pytest.mark.parametrize("name", SIZED)
def test_time_grows_as_the_rule(name: str) -> None:
    def calls(size: int) -> int:
        profile = cProfile.Profile()
        profile.enable()
        spec = spec_of(SIZED[name](size))
        generate(spec, {"default": default_choice(spec)})
        profile.disable()
        return pstats.Stats(profile).total_calls

    calls(10)  # what is read and made once
    first, second = calls(70), calls(140)
    assert second < 2.5 * first


@pytest.mark.parametrize(
    ("equations", "message"),
    [
        ("s[0] = " + "+".join(["lr"] * 60) + "\ns[t] = s[t-1]\n", "more than 50 operations in a row are too many here"),
        ("if " + "+".join(["t"] * 60) + " > 3:\n    g = 2*g\n", "more than 50 operations in a row are too many here"),
        ("s[t] = g\nd = s[t" + "-1" * 60 + "]\n", "more than 50 operations in a row are too many here"),
        ("d = " + "(" * 51 + "g" + ")" * 51 + "\n", "too many brackets inside one another"),
        ("d = " + "g**" * 150 + "g\n", "this is too large for an update rule"),
        ("d = " + "+".join(["g"] * 1001) + "\n", "this equation is too long"),
    ],
)
def test_what_is_larger_is_refused(equations: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(equations + "theta[t] = theta[t-1] - lr*g")
    assert caught.value.message == message
