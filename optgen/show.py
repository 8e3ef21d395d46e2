"""The stages of one optimizer as text, for `optgen show`."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.compiler.pipeline import compile_optimizer, generate
from optgen.compiler.program import Definition, Program, Reduce
from optgen.compiler.schedule import Schedule
from optgen.compiler.simplify import operations_per_element
from optgen.errors import UnknownOptimizer
from optgen.spec.latex import equations_latex
from optgen.spec.model import Spec
from optgen.targets.code import CompiledCase, Variant
from optgen.targets.printer import ExpressionPrinter

STAGES = ("spec", "analysed", "simplified", "schedule")
TARGETS = {"jax": "jax.py", "triton": "triton.py", "manifest": "manifest.json", "latex": ""}


class _PlainPrinter(ExpressionPrinter):
    """The language's own spelling."""

    functions: Mapping[str, str] = {
        name: name
        for name in (
            "abs", "sign", "exp", "expm1", "log", "sin", "cos", "tanh", "floor", "ceil", "max", "min", "mod", "where",
            "sqrt", "pow",
        )
    }  # fmt: skip
    logical: Mapping[str, str] = {"and": "and", "or": "or", "not": "not "}


_PLAIN = _PlainPrinter()


def show_target(spec: Spec, target: str) -> str:
    """The generated source of a target, or the equations as LaTeX."""
    if target == "latex":
        return equations_latex(spec) + "\n"
    return generate(spec).files[TARGETS[target]]


def show_stage(spec: Spec, stage: str, variant_name: str) -> str:
    """One stage of one variant.

    Raises:
        UnknownOptimizer: the spec has no such variant.
    """
    if stage == "spec":
        return spec.source.text
    variants = {variant.name: variant for variant in compile_optimizer(spec).variants}
    if variant_name not in variants:
        raise UnknownOptimizer(f"{spec.name} has no variant '{variant_name}'; there are: {', '.join(variants)}")
    variant = variants[variant_name]
    return "\n".join(_show_case(variant, case, stage) for case in variant.cases) + "\n"


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
    return "\n".join([title, *_schedule_lines(case.schedule)])


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


def _schedule_lines(schedule: Schedule) -> list[str]:
    lines = [f"  when built: {d.name} = {_PLAIN.text(d.expression)}" for d in schedule.constants]
    lines += [f"  per step:   {d.name} = {_PLAIN.text(d.expression)}" for d in schedule.step]
    for number, one in enumerate(schedule.passes, start=1):
        lines.append(f"  pass {number}, over {one.domain.value}s")
        lines.append(f"    reads   {', '.join(one.reads) or 'nothing'}")
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
