"""Programs → a module of functions of arrays: of jax.numpy, or of numpy and torch.

Those libraries order the loops, so a program becomes one function of a tensor, split only where a fold over the whole
model comes between: numbers of the step, then each tensor, then numbers of the model, then each tensor again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sympy import Expr

from optgen.compiler.operations import names_in, substitute, symbol
from optgen.compiler.program import Definition, Program, Reduce, expression_kind
from optgen.contract.kinds import SIZE_SYMBOLS, Kind
from optgen.contract.manifest import Function
from optgen.targets.arrays.printer import ArrayPrinter
from optgen.targets.code import CompiledCase, CompiledOptimizer, Variant, initial_is_zero
from optgen.targets.header import header
from optgen.targets.host import CaseFunction, case_function
from optgen.targets.templating import template

_NEUTRAL = {"sum": "", "max": ", initial=-{0}.inf", "min": ", initial={0}.inf"}

#: What the functions of arrays are found under in each of the files.
_JAX, _EAGER = "jnp", "xp"


@dataclass(frozen=True, slots=True)
class ArrayFunction:
    """A function as the template prints it."""

    call: Function
    summary: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArrayModule:
    """The source of a module, and for each variant and case the functions to call, in order."""

    text: str
    calls: dict[str, tuple[tuple[Function, ...], ...]]
    case_functions: dict[str, str]


def emit_jax(optimizer: CompiledOptimizer) -> ArrayModule:
    """The jax module of an optimizer."""
    return _emitted(optimizer, _JAX)


def emit_eager(optimizer: CompiledOptimizer) -> ArrayModule:
    """The eager module of an optimizer, for libraries that compute as they are called: numpy and torch."""
    return _emitted(optimizer, _EAGER)


def _emitted(optimizer: CompiledOptimizer, namespace: str) -> ArrayModule:
    functions: list[ArrayFunction] = []
    bodies: dict[tuple[object, ...], Function] = {}
    calls: dict[str, tuple[tuple[Function, ...], ...]] = {}
    case_functions: dict[str, CaseFunction] = {}
    for variant in optimizer.variants:
        if len(variant.cases) > 1:
            case_functions[variant.name] = case_function(variant)
        per_case = []
        for index, case in enumerate(variant.cases):
            named = []
            for emitted in _case_functions(variant, index, case, namespace):
                # What variants share is written once, under the name of the first that needs it.
                same = (emitted.call.level, emitted.call.arguments, emitted.call.returns, emitted.lines)
                if same not in bodies:
                    bodies[same] = emitted.call
                    functions.append(emitted)
                named.append(bodies[same])
            per_case.append(tuple(named))
        calls[variant.name] = tuple(per_case)
    tests = [test for function in case_functions.values() for test in function.tests]
    used = "\n".join([*tests, *(line for function in functions for line in function.lines)])
    text = template(__file__).render(
        header=header(optimizer),
        namespace=namespace,
        case_functions=list(case_functions.values()),
        functions=functions,
        uses=lambda name: re.search(rf"\b{name}\b", used) is not None,
    )
    return ArrayModule(text, calls, {variant: function.name for variant, function in case_functions.items()})


def _case_functions(variant: Variant, index: int, case: CompiledCase, namespace: str) -> list[ArrayFunction]:
    stem = variant.name if len(variant.cases) == 1 else f"{variant.name}_case{index + 1}"
    program = case.program
    found = []
    initial = _initial_function(stem, program, namespace)
    if initial is not None:
        found.append(initial)
    segments = _segments(program)
    printer = ArrayPrinter(namespace, _arrays(program))
    of_step = printer
    if namespace == _EAGER:
        # Where libraries compute as they are called, numbers of the step come to functions of tensors as Python's.
        of_tensors = {name for name, kind in program.kinds.items() if not kind.is_per_step}
        printer = ArrayPrinter(namespace, _arrays(program), of_tensors)
    per_step = [d for d in program.definitions if d.kind.is_per_step]
    readers = _readers(program)
    outside = _needed_outside(program, per_step, readers)
    if outside:
        found.append(_function(program, of_step, f"{stem}_step", "step", per_step, outside, "Numbers of one step."))
    last = max(segments, default=0)
    for position in range(last + 1):
        tensor = [d for d in segments.get(position, ()) if d.kind is not Kind.GLOBAL or _folds_model(d)]
        numbers = [d for d in segments.get(position, ()) if d.kind is Kind.GLOBAL and not _folds_model(d)]
        suffix = f"_{position + 1}" if last else ""
        if numbers:
            returns = _needed_outside(program, numbers, readers)
            found.append(
                _function(
                    program, printer, f"{stem}_model{suffix}", "model", numbers, returns, "Numbers of the whole model."
                )
            )
        if tensor:
            returns = _needed_outside(program, tensor, readers)
            summary = "One tensor's step, as far as the model's numbers are known." if last else "One tensor's step."
            found.append(_function(program, printer, f"{stem}_tensor{suffix}", "tensor", tensor, returns, summary))
    return found


def _folds_model(definition: Definition) -> bool:
    return isinstance(definition.value, Reduce) and definition.value.over == "model"


def _segments(program: Program) -> dict[int, list[Definition]]:
    """Definitions by the number of folds over the model that have to be complete before them."""
    after: dict[str, int] = {}
    segments: dict[int, list[Definition]] = {}
    for definition in program.definitions:
        if definition.kind.is_per_step:
            continue
        level = max((after.get(name, 0) for name in definition.reads), default=0)
        segments.setdefault(level, []).append(definition)
        after[definition.name] = level + _folds_model(definition)
    return segments


def _readers(program: Program) -> dict[str, list[str]]:
    """The definitions that read each value."""
    found: dict[str, list[str]] = {}
    for definition in program.definitions:
        for name in definition.reads:
            found.setdefault(name, []).append(definition.name)
    return found


def _needed_outside(program: Program, inside: list[Definition], readers: Mapping[str, list[str]]) -> tuple[str, ...]:
    names, outputs = {d.name for d in inside}, set(program.outputs)
    return tuple(
        d.name
        for d in inside
        if d.name in outputs or _folds_model(d) or any(reader not in names for reader in readers.get(d.name, ()))
    )


def _function(
    program: Program,
    printer: ArrayPrinter,
    name: str,
    level: str,
    definitions: list[Definition],
    returns: tuple[str, ...],
    summary: str,
) -> ArrayFunction:
    own = {d.name for d in definitions}
    reads: dict[str, None] = {}
    for definition in definitions:
        for read in sorted(definition.reads):
            if read not in own:
                reads[read] = None
    folds = tuple(
        (d.name, d.value.operation) for d in definitions if isinstance(d.value, Reduce) and d.value.over == "model"
    )
    arguments = _in_order(reads, program)
    lines = (
        *(f"{name} = 1.0*{name}  # int32 does not hold every size" for name in arguments if name in SIZE_SYMBOLS),
        *(f"{d.name} = {_right_side(d, program.kinds, printer)}" for d in definitions),
    )
    return ArrayFunction(Function(name, level, arguments, returns, folds), summary, lines)


def _in_order(names: Iterable[str], program: Program) -> tuple[str, ...]:
    """Parameter and gradient first, then states, then numbers, as a reader expects."""
    states = [state.older(lag) for state in program.states for lag in range(1, state.depth + 1)]
    declared = [h.name for h in program.hyperparameters] + [i.name for i in program.inputs]
    known = ["theta", "g", *states, "t", *declared]
    defined = [d.name for d in program.definitions]
    place = {name: number for number, name in enumerate(reversed([*known, *defined]))}
    # What nothing defines, the numbers of a shape, stands before what definitions do.
    return tuple(sorted(names, key=lambda name: (-place.get(name, len(defined) - 0.5), name)))


def _arrays(program: Program) -> set[str]:
    """The names that stand for arrays; all others may be Python numbers."""
    found = {"theta", "g", "t", *(given.name for given in program.inputs)}
    found |= {state.older(lag) for state in program.states for lag in range(1, state.depth + 1)}
    for definition in program.definitions:
        if isinstance(definition.value, Reduce) or definition.reads & found:
            found.add(definition.name)
    return found


def _right_side(definition: Definition, kinds: dict[str, Kind], printer: ArrayPrinter) -> str:
    value = definition.value
    if isinstance(value, Reduce):
        return _reduction(value, kinds, printer)
    if definition.kind is Kind.AXIS:
        return _per_axis(value, kinds, printer)
    # A norm may be 0 where gradients are asked for; what is one number per element has its root as it is.
    shared = printer.namespace == "jnp" and kinds[definition.name] is not Kind.ELEMENT
    printer.root = "_root" if shared else ""
    return printer.text(value)


def _per_axis(value: Expr, kinds: dict[str, Kind], printer: ArrayPrinter) -> str:
    """An expression for the vector of each axis; its loop variables have names that no spec can use."""
    families = sorted(name for name in names_in(value) if kinds[name] is Kind.AXIS)
    inner = {name: f"_{name}_i" for name in families}
    # Not sympy's own replacing, which evaluates what it builds anew.
    renamed = substitute(value, {symbol(n): symbol(i) for n, i in inner.items()})
    arrays, tensors = ({*(known or ()), *inner.values()} for known in (printer.arrays, printer.tensors))
    text = ArrayPrinter(printer.namespace, arrays, tensors).text(renamed)
    if len(families) == 1:
        return f"tuple({text} for {inner[families[0]]} in {families[0]})"
    names = ", ".join(inner.values())
    return f"tuple({text} for {names} in zip({', '.join(families)}, strict=True))"


def _reduction(value: Reduce, kinds: dict[str, Kind], printer: ArrayPrinter) -> str:
    function = f"{printer.namespace}.{value.operation}"
    operand = printer.text(value.operand)
    # A fold over nothing is the neutral number of the fold.
    empty = _NEUTRAL[value.operation].format(printer.namespace)
    match value.over:
        case "tensor":
            return f"{function}({operand}{empty})"
        case "model":
            if expression_kind(value.operand, kinds).is_scalar:
                return operand if printer.is_array(value.operand) else f"{printer.namespace}.asarray({operand})"
            return f"{function}({operand}{empty})"
        case "rows" | "columns" | "other_axes":
            helper = "_other_axes" if value.over == "other_axes" else f"_fold_{value.over}"
            return f"{helper}({function}, {operand}{empty})"
        case "axes":
            pairwise = {"sum": "add", "max": "maximum", "min": "minimum"}[value.operation]
            family = operand if operand.isidentifier() else _per_axis(value.operand, kinds, printer)
            return f"functools.reduce({printer.namespace}.{pairwise}, {family})"
    raise ValueError(f"unknown extent {value.over!r}")


def _initial_function(stem: str, program: Program, namespace: str) -> ArrayFunction | None:
    """A function that makes the states which do not start at zero, one number or one per element each."""
    states = [state for state in program.states if not initial_is_zero(state.initial)]
    if not states:
        return None
    reads: dict[str, None] = {}
    for state in states:
        reads |= dict.fromkeys(sorted(names_in(state.initial)))
    arguments = _in_order(reads, program)
    printer = ArrayPrinter(namespace, ("theta",))
    lines = tuple(f"{state.name} = {printer.text(state.initial)}" for state in states)
    call = Function(f"{stem}_initial", "initial", arguments, tuple(s.name for s in states))
    return ArrayFunction(call, "Values before the first step of the states that do not start at zero.", lines)
