"""Equations mean what they mean as Python: the rule's own text is run, and what is generated from it gives the same.

The language is a part of Python's grammar, so that a rule runs as it stands, with branches taken one at a time.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.pipeline.build import generate_schedule_file
from optgen.schedules.manifests import schedule_manifest, schedule_names
from optgen.schedules.pipeline import generate_schedule
from optgen.schedules.reader import parse_schedule

WORDS = {
    **{
        name: getattr(math, name)
        for name in ("sqrt", "exp", "log", "sin", "cos", "tanh", "erf", "atan2", "floor", "ceil", "pi")
    },
    **{"abs": abs, "min": min, "max": max, "len": len, "range": range},
    "where": lambda condition, a, b: a if condition else b,
    "clip": lambda x, low, high: min(max(x, low), high),
    "sign": lambda x: float((x > 0) - (x < 0)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}

RULES = {
    "names that only one branch knows": """
        lr = 1
        if t < 4:
            p = t/4
            q = p*p + p
            lr = q + p
        else:
            p = t - 4
            lr = p + sqrt(p)
    """,
    "two names that swap": """
        x = t
        y = 2*t + 1
        if t > 3:
            z = x
            x = y
            y = z
        lr = 100*x + y
    """,
    "a condition on a name that its branch changes": """
        x = t
        if x > 3:
            x = x - 3
        if x > 1:
            x = -x
        lr = x
    """,
    "branches in branches": """
        lr = 0
        if t > 2:
            lr = lr + 1
            if t > 4:
                lr = lr + 10
                if t % 2 == 0:
                    lr = lr*3
            elif t == 4:
                lr = -lr
        elif t == 1 or not t > 0:
            lr = 7
    """,
    "a branch after a branch": """
        a = 1
        b = 2
        if t < 3:
            a = b + t
            b = a + t
        else:
            b = a - t
        lr = a + 10*b
    """,
    "a name that both branches give, in a loop that goes on with it": """
        s = 1
        last = 0
        for i in range(len(steps)):
            if t >= steps[i]:
                width = steps[i] - last
                s = s + width
            else:
                width = 0.5
                s = s*0.9
            last = last + width
        lr = s + 100*last
    """,
    "loops in loops and entries beside each other": """
        lr = 0
        for i in range(1, len(steps)):
            for j in range(len(steps)):
                lr = lr + where(t > steps[i - 1] + steps[j], steps[i], 0)
    """,
    "options around conditions": """
        lr = t
        if fast and not kind == "b":
            if t > 2:
                lr = 2*lr
        elif kind != "a" or count > 3:
            lr = lr + count
        if extra:
            lr = max(lr, extra)
        if not extra:
            lr = lr - 1
    """,
    "functions": """
        lr = sin(t) + cos(t)*tanh(t/9) + exp(-t) + log(t + 1) + abs(t - 3) + sign(t - 3) + ceil(t/7) + floor(t/7)
    """,
    "more functions": """
        lr = sigmoid(9 - t) + erf(t/5) + atan2(t - 9, 7 - t) + clip(t/3, 1, 4) + clip(clip(t, 2, 9)/2, 0, 3)
    """,
}

HEAD = """\
[schedule]
name = "toy"
class = "Toy"
title = "Toy"
summary = "A toy."
"""
DECLARED = {
    "steps": ("hyperparameters", "steps = { default = [2, 3, 5, 8] }"),
    "extra": ("hyperparameters", "extra = { optional = true }"),
    "fast": ("options", "fast = { default = false }"),
    "kind": ("options", 'kind = { default = "a", choices = ["a", "b"] }'),
    "count": ("options", "count = { default = 2 }"),
}
COUNTS = range(25)


def as_python(rule: str, values: dict[str, object]) -> list[float]:
    found = []
    for t in COUNTS:
        names = {**WORDS, **values, "t": t}
        exec(rule, names)
        found.append(float(names["lr"]))
    return found


def function_of(text: str):
    names: dict[str, object] = {}
    exec(text, names)
    return names["learning_rate"]


def assert_same(files, rule: str, values: dict[str, object], options: dict[str, object]) -> None:
    wanted = as_python(rule, {**values, **options})
    host, traced = function_of(files["host.py"]), function_of(files["jax.py"])
    found = [host(t, *values.values(), **options) for t in COUNTS]
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)
    jitted = jax.jit(lambda counts: traced(counts, *values.values(), **options) + 0.0 * counts)
    np.testing.assert_allclose(jitted(jnp.arange(len(COUNTS))), wanted, rtol=1e-12, atol=1e-15)


def dedented(rule: str) -> str:
    return "\n".join(line[8:] for line in rule.strip("\n").split("\n")).rstrip() + "\n"


@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    rule = dedented(RULES[name])
    used = [declared for declared in DECLARED if declared in rule]
    tables = ""
    for table in ("hyperparameters", "options"):
        tables += "\n".join([f"[{table}]", *(DECLARED[n][1] for n in used if DECLARED[n][0] == table)]) + "\n"
    files = generate_schedule(parse_schedule(f"{HEAD}\n{tables}\n[equations]\nrule = '''\n{rule}'''\n", "toy.toml"))
    for extra in (None, 6.0):
        for fast in (False, True):
            for kind in ("a", "b"):
                values = {"steps": (2.0, 3.0, 5.0, 8.0), "extra": extra}
                options = {"fast": fast, "kind": kind, "count": 2 + 3 * fast}
                chosen = ({n: v for n, v in group.items() if n in used} for group in (values, options))
                assert_same(files, rule, *chosen)


@pytest.mark.parametrize("name", schedule_names())
def test_the_catalogue(name):
    manifest = schedule_manifest(name)
    lists = {found.name: found.default or (2.0, 5.0, 11.0) for found in manifest.lists}
    defaults = {h.name: h.default for h in manifest.hyperparameters} | lists
    # Short enough to see all of it in a few steps; the larger of two step counts stays the larger.
    shorter = {n: 3.0 + 4 * i for i, n in enumerate(manifest.order) if n in manifest.whole and n not in lists}
    values = {n: shorter.get(n, defaults[n]) for n in manifest.order}
    files = generate_schedule_file(specs_folder() / "schedules" / f"{name}.toml")
    choices = [{}]
    for option in manifest.options:
        known = option.choices or (False, True)
        choices = [{**chosen, option.name: value} for chosen in choices for value in known]
    for options in choices:
        assert_same(files, manifest.equations, values, options)
