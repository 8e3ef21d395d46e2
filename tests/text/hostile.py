"""A spec and a schedule with something in every field, and text that is more than text if nobody looks after it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

#: What runs if any of the texts below gets out of where it stands.
CODE = "import builtins; builtins.planted = True"

#: What ends a line for Python, C, TOML, browsers or terminals, what joins two, and what is not seen.
BREAKS = [
    *("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\\\n", "??/\n"),
    *(
        "\0",
        "\x08",
        "\x1b[2J",
        "\x7f",
        "\x9b2J",
        "\u202e",
        "\u2066",
        "\u200f",
        "\u200b",
        "\ufeff",
        "\ufff9",
        "\U000e0041",
    ),
]
#: Characters that a spec may hold: it is shown as it is, whatever language it stands in.
SEEN = [
    *('"""', "'''", '"', "'", "\\", "\\\\", '\\"""', '""""', "*/", "/*", "*\\/", "//", "??/", "??)?", "#"),
    *("{{ planted }}", "{% raw %}", "{#", "%s %(a)s {0} {a}", "$(planted)", "`planted`", "${planted}"),
    *(
        "coding: utf-7 ",
        "-*- coding=utf-16 -*- ",
        "vim: set fileencoding=utf-7 :",
        ">>> ",
        "... ",
        "..  raw:: html",
        ":a:",
    ),
    *("<script>", "</title><script>", "</h2><script>", "<img src=x onerror=planted>", "&lt;script&gt; &#60;", "<!--"),
    *("[a](javascript:planted)", "<javascript:planted>", "[a]: javascript:planted", "![a](data:text/html,x)", "[a][a]"),
    *(
        "a | b",
        "| a |",
        "`",
        "``",
        "` | `",
        "$a$",
        "$$",
        "\\(a\\)",
        "*a* **b** _c_ __d__",
        "~~~",
        "```",
        "~a~",
        "^",
        "!",
    ),
    *(
        "# a",
        "- a",
        "+ a",
        "* a",
        "1. a",
        "1) a",
        "> a",
        "---",
        "===",
        "***",
        "_____ ",
        "    a",
        ": a",
        "{: onclick=planted }",
    ),
    *(
        "`a <javascript:planted>`_",
        "|a|",
        "a_",
        "a__",
        "%:include",
        "<:",
        "\\u000a",
        "\\x0a",
        "\\N{NULL}",
        "\u200d\u00e9\u4e2d",
    ),
]
#: Texts of one line that are accepted wherever words are, and texts that are not.
ACCEPTED = [text for found in SEEN for text in (f"{found} {CODE}", f"words {found}")]
REFUSED = [f"words{found}{CODE}" for found in BREAKS]

SPEC: dict[str, Any] = {
    "optimizer": {
        "name": "toy",
        "class": "Toy",
        "title": "words",
        "summary": "words",
        "references": [{"text": "words", "url": "https://example.org/a"}],
    },
    "hyperparameters": {
        "lr": {"default": 0.1, "symbol": "a", "domain": "lr >= 0", "meaning": "words"},
        "beta": {"default": 0.9, "symbol": "b", "domain": "0 <= beta < 1", "meaning": "words"},
        "decay": {"default": 0.0, "absent": 0, "meaning": "words"},
    },
    "options": {
        "nesterov": {"default": False, "meaning": "words", "requires": "decay"},
        "form": {"default": "plain", "choices": ["plain", "raw"], "meaning": "words"},
        "depth": {"default": 3, "meaning": "words"},
    },
    "inputs": {
        "noise": {"kind": "element", "meaning": "words"},
        "hessian": {"kind": "element", "meaning": "words"},
    },
    "states": {"m": {"symbol": "m", "meaning": "words"}, "s": {"symbol": "s", "meaning": "words"}},
    "equations": {
        "rule": """\
# words
if decay:
    g = g + decay*theta[t-1]
m[t] = beta*m[t-1] + (1 - beta)*g  # words
total = m[t] + noise
for i in range(1, depth):
    total = total + s[t-i]
s[t] = g
if form == "raw":
    total = 2*total
if nesterov:
    total = total + g
