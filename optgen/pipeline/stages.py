"""The stages of one optimizer as text, for `optgen show`."""

from __future__ import annotations

from collections.abc import Mapping

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead
from optgen.compiler.operations import FUNCTION_NODES
from optgen.compiler.passes import PassSchedule
from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.compiler.rule import Rule
from optgen.compiler.simplify import operations_per_element
from optgen.contract.choice import Choice
from optgen.contract.kinds import Kind
from optgen.errors import UnknownOptimizer
from optgen.language.latex import equations_latex
from optgen.language.model import Spec
from optgen.pipeline.optimizer import compile_variant, generate
from optgen.pipeline.wrapping import wrapped_rule
from optgen.suggestions import did_you_mean
from optgen.targets import registry
from optgen.targets.code import CompiledCase, UnsupportedByTarget, Variant
from optgen.targets.printer import ExpressionPrinter


class _PlainPrinter(ExpressionPrinter):
    """The language's own spelling."""

    functions: Mapping[str, str] = {name: name for name in (*FUNCTION_NODES, "sqrt", "expm1", "mod", "pow")}
    logical: Mapping[str, str] = {"and": "and", "or": "or", "not": "not "}


_PLAIN = _PlainPrinter()


def show_target(spec: Spec, target: str, variant_name: str | None = None) -> str:
    """The generated source of a target, of all variants or of one, or the equations as LaTeX.

    Raises:
        UnknownOptimizer: the spec has no such variant.
        UnsupportedByTarget: no code of that target is generated from it.
    """
    if target == "latex":
        return equations_latex(spec) + "\n"
    choices = None if variant_name is None else {variant_name: _choice(spec, variant_name)}
    files = generate(spec, choices, _wrapped(spec)).files
    source = "manifest.json" if target == "manifest" else registry.target(target).source
    if source not in files:
        raise UnsupportedByTarget(
            f"no code of the target {target} is generated from {spec.name}: only {', '.join(files)}"
        )
    return files[source]


def show_stage(spec: Spec, stage: str, variant_name: str) -> str:
    """One stage of one variant.

    Raises:
        UnknownOptimizer: the spec has no such variant.
    """
    if stage == "spec":
        return spec.source.text
    variant = compile_variant(spec, variant_name, _choice(spec, variant_name), _wrapped(spec))
    return "\n".join(_show_case(variant, case, stage) for case in variant.cases) + "\n"


def _wrapped(spec: Spec) -> Rule | None:
    return wrapped_rule(spec, specs_folder())


def _choice(spec: Spec, variant_name: str) -> Choice:
    choices = choices_ahead(spec)
    if variant_name not in choices:
        hint = did_you_mean(variant_name, choices, f"there are: {', '.join(choices)}")
        raise UnknownOptimizer(f"{spec.name} has no variant '{variant_name}'; {hint}")
    return choices[variant_name]


def _show_case(variant: Variant, case: CompiledCase, stage: str) -> str:
    title = variant.name
    if case.program.conditions:
        title += " where " + " and ".join(
            _PLAIN.text(c) if holds else f"not ({_PLAIN.text(c)})" for c, holds in case.program.conditions
        )
    if stage == "analysed":
        return "\n".join([title, *_program_lines(case.analysed)])
    if stage == "simplified":
        before, after = operations_per_element(case.analysed), operations_per_element(case.program)
        return "\n".join(
            [title, *_program_lines(case.program), f"operations per element: {before} before, {after} after"]
        )
    lines = [title, *_schedule_lines(case.schedule)]
    if case.rounding is not None:
        lines += [f"{title}, with states in less than the precision of the arithmetic", *_schedule_lines(case.rounding)]
    return "\n".join(lines)


def _program_lines(program: Program) -> list[str]:
    lines = [
        f"  state {s.name}: one per {s.kind.value}, {s.depth} kept, from {_PLAIN.text(s.initial)}"
        for s in program.states
    ]
    width = max(len(d.kind.value) for d in program.definitions)
    return lines + [f"  {d.kind.value:{width}}  {_definition(d)}" for d in program.definitions]


def _definition(definition: Definition) -> str:
    value = definition.value
    if isinstance(value, Reduce):
        return f"{definition.name} = {value.operation}({_PLAIN.text(value.operand)}, over={value.over})"
    return f"{definition.name} = {_PLAIN.text(value)}"


_SPOKEN = {
    Kind.GLOBAL: "model",
    Kind.TENSOR: "tensor",
    Kind.MATRIX: "matrix",
    Kind.ROW: "row",
    Kind.COLUMN: "column",
    Kind.AXIS: "axis",
}


def _schedule_lines(schedule: PassSchedule) -> list[str]:
    lines = [f"  when built: {d.name} = {_PLAIN.text(d.expression)}" for d in schedule.constants]
    lines += [f"  per step:   {d.name} = {_PLAIN.text(d.expression)}" for d in schedule.step]
    number = 0
    for one in schedule.passes:
        if one.domain is Kind.ELEMENT:
            number += 1
            lines.append(f"  pass {number}, over elements")
        else:
            lines.append(f"  then, for each {_SPOKEN[one.domain]}")
        in_place = UPDATE in one.writes and "theta" not in one.reads
        reads = [*one.reads, *(["theta, to be updated"] if in_place else [])]
        lines.append(f"    reads   {', '.join(reads) or 'nothing'}")
        lines += [f"    {_definition(d)}" for d in (*one.definitions, *one.folds)]
        if one.writes:
            lines.append(f"    writes  {', '.join(one.writes)}")
    if schedule.scratch:
        lines.append(f"  scratch memory: {', '.join(schedule.scratch)}")
    lines.append(
        f"  float32: {schedule.bytes_per_element()} bytes per element "
        f"({schedule.reads} numbers read, {schedule.writes} written, parameter updated in place)"
    )
    return lines
