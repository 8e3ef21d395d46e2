"""What a dialect says of a library's state: every mistake is named where it stands."""

from __future__ import annotations

import pytest

from optgen.errors import SpecError
from optgen.language.reader import parse_spec

HEAD = """
[optimizer]
name = "toy"
class = "Toy"
title = "A toy"
summary = "Steps."

[hyperparameters]
lr = { default = 0.1, symbol = 'a', domain = "lr >= 0", meaning = "learning rate" }
beta = { default = 0.9, symbol = 'b', meaning = "decay" }

[options]
variant = { default = "one", choices = ["one", "two"], meaning = "which" }
memory = { default = 3, meaning = "how many" }

[inputs]
noise = { kind = "element", meaning = "noise" }

[states]
m = { symbol = "m", meaning = "momentum" }

[equations]
rule = '''
m[t] = beta*m[t-1] + g + noise
for i in range(memory):
    g = g + m[t-i]
if variant == "one":
    theta[t] = theta[t-1] - lr*m[t]
else:
    theta[t] = theta[t-1] - 2*lr*m[t]
'''

[dialect.optax]
name = "toy"
arguments = { learning_rate = "lr", b = "beta", mask = [], dtype = [], inner = [], key = [], again = { own = false } }
"""

PLAIN = 'layout = { type = "ToyState", fields = { mu = "m" } }\n'


def parsed(text):
    return parse_spec(HEAD + text, "toy.toml").dialects[0].layout


def test_a_layout():
    layout = parsed("""
layout = [
    { type = "ToyState", fields = { n = "t + 1", mu = "m", inner = "inner" }, when = ["not b"], otherwise = "Empty" },
    { type = "EmptyState", schedule = { learning_rate = "Scheduled" }, mask = "mask" },
    { of = "key" },
]
masks = { mask = { beta = 0.0 } }
transformations = { inner = { after = true } }
draws = { noise = ["key"] }
words = { variant = { "zwei" = "two" } }
dtypes = { dtype = ["m"] }
only = { again = "once is enough" }
complex = true
schedules = { b = "n" }
history = { states = ["m"], length = "memory", ahead = -1 }
""")
    first, second, third = layout.state.parts
    assert first.fields == (("n", "t + 1"), ("mu", "m"), ("inner", "inner"))
    assert (first.when, first.otherwise) == (("not b",), "Empty")
    assert (second.schedule, second.scheduled, second.mask, third.of) == ("learning_rate", "Scheduled", "mask", "key")
    assert layout.scheduled() == {"learning_rate", "b"}
    assert (layout.complex, layout.history.ahead, layout.words) == (True, -1, {"variant": {"zwei": "two"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('dtypes = { dtype = ["m"] }\n', "'dtypes' goes with 'layout'"),
        ("complex = true\n", "'complex' goes with 'layout'"),
        ("layout = 3\n", "a part of a state is an inline table"),
        ("layout = {}\n", "a part has either a type or an argument whose state it is"),
        ('layout = { type = "A", of = "inner" }\n', "a part has either a type or an argument whose state it is"),
        ('layout = { of = "inner" }\n', "unknown transformation 'inner'"),
        ('layout = { type = "A b" }\n', "'A b' cannot name a class"),
        ('layout = { type = "A", fields = 3 }\n', "'fields' is an inline table"),
        ('layout = { type = "A", fields = { a = "t - 1" } }\n', "'t - 1' cannot stand in a field"),
        ('layout = { type = "A", fields = { a = "t % c" } }\n', "unknown hyperparameter 'c'"),
        ('layout = { type = "A", fields = { a = "key" } }\n', "argument 'key' has no state"),
        ('layout = { type = "A", fields = { a = "n" } }\n', "'n'"),
        ('layout = { type = "A", when = ["c"] }\n', "unknown argument 'c'"),
        ('layout = { type = "A", mask = "mask" }\n', "unknown mask 'mask'"),
        ('layout = { type = "A", schedule = 1 }\n', "'schedule' says for one argument what the part is"),
        ('layout = { type = "A", schedule = { c = "B" } }\n', "unknown argument 'c'"),
        ('layout = { type = "A", colour = 1 }\n', "'colour'"),
        (PLAIN + "dtypes = 1\n", "'dtypes' is an inline table"),
        (PLAIN + 'dtypes = { b = ["m"] }\n', "'b' is no argument that 'dtypes' may speak of"),
        (PLAIN + "masks = { mask = {} }\n", "a mask says what tensors that it leaves out take"),
        (PLAIN + "masks = { mask = { gamma = 1.0 } }\n", "gamma"),
        (PLAIN + "transformations = { inner = 1 }\n", "a transformation is an inline table"),
        (PLAIN + "transformations = { inner = {} }\n", "a transformation gives an input, or comes after the rule"),
        (PLAIN + 'transformations = { inner = { gives = "loss" } }\n', "unknown input 'loss'"),
        (
            PLAIN + 'transformations = { inner = { gives = "noise", every = "c" } }\n',
            "unknown hyperparameter 'c'",
        ),
        (
            PLAIN + 'transformations = { inner = { gives = "noise", restarts = ["b", "mu"] } }\n',
            "'restarts' is a switch of the front-end and a field",
        ),
        (PLAIN + 'draws = { loss = ["key"] }\n', "unknown input 'loss'"),
        (PLAIN + 'draws = { noise = ["b"] }\n', "unknown argument of the front-end 'b'"),
        (PLAIN + "words = { colour = {} }\n", "unknown option 'colour'"),
        (PLAIN + "words = { variant = 1 }\n", "words are an inline table"),
        (PLAIN + 'words = { variant = { "drei" = "three" } }\n', "no value of option 'variant'"),
        (PLAIN + 'schedules = { b = "nu" }\n', "unknown field 'nu'"),
        (PLAIN + 'history = { states = ["m"], length = "beta" }\n', "unknown option 'beta'"),
        (PLAIN + 'history = { states = ["m"], length = "memory", ahead = 0.5 }\n', "'ahead' is a number of steps"),
        (PLAIN + 'only = { b = "so" }\n', "'b' is no argument that 'only' may speak of"),
        (PLAIN + "complex = 1\n", "'complex' is true or false"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(SpecError) as caught:
        parsed(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("toy.toml:")
