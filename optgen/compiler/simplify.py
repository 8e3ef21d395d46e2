"""Program → program: the same numbers from fewer operations per element.

Floats are not reals, so this is a list of named rewrites and nothing else. Each says whether it is *exact* (the same
bits for every input, NaN, Inf and signed zeros included) or *rounding* (the last bits may differ). None removes a way
for NaN or Inf to travel, merges a bias correction into eps, splits a root, or changes a guard. In particular
`b*m + (1-b)*g` is left as it is: the form `m + (1-b)*(g-m)` saves a multiplication and turns an infinite moment into
NaN.
"""

from __future__ import annotations

import builtins
import keyword
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy
from sympy import Expr

from optgen.compiler.fresh_names import Names
from optgen.compiler.gather import Gatherer, is_moderate_literal
from optgen.compiler.operations import (
    CONDITIONS,
    MAX_HEIGHT,
    ONE_HALF,
    Logarithm,
    OneMinusExponential,
    Where,
    height,
    is_plain_negation,
    is_reciprocal,
    multiply,
    names_in,
    rebuild,
    substitute,
    symbol,
    taken_from_one,
    transform,
)
from optgen.compiler.program import Definition, Program, Reduce, expression_kind
from optgen.contract.kinds import Kind
from optgen.language.functions import GENERATED_WORDS, RESERVED

EXACT, ROUNDING = "exact", "rounding"

#: Above this many operations an expression is split into named parts, for the reader of the generated code.
LONG = 8


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One entry of the allow-list."""

    name: str
    effect: str
    apply: Callable[[Program], Program]


def simplify(program: Program) -> Program:
    """Apply every rewrite of `REWRITES`, in order."""
    for rewrite in REWRITES:
        program = rewrite.apply(program)
    return program


def operations_per_element(program: Program) -> int:
    """Arithmetic operations done for each element: sums, products, quotients, roots, functions, comparisons."""
    kinds = program.kinds
    return sum(
        _count(definition.expression) + (isinstance(definition.value, Reduce))
        for definition in program.definitions
        if expression_kind(definition.expression, kinds) is Kind.ELEMENT
    )


def _count(expression: Expr) -> int:
    below = sum(_count(argument) for argument in expression.args)
    if isinstance(expression, sympy.Add):
        return below + len(expression.args) - 1 - sum(_is_negated_atom(a) for a in expression.args)
    if isinstance(expression, sympy.Mul):
        return below + len(expression.args) - 1
    if isinstance(expression, sympy.Pow):
        return below + bool(expression.exp != sympy.S.NegativeOne)
    return below + bool(expression.args)


def _is_negated_atom(expression: Expr) -> bool:
    """`-x` inside a sum is a subtraction, not a product and a sum."""
    return isinstance(expression, sympy.Mul) and expression.args[0] == sympy.S.NegativeOne


def _map(program: Program, change: Callable[[Expr], Expr]) -> Program:
    """Change every expression of a program."""
    return replace(program, definitions=tuple(_with_expression(d, change(d.expression)) for d in program.definitions))


def _with_expression(definition: Definition, expression: Expr) -> Definition:
    value: Expr | Reduce = expression
    if isinstance(definition.value, Reduce):
        value = replace(definition.value, operand=expression)
    return replace(definition, value=value)


def remove_unused(program: Program) -> Program:
    """Drop definitions that nothing needs.

    A fold over the model stays where there are several cases: tensors of another case may need this one's part.
    """
    needed = set(program.outputs)
    if program.conditions:
        for definition in program.definitions:
            if isinstance(definition.value, Reduce) and definition.value.over == "model":
                needed.add(definition.name)
    kept = []
    for definition in reversed(program.definitions):
        if definition.name in needed:
            kept.append(definition)
            needed |= definition.reads
    return replace(program, definitions=tuple(reversed(kept)))


def inline_single_use(program: Program) -> Program:
    """Put a value that is used once, by a value of its own kind, where it is used."""
    uses: Counter[str] = Counter()
    users: dict[str, Definition] = {}
    for definition in program.definitions:
        found = _occurrences(definition.expression)
        uses.update(found)
        users |= dict.fromkeys(found, definition)
    kinds, outputs = program.kinds, set(program.outputs)
    ready: dict[Expr, Expr] = {}
    kept = []
    for definition in program.definitions:
        expression = substitute(definition.expression, ready)
        definition = _with_expression(definition, expression)
        single = uses[definition.name] == 1 and definition.name not in outputs
        if single and not isinstance(definition.value, Reduce) and height(expression) <= MAX_HEIGHT // 2:
            user = users[definition.name]
            is_other_output = user.name in outputs and user.name != program.result
            if expression_kind(user.expression, kinds) is definition.kind and not is_other_output:
                ready[symbol(definition.name)] = expression
                continue
        kept.append(definition)
    return replace(program, definitions=tuple(kept))


def _occurrences(expression: Expr) -> list[str]:
    if isinstance(expression, sympy.Symbol):
        return [str(expression.name)]
    return [name for argument in expression.args for name in _occurrences(argument)]


def accurate_bias_correction(program: Program) -> Program:
    """`1 - b**n` → `1 - exp(n*log(b))`, computed by expm1, for a constant b ≥ 0 and a step number n > 0.

    The plain form loses a factor of 1/(1-b) in relative accuracy at the first steps. Where n may be 0, the form is left
    as it is: `0**0` is 1, while `0*log(0)` is NaN.
    """
    nonnegative = {h.name for h in program.hyperparameters if h.domain.lower is not None and h.domain.lower >= 0}
    kinds = program.kinds

    def change(node: Expr) -> Expr:
        base_power = taken_from_one(node)
        if not isinstance(base_power, sympy.Pow) or expression_kind(node, kinds) is not Kind.STEP:
            return node
        base, exponent = base_power.args
        if not (isinstance(base, sympy.Symbol) and base.name in nonnegative and kinds[base.name] is Kind.CONSTANT):
            return node
        if "t" not in names_in(exponent) or not _is_surely_positive(exponent):
            return node
        return OneMinusExponential(multiply(exponent, Logarithm(base)))

    return _map(program, lambda expression: transform(expression, change))


def _is_surely_positive(expression: Expr) -> bool:
    """Sums, products and quotients of the step's number and positive numbers, that no arithmetic rounds to 0."""
    if isinstance(expression, sympy.Add | sympy.Mul):
        return all(_is_surely_positive(argument) for argument in expression.args)
    if is_reciprocal(expression):
        return _is_surely_positive(expression.base) and "t" not in names_in(expression)
    return expression == symbol("t") or (is_moderate_literal(expression) and bool(expression > 0))


