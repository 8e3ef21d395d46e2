"""Mistakes in the spec of a schedule are shown in place: message, line, caret and hint."""

from __future__ import annotations

import pytest

from optgen.compiler.lr_schedule_pipeline import generate_schedule
from optgen.errors import SpecError
from optgen.spec.lr_schedule_reader import parse_schedule

GOOD = """\
[schedule]
name = "toy"
class = "Toy"
title = "Toy"
summary = "A toy."
base = "base_lr"
constraints = ["warmup < total"]

[hyperparameters]
base_lr = { default = 0.1 }
warmup = { default = 10, whole = true, domain = "warmup >= 0" }
total = { default = 100 }
end = { optional = true }
steps = { default = [3, 5], domain = "steps >= 0", increasing = true }
scales = { default = [0.5, 0.1], length = "len(steps)" }

[options]
fast = { default = false }
kind = { default = "a", choices = ["a", "b"] }

[equations]
rule = '''
lr = base_lr*min(t/total, 1)
for i in range(len(steps)):
    if t >= steps[i]:
        lr = lr*scales[i]
if fast:
    lr = 2*lr
if kind == "a":
    lr = lr + 1
if end:
    lr = max(lr, end)
if t < warmup:
    lr = base_lr
'''

[dialect.torch]
name = "ToyLR"
arguments = { warmup = "warmup", steps = "steps" }
required = ["warmup"]
"""

