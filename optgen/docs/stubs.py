"""Type stubs of the front-ends, whose names are known only from the catalogue: what editors and type checkers read."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from optgen.arguments.own import added, own_argument
from optgen.arguments.settings import takes_schedule
from optgen.brainpy._schedulers import counters
from optgen.contract.declarations import Option
from optgen.contract.dialects import Argument, Dialect
from optgen.contract.manifest import Manifest
from optgen.escaping import python_docstring
from optgen.frontends.groups.dialect import spellings
from optgen.optax._arguments import LIBRARY
from optgen.optim._extended_schedulers import EXTENDED
from optgen.optim._schedule_classes import scheduler_signature
from optgen.schedules.arguments import own_dialect, schedule_signature
from optgen.schedules.manifest import LrScheduleManifest

_OPTAX_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import optax
from optax import join_schedules as join_schedules

from optgen.schedules.schedule import Schedule as _Schedule
from optgen.schedules.schedule import sgdr_schedule as sgdr_schedule
from optgen.optax._apply import apply_gradients as apply_gradients

Number = float | jax.Array
Schedule = Callable[[Any], Any]
'''

_OPTIM_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import optax

from optgen.optim._base import Optimizer as Optimizer
from optgen.optim._classes import optimizer_class as optimizer_class
from optgen.optim._composed_schedulers import ChainedScheduler as ChainedScheduler
from optgen.optim._composed_schedulers import SequentialLR as SequentialLR
from optgen.optim._plateau import ReduceLROnPlateau as ReduceLROnPlateau
from optgen.optim._schedulers import LRScheduler as LRScheduler
from optgen.optim._scheduled import ScheduledLR

Number = float | jax.Array
Schedule = Callable[[Any], Any]
'''

_BRAINPY_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax

from optgen.brainpy._base import Optimizer as Optimizer
from optgen.brainpy._base import StateLoadResult as StateLoadResult
from optgen.brainpy._base import optimizer_class as optimizer_class
from optgen.brainpy._schedulers import CallBasedScheduler as CallBasedScheduler
from optgen.brainpy._schedulers import Scheduler as Scheduler
from optgen.brainpy._schedulers import make_schedule as make_schedule
from optgen.frontends.weights.cells import HasValue

Number = float | jax.Array
'''

_SCHEDULES_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax

from optgen.schedules.schedule import Schedule as Schedule
from optgen.schedules.schedule import spelled_schedule as spelled_schedule

Number = float | jax.Array
'''

_TORCH_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Iterable
from typing import Any, Literal

import torch

from optgen.torch._optimizer import GeneratedOptimizer as GeneratedOptimizer
from optgen.torch._optimizer import optimizer_class as optimizer_class

Number = float | torch.Tensor
Params = Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]]
'''

_LUCID_HEAD = '''"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from optgen.lucid._optimizer import Optimizer as Optimizer
from optgen.lucid._optimizer import optimizer_class as optimizer_class

Number = float
Params = Iterable[Any] | Iterable[Mapping[str, Any]]
'''

#: For each library: the head of its stub, and the class that its optimizers derive from.
_GROUPED = {"torch": (_TORCH_HEAD, "GeneratedOptimizer"), "lucid": (_LUCID_HEAD, "Optimizer")}


def optax_stub(manifests: Sequence[Manifest], schedules: Sequence[LrScheduleManifest]) -> str:
    """The text of optgen/optax/__init__.pyi."""
    lines = [_OPTAX_HEAD]
    for manifest, dialect in _spellings(manifests, "optax"):
        lines.append(f"def {dialect.name}({_parameters(manifest, dialect)}) -> optax.GradientTransformationExtraArgs:")
        lines.append(f'    """{python_docstring(manifest.summary)}"""\n')
    for schedule, dialect in _spelled(schedules, "optax"):
        lines.append(_schedule_function(schedule, dialect, "_Schedule"))
    return "\n".join(lines)


def schedules_stub(schedules: Sequence[LrScheduleManifest]) -> str:
    """The text of optgen/schedules/__init__.pyi."""
    functions = [_schedule_function(manifest, own_dialect(manifest), "Schedule") for manifest in schedules]
    return "\n".join([_SCHEDULES_HEAD, *functions])


def optim_stub(manifests: Sequence[Manifest], schedules: Sequence[LrScheduleManifest]) -> str:
    """The text of optgen/optim/__init__.pyi."""
    lines = [_OPTIM_HEAD]
    for manifest, dialect in _spellings(manifests, "braintools"):
        lines.append(f"class {dialect.name}(Optimizer):")
        lines.append(f'    """{python_docstring(manifest.summary)}"""\n')
        lines.append(f"    def __init__(self, {_parameters(manifest, dialect)}) -> None: ...\n")
    for schedule, dialect in _spelled(schedules, "braintools"):
        lines.append(f"class {dialect.name}(ScheduledLR):")
        lines.append(f'    """{python_docstring(schedule.summary)}"""\n')
        lines.append(f"    def __init__(self, {_scheduler_parameters(schedule, dialect)}) -> None: ...\n")
    return "\n".join(lines)


def grouped_stub(manifests: Sequence[Manifest], library: str) -> str:
    """The text of optgen/torch/__init__.pyi or optgen/lucid/__init__.pyi."""
    head, parent = _GROUPED[library]
    lines = [head]
    pairs = [(manifest, dialect) for manifest in manifests for dialect in spellings(manifest, library)]
    for manifest, dialect in sorted(pairs, key=lambda pair: pair[1].name):
        parameters = _parameters(manifest, dialect).replace(" | Schedule", "")
        lines.append(f"class {dialect.name}({parent}):")
        lines.append(f'    """{python_docstring(manifest.summary)}"""\n')
        lines.append(f"    def __init__(self, params: Params, {parameters}) -> None: ...\n")
    return "\n".join(lines)


def brainpy_stub(manifests: Sequence[Manifest], schedules: Sequence[LrScheduleManifest]) -> str:
    """The text of optgen/brainpy/__init__.pyi."""
    lines = [_BRAINPY_HEAD]
    for manifest, dialect in _spellings(manifests, "brainpy"):
        lines.append(f"class {dialect.name}(Optimizer):")
        lines.append(f'    """{python_docstring(manifest.summary)}"""\n')
        lines.append(f"    def __init__(self, {_parameters(manifest, dialect)}) -> None: ...\n")
    for schedule, dialect in _spelled(schedules, "brainpy"):
        own = schedule_signature(schedule, dialect)
        signature = own.replace(parameters=[*own.parameters.values(), *counters(dialect)])
        parent = "CallBasedScheduler" if dialect.counts == "calls" else "Scheduler"
        lines.append(f"class {dialect.name}({parent}):")
        lines.append(f'    """{python_docstring(schedule.summary)}"""\n')
        typed = _typed(schedule, dialect, signature, "Number").replace("lr: Number", "lr: Number | HasValue", 1)
        lines.append(f"    def __init__(self, {typed}) -> None: ...\n")
    return "\n".join(lines)


def _spelled(schedules: Sequence[LrScheduleManifest], library: str) -> list[tuple[LrScheduleManifest, Dialect]]:
    return sorted(
        ((m, d) for m in schedules for d in m.dialects if d.library == library), key=lambda pair: pair[1].name
    )


def _schedule_function(manifest: LrScheduleManifest, dialect: Dialect, result: str) -> str:
    parameters = _typed(manifest, dialect, schedule_signature(manifest, dialect), "Number")
    return f'def {dialect.name}({parameters}) -> {result}:\n    """{python_docstring(manifest.summary)}"""\n'


def _scheduler_parameters(manifest: LrScheduleManifest, dialect: Dialect) -> str:
    if "__signature__" in vars(EXTENDED.get(dialect.name, object)):
        return _typed(manifest, dialect, inspect.signature(EXTENDED[dialect.name]), "Number | Sequence[Number]")
    # One number may be a list, of one for each group of weights.
    signature = scheduler_signature(schedule_signature(manifest, dialect))
    return _typed(manifest, dialect, signature, "Number | Sequence[Number]")


def _typed(manifest: LrScheduleManifest, dialect: Dialect, signature: inspect.Signature, number: str) -> str:
    arguments = {argument.name: argument for argument in dialect.arguments}
    parts = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        kind = _schedule_type(manifest, arguments.get(name), name, number)
        if parameter.default is None and not kind.endswith("None"):
            kind += " | None"
        default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{name}: {kind}{default}")
    return ", ".join(parts)


def _schedule_type(manifest: LrScheduleManifest, argument: Argument | None, name: str, number: str) -> str:
    if argument is None:
        return "int" if name.startswith("last_") else "Any"
    if argument.packed:
        return "Mapping[int, Number] | None"
    target = argument.targets[0]
    options = {o.name: o for o in manifest.options}
    if target in options:
        return _option_type(options[target])
    if any(found.name == target for found in manifest.lists):
        return "Sequence[Number]"
    (h,) = (h for h in manifest.hyperparameters if h.name == target)
    kind = number.replace("Number", "int") if target in manifest.whole else number
    return kind + (" | None" if h.optional else "")


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
        default = "" if argument.required else " = ..." if argument.default == LIBRARY else f" = {argument.default!r}"
        kind = _type(manifest, dialect, argument)
        if argument.targets == ("lr",) or argument.name == "lr":
            kind += _SCHEDULERS.get(dialect.library, "")
            if dialect.library == "brainpy":
                kind = kind.replace(" | Schedule |", " |")
        parts.append(f"{argument.name}: {kind}{default}")
    extra = added(dialect)
    parts += ["*"] if extra and not starred else []
    parts += [f"{name}: {argument.type} = {p.default!r}" for name, (p, argument) in extra.items()]
    return ", ".join(parts)


#: What may stand for a learning rate in the stateful front-ends, besides a number.
_SCHEDULERS = {"braintools": " | LRScheduler", "brainpy": " | Scheduler | HasValue"}


def _type(manifest: Manifest, dialect: Dialect, argument: Argument) -> str:
    if not argument.targets:
        return own_argument(dialect.library, argument.name).type
    options = {o.name: o for o in manifest.options}
    types = []
    for target in argument.targets:
        if target in options:
            words = tuple(dialect.layout.words.get(target, ())) if dialect.layout is not None else ()
            types.append(_option_type(options[target], words))
            continue
        h = next(h for h in manifest.hyperparameters if h.name == target)
        schedule = takes_schedule(dialect, argument, h)
        types.append("Number" + (" | Schedule" if schedule else "") + (" | None" if h.optional else ""))
    kind = f"tuple[{', '.join(types)}]" if argument.packed else types[0]
    return f"{kind} | None" if argument.instead and not kind.endswith("None") else kind


def _option_type(option: Option, words: tuple[str, ...] = ()) -> str:
    if option.choices:
        return f"Literal[{', '.join(repr(word) for word in (*option.choices, *words))}]"
    return "bool" if isinstance(option.default, bool) else "int"
