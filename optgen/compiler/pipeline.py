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
from optgen.compiler.chosen import chosen_body
from optgen.compiler.passes import schedules
from optgen.compiler.program import UPDATE, Program
from optgen.compiler.rule import Rule
from optgen.compiler.simplify import operations_per_element, simplify
from optgen.compiler.specialise import specialise
from optgen.contract.choice import Choice, default_choice, dialect_choice
from optgen.contract.declarations import Hyperparameter, Input
from optgen.contract.kernel_plan import write_plan
from optgen.contract.kinds import Kind
from optgen.contract.manifest import FORMAT, CaseInfo, Function, Manifest, StateInfo, VariantInfo, write_manifest
from optgen.escaping import visible
from optgen.language.latex import equations_latex
from optgen.language.model import Spec
from optgen.targets.arrays.borrowed import borrowed
from optgen.targets.arrays.emit import ArrayModule, emit_eager, emit_jax
from optgen.targets.code import CompiledCase, Optimizer, Variant, initial_is_zero
from optgen.targets.header import spec_digest
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
    """What is generated from one spec: the manifest, and the text of each file by its name."""

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
) -> Optimizer:
    """The choices of a spec's options that are asked for; those that users meet, if none are named."""
    wanted = choices_ahead(spec) if choices is None else choices
    variants = tuple(compile_variant(spec, name, choice, wrapped) for name, choice in wanted.items())
    return Optimizer(spec, _readable(spec, variants) if choices is None else variants)


def _readable(spec: Spec, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """The first of the variants, as many as make a file of kernels that people still read; one at least."""
    for number in range(2, len(variants) + 1):
        if _lines(emit_triton, Optimizer(spec, variants[:number])) > READABLE_LINES:
            return variants[: number - 1]
    return variants


def _lines(emit: Callable[[Optimizer], NativeModule | TritonModule], optimizer: Optimizer) -> int:
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
    manifest = _manifest(optimizer, jax_module)
    files = {"manifest.json": write_manifest(manifest), "jax.py": jax_module.text}
    if "eager" in targets:
        files["eager.py"] = emit_eager(optimizer).text
    for target, emit in (("native", emit_native), ("triton", emit_triton)):
        if target in targets:
            module = emit(optimizer)
            if choices is not None or _lines(emit, optimizer) <= LONGEST_AHEAD:
                files |= {_KERNELS[target]: module.text, f"{target}.json": write_plan(module.plan)}
    return Generated(manifest, files)


def _manifest(optimizer: Optimizer, jax_module: ArrayModule) -> Manifest:
    spec = optimizer.spec
    return Manifest(
        format=FORMAT,
        spec=visible(spec.source.path),
        digest=spec_digest(spec.source.text),
        name=spec.name,
        class_name=spec.class_name,
        title=spec.title,
        summary=spec.summary,
        equations=spec.equations,
        latex=equations_latex(spec, chosen_body(spec, default_choice(spec))),
        dialect_latex=tuple(equations_latex(spec, chosen_body(spec, dialect_choice(spec, d))) for d in spec.dialects),
        references=spec.references,
        hyperparameters=_hyperparameters(optimizer),
        options=spec.options,
        shared=spec.preamble.names,
        inputs=_inputs(optimizer),
        states=spec.states,
        wrapped=spec.wrapped,
        dialects=spec.dialects,
        variants=tuple(_variant_info(variant, jax_module) for variant in optimizer.variants),
    )


def _hyperparameters(optimizer: Optimizer) -> tuple[Hyperparameter, ...]:
    """The spec's own, and those of the optimizer that it wraps."""
    found = {h.name: h for h in optimizer.spec.hyperparameters}
    for variant in optimizer.variants:
        for case in variant.cases:
            found |= {h.name: h for h in case.program.hyperparameters if h.name not in found}
    return tuple(found.values())


def _inputs(optimizer: Optimizer) -> tuple[Input, ...]:
    """The spec's own, and those of the optimizer that it wraps."""
    found = {i.name: i for i in optimizer.spec.inputs}
    for variant in optimizer.variants:
        for case in variant.cases:
            found |= {i.name: i for i in case.program.inputs if i.name not in found}
    return tuple(found.values())


def _variant_info(variant: Variant, jax_module: ArrayModule) -> VariantInfo:
    programs = [case.program for case in variant.cases]
    return VariantInfo(
        name=variant.name,
        options=dict(variant.choice.options),
        present=variant.choice.present,
        hyperparameters=tuple(dict.fromkeys(h.name for p in programs for h in p.hyperparameters)),
        inputs=tuple(dict.fromkeys(i.name for p in programs for i in p.inputs)),
        matrix_axes=variant.matrix_axes,
        case_function=jax_module.case_functions.get(variant.name, ""),
        cases=tuple(
            CaseInfo(
                states=tuple(
                    StateInfo(s.name, s.kind.value, s.depth, s.new, initial_is_zero(s.initial))
                    for s in case.program.states
                ),
                result=case.program.result,
                jax=calls,
                bytes_per_element=case.schedule.bytes_per_element(),
                passes=case.schedule.element_passes,
                jax_bytes_per_element=_jax_bytes(case.program, calls),
                operations=operations_per_element(case.program),
                borrowed=borrowed(case.program),
            )
            for case, calls in zip(variant.cases, jax_module.calls[variant.name], strict=True)
        ),
    )


def _jax_bytes(program: Program, calls: tuple[Function, ...]) -> int:
    """Bytes per element that the generated functions read and write, the parameter's own update included."""
    kinds = program.kinds
    moved = 0
    for call in calls:
        if call.level == "tensor":
            moved += sum(kinds.get(name) is Kind.ELEMENT for name in (*call.arguments, *call.returns))
    # What is added to the parameter is read once more, and the parameter read and written.
    return 4 * (moved + (3 if program.result == UPDATE else 2))