#: What is changed in the spec above, and the message from it on.
CASES = [
    (
        "base_lr*min",
        "base_l*min",
        "23:6: unknown name 'base_l'\n   23 | lr = base_l*min(t/total, 1)\n      |      ^^^^^^ did you mean 'base_lr'?",
    ),
    (
        "min(t/total, 1)",
        "min(epoch/total, 1)",
        "23:18: unknown name 'epoch'\n   23 | lr = base_lr*min(epoch/total, 1)\n"
        "      |                  ^^^^^ the number of steps done is t",
    ),
    (
        "lr = 2*lr",
        "lr = 2*theta",
        "28:12: a schedule knows neither parameters nor gradients\n"
        "   28 | lr = 2*theta\n"
        "      |        ^^^^^ it is a function of t",
    ),
    (
        "lr = 2*lr",
        "lr = 2*lr[t-1]",
        "28:12: a schedule keeps nothing from step to step\n   28 | lr = 2*lr[t-1]\n      |        ^^^^^^^ write lr",
    ),
    (
        "lr = 2*lr",
        "lr[t] = 2*lr",
        "28:5: a schedule keeps nothing from step to step\n   28 | lr[t] = 2*lr\n      | ^^^^^ write lr = ...",
    ),
    (
        "lr = 2*lr",
        "lr = 2*steps",
        "28:12: 'steps' is a list\n"
        "   28 | lr = 2*steps\n"
        "      |        ^^^^^ write steps[i] in a loop over it, or len(steps)",
    ),
    (
        "lr = 2*lr",
        "lr = steps[t]",
        "28:16: an index is a whole number\n"
        "   28 | lr = steps[t]\n"
        "      |            ^ write the variable of a loop: [i], [i+1]",
    ),
    (
        "lr = 2*lr",
        "lr = end",
        "28:10: 'end' may be absent here\n   28 | lr = end\n      |      ^^^ use it under 'if end:'",
    ),
    (
        "lr = 2*lr",
        "lr = len(lr)",
        "28:14: 'len' is asked of no list\n   28 | lr = len(lr)\n      |          ^^ known: scales, steps",
    ),
    (
        "lr = 2*lr",
        "lr = len(3)",
        "28:10: 'len' takes the name of one list\n   28 | lr = len(3)\n      |      ^^^^^^ write len(milestones)",
    ),
    (
        "lr = 2*lr",
        "lr = norm(lr)",
        "28:10: a schedule is one number per step: there is nothing to fold\n"
        "   28 | lr = norm(lr)\n"
        "      |      ^^^^^^^^",
    ),
    (
        "lr = 2*lr",
        "lr = kind",
        "28:10: option 'kind' is not a number\n   28 | lr = kind\n      |      ^^^^ ask for it by 'if'",
    ),
    (
        "lr = 2*lr",
        "lr = t < 3",
        "28:10: this is a condition, not a number\n   28 | lr = t < 3\n      |      ^^^^^ write where(condition, 1, 0)",
    ),
    (
        "lr = 2*lr",
        "lr = cosh(lr)",
        "28:10: unknown function 'cosh'\n   28 | lr = cosh(lr)\n      |      ^^^^ did you mean 'cos'?",
    ),
    (
        "lr = 2*lr",
        "pi = 3",
        "28:5: 'pi' is a number and cannot be assigned\n   28 | pi = 3\n      | ^^ use another name",
    ),
    (
        "lr = 2*lr",
        "end = 3",
        "28:5: 'end' is a hyperparameter and cannot be assigned\n   28 | end = 3\n      | ^^^ use another name",
    ),
    (
        "lr = 2*lr",
        "lr = 2*x\n    x = 1",
        "28:12: 'x' has no value here, or only under a condition\n"
        "   28 | lr = 2*x\n"
        "      |        ^ give it one before",
    ),
    (
        "lr = 2*lr",
        "lr = 2\n    lr = 3",
        "29:5: 'lr' is given a second value; the first stands on line 28\n"
        "   29 | lr = 3\n"
        "      | ^^ only 'if' and 'for' change a value; use another name",
    ),
    (
        "lr = base_lr*min(t/total, 1)\n",
        "",
        "25:14: 'lr' has no value here, or only under a condition\n"
        "   25 | lr = lr*scales[i]\n"
        "      |      ^^ give it one before",
    ),
    (
        "if fast:",
        "if fast and t > 3:",
        "27:4: 'fast' is decided ahead, the rest at every step\n"
        "   27 | if fast and t > 3:\n"
        "      |    ^^^^ put one 'if' into the other",
    ),
    (
        "if fast:",
        "if total:",
        "27:4: this is a number, not a condition\n   27 | if total:\n      |    ^^^^^ compare it: x > 0",
    ),
    (
        "if fast:",
        "if kind:",
        "27:4: option 'kind' is one of a, b\n   27 | if kind:\n      |    ^^^^ write kind == \"a\"",
    ),
    (
        'kind == "a"',
        'kind == "c"',
        "29:12: 'c' is no choice of 'kind'\n   29 | if kind == \"c\":\n      |            ^^^ known: a, b",
    ),
    (
        "if t < warmup:\n",
        "if t < warmup:\n    if fast:\n        lr = 3\n",
        "34:8: an option under a condition on numbers\n   34 | if fast:\n      |    ^^^^ put it around the other 'if'",
    ),
    (
        "if t < warmup:\n",
        "if t < warmup:\n    for k in range(len(steps)):\n        lr = 3\n",
        "34:9: a loop under a condition on numbers\n"
        "   34 | for k in range(len(steps)):\n"
        "      |     ^ put the 'if' into the loop",
    ),
    (
        "range(len(steps))",
        "range(3)",
        "24:16: a loop of a schedule runs over a list\n"
        "   24 | for i in range(3):\n"
        "      |                ^ write 'for i in range(len(milestones)):'",
    ),
    (
        "range(len(steps))",
        "range(len(total))",
        "24:20: 'total' is no list\n"
        "   24 | for i in range(len(total)):\n"
        "      |                    ^^^^^ declare it in [hyperparameters] or give it a value",
    ),
    (
        "for i in",
        "for t in",
        "24:5: 't' has another meaning already\n"
        "   24 | for t in range(len(steps)):\n"
        "      |     ^ rename the loop variable",
    ),
    (
        "min(t/total, 1)",
        "min(t/3, 1)",
        "12:1: hyperparameter 'total' is never used\n"
        "   12 | total = { default = 100 }\n"
        "      | ^^^^^ use it or remove it",
    ),
    (
        "increasing = true",
        "increasing = 1",
        "14:65: 'increasing' is true or false\n"
        '   14 | steps = { default = [3, 5], domain = "steps >= 0", increasing = 1 }\n'
        "      |                                                                 ^",
    ),
    (
        "[3, 5]",
        "[5, 5]",
        "14:25: the default of 'steps' does not increase here\n"
        '   14 | steps = { default = [5, 5], domain = "steps >= 0", increasing = true }\n'
        "      |                         ^",
    ),
    (
        "[3, 5]",
        "[-3, 5]",
        "14:22: -3 is outside the domain of 'steps'\n"
        '   14 | steps = { default = [-3, 5], domain = "steps >= 0", increasing = true }\n'
        "      |                      ^^ it must satisfy steps >= 0",
    ),
    (
        "[0.5, 0.1]",
        "[0.5]",
        "15:38: by its length, the default has 2 entries, not 1\n"
        '   15 | scales = { default = [0.5], length = "len(steps)" }\n'
        "      |                                      ^^^^^^^^^^^^",
    ),
    (
        'len(steps)"',
        'len(stairs)"',
        "15:43: 'stairs' is no other list\n"
        '   15 | scales = { default = [0.5, 0.1], length = "len(stairs)" }\n'
        "      |                                           ^^^^^^^^^^^^^ known: steps",
    ),
    (
        "default = 10,",
        "default = 1.5,",
        "11:22: the default is not a whole number\n"
        '   11 | warmup = { default = 1.5, whole = true, domain = "warmup >= 0" }\n'
        "      |                      ^^^",
    ),
    (
        "warmup < total",
        "warmup < 3",
        "7:16: '3' is no hyperparameter\n"
        '    7 | constraints = ["warmup < 3"]\n'
        "      |                ^^^^^^^^^^^^ known: base_lr, warmup, total, end",
    ),
    (
        "warmup < total",
        "warmup",
        "7:16: a constraint compares two hyperparameters\n"
        '    7 | constraints = ["warmup"]\n'
        '      |                ^^^^^^^^ write "warmup_steps < decay_steps"',
    ),
    (
        'base = "base_lr"',
        'base = "lr"',
        "6:8: 'lr' is no hyperparameter\n    6 | base = \"lr\"\n      |        ^^^^ known: base_lr, warmup, total, end",
    ),
    (
        "[schedule]",
        "[optimizer]",
        "1:2: unknown table 'optimizer'\n"
        "    1 | [optimizer]\n"
        "      |  ^^^^^^^^^ known: schedule, hyperparameters, options, equations, dialect",
    ),
    (
        "end = {",
        "pi = {",
        "13:1: 'pi' has a meaning in a schedule\n   13 | pi = { optional = true }\n      | ^^ choose another name",
    ),
    (
        "fast = {",
        "end = {",
        "18:1: 'end' is declared in [hyperparameters] and in [options]\n"
        "   18 | end = { default = false }\n"
        "      | ^^^ rename one of them",
    ),
    (
        '"steps" }',
        '"stepps" }',
        "39:42: 'stepps' is neither hyperparameter nor option\n"
        '   39 | arguments = { warmup = "warmup", steps = "stepps" }\n'
        "      |                                          ^^^^^^^^ did you mean 'steps'?",
    ),
    (
        "[dialect.torch]",
        "[dialect.torhc]",
        "37:2: unknown dialect 'torhc'\n   37 | [dialect.torhc]\n      |  ^^^^^^^^^^^^^ did you mean 'torch'?",
    ),
]


