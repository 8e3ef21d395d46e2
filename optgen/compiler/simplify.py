"""Program → program: the same numbers from fewer operations per element.

Floats are not reals, so this is a list of named rewrites and nothing else. Each says whether it is *exact* (the same
bits for every input, NaN, Inf and signed zeros included) or *rounding* (the last bits may differ). None removes a way
for NaN or Inf to travel, merges a bias correction into eps, splits a root, or changes a guard. In particular
`b*m + (1-b)*g` is left as it is: the form `m + (1-b)*(g-m)` saves a multiplication and turns an infinite moment into
NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy
from sympy import Expr

from optgen.compiler.kinds import Kind, join
from optgen.compiler.operations import (
    CONDITIONS,
    Ceiling,
    Floor,
    Logarithm,
    Modulo,
    OneMinusExponential,
    Operation,
    Sign,
    multiply,
    names_in,
    negate,
    power,
    rebuild,
    substitute,
    symbol,
    transform,
)
from optgen.compiler.program import Definition, Program, Reduce

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


def expression_kind(expression: Expr, kinds: dict[str, Kind]) -> Kind:
    """The kind of an expression, from those of the names in it."""
    if isinstance(expression, sympy.Symbol):
        return kinds[str(expression.name)]
    kind = Kind.CONSTANT
    for argument in expression.args:
        kind = join(kind, expression_kind(argument, kinds))
    return kind


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


def _is_plain_negation(expression: Expr) -> bool:
    """`-x` of a single factor, which is not worth a name."""
    return _is_negated_atom(expression) and len(expression.args) == 2


def _map(program: Program, change: Callable[[Expr], Expr]) -> Program:
    """Change every expression of a program."""
    return replace(program, definitions=tuple(_with_expression(d, change(d.expression)) for d in program.definitions))


def _with_expression(definition: Definition, expression: Expr) -> Definition:
    value: Expr | Reduce = expression
    if isinstance(definition.value, Reduce):
        value = replace(definition.value, operand=expression)
    return replace(definition, value=value)


def remove_unused(program: Program) -> Program:
    """Drop definitions that nothing needs."""
    needed = set(program.outputs)
    kept = []
    for definition in reversed(program.definitions):
        if definition.name in needed:
            kept.append(definition)
            needed |= definition.reads
    return replace(program, definitions=tuple(reversed(kept)))


def inline_single_use(program: Program) -> Program:
    """Put a value that is used once, by a value of its own kind, where it is used."""
    uses: Counter[str] = Counter()
    for definition in program.definitions:
        uses.update(_occurrences(definition.expression))
    kinds = program.kinds
    ready: dict[str, Expr] = {}
    kept = []
    for definition in program.definitions:
        inlined = {symbol(name): value for name, value in ready.items()}
        expression = substitute(definition.expression, inlined)
        definition = _with_expression(definition, expression)
        single = uses[definition.name] == 1 and definition.name not in program.outputs
        if single and not isinstance(definition.value, Reduce):
            user = next(d for d in program.definitions if definition.name in d.reads)
            if expression_kind(user.expression, kinds) is definition.kind and user.name not in program.outputs[:-1]:
                ready[definition.name] = expression
                continue
        kept.append(definition)
    return replace(program, definitions=tuple(kept))


def _occurrences(expression: Expr) -> list[str]:
    if isinstance(expression, sympy.Symbol):
        return [str(expression.name)]
    return [name for argument in expression.args for name in _occurrences(argument)]


def accurate_bias_correction(program: Program) -> Program:
    """`1 - b**n` → `1 - exp(n*log(b))`, computed by expm1, for a constant b ≥ 0 and a step number n.

    The plain form loses a factor of 1/(1-b) in relative accuracy at the first steps.
    """
    nonnegative = {h.name for h in program.hyperparameters if h.domain.lower is not None and h.domain.lower >= 0}
    kinds = program.kinds

    def change(node: Expr) -> Expr:
        if not (isinstance(node, sympy.Add) and len(node.args) == 2 and node.args[0] == sympy.S.One):
            return node
        second = node.args[1]
        if not (isinstance(second, sympy.Mul) and len(second.args) == 2 and second.args[0] == sympy.S.NegativeOne):
            return node
        base_power = second.args[1]
        if not isinstance(base_power, sympy.Pow) or expression_kind(node, kinds) is not Kind.STEP:
            return node
        base, exponent = base_power.args
        if not (isinstance(base, sympy.Symbol) and base.name in nonnegative and kinds[base.name] is Kind.CONSTANT):
            return node
        if "t" not in names_in(exponent):
            return node
        return OneMinusExponential(multiply(exponent, Logarithm(base)))

    return _map(program, lambda expression: transform(expression, change))


def squares_as_products(program: Program) -> Program:
    """`x**2` → `x*x`."""

    def change(node: Expr) -> Expr:
        if isinstance(node, sympy.Pow) and node.exp == sympy.Integer(2):
            return multiply(node.base, node.base)
        return node

    return _map(program, lambda expression: transform(expression, change))


def gather_scalars(program: Program) -> Program:
    """Products and quotients: the factors that are one number for the step are multiplied first, once per step.

    `lr*(m/(1-b**t))/d` becomes `(lr/(1-b**t))*m/d`, and `v/(1-b**t)` becomes `v*(1/(1-b**t))`. Factors that are one
    number for the tensor or model are gathered as well; a division by one of those alone stays a division, since
    the reciprocal of a tiny norm overflows where the quotient does not.
    """
    kinds = program.kinds

    def change(node: Expr) -> Expr:
        if not isinstance(node, sympy.Mul):
            return node
        factors = _flatten(node)
        sign = 1
        while sympy.S.NegativeOne in factors:
            factors.remove(sympy.S.NegativeOne)
            sign = -sign
        groups: dict[str, list[Expr]] = {"step": [], "tensor": [], "other": []}
        for factor in factors:
            kind = expression_kind(factor, kinds)
            group = "step" if kind.is_per_step else "tensor" if kind.is_scalar else "other"
            groups[group].append(factor)
        # Within a group the numerators come first, so that no reciprocal is formed where a quotient does.
        ordered = {name: sorted(group, key=_is_reciprocal) for name, group in groups.items()}
        if ordered["tensor"] and all(_is_reciprocal(f) for f in ordered["tensor"]) and not ordered["step"]:
            if not ordered["other"]:
                return node
            product = multiply(*ordered["other"], *ordered["tensor"])
        else:
            scalars = [multiply(*ordered["step"])] if ordered["step"] else []
            if ordered["tensor"]:
                scalars = [multiply(*_flatten_all(scalars), *ordered["tensor"])]
            if sign < 0 and scalars and isinstance(scalars[0], sympy.Mul):
                # The scalar is computed once per step anyway; let it carry the sign.
                scalars, sign = [multiply(sympy.S.NegativeOne, *scalars[0].args)], 1
            product = multiply(*scalars, *ordered["other"])
        return product if sign > 0 else negate(product)

    return _map(program, lambda expression: _transform_continuous(expression, change))


#: Where a last bit decides: what these are asked of is left as it is written.
_JUMPS = (Floor, Ceiling, Modulo, Sign, *CONDITIONS)


def _transform_continuous(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Apply a rounding change to every node, innermost first, but to nothing that a function with jumps is asked of."""
    if not expression.args or isinstance(expression, _JUMPS):
        return expression
    parts = tuple(_transform_continuous(argument, change) for argument in expression.args)
    return change(rebuild(expression, parts))


