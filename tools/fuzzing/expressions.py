"""Random expressions of the equation language, of a kind that is asked for.

Most are made so that their numbers stay near 1; some are anything at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from optgen.compiler.kind_rules import KindMismatch, join, reduced
from optgen.contract.kinds import Kind
from optgen.language.functions import FUNCTIONS

#: What an expression of a kind may be made of.
SCALARS = (Kind.CONSTANT, Kind.STEP, Kind.GLOBAL, Kind.TENSOR)
BELOW: dict[Kind, frozenset[Kind]] = {
    Kind.CONSTANT: frozenset({Kind.CONSTANT}),
    Kind.STEP: frozenset(SCALARS[:2]),
    Kind.GLOBAL: frozenset(SCALARS[:3]),
    Kind.TENSOR: frozenset(SCALARS),
    Kind.MATRIX: frozenset({*SCALARS, Kind.MATRIX}),
    Kind.ROW: frozenset({*SCALARS, Kind.MATRIX, Kind.ROW}),
    Kind.COLUMN: frozenset({*SCALARS, Kind.MATRIX, Kind.COLUMN}),
    Kind.AXIS: frozenset({*SCALARS, Kind.AXIS}),
    Kind.ELEMENT: frozenset(set(Kind) - {Kind.AXIS}),
}
#: What may be folded to get a kind, and over what.
FOLDS: dict[Kind, tuple[tuple[Kind, str], ...]] = {}
for _kind in Kind:
    for _over in ("tensor", "model", "rows", "columns", "other_axes", "axes"):
        try:
            _result = reduced(_kind, _over)
        except KindMismatch:
            continue
        FOLDS[_result] = (*FOLDS.get(_result, ()), (_kind, _over))


@dataclass(frozen=True, slots=True)
class Value:
    """Something that expressions may read: its text, and its kind in each case by shape that is possible here.

    `differs` says that cases compute it differently, so that the compiler may not fold it over the model.
    """

    text: str
    kinds: frozenset[Kind]
    differs: bool = False


@dataclass(slots=True)
class Scope:
    """Values that can be read at some place of a rule."""

    values: list[Value] = field(default_factory=list)
    #: Whether folds over the model are allowed: not under a condition on the shape.
    over_model: bool = True

    def copy(self) -> Scope:
        """The scope of a branch."""
        return replace(self, values=list(self.values))

    def add(self, text: str, kinds: frozenset[Kind], differs: bool = False) -> None:
        """Something more that can be read, instead of what went by the same text."""
        self.values = [value for value in self.values if value.text != text]
        self.values.append(Value(text, kinds, differs))

    def leaves(self, kind: Kind, exact: bool) -> list[Value]:
        """Find values that have a kind, or fit it."""
        if exact:
            return [value for value in self.values if value.kinds == {kind}]
        return [value for value in self.values if value.kinds <= BELOW[kind]]


#: Functions of one number that leave it about as large as it is, or make it smaller.
TAME = tuple(
    name
    for name, row in FUNCTIONS.items()
    if row.is_elementwise and row.arity == (1, 1) and name not in ("sqrt", "exp", "log", "every")
)


class Expressions:
    """Makes expressions.

    Args:
        random: the source of chance.
        wild: the share of operations whose numbers may become anything.
    """

    def __init__(self, random: random.Random, wild: float = 0.05) -> None:
        self.random = random
        self.wild = wild

    def exactly(self, kind: Kind, scope: Scope, depth: int) -> str:
        """An expression of a kind and no lower one."""
        random = self.random
        leaves = scope.leaves(kind, exact=True)
        if depth <= 0 and leaves:
            return random.choice(leaves).text
        chance = random.random()
        folds = [(k, over) for k, over in FOLDS.get(kind, ()) if over != "model" or scope.over_model]
        if folds and depth > -3 and (not leaves or chance < 0.25):
            return self.fold(*random.choice(folds), scope, depth - 1)
        if kind is Kind.ELEMENT and chance < 0.33 and depth > 0:
            # An outer product.
            row, column = self.exactly(Kind.ROW, scope, depth - 2), self.exactly(Kind.COLUMN, scope, depth - 2)
            return f"({row})*({column})" if random.random() < 0.7 else f"({row} - {column})"
        if depth <= 0 or not leaves:
            return random.choice(leaves).text if leaves else self.lowest(kind, scope, depth)
        if chance < 0.45:
            return self.function(self.exactly(kind, scope, depth - 1), kind, scope, depth - 1)
        pair = [self.exactly(kind, scope, depth - 1), self.fitting(kind, scope, depth - 1)]
        random.shuffle(pair)
        return self.operation(*pair, kind, scope, depth - 1)

    def lowest(self, kind: Kind, scope: Scope, depth: int) -> str:
        """An expression where nothing of the kind is there."""
        match kind:
            case Kind.CONSTANT:
                return self.number()
            case Kind.STEP:
                return "t"
            case Kind.TENSOR:
                return self.random.choice(("size", "rank", "rows", "columns", "norm(g)"))
            case Kind.GLOBAL:
                return "1*t" if not scope.over_model else "rms(g, over=model)"
            case Kind.ROW:
                return "mean(g, over=columns)"
            case Kind.COLUMN:
                return "mean(g, over=rows)"
            case Kind.MATRIX:
                return "mean(mean(g, over=rows), over=columns)"
            case Kind.AXIS:
                return "max(abs(g), over=other_axes)"
        return "g"

    def fitting(self, kind: Kind, scope: Scope, depth: int) -> str:
        """An expression of a kind or one below it."""
        random = self.random
        leaves = scope.leaves(kind, exact=False)
        if depth <= 0 or random.random() < 0.3:
            if random.random() < 0.2 or not leaves:
                return self.number()
            return random.choice(leaves).text
        if random.random() < 0.3 and kind is not Kind.CONSTANT:
            return self.exactly(kind, scope, depth)
        if random.random() < 0.35:
            return self.function(self.fitting(kind, scope, depth - 1), kind, scope, depth - 1)
        pair = self.fitting(kind, scope, depth - 1), self.fitting(kind, scope, depth - 1)
        return self.operation(*pair, kind, scope, depth - 1)

    def number(self) -> str:
        """A number."""
        chance = self.random.random()
        if chance < 0.45:
            return self.random.choice(("1", "2", "0.5", "3", "0", "0.25"))
        if chance < 0.95:
            return f"{self.random.uniform(0.05, 0.99):.2g}"
        return self.random.choice(("1e-8", "1e-3", "10", "100", "7", "1e3"))

    def function(self, x: str, kind: Kind, scope: Scope, depth: int) -> str:
        """A function of an expression, whose kind stays."""
        random = self.random
        if random.random() < self.wild:
            return random.choice((f"log({x})", f"sqrt({x})", f"exp({x})", f"1/({x})", f"({x})**3", f"({x})**-1"))
        tame = (
            *(f"{name}({x})" for name in TAME),
            f"-({x})",
            f"sqrt(abs({x}) + {random.choice(('1e-8', '0.1', '1'))})",
            f"exp(-abs({x}))",
            f"log(1 + abs({x}))",
            f"floor(2*({x}))/2",
            f"clip({x}, -2, {random.choice(('0.5', '1', '2'))})",
            f"({x})**2",
            f"abs({x})**{random.choice(('1.5', '0.5', '0.25'))}",
            f"({x}) % {random.choice(('0.7', '1', '2', '-3'))}",
            f"({x})/(1 + abs({x}))",
            f"min({x}, 1, 3)",
            f"max({x}, -1)",
            f"0.1*({x})",
        )
        return random.choice(tame)

    def operation(self, x: str, y: str, kind: Kind, scope: Scope, depth: int) -> str:
        """Two expressions joined."""
        random = self.random
        if random.random() < self.wild:
            return random.choice((f"({x})/({y})", f"({x})**({y})", f"({x}) % ({y})", f"({x})/({y} - 1)"))
        forms = (
            lambda: f"{x} + {y}",
            lambda: f"({x}) - ({y})",
            lambda: f"0.9*({x}) + 0.1*({y})",
            lambda: f"0.5*({x}) - 0.25*({y})",
            lambda: f"({x})*tanh({y})",
            lambda: f"atan2({x}, {y})",
            lambda: f"({x})*({y})",
            lambda: f"({x})/(1 + abs({y}))",
            lambda: f"({x})/(sqrt(({y})**2 + 0.1))",
            lambda: f"max({x}, {y})",
            lambda: f"min({x}, {y})",
            lambda: f"where({self.condition(kind, scope, depth)}, {x}, {y})",
            lambda: f"clip({x}, -1, 1 + abs({y}))",
        )
        made = random.choice(forms)()
        return f"({made})"

    def condition(self, kind: Kind, scope: Scope, depth: int) -> str:
        """A condition on expressions of a kind or below."""
        random = self.random
        chance = random.random()
        if chance < 0.1:
            return f"{self.condition(kind, scope, depth - 1)} and {self.comparison(kind, scope, depth - 1)}"
        if chance < 0.2:
            return f"{self.comparison(kind, scope, depth - 1)} or {self.comparison(kind, scope, depth - 1)}"
        if chance < 0.25:
            return f"not {self.comparison(kind, scope, depth - 1)}"
        if chance < 0.3 and kind is not Kind.CONSTANT:
            return f"every({random.choice((1, 2, 3))})"
        if chance < 0.33:
            return f"-1 < {self.fitting(kind, scope, depth - 1)} <= 1"
        return self.comparison(kind, scope, depth)

    def comparison(self, kind: Kind, scope: Scope, depth: int) -> str:
        """A comparison."""
        operator = self.random.choice(("<", "<=", ">", ">=", ">", "<", "==", "!="))
        left = self.fitting(kind, scope, min(depth, 1))
        right = self.number() if self.random.random() < 0.6 else self.fitting(kind, scope, 0)
        return f"{left} {operator} {right}"

    def fold(self, kind: Kind, over: str, scope: Scope, depth: int) -> str:
        """A reduction of something of a kind over an extent."""
        random = self.random
        if over == "model":
            # The compiler folds over the model what all cases compute alike.
            scope = replace(scope, values=[v for v in scope.values if not v.differs or random.random() < 0.02])
        inner = self.exactly(kind, scope, depth)
        end = f", over={over}" if over != "tensor" or random.random() < 0.3 else ""
        if over in ("axes", "other_axes"):
            name = random.choice(("max", "min", "sum", "norm", "dot"))
        else:
            name = random.choice(("mean", "rms", "max", "min", "sum", "norm", "dot"))
        if name == "dot":
            return f"dot({inner}, {self.fitting(kind, scope, 0)}{end})"
        return f"{name}({inner}{end})"


def joined(kinds: Sequence[Kind]) -> Kind:
    """The kind of a value of several branches."""
    found = kinds[0]
    for kind in kinds[1:]:
        found = join(found, kind)
    return found