def test_the_spec_without_mistakes():
    assert set(generate_schedule(parse_schedule(GOOD, "toy.toml"))) == {"jax.py", "host.py", "manifest.json"}


@pytest.mark.parametrize(("old", "new", "message"), CASES, ids=[message.split("\n")[0] for _, _, message in CASES])
def test_mistakes_are_shown_in_place(old, new, message):
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        parse_schedule(GOOD.replace(old, new, 1), "toy.toml")
    assert str(caught.value) == f"toy.toml:{message}"


def test_a_schedule_without_a_value():
    text = GOOD[: GOOD.index("[hyperparameters]")].replace('base = "base_lr"\nconstraints = ["warmup < total"]\n', "")
    with pytest.raises(SpecError, match="the rule never assigns 'lr'"):
        parse_schedule(f"{text}[equations]\nrule = '''\nx = t\n'''\n", "toy.toml")


def test_a_value_under_a_condition_only():
    text = GOOD[: GOOD.index("[hyperparameters]")].replace('base = "base_lr"\nconstraints = ["warmup < total"]\n', "")
    with pytest.raises(SpecError, match="'lr' has a value only under a condition"):
        parse_schedule(f"{text}[equations]\nrule = '''\nif t < 3:\n    lr = t\n'''\n", "toy.toml")
