"""The docstrings of generated factories and classes: what `help(adam)` shows."""

from __future__ import annotations

import textwrap

from optgen.contract.dialects import Argument, Dialect
from optgen.contract.manifest import Manifest, VariantInfo
from optgen.escaping import rest
from optgen.runtime.own_arguments import added, own_argument


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
        _example(manifest, dialect) if manifest.spec.startswith("specs/") else "",
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


def _variant(manifest: Manifest, dialect: Dialect) -> VariantInfo:
    """What was generated for a spelling's defaults; for the spec's own where that was not generated ahead."""
    from optgen.contract.choice import dialect_choice, variant_name

    return manifest.variant(variant_name(manifest, dialect_choice(manifest, dialect))) or manifest.variants[0]


def _states(manifest: Manifest, dialect: Dialect) -> str:
    """The values before the first step."""
    symbols = {state.name: state.symbol for state in manifest.states}
    states = {state.name: state for case in _variant(manifest, dialect).cases for state in case.states}
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


def _example(manifest: Manifest, dialect: Dialect) -> str:
    """A step of one tensor; it runs as it stands."""
    layout = dialect.layout
    made = {t.gives for t in layout.transformations.values() if not t.every} if layout is not None else set()
    needed_inputs = _variant(manifest, dialect).inputs
    taken = [i for i in manifest.inputs if i.name in needed_inputs and i.name not in made]
    inputs = "".join(f", {i.name}={_input(i.kind)}" for i in taken)
    needed = ", ".join(f"{a.name}={_some(a)}" for a in dialect.arguments if a.required)
    weights = 'weights = {"w": types.SimpleNamespace(value=jnp.ones(3))}'
    if dialect.library == "torch":
        some = {"element": "{weight: torch.ones(3)}", "tensor": "{weight: torch.ones(())}"}
        given = ", ".join(f"{i.name}={some.get(i.kind, '1.0')}" for i in taken)
        lines = [
            "import torch",
            f"from optgen.torch import {dialect.name}",
            "weight = torch.nn.Parameter(torch.ones(3))",
            f"optimizer = {dialect.name}([weight]{', ' + needed if needed else ''})",
            "weight.square().sum().backward()",
            f"optimizer.step({given})",
        ]
    elif dialect.library == "lucid":
        some = {"element": "{weight: np.ones(3)}", "tensor": "{weight: 1.0}"}
        given = ", ".join(f"{i.name}={some.get(i.kind, '1.0')}" for i in taken)
        lines = [
            "import numpy as np, types",
            f"from optgen.lucid import {dialect.name}",
            "class Parameter:",
            "...     data, grad = np.ones(3), np.ones(3)",
            "weight = Parameter()",
            f"optimizer = {dialect.name}([weight]{', ' + needed if needed else ''})",
            f"optimizer.step({given})",
        ]
    elif dialect.library == "optax":
        params = '{"w": jnp.ones(3)}'
        if layout is not None and layout.parameters is not None:
            fields = ", ".join(f"{name}={params}" for name, _ in layout.parameters.fields)
            params = f"optax.{layout.parameters.type}({fields})"
        # What runs after the rule unless told otherwise, a line search, evaluates the loss.
        searched = layout is not None and any(
            a.default is not None and not layout.transformations[a.name].gives
            for a in dialect.arguments
            if a.name in layout.transformations
        )
        imported = "import jax, jax.numpy as jnp" if searched else "import jax.numpy as jnp"
        lines = [
            imported + (", optax" if "optax." in needed + params else ""),
            f"from optgen.optax import {dialect.name}",
            f"optimizer = {dialect.name}({needed})",
            f"params = {params}",
            "state = optimizer.init(params)",
        ]
        if searched:
            lines += [
                'loss = lambda params: jnp.sum(params["w"] ** 2)',
                "value, gradient = jax.value_and_grad(loss)(params)",
                f"given = dict(value=value, grad=gradient, value_fn=loss{inputs})",
                "updates, state = optimizer.update(gradient, state, params, **given)",
            ]
        else:
            lines.append(f'updates, state = optimizer.update({{"w": jnp.ones(3)}}, state, params{inputs})')
    elif dialect.library == "brainpy":
        lines = [
            "import jax.numpy as jnp, types",
            f"from optgen.brainpy import {dialect.name}",
            weights,
            f"optimizer = {dialect.name}({needed + ', ' if needed else ''}train_vars=weights)",
            'optimizer.update({"w": jnp.ones(3)})',
        ]
    else:
        lines = [
            "import jax.numpy as jnp, types",
            f"from optgen.optim import {dialect.name}",
            weights,
            f"optimizer = {dialect.name}({needed}).register_trainable_weights(weights)",
            f'optimizer.step({{"w": jnp.ones(3)}}{inputs})',
        ]
    return "Example:\n" + "\n".join(f"    {line}" if line.startswith("...") else f"    >>> {line}" for line in lines)


def _input(kind: str) -> str:
    return {"element": '{"w": jnp.ones(3)}', "tensor": '{"w": 1.0}'}.get(kind, "1.0")


def _some(argument: Argument) -> str:
    """A value for a required argument: the rule's own default, or 0.1 where there is none; a transformation is SGD."""
    if not argument.targets:
        return "optax.sgd(0.1)"
    values = [0.1 if default is None else default for default in argument.defaults]
    return repr(tuple(values) if argument.packed else values[0])


def _notes(manifest: Manifest, dialect: Dialect) -> str:
    """What libraries do differently, this spelling's own first."""
    others = [d for d in manifest.dialects if d.note and d != dialect]
    lines = [f"    {d.library} {d.name}: {rest(d.note)}" for d in ([dialect] if dialect.note else []) + others]
    return "\n".join(["Libraries differ:", *dict.fromkeys(lines)]) if lines else ""


def _references(manifest: Manifest) -> str:
    lines = [f"    {rest(r.text)}" + (f" {r.url}" if r.url else "") for r in manifest.references]
    return "\n".join(["References:", *lines]) if lines else ""