def _flatten_all(expressions: list[Expr]) -> list[Expr]:
    return [factor for expression in expressions for factor in _flatten(expression)]


def _flatten(expression: Expr) -> list[Expr]:
    """The factors of a product, through nested products and reciprocals of products."""
    if isinstance(expression, sympy.Mul):
        return [factor for argument in expression.args for factor in _flatten(argument)]
    if _is_reciprocal(expression) and isinstance(expression.base, sympy.Mul):
        parts = _flatten(expression.base)
        if not any(_is_reciprocal(part) for part in parts):
            return [power(part, sympy.S.NegativeOne) if part != sympy.S.NegativeOne else part for part in parts]
    return [expression]


def _is_reciprocal(expression: Expr) -> bool:
    return isinstance(expression, sympy.Pow) and expression.exp == sympy.S.NegativeOne


def hoist_scalars(program: Program) -> Program:
    """Name every part that varies less than the expression around it, so that it is computed once, not per element.

    Rounding, since what is constant is then folded in float64 when the optimizer is built.
    """
    return _name_parts(program, _lower_parts)


def _lower_parts(expression: Expr, kinds: dict[str, Kind], whole: Kind) -> list[Expr]:
    """The largest parts of an expression that are of a lower kind, and worth a name."""
    kind = expression_kind(expression, kinds)
    is_part = kind is not whole and bool(expression.args) and not isinstance(expression, CONDITIONS)
    if is_part and not _is_plain_negation(expression):
        # A reciprocal alone is worth a name only if it is a step's: see `gather_scalars`.
        if not _is_reciprocal(expression) or kind.is_per_step:
            # A step's part may hold constants of its own, which are known earlier still.
            return [*_lower_parts_below(expression, kinds, kind), expression]
    own = [expression] if isinstance(expression, OneMinusExponential) else []
    return [*_lower_parts_below(expression, kinds, whole), *own]


