"""From a spec to the files that are generated from it: the whole compiler, in the order in which it works.

    spec file ─ read ─▶ Spec ─ specialise ─▶ Rule ─ analyse ─▶ Program ─ simplify ─▶ Program ─ schedule ─▶ Schedule
                                                                                        ─ emit ─▶ text of each target

Each stage is a pure function from one frozen value to the next; this module only calls them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from optgen.compiler.ahead import choices_ahead
from optgen.compiler.analyse import analyse
from optgen.compiler.cases import with_own_names
from optgen.compiler.passes import schedules
from optgen.compiler.rule import Rule
from optgen.compiler.simplify import simplify
from optgen.compiler.specialise import specialise
from optgen.contract.choice import Choice
from optgen.contract.manifest import Manifest, write_manifest
from optgen.language.model import Spec
from optgen.pipeline.manifest import manifest_of
from optgen.targets.arrays.emit import emit_jax
from optgen.targets.code import CompiledCase, CompiledOptimizer, Variant
from optgen.targets.registry import TARGETS, target
from optgen.targets.target import Target

#: The target whose files are the longest.
_LONGEST_TARGET = "triton"
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
    longest = target(_LONGEST_TARGET)
    for number in range(2, len(variants) + 1):
        if _lines(longest, CompiledOptimizer(spec, variants[:number])) > READABLE_LINES:
            return variants[: number - 1]
    return variants


def _lines(target: Target, optimizer: CompiledOptimizer) -> int:
    """How long a file of kernels is, without those for states that are rounded: these say the same once more."""
    variants = (
        replace(variant, cases=tuple(replace(case, rounding=None) for case in variant.cases))
        for variant in optimizer.variants
    )
    return target.emit(replace(optimizer, variants=tuple(variants)))[target.source].count("\n")


def generate(
    spec: Spec,
    choices: Mapping[str, Choice] | None = None,
    wrapped: Rule | None = None,
    targets: Iterable[str] | None = None,
) -> Generated:
    """Everything that is generated from a spec.

    Args:
        spec: the optimizer.
        choices: the variants to generate, by name; those that users meet if None.
        wrapped: the rule of the optimizer that it wraps, if it wraps one.
        targets: the names of the targets to emit, all if None; jax always is, since the manifest names its functions.

    Raises:
        SpecError: the equations are wrong under one of the choices.
        UnsupportedByTarget: a target has no way to run what a rule says.
    """
    optimizer = compile_optimizer(spec, choices, wrapped)
    manifest = manifest_of(optimizer, emit_jax(optimizer))
    files = {"manifest.json": write_manifest(manifest)}
    for name in ("jax", *(name for name in (TARGETS if targets is None else targets) if name != "jax")):
        one = target(name)
        emitted = one.emit(optimizer)
        if choices is not None or not one.has_kernels or _lines(one, optimizer) <= LONGEST_AHEAD:
            files |= emitted
    return Generated(manifest, files)