def squares_as_products(program: Program) -> Program:
    """`x**2` → `x*x`."""

    def change(node: Expr) -> Expr:
        if isinstance(node, sympy.Pow) and node.exp == sympy.Integer(2):
            return multiply(node.base, node.base)
        return node

    return _map(program, lambda expression: transform(expression, change))


def gather_scalars(program: Program) -> Program:
    """Factors that are one number for the step are multiplied with each other first: see `gather`."""
    return _map(program, Gatherer(program).rewrite)


def hoist_scalars(program: Program) -> Program:
    """Name every part that varies less than the expression around it, so that it is computed once, not per element.

    Rounding, since what is constant is then folded in float64 when the optimizer is built.
    """
    return _name_parts(program, _lower_parts)


def _lower_parts(expression: Expr, kinds: dict[str, Kind], whole: Kind) -> list[Expr]:
    """The largest parts of an expression that are of a lower kind, and worth a name."""
    kind = expression_kind(expression, kinds)
    is_part = kind is not whole and bool(expression.args) and not isinstance(expression, CONDITIONS)
    if is_part and not is_plain_negation(expression):
        # A step's part may hold constants of its own, which are known earlier still.
        return [*_lower_parts_below(expression, kinds, kind), expression]
    own = [expression] if isinstance(expression, OneMinusExponential) else []
    return [*_lower_parts_below(expression, kinds, whole), *own]


def _lower_parts_below(expression: Expr, kinds: dict[str, Kind], whole: Kind) -> list[Expr]:
    parts = []
    for position, argument in enumerate(expression.args):
        # A division by a number stays one; `gather_scalars` puts first what is to be a factor.
        is_divisor = position > 0 and isinstance(expression, sympy.Mul) and is_reciprocal(argument)
        parts += _lower_parts(argument.base if is_divisor else argument, kinds, whole)
    return parts


def share_common_parts(program: Program) -> Program:
    """Name every part that occurs more than once, so that it is computed once."""
    counts: Counter[Expr] = Counter()

    def count(expression: Expr) -> None:
        counts[expression] += 1
        if expression.args and counts[expression] == 1:
            for argument in expression.args:
                count(argument)

    for definition in program.definitions:
        count(definition.expression)

    def repeated(expression: Expr, kinds: dict[str, Kind], _: Kind) -> list[Expr]:
        found = [part for argument in expression.args for part in repeated(argument, kinds, _)]
        worth = bool(expression.args) and not isinstance(expression, CONDITIONS) and not is_reciprocal(expression)
        if worth and counts[expression] > 1 and not is_plain_negation(expression):
            found.append(expression)
        return found

    return _name_parts(program, repeated)