theta[t] = theta[t-1] - lr*total/(1 + hessian**2)
"""
    },
    "dialect": {
        "optax": {
            "name": "toy",
            "arguments": {
                "learning_rate": "lr",
                "b": "beta",
                "form": "form",
                "depth": "depth",
                "mu_dtype": [],
                "mask": [],
                "key": [],
                "seed": {"own": "words"},
                "verbose": {"own": False},
                "hessian_diagonal_fn": [],
                "reset_state": {"own": False},
                "old": "beta",
            },
            "required": ["learning_rate"],
            "deprecated": {"old": "b"},
            "count": "step",
            "note": "words",
            "instead": "words",
            "states": {"m": "mu"},
            "domains": {"beta": "beta > 0"},
            "demands": {"nesterov": ["beta > 0"]},
            "layout": [
                {"type": "ScaleByToyState", "fields": {"count": "t", "mu": "m", "key": "key"}, "when": ["b"]},
                {"type": "EmptyState", "otherwise": "EmptyState", "when": ["not b"], "mask": "mask"},
                {"type": "EmptyState", "schedule": {"learning_rate": "ScaleByScheduleState"}},
                {"of": "hessian_diagonal_fn"},
            ],
            "dtypes": {"mu_dtype": ["m"]},
            "masks": {"mask": {"decay": "none"}},
            "draws": {"noise": ["key", "seed"]},
            "words": {"form": {"words": "raw"}},
            "schedules": {"b": "count"},
            "history": {"states": ["s"], "length": "depth"},
            "only": {"verbose": "words"},
            "transformations": {
                "hessian_diagonal_fn": {"gives": "hessian", "every": "lr", "restarts": ["reset_state", "count"]},
            },
        },
        "torch": {"name": "Toy", "arguments": {"lr": "lr", "beta": "beta", "decay": "decay"}, "note": "words"},
        "lucid": {"name": "Toy", "arguments": {"lr": "lr", "beta": "beta"}, "note": "words", "sparse": "dense"},
        "brainpy": {"name": "Toy", "arguments": {"lr": "lr", "beta": "beta", "train_vars": []}, "note": "words"},
        "braintools": {"name": "Toy", "arguments": {"lr": "lr", "beta": "beta"}, "note": "words"},
    },
}

SCHEDULE: dict[str, Any] = {
    "schedule": {
        "name": "ramp",
        "class": "Ramp",
        "title": "words",
        "summary": "words",
        "references": [{"text": "words", "url": "https://example.org/a"}],
        "base": "low",
        "constraints": ["low < high"],
    },
    "hyperparameters": {
        "low": {"default": 0.1, "symbol": "a", "domain": "low >= 0", "meaning": "words"},
        "high": {"default": 0.2, "symbol": "b", "domain": "high >= 0", "meaning": "words"},
        "steps": {"default": 10, "whole": True, "meaning": "words"},
        "at": {"default": [1, 2], "symbol": "c", "domain": "at >= 0", "meaning": "words", "increasing": True},
        "by": {"default": [1, 2], "symbol": "d", "meaning": "words", "length": "len(at)"},
    },
    "options": {"form": {"default": "plain", "choices": ["plain", "raw"], "meaning": "words"}},
    "equations": {
        "rule": """\
# words
lr = low + (high - low)*min(t/steps, 1)  # words
for i in range(len(at)):
    if t >= at[i]:
        lr = lr*by[i]
if form == "raw":
    lr = 2*lr
"""
    },
    "dialect": {
        "optax": {
            "name": "ramp_schedule",
            "arguments": {"low": "low", "high": "high", "steps": "steps", "at": "at", "by": "by", "form": "form"},
            "note": "words",
        },
        "braintools": {
            "name": "RampLR",
            "arguments": {"low": "low", "high": "high", "steps": "steps", "at": "at", "by": "by"},
            "note": "words",
        },
    },
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where strings stand in tables, as values; a path that ends with None means the key before it."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and len(path) > 0:
                yield (*path, key, None)
            yield from leaves(inner, (*path, key))


def replaced(tables: dict[str, Any], path: tuple[Any, ...], text: str) -> dict[str, Any]:
    """Tables with another text in one place; of equations, in their comments."""
    tables = copy.deepcopy(tables)
    is_key = path[-1] is None
    *outer, last = path[:-1] if is_key else path
    inner: Any = tables
    for key in outer:
        inner = inner[key]
    if is_key:
        items = [(text if key == last else key, value) for key, value in inner.items()]
        inner.clear()
        inner.update(items)
    else:
        inner[last] = inner[last].replace("# words", f"# {text}") if path == ("equations", "rule") else text
    return tables


def toml(tables: dict[str, Any]) -> str:
    """Tables as TOML, each string by escapes that hold any character; equations as they are."""
    lines = []
    for name, table in tables.items():
        for inner, entries in table.items() if name == "dialect" else [(None, table)]:
            lines.append(f"[{name}]" if inner is None else f"[{name}.{quoted(inner)}]")
            for key, value in entries.items():
                shown = f"'''\n{value}'''" if (name, key) == ("equations", "rule") else written(value)
                lines.append(f"{quoted(key)} = {shown}")
    return "\n".join(lines) + "\n"


def written(value: Any) -> str:
    """A value of TOML on one line."""
    match value:
        case str():
            return quoted(value)
        case bool():
            return str(value).lower()
        case dict():
            return "{ " + ", ".join(f"{quoted(k)} = {written(v)}" for k, v in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
    return repr(value)


def quoted(text: str) -> str:
    """A string or key of TOML between double quotes."""
    return '"' + re.sub(r'["\\\x00-\x1f\x7f-\U0010ffff]', lambda m: f"\\U{ord(m[0]):08x}", text) + '"'
