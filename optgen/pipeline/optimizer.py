"""From a spec to the files that are generated from it: the whole compiler, in the order in which it works.

    spec file ─ read ─▶ Spec ─ specialise ─▶ Rule ─ analyse ─▶ Program ─ simplify ─▶ Program ─ schedule ─▶ Schedule
                                                                                        ─ emit ─▶ text of each target

Each stage is a pure function from one frozen value to the next; this module only calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from optgen.compiler.ahead import choices_ahead
from optgen.compiler.analyse import analyse
from optgen.compiler.cases import with_own_names
from optgen.compiler.passes import schedules
from optgen.compiler.rule import Rule
from optgen.compiler.simplify import simplify
from optgen.compiler.specialise import specialise
from optgen.contract.choice import Choice
from optgen.contract.kernel_plan import write_plan
from optgen.contract.manifest import Manifest, write_manifest
from optgen.language.model import Spec
from optgen.pipeline.manifest import manifest_of
from optgen.targets.arrays.emit import emit_eager, emit_jax
from optgen.targets.code import CompiledCase, CompiledOptimizer, Variant
from optgen.targets.native.emit import NativeModule, emit_native
from optgen.targets.triton.emit import TritonModule, emit_triton

#: Every target there is.
TARGETS = ("jax", "eager", "native", "triton")

#: The files that kernels stand in.
_KERNELS = {"native": "native.c", "triton": "triton.py"}

#: Generated files are read by people: variants whose kernels would make a longer file are left to be compiled on use.
READABLE_LINES = 500
#: A rule whose default alone needs more lines of kernels, as L-BFGS with its unrolled history, has none made ahead.
LONGEST_AHEAD = 500


@dataclass(frozen=True, slots=True)
class Generated:
    """All that is generated from one spec: the manifest, and the text of each file by its name."""

    manifest: Manifest
    files: Mapping[str, str]


def compile_variant(spec: Spec, name: str, choice: Choice, wrapped: Rule | None = None) -> Variant:
    """One choice of a spec's options, up to the schedule."""
    rule = specialise(spec, choice, wrapped)
    analysed = analyse(rule)
    simplified = with_own_names([simplify(program) for program in analysed])
    cases = tuple(
        CompiledCase(before, program, *schedules(program)) for before, program in zip(analysed, simplified, strict=True)
    )
    return Variant(name, choice, cases, rule.matrix_axes)


def compile_optimizer(
    spec: Spec, choices: Mapping[str, Choice] | None = None, wrapped: Rule | None = None
) -> CompiledOptimizer:
    """The choices of a spec's options that are asked for; those that users meet, if none are named."""
    wanted = choices_ahead(spec) if choices is None else choices
    variants = tuple(compile_variant(spec, name, choice, wrapped) for name, choice in wanted.items())
    return CompiledOptimizer(spec, _readable(spec, variants) if choices is None else variants)


def _readable(spec: Spec, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """The first of the variants, as many as make a file of kernels that people still read; one at least."""
    for number in range(2, len(variants) + 1):
        if _lines(emit_triton, CompiledOptimizer(spec, variants[:number])) > READABLE_LINES:
            return variants[: number - 1]
    return variants


def _lines(emit: Callable[[CompiledOptimizer], NativeModule | TritonModule], optimizer: CompiledOptimizer) -> int:
    """How long a file of kernels is, without those for states that are rounded: these say the same once more."""
    variants = (
        replace(variant, cases=tuple(replace(case, rounding=None) for case in variant.cases))
        for variant in optimizer.variants
    )
    return emit(replace(optimizer, variants=tuple(variants))).text.count("\n")


def generate(
    spec: Spec,
    choices: Mapping[str, Choice] | None = None,
    wrapped: Rule | None = None,
    targets: tuple[str, ...] = TARGETS,
) -> Generated:
    """Everything that is generated from a spec.

    Args:
        spec: the optimizer.
        choices: the variants to generate, by name; those that users meet if None.
        wrapped: the rule of the optimizer that it wraps, if it wraps one.
        targets: which targets to emit; jax always is, since the manifest names its functions.

    Raises:
        SpecError: the equations are wrong under one of the choices.
        UnsupportedByTarget: a target has no way to run what a rule says.
    """
    optimizer = compile_optimizer(spec, choices, wrapped)
    jax_module = emit_jax(optimizer)
    manifest = manifest_of(optimizer, jax_module)
    files = {"manifest.json": write_manifest(manifest), "jax.py": jax_module.text}
    if "eager" in targets:
        files["eager.py"] = emit_eager(optimizer).text
    for target, emit in (("native", emit_native), ("triton", emit_triton)):
        if target in targets:
            module = emit(optimizer)
            if choices is not None or _lines(emit, optimizer) <= LONGEST_AHEAD:
                files |= {_KERNELS[target]: module.text, f"{target}.json": write_plan(module.plan)}
    return Generated(manifest, files)
