"""Spec and programs → manifest: what the runtime will know of a generated optimizer."""

from __future__ import annotations

from optgen.compiler.chosen import chosen_body
from optgen.compiler.program import UPDATE, Program
from optgen.compiler.simplify import operations_per_element
from optgen.contract.choice import default_choice, dialect_choice
from optgen.contract.declarations import Hyperparameter, Input
from optgen.contract.kinds import Kind
from optgen.contract.manifest import FORMAT, CaseInfo, Function, Manifest, StateInfo, VariantInfo
from optgen.escaping import visible
from optgen.language.latex import equations_latex
from optgen.targets.arrays.borrowed import borrowed
from optgen.targets.arrays.emit import ArrayModule
from optgen.targets.code import CompiledOptimizer, Variant, initial_is_zero
from optgen.targets.header import spec_digest


def manifest_of(optimizer: CompiledOptimizer, jax_module: ArrayModule) -> Manifest:
    """The manifest of an optimizer, whose array functions are those of a module."""
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


def _hyperparameters(optimizer: CompiledOptimizer) -> tuple[Hyperparameter, ...]:
    """The spec's own, and those of the optimizer that it wraps."""
    found = {h.name: h for h in optimizer.spec.hyperparameters}
    for variant in optimizer.variants:
        for case in variant.cases:
            found |= {h.name: h for h in case.program.hyperparameters if h.name not in found}
    return tuple(found.values())


def _inputs(optimizer: CompiledOptimizer) -> tuple[Input, ...]:
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
                    StateInfo(s.name, s.kind, s.depth, s.new, initial_is_zero(s.initial)) for s in case.program.states
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
