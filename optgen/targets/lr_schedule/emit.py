"""Schedules as code: a function of jax.numpy, and one of plain Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy
from sympy import Expr

from optgen.compiler.lr_schedule_program import Branch, Let, Loop, LrScheduleProgram, Step, static_test
from optgen.compiler.operations import Floor, is_reciprocal, multiply
from optgen.spec.lr_schedule_model import LrSchedule
from optgen.targets.arrays.printer import ArrayPrinter
from optgen.targets.header import origin_lines
from optgen.targets.host import HostPrinter
from optgen.targets.templating import template

#: What the generated functions are called.
FUNCTION = "learning_rate"


class _TracedPrinter(ArrayPrinter):
    """Every number is an array: the function turns its arguments into such."""

    def _print_Symbol(self, expr: sympy.Symbol) -> str:
        return "math.pi" if expr.name == "pi" else str(expr.name)

    def _print_Floor(self, expr: Floor) -> str:
        # XLA divides by a constant by multiplying with its rounded reciprocal, so that floor(49/49) is 0 in jitted
        # code; floor_divide takes the remainder, which is exact.
        (value,) = expr.args
        if isinstance(value, sympy.Mul) and is_reciprocal(value.args[-1]):
            numerator, denominator = multiply(*value.args[:-1]), value.args[-1].base
            return f"jnp.floor_divide({self.text(numerator)}, {self.text(denominator)})"
        return self.call("floor", self.text(value))


class _FloatPrinter(HostPrinter):
    """Python floats."""

    def _print_Symbol(self, expr: sympy.Symbol) -> str:
        return "math.pi" if expr.name == "pi" else str(expr.name)


@dataclass(frozen=True, slots=True)
class _Target:
    """How one target spells a schedule.

    Attributes:
        text: an expression as source text.
        number: a call that makes the target's number of an argument; `{}` stands for the argument.
        traced: whether jax.numpy is imported.
        summary: what the function's docstring says of its numbers.
    """

    text: Callable[[Expr], str]
    number: str
    traced: bool
    summary: str


def emit_jax(program: LrScheduleProgram) -> str:
    """The text of jax.py: a function of the step and the hyperparameters that can be traced, mapped and jitted."""
    summary = "The learning rate after t steps; numbers are Python's or arrays, and broadcast."
    return _emit(program, _Target(_TracedPrinter("jnp").text, "jnp.asarray({}, float)", True, summary))


def emit_host(program: LrScheduleProgram) -> str:
    """The text of host.py: the same function of Python floats, so in float64."""
    return _emit(program, _Target(_FloatPrinter().text, "float({})", False, "The learning rate after t steps."))


def _emit(program: LrScheduleProgram, target: _Target) -> str:
    schedule = program.schedule
    lines = [*_conversions(schedule, target), *_lines(program.steps, schedule, target, 0), "return lr"]
    code = "\n".join(lines)
    arguments = ["t", *schedule.order, *(["*"] if schedule.options else []), *(o.name for o in schedule.options)]
    return template("lr_schedule").render(
        header=header(schedule),
        traced=target.traced,
        uses=lambda name: name in code,
        function=FUNCTION,
        arguments=arguments,
        summary=target.summary,
        lines=lines,
    )


def _conversions(schedule: LrSchedule, target: _Target) -> list[str]:
    lists = {found.name for found in schedule.lists}
    optional = {h.name for h in schedule.hyperparameters if h.optional}
    lines = []
    for name in ("t", *schedule.order):
        if name in lists:
            lines.append(f"{name} = [{target.number.format('x')} for x in {name}]")
        elif name in optional:
            lines.append(f"{name} = None if {name} is None else {target.number.format(name)}")
        else:
            lines.append(f"{name} = {target.number.format(name)}")
    return lines


def _lines(steps: tuple[Step, ...], schedule: LrSchedule, target: _Target, depth: int) -> list[str]:
    pad = "    " * depth
    optional = frozenset(h.name for h in schedule.hyperparameters if h.optional)
    lines: list[str] = []
    for step in steps:
        match step:
            case Let(name=name, value=value):
                lines.append(f"{pad}{name} = {target.text(value)}")
            case Branch():
                lines += _branch(step, schedule, target, optional, depth)
            case Loop(variable=variable, start=start, over=over, body=body):
                bounds = f"{start}, len({over})" if start else f"len({over})"
                lines.append(f"{pad}for {variable} in range({bounds}):")
                lines += _lines(body, schedule, target, depth + 1)
    return lines


def _branch(step: Branch, schedule: LrSchedule, target: _Target, optional: frozenset[str], depth: int) -> list[str]:
    pad = "    " * depth
    lines: list[str] = []
    word = "if"
    while True:
        lines.append(f"{pad}{word} {static_test(step.test, optional)}:")
        lines += _lines(step.then, schedule, target, depth + 1)
        match step.otherwise:
            case (Branch() as only,):
                step, word = only, "elif"
            case ():
                return lines
            case otherwise:
                return [*lines, f"{pad}else:", *_lines(otherwise, schedule, target, depth + 1)]


def header(schedule: LrSchedule) -> tuple[str, ...]:
    """The lines of the comment at the head of a generated file, as they come from the spec."""
    lines = [
        *origin_lines(schedule.title, schedule.name, schedule.source),
        "",
        *schedule.equations.strip("\n").split("\n"),
    ]
    return tuple(lines)
