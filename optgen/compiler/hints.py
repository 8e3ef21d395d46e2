"""Hints for the author of a spec about a name that has no value where it is read."""

from __future__ import annotations

from collections.abc import Iterable

from optgen.contract.choice import Choice, default_choice
from optgen.language.model import Spec
from optgen.language.syntax import Logical, Name, Node, Statement, Unary, as_written, assignments, walk


class Hints:
    """Looks through a spec, under one choice of its options, for the reason of a mistake."""

    def __init__(self, spec: Spec, choice: Choice) -> None:
        self.spec = spec
        self.choice = choice
        self._cases: dict[str, dict[str, None]] = {}  # of a name: where it was left without a value, in order

    def leave_out(self, condition: Node, holds: bool, left_out: Iterable[Statement]) -> None:
        """Note what a branch on a shape or a step would have given a value, and when it does not."""
        for assign in assignments(tuple(left_out)):
            self.leave_unset(condition, holds, assign.target.name)

    def leave_unset(self, condition: Node, holds: bool, name: str) -> None:
        """Note that a name has no value where a condition holds, or where it does not."""
        while isinstance(condition, Unary):
            condition, holds = condition.operand, not holds
        text = as_written(condition)
        if not holds:
            text = f"not ({text})" if isinstance(condition, Logical) else f"not {text}"
        self._cases.setdefault(name, {})[text] = None

    def in_case(self, name: str) -> str:
        """In which case a name is without a value, as a hint: of a shape, of a step, or of options."""
        cases = self._cases.get(name)
        if not cases:
            return self.under_choice()
        changed = "" if self.choice == default_choice(self.spec) else f"{self.under_choice()}, "
        again = "in an else" if list(cases)[-1].startswith("not ") else "there as well"
        return f"{changed}where {' and '.join(cases)}; give it a value {again}"

    def under_choice(self) -> str:
        """Which options are in force, as a hint."""
        base = default_choice(self.spec)
        changed = [
            f"{n} = {str(v).lower() if isinstance(v, bool) else v}"
            for n, v in self.choice.options
            if v != base.option(n)
        ]
        for name in sorted(h.name for h in self.spec.own_hyperparameters if h.optional):
            if (name in self.choice.present) is not (name in base.present):
                changed.append(f"{name} {'given' if name in self.choice.present else 'absent'}")
        return f"with {', '.join(changed)}" if changed else "with the default options"

    def why_unset(self, name: str, target: str, line: int) -> str:
        """A hint about a name that has no value where `target` is assigned, on `line`."""
        later = [a for a in assignments(self.spec.body) if isinstance(a.target, Name) and a.target.name == name]
        if name == target:
            return f"to keep it from step to step: {name}[t] = ... {name}[t-1]"
        if target in self._needs(a.value for a in later):
            return f"'{target}' and '{name}' need each other: let one read the other's value at [t-1]"
        if all(a.target.span.line > line for a in later):
            return f"move line {later[0].target.span.line} up"
        return self.in_case(name)

    def for_always_there(self, name: str) -> str:
        """A hint for an `if` that tests a hyperparameter or an input without which no rule is built."""
        if name not in {h.name for h in self.spec.hyperparameters}:
            return "only an option or an optional hyperparameter can be tested"
        declared = f"declare it as {name}=None and give the value when building"
        if not self.spec.source.path.startswith("<"):
            declared = "declare it with optional = true or absent = 0"
        return f"leave the 'if' out, or {declared}"

    def _needs(self, values: Iterable[Node]) -> set[str]:
        """The names without steps that values are computed from, however indirectly."""
        given: dict[str, list[Node]] = {}
        for assign in assignments(self.spec.body):
            if isinstance(assign.target, Name):
                given.setdefault(assign.target.name, []).append(assign.value)
        found: set[str] = set()
        pending = list(values)
        while pending:
            for part in walk(pending.pop()):
                if isinstance(part, Name) and part.name in given and part.name not in found:
                    found.add(part.name)
                    pending += given[part.name]
        return found
