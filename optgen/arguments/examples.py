"""The example in a factory's or a class's docstring."""

from __future__ import annotations

from optgen.contract.dialects import Argument, Dialect
from optgen.contract.manifest import Manifest, VariantInfo


def shown_variant(manifest: Manifest, dialect: Dialect) -> VariantInfo:
    """The variant of a spelling's defaults; of the spec's own where that was not generated ahead."""
    from optgen.contract.choice import dialect_choice, variant_name

    return manifest.variant(variant_name(manifest, dialect_choice(manifest, dialect))) or manifest.variants[0]


def example_of(manifest: Manifest, dialect: Dialect) -> str:
    """A step of one tensor; it runs as it stands."""
    layout = dialect.layout
    made = {t.gives for t in layout.transformations.values() if not t.every} if layout is not None else set()
    needed_inputs = shown_variant(manifest, dialect).inputs
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