def _lower_parts_below(expression: Expr, kinds: dict[str, Kind], whole: Kind) -> list[Expr]:
    return [part for argument in expression.args for part in _lower_parts(argument, kinds, whole)]


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
        worth = bool(expression.args) and not isinstance(expression, CONDITIONS) and not _is_reciprocal(expression)
        if worth and counts[expression] > 1 and not _is_plain_negation(expression):
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
            nameable = not isinstance(node, CONDITIONS) and not _is_reciprocal(node)
            if size >= LONG and not is_root and nameable:
                found.append(node)
                return 0
            return size

        # A negation around the whole is no reason to name what is inside.
        visit(expression.args[1] if _is_plain_negation(expression) else expression, True)
        return found

    return _name_parts(program, large)


def _name_parts(program: Program, choose: Callable[[Expr, dict[str, Kind], Kind], list[Expr]]) -> Program:
    """Give chosen parts of expressions names of their own, each defined just before it is first needed."""
    kinds = program.kinds
    named: dict[Expr, str] = {}
    taken = set(kinds)
    result: list[Definition] = []
    for definition in program.definitions:
        whole = expression_kind(definition.expression, kinds)
        expression = definition.expression
        # Inner parts come first, so that outer ones are written in terms of them.
        for part in choose(expression, kinds, whole):
            written = _replace_parts(part, named, keep_whole=True)
            if part not in named:
                kind = expression_kind(part, kinds)
                name = _part_name(written, kind, taken)
                taken.add(name)
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


def _part_name(part: Expr, kind: Kind, taken: set[str]) -> str:
    """A readable name for a part: `one_minus_beta1`, `log_beta2`, `correction_beta1`, else `part`, numbered."""
    base = "part"
    if isinstance(part, sympy.Add) and len(part.args) == 2 and part.args[0] == sympy.S.One:
        second = part.args[1]
        if _is_negated_atom(second) and isinstance(second.args[-1], sympy.Symbol):
            base = f"one_minus_{second.args[-1].name}"
    elif isinstance(part, Logarithm) and isinstance(part.args[0], sympy.Symbol):
        base = f"log_{part.args[0].name}"
    elif isinstance(part, OneMinusExponential):
        base = "correction"
        if logs := [n for n in sorted(names_in(part)) if n.startswith("log_")]:
            base = f"correction_{logs[0][4:]}"
    elif _is_reciprocal(part):
        base = f"inverse_{part.base.name}" if isinstance(part.base, sympy.Symbol) else "inverse"
    elif isinstance(part, sympy.Mul) and len(part.args) == 2 and part.args[0] == part.args[1]:
        if isinstance(part.args[0], sympy.Symbol):
            base = f"{part.args[0].name}_squared"
    elif isinstance(part, sympy.Pow) and part.exp == sympy.Rational(1, 2):
        base = "root"
    elif isinstance(part, Operation):
        base = {"<": "test", "where": "chosen"}.get(part.name, part.name if part.name.isalnum() else "part")
    elif isinstance(part, sympy.Mul):
        base = "scale" if kind.is_scalar else "product"
    elif isinstance(part, sympy.Add):
        base = "total"
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


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
