"""What a dialect says to a front-end: its own arguments, and what the library refuses."""

from __future__ import annotations

import pytest

from optgen.errors import InvalidHyperparameter, SpecError
from optgen.runtime.arguments import settings
from optgen.spec.model import Argument
from optgen.spec.reader import parse_spec
from optgen.targets.manifest import read_manifest

SPEC = """
[optimizer]
name = "toy"
class = "Toy"
title = "A toy"
summary = "Steps."

[hyperparameters]
lr = { default = 0.1, symbol = 'a', domain = "lr >= 0", meaning = "learning rate" }
beta = { default = 0.9, symbol = 'b', meaning = "decay" }

[options]
plus = { default = false, meaning = "look ahead" }

[states]
m = { symbol = "m", meaning = "momentum" }

[equations]
rule = '''
m[t] = beta*m[t-1] + g
if plus:
    theta[t] = theta[t-1] - lr*(g + beta*m[t])
else:
    theta[t] = theta[t-1] - lr*m[t]
'''

[dialect.torch]
name = "Toy"
arguments = { lr = "lr", b = "beta", foreach = [], plus = "plus", fast = { own = false } }
keyword_only = ["fast"]
"""


def dialect(more=""):
    (found,) = parse_spec(SPEC + more, "toy.toml").dialects
    return found


def test_arguments_of_the_front_end():
    found = {a.name: a for a in dialect().arguments}
    assert list(found) == ["lr", "b", "foreach", "plus", "fast"]
    assert found["foreach"] == Argument("foreach", (), ())
    assert found["fast"] == Argument("fast", (), (False,), keyword_only=True)
    assert found["fast"].default is False
    assert (dialect().count, dialect().sparse) == ("step", "")
    assert dialect('count = ""\nsparse = "dense"\n').count == ""
    assert (dialect().missing, dialect('missing = "zeros"').missing) == ("", "zeros")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('sparse = "rows"', "unknown treatment 'rows'"),
        ('missing = "ones"', "unknown treatment 'ones'"),
        ('domains = { gamma = "gamma > 0" }', "unknown hyperparameter 'gamma'"),
        ('domains = { beta = "lr > 0" }', "a domain compares 'beta' with numbers"),
        ('demands = { minus = ["beta > 0"] }', "unknown option 'minus'"),
        ('demands = { plus = ["1 > 0"] }', "no domain of a hyperparameter"),
    ],
)
def test_mistakes_are_shown_in_place(more, message):
    with pytest.raises(SpecError, match=message) as caught:
        dialect(more)
    assert caught.value.location.line > 30


@pytest.mark.parametrize("default", ["1.5", "{ own = 1, by = 2 }", "{ own = [] }"])
def test_an_argument_of_the_front_end_has_a_default(default):
    with pytest.raises(SpecError):
        parse_spec(SPEC.replace("{ own = false }", default), "toy.toml")


def test_what_the_library_refuses():
    from optgen.compiler.pipeline import generate

    spec = parse_spec(SPEC + 'domains = { beta = "0 <= beta < 1" }\ndemands = { plus = ["beta > 0"] }\n', "toy.toml")
    manifest = read_manifest(generate(spec, targets=("jax",)).files["manifest.json"].encode())
    (found,) = manifest.dialects
    assert settings(manifest, found, {"b": 0.0, "plus": False}).values["beta"] == 0.0
    with pytest.raises(InvalidHyperparameter, match=r"Toy: b = 1.5 is outside its domain: 0 <= b < 1"):
        settings(manifest, found, {"b": 1.5})
    with pytest.raises(InvalidHyperparameter, match=r"Toy: plus goes with b > 0, not with 0.0"):
        settings(manifest, found, {"b": 0.0, "plus": True})
