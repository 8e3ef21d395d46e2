"""Finding the kind of every value, and refusing kinds that do not fit, at the place where they meet."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.compiler.kind_rules import KindMismatch, join, reduced, reducible
from optgen.compiler.rule import Case, Equation, Rule
from optgen.compiler.signatures import Signatures
from optgen.contract.kinds import Kind
from optgen.errors import SpecError
from optgen.language.functions import reduces
from optgen.language.source import Source
from optgen.language.syntax import (
    Binary,
    Call,
    Compare,
    Logical,
    Name,
    Node,
    Number,
    Timed,
    Unary,
    folded,
    walk,
)

#: How a kind is spoken of in messages.
SPOKEN = {
    Kind.CONSTANT: "a constant",
    Kind.STEP: "one number per step",
    Kind.GLOBAL: "one number for the model",
    Kind.TENSOR: "one number per tensor",
    Kind.MATRIX: "one number per matrix",
    Kind.ROW: "one number per row",
    Kind.COLUMN: "one number per column",
    Kind.AXIS: "a vector per axis",
    Kind.ELEMENT: "one number per element",
}


def infer_kinds(rule: Rule) -> tuple[KindInference, ...]:
    """The kinds of every case of a rule, with what the cases have in common settled.

    A state is kept once for the model only if every case keeps it so and gives it the same value; where they differ,
    each tensor keeps its own. A history is as deep in every case as the one that looks back furthest needs it.

    Raises:
        SpecError: kinds do not fit.
    """
    cases = tuple(KindInference(rule, case) for case in rule.cases)
    lowest: dict[str, Kind] = {}
    while apart := _kept_apart(cases) - lowest.keys():
        lowest |= dict.fromkeys(apart, Kind.TENSOR)
        cases = tuple(KindInference(rule, case, lowest) for case in rule.cases)
    deepest: dict[str, int] = {}
    for case in cases:
        deepest |= {name: max(depth, deepest.get(name, 0)) for name, depth in case.depths.items()}
    for case in cases:
        case.depths = {name: deepest[name] for name in case.depths}
    return cases


def _kept_apart(cases: tuple[KindInference, ...]) -> set[str]:
    """States that some case keeps once for the model, and that are not one value for all tensors."""
    signatures = Signatures()
    values = [signatures.of(inference.case) for inference in cases]
    apart = set()
    for name in {name for inference in cases for name in inference.depths} - {"theta"}:
        kinds = {inference.kinds[name] if name in inference.depths else None for inference in cases}
        if kinds.isdisjoint((Kind.STEP, Kind.GLOBAL)):
            continue
        kept = [(value, one.case) for value, one in zip(values, cases, strict=True) if name in one.depths]
        new = {value[case.final[name]] for value, case in kept}
        if len(kinds) > 1 or len(new) > 1:
            apart.add(name)
    return apart


class KindInference:
    """The kinds of one case of a rule, found when it is made.

    A state's kind follows from its own equation, which may read it: kinds start low and are raised until they stay.

    Args:
        rule: the rule.
        case: one of its cases.
        lowest: states that are of this kind at least, although this case alone would keep fewer numbers of them. The
            kinds are known to fit without it: branches and periods may depend on such states.

    Attributes:
        kinds: of every name that an expression may hold.
        depths: how many earlier values of each state are read.

    Raises:
        SpecError: kinds do not fit.
    """

    def __init__(self, rule: Rule, case: Case, lowest: Mapping[str, Kind] | None = None) -> None:
        self.rule = rule
        self.case = case
        self.lowest = lowest or {}
        self.source: Source = rule.source
        self.depths = self.find_depths()
        #: The same by the equations that give these states their values.
        self.raised = {case.final[name]: kind for name, kind in self.lowest.items() if name in self.depths}
        self.kinds: dict[str, Kind] = {"g": Kind.ELEMENT, "theta": Kind.ELEMENT, "t": Kind.STEP}
        self.kinds |= dict.fromkeys(("size", "rank", "rows", "columns"), Kind.TENSOR)
        self.kinds |= {h.name: Kind.STEP if h.varies else Kind.CONSTANT for h in rule.hyperparameters}
        self.kinds |= {i.name: i.kind for i in rule.inputs}
        #: While kinds are being found, a state's may still be too low for a fold of it to make sense.
        self.settling = False
        self.infer()

    def fail(self, node: Node, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(node.span), hint)

    def find_depths(self) -> dict[str, int]:
        """How many earlier values of each state are read."""
        depths: dict[str, int] = {}
        for equation in self.case.equations:
            for part in walk(equation.value):
                if isinstance(part, Timed) and part.lag > 0:
                    if part.name == "theta" and part.lag > 1:
                        raise SpecError(
                            "only theta[t-1] is kept",
                            equation.source.location(part.span),
                            "store it: theta_last[t] = theta[t-1]",
                        )
                    depths[part.name] = max(depths.get(part.name, 0), part.lag)
        return depths

    def infer(self) -> None:
        """Find the kind of every equation and state, and check each fold and branch."""
        for name in self.depths:
            if name != "theta":
                self.kinds[name] = self.lowest.get(name, Kind.STEP)
                if name in self.rule.initial:
                    self.expect(self.rule.initial[name], condition=False)
                    self.kinds[name] = join(self.kinds[name], self.kind(self.rule.initial[name]))
        values = {equation.name: equation for equation in self.case.equations}
        self.settling = True
        while self.raise_kinds(values):
            pass
        self.settling = False
        self.raise_kinds(values)
        for name, equation_name in self.case.final.items():
            wanted = self.kinds.get(name, self.kinds[equation_name])
            if self.kinds[equation_name] is not wanted:
                raise self.misfit(name, values[equation_name])

    def raise_kinds(self, values: dict[str, Equation]) -> bool:
        """Work out every equation's kind, then the states'; whether a state's is higher than before."""
        changed = False
        for equation in self.case.equations:
            self.source = equation.source
            kind = self.value_kind(equation)
            self.kinds[equation.name] = join(kind, self.raised[equation.name]) if equation.name in self.raised else kind
        for name, equation_name in self.case.final.items():
            if name not in self.depths or name == "theta":
                continue
            try:
                kind = join(self.kinds[name], self.kinds[equation_name])
            except KindMismatch:
                raise self.misfit(name, values[equation_name]) from None
            changed |= kind is not self.kinds[name]
            self.kinds[name] = kind
        return changed

    def misfit(self, name: str, equation: Equation) -> SpecError:
        """An equation that gives a state, or the parameter, numbers of another kind than it has."""
        self.source = equation.source
        kinds = SPOKEN[self.kinds[name]], SPOKEN[self.kinds[equation.name]]
        return self.fail(equation.value, f"'{name}[t]' is {kinds[0]}, but this is {kinds[1]}")

    def value_kind(self, equation: Equation) -> Kind:
        kind = self.kind(equation.value)
        if equation.branch and isinstance(equation.value, Call) and not self.lowest:
            condition = equation.value.arguments[0]
            if not self.kind(condition).is_per_step:
                raise self.fail(
                    condition,
                    f"a branch on {SPOKEN[self.kind(condition)]}",
                    "'if' may test options, shapes and the step; write where(...)",
                )
        if _is_condition(equation.value):
            raise self.fail(equation.value, "a condition is not a number", "write where(condition, 1, 0)")
        return join(kind, Kind.STEP) if kind is Kind.CONSTANT and equation.name in self.case.final.values() else kind

    def kind(self, node: Node) -> Kind:
        """The kind of a node; raises where kinds do not fit."""
        return folded(node, self.kind_of)

    def kind_of(self, node: Node, kinds: tuple[Kind, ...]) -> Kind:
        """The kind of a node, from those of the nodes below it."""
        match node:
            case Number():
                return Kind.CONSTANT
            case Name(name=name) | Timed(name=name):
                return self.kinds[name]
            case Unary(operator=operator, operand=operand):
                self.expect(operand, condition=operator == "not")
                return kinds[0]
            case Binary() | Compare() | Logical():
                for side in (node.left, node.right):
                    self.expect(side, condition=isinstance(node, Logical))
                return self.joined(node, kinds)
            case Call(arguments=arguments) if is_reduction(node):
                for argument in arguments:
                    self.expect(argument, condition=False)
                return self.reduction_kind(node, kinds)
            case Call(function=function, arguments=arguments):
                for position, argument in enumerate(arguments):
                    self.expect(argument, condition=function == "where" and position == 0)
                return self.joined(node, kinds) if function != "every" else self.every_kind(node, kinds[0])
        raise TypeError(f"no kind for {type(node).__name__}")

    def every_kind(self, node: Call, count: Kind) -> Kind:
        if not count.is_per_step and not self.lowest:
            raise self.fail(node, f"'every' counts steps, and this is {SPOKEN[count]}")
        return join(Kind.STEP, count)

    def expect(self, node: Node, condition: bool) -> None:
        if condition and not _is_condition(node):
            raise self.fail(node, "this is a number, not a condition", "compare it: x > 0")
        if not condition and _is_condition(node):
            raise self.fail(node, "this is a condition, not a number", "write where(condition, 1, 0)")

    def joined(self, node: Node, kinds: tuple[Kind, ...]) -> Kind:
        """Join the kinds below a node."""
        kind = kinds[0]
        for other in kinds[1:]:
            try:
                kind = join(kind, other)
            except KindMismatch:
                raise self.fail(
                    node,
                    f"{SPOKEN[kind]} and {SPOKEN[other]} do not fit together",
                    "reduce the vectors per axis first: min(..., over=axes)",
                ) from None
        return kind

    def reduction_kind(self, node: Call, kinds: tuple[Kind, ...]) -> Kind:
        kind = self.joined(node, kinds)
        over = self.extent(node, kind)
        try:
            return reduced(kind, over)
        except KindMismatch:
            if self.settling and kind.is_scalar:
                return kind
            fitting = reducible(kind)
            hint = f"write over={' or '.join(fitting)}" if fitting else "it is not one of many"
            where = f" over {over}" if node.over else ""
            raise self.fail(node, f"'{node.function}' cannot reduce {SPOKEN[kind]}{where}", hint) from None

    def extent(self, node: Call, kind: Kind) -> str:
        if node.function == "mean" and node.over in ("other_axes", "axes"):
            raise self.fail(node, f"'mean' has no form over {node.over}", "write sum(...) and divide")
        return node.over or "tensor"


def is_reduction(node: Call) -> bool:
    """Whether a call folds values: `max` of one value does, of two it does not."""
    return reduces(node.function, len(node.arguments))


def _is_condition(node: Node) -> bool:
    match node:
        case Compare() | Logical():
            return True
        case Unary(operator=operator):
            return operator == "not"
        case Call(function=function):
            return function == "every"
    return False
