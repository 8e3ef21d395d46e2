"""The docstrings of schedules: what `help(cosine_decay_schedule)` shows."""

from __future__ import annotations

import textwrap

from optgen.contract.dialects import Dialect
from optgen.escaping import rest
from optgen.schedules.manifest import LrScheduleManifest

_RETURNS = {
    "optax": "A function of the number of steps done, an integer or an integer array, which may be traced.",
    "braintools": "",
}


def described_schedule(manifest: LrScheduleManifest, dialect: Dialect) -> str:
    """The docstring of a schedule in a library's spelling: summary, equation, arguments, references."""
    returns = _RETURNS.get(dialect.library, _RETURNS["optax"])
    parts = [
        f"{rest(manifest.title)}.",
        rest(manifest.summary),
        f".. math::\n\n{textwrap.indent(manifest.latex, '    ')}",
        "Here :math:`t = 0, 1, \\dots` is the number of steps done" + _symbols(manifest, dialect) + ".",
        _arguments(manifest, dialect),
        f"Returns:\n    {returns}" if returns else "",
        _notes(dialect),
        _references(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _symbols(manifest: LrScheduleManifest, dialect: Dialect) -> str:
    """Which argument sets which symbol."""
    symbols = {h.name: h.symbol for h in manifest.hyperparameters} | {h.name: h.symbol for h in manifest.lists}
    pairs = [
        f":math:`{symbols[target]}` is ``{argument.name}``"
        for argument in dialect.arguments
        for target in argument.targets
        if target in symbols
    ]
    return "".join(f"; {pair}" for pair in pairs)


def _arguments(manifest: LrScheduleManifest, dialect: Dialect) -> str:
    meanings = {h.name: (h.meaning, h.domain.text) for h in manifest.hyperparameters}
    meanings |= {h.name: (h.meaning, h.domain.text) for h in manifest.lists}
    meanings |= {o.name: (o.meaning, " or ".join(o.choices)) for o in manifest.options}
    lines = ["Args:"]
    for argument in dialect.arguments:
        told = []
        for target in argument.targets:
            meaning, domain = meanings[target]
            said = rest(meaning) or target
            told.append(f"{said} ({domain})" if domain else said)
        lines.append(f"    {argument.name}: {'; '.join(told)}.")
    return "\n".join(lines) if len(lines) > 1 else ""


def _notes(dialect: Dialect) -> str:
    return f"Note:\n    {rest(dialect.note)}" if dialect.note else ""


def _references(manifest: LrScheduleManifest) -> str:
    if not manifest.references:
        return ""
    lines = [f"    {rest(r.text)}" + (f" {r.url}" if r.url else "") for r in manifest.references]
    return "\n".join(["References:", *lines])
