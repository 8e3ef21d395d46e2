"""The spec that `optgen new` writes: a working optimizer, with a comment on everything that can be changed."""

from __future__ import annotations

_TEXT = """\
# An optimizer as equations. docs/language.md is the reference. `optgen.load("{name}.toml")` compiles this file for a
# script. In the folder specs/ of a checkout of optgen, `optgen show {name} --stage simplified` shows what becomes of
# it, and `optgen build {name}` generates its code; elsewhere both take --specs FOLDER, and build --output FOLDER too.

[optimizer]
name = "{name}"                      # also the name of this file
class = "{class_name}"
title = "{class_name}"
summary = "Heavy ball with a decaying average of the gradient."    # one line
references = []                      # {{ text = "Authors, Title, Year", url = "..." }}

# Every number a user may choose. `domain` is checked before anything is built.
# `absent = 0` makes one optional: the value 0 (or None) removes it, and `if NAME:` asks whether it is there.
[hyperparameters]
lr = {{ default = 1e-3, symbol = '\\alpha', domain = "lr >= 0", meaning = "learning rate" }}
beta = {{ default = 0.9, symbol = '\\beta', domain = "0 <= beta < 1", meaning = "decay of the average" }}
weight_decay = {{ default = 0.0, symbol = '\\lambda', domain = "weight_decay >= 0", absent = 0, meaning = "decoupled" }}

# Switches, fixed when the optimizer is built.
[options]
nesterov = {{ default = false, meaning = "look one step ahead" }}

# What the reader is told about each state. The states themselves are found in the equations.
[states]
m = {{ symbol = 'm', meaning = "average of the gradient" }}

# theta is the parameter, g its gradient, t the step, counted from 1. Whatever is read at [t-1] is kept between steps
# and starts at zero, unless a line `m[0] = ...` says otherwise.
[equations]
rule = '''
m[t] = beta*m[t-1] + (1 - beta)*g
if nesterov:
    d = beta*m[t] + (1 - beta)*g
else:
    d = m[t]
if weight_decay:
    d = d + weight_decay*theta[t-1]
theta[t] = theta[t-1] - lr*d
'''

# How libraries spell it: their arguments, in their order. Leave a dialect out if the library has no such optimizer.
[dialect.optax]
name = "{name}"
arguments = {{ learning_rate = "lr", beta = "beta", weight_decay = "weight_decay", nesterov = "nesterov" }}
required = ["learning_rate"]

[dialect.braintools]
name = "{class_name}"
arguments = {{ lr = "lr", beta = "beta", weight_decay = "weight_decay", nesterov = "nesterov" }}
"""


def starter_spec(name: str) -> str:
    """The text of a first spec of that name; a name is lower case words with underscores."""
    return _TEXT.format(name=name, class_name="".join(word.capitalize() for word in name.split("_")))
