"""A spec that commands are tried on, and what they say of it."""

from __future__ import annotations

from pathlib import Path

from optgen.pipeline.build import generate_file

PLAIN = r"""
[optimizer]
name = "plain"
class = "Plain"
title = "Plain"
summary = "Steps down the gradient."

[hyperparameters]
lr = { default = 0.5, symbol = '\alpha', domain = "lr >= 0", meaning = "learning rate" }
beta = { default = 0.25, symbol = '\beta', domain = "0 <= beta < 1", meaning = "decay of the average" }

[options]
averaged = { default = false, meaning = "average the gradient" }

[equations]
rule = '''
if averaged:
    m[t] = beta*m[t-1] + (1 - beta)*g
    d = m[t]
else:
    d = g
theta[t] = theta[t-1] - lr*d
'''
"""


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def wrote(specs: Path, *names: str) -> str:
    """What a build says of these specs' files."""
    return "".join(
        f"wrote generated/{name}/{file}\n" for name in names for file in generate_file(specs / f"{name}.toml")
    )
