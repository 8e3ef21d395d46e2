"""Type stubs of the front-ends, whose names are known only from the catalogue: what editors and type checkers read."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.spec.model import Argument, Dialect, Option
from optgen.targets.manifest import Manifest

_OPTAX_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import optax

Number = float | jax.Array
Schedule = Callable[[Any], Any]
'''

_OPTIM_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable
from typing import Any, Literal

import jax

from optgen.optim.base import Optimizer as Optimizer
from optgen.optim.base import optimizer_class as optimizer_class

Number = float | jax.Array
Schedule = Callable[[Any], Any]
'''


def optax_stub(manifests: Sequence[Manifest]) -> str:
    """The text of optgen/optax.pyi."""
    lines = [_OPTAX_HEAD]
    for manifest, dialect in _spellings(manifests, "optax"):
        lines.append(f"def {dialect.name}({_parameters(manifest, dialect)}) -> optax.GradientTransformationExtraArgs:")
        lines.append(f'    """{manifest.summary}"""\n')
    return "\n".join(lines)


def optim_stub(manifests: Sequence[Manifest]) -> str:
    """The text of optgen/optim/__init__.pyi."""
    lines = [_OPTIM_HEAD]
    for manifest, dialect in _spellings(manifests, "braintools"):
        lines.append(f"class {dialect.name}(Optimizer):")
        lines.append(f'    """{manifest.summary}"""\n')
        lines.append(f"    def __init__(self, {_parameters(manifest, dialect)}) -> None: ...\n")
    return "\n".join(lines)


def _spellings(manifests: Sequence[Manifest], library: str) -> list[tuple[Manifest, Dialect]]:
    pairs = [(m, d) for m in manifests for d in m.dialects if d.library == library]
    return sorted(pairs, key=lambda pair: pair[1].name)


def _parameters(manifest: Manifest, dialect: Dialect) -> str:
    parts = []
    starred = False
    for argument in sorted(dialect.arguments, key=lambda a: a.keyword_only):
        if argument.keyword_only and not starred:
            parts.append("*")
            starred = True
        default = "" if argument.required else f" = {argument.default!r}"
        parts.append(f"{argument.name}: {_type(manifest, argument)}{default}")
    return ", ".join(parts)


def _type(manifest: Manifest, argument: Argument) -> str:
    options = {o.name: o for o in manifest.options}
    types = []
    for target in argument.targets:
        if target in options:
            types.append(_option_type(options[target]))
            continue
        h = next(h for h in manifest.hyperparameters if h.name == target)
        types.append("Number" + (" | Schedule" if h.varies else "") + (" | None" if h.optional else ""))
    return f"tuple[{', '.join(types)}]" if argument.packed else types[0]


def _option_type(option: Option) -> str:
    if option.choices:
        return f"Literal[{', '.join(repr(word) for word in option.choices)}]"
    return "bool" if isinstance(option.default, bool) else "int"
