"""The docstrings of generated factories and classes: what `help(adam)` shows."""

from __future__ import annotations

import textwrap

from optgen.arguments.examples import example_of, shown_variant
from optgen.arguments.own import added, own_argument
from optgen.contract.dialects import Dialect
from optgen.contract.manifest import Manifest
from optgen.escaping import rest


def described(manifest: Manifest, dialect: Dialect) -> str:
    """A constructor's docstring.

    Summary, the symbols of the equations and the arguments that set them, the first values of the states, the update,
    what the arguments mean, a runnable example, what libraries do differently, references.
    """
    parts = [
        f"{rest(manifest.title)}.",
        rest(manifest.summary) or "Defined from its equations.",
        _symbols(manifest, dialect),
        _states(manifest, dialect),
        f".. math::\n\n{textwrap.indent(manifest.latex_of(dialect), '    ')}",
        _arguments(manifest, dialect),
        example_of(manifest, dialect) if manifest.spec.startswith("specs/") else "",
        _notes(manifest, dialect),
        _references(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _symbols(manifest: Manifest, dialect: Dialect) -> str:
    """Which argument sets which symbol."""
    symbols = {h.name: h.symbol for h in manifest.hyperparameters}
    pairs = [
        f":math:`{symbols[target]}` is ``{argument.name}``" + (f"[{index}]" if argument.packed else "")
        for argument in dialect.arguments
        for index, target in enumerate(argument.targets)
        if target in symbols and target not in manifest.shared and not argument.instead
    ]
    sentence = "The gradient is :math:`g`, the parameter :math:`\\theta`, the step :math:`t = 1, 2, \\dots`"
    return textwrap.fill("; ".join([sentence, *pairs]) + ".", 100, break_long_words=False)


def _states(manifest: Manifest, dialect: Dialect) -> str:
    """The values before the first step."""
    symbols = {state.name: state.symbol for state in manifest.states}
    states = {state.name: state for case in shown_variant(manifest, dialect).cases for state in case.states}
    zero = [symbols.get(name, name) for name, state in states.items() if state.zero]
    if not zero:
        return ""
    listed = ", ".join(f":math:`{symbol}`" for symbol in zero)
    return textwrap.fill(f"Before the first step, {listed} {'is' if len(zero) == 1 else 'are'} zero. Each step is", 100)


def _arguments(manifest: Manifest, dialect: Dialect) -> str:
    meanings = {h.name: (h.meaning, h.domain.text) for h in manifest.hyperparameters}
    meanings |= {o.name: (o.meaning, " or ".join(o.choices)) for o in manifest.options}
    lines = ["Args:"]
    for argument in dialect.arguments:
        told = [f"deprecated, give {argument.instead}"] if argument.instead else []
        told += [] if argument.targets else [own_argument(dialect.library, argument.name).meaning]
        for target in argument.targets:
            if argument.instead:
                continue
            meaning, domain = meanings[target]
            said = rest(meaning) or target
            told.append(f"{said} ({domain})" if domain else said)
        lines.append(f"    {argument.name}: {'; '.join(told)}.")
    lines += [f"    {name}: {argument.meaning}." for name, (_, argument) in added(dialect).items()]
    return "\n".join(lines) if len(lines) > 1 else ""


def _notes(manifest: Manifest, dialect: Dialect) -> str:
    """The notes on differences between libraries, this spelling's own first."""
    others = [d for d in manifest.dialects if d.note and d != dialect]
    lines = [f"    {d.library} {d.name}: {rest(d.note)}" for d in ([dialect] if dialect.note else []) + others]
    return "\n".join(["Libraries differ:", *dict.fromkeys(lines)]) if lines else ""


def _references(manifest: Manifest) -> str:
    lines = [f"    {rest(r.text)}" + (f" {r.url}" if r.url else "") for r in manifest.references]
    return "\n".join(["References:", *lines]) if lines else ""