def split_long(program: Program) -> Program:
    """Name parts of long expressions, so that a line of generated code can be read."""

    def large(expression: Expr, kinds: dict[str, Kind], whole: Kind) -> list[Expr]:
        found: list[Expr] = []

        def visit(node: Expr, is_root: bool) -> int:
            sizes = [visit(argument, False) for argument in node.args]
            size = 1 + sum(sizes) if node.args else 0
            nameable = not isinstance(node, CONDITIONS) and not is_reciprocal(node)
            if size >= LONG and not is_root and nameable:
                found.append(node)
                return 0
            return size

        # A negation around the whole is no reason to name what is inside.
        visit(expression.args[1] if is_plain_negation(expression) else expression, True)
        return found

    return _name_parts(program, large)


def _name_parts(program: Program, choose: Callable[[Expr, dict[str, Kind], Kind], list[Expr]]) -> Program:
    """Give chosen parts of expressions names of their own, each defined just before it is first needed."""
    kinds = program.kinds
    named: dict[Expr, str] = {}
    names = Names(set(kinds) | RESERVED | GENERATED_WORDS | set(dir(builtins)) | set(keyword.kwlist))
    result: list[Definition] = []
    for definition in program.definitions:
        whole = expression_kind(definition.expression, kinds)
        expression = definition.expression
        # Inner parts come first, so that outer ones are written in terms of them.
        for part in choose(expression, kinds, whole):
            written = _replace_parts(part, named, keep_whole=True)
            if part not in named:
                kind = expression_kind(part, kinds)
                name = names.fresh(_part_name(written, kind))
                kinds[name] = kind
                result.append(Definition(name, kinds[name], written))
                named[part] = name
        expression = _replace_parts(expression, named, keep_whole=False)
        result.append(_with_expression(definition, expression))
    return replace(program, definitions=tuple(result))


def _replace_parts(expression: Expr, named: dict[Expr, str], keep_whole: bool) -> Expr:
    if not keep_whole and expression in named:
        return symbol(named[expression])
    if not expression.args:
        return expression
    return rebuild(expression, tuple(_replace_parts(a, named, keep_whole=False) for a in expression.args))


def _part_name(part: Expr, kind: Kind) -> str:
    """A readable name for a part: `one_minus_beta1`, `log_beta2`, `correction_beta1`, else what it is."""
    of = f"_{part.args[0].name}" if isinstance(part.args[0], sympy.Symbol) else ""
    subtracted = taken_from_one(part)
    if isinstance(subtracted, sympy.Symbol):
        base = f"one_minus_{subtracted.name}"
    elif isinstance(part, OneMinusExponential):
        logs = [name for name in sorted(names_in(part)) if name.startswith("log_")]
        base = f"correction_{logs[0][4:]}" if logs else "correction"
    elif is_reciprocal(part):
        base = f"inverse{of}"
    elif isinstance(part, sympy.Pow):
        base = f"root{of}" if part.exp == ONE_HALF else f"power{of}"
    elif isinstance(part, sympy.Mul) and len(part.args) == 2 and part.args[0] == part.args[1]:
        base = f"{part.args[0].name}_squared" if of else "square"
    elif isinstance(part, sympy.Mul):
        base = "scale" if kind.is_scalar else "product"
    elif isinstance(part, sympy.Add):
        base = "total"
    else:
        one_of = f"{part.name}{of}" if len(part.args) == 1 and of else f"{part.name}_value"
        base = "chosen" if isinstance(part, Where) else one_of
    return base


#: The allow-list, in the order in which it is applied.
REWRITES: tuple[Rewrite, ...] = (
    Rewrite("remove unused", EXACT, remove_unused),
    Rewrite("inline single use", EXACT, inline_single_use),
    Rewrite("accurate bias correction", ROUNDING, accurate_bias_correction),
    Rewrite("squares as products", EXACT, squares_as_products),
    Rewrite("gather scalars", ROUNDING, gather_scalars),
    Rewrite("hoist scalars", ROUNDING, hoist_scalars),
    Rewrite("share common parts", EXACT, share_common_parts),
    Rewrite("split long", EXACT, split_long),
)
