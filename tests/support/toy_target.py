"""A target for tests: rules on single numbers, in plain Python. It shows all that a target needs."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.compiler.program import Definition, Reduce
from optgen.contract.kinds import Kind
from optgen.targets.code import CompiledOptimizer, UnsupportedByTarget
from optgen.targets.printer import ExpressionPrinter
from optgen.targets.target import Target


class ToyPrinter(ExpressionPrinter):
    """Python's own arithmetic."""

    functions: Mapping[str, str] = {
        "abs": "abs",
        "exp": "math.exp",
        "expm1": "math.expm1",
        "log": "math.log",
        "sqrt": "math.sqrt",
    }
    logical: Mapping[str, str] = {"and": "and", "or": "or", "not": "not "}


class ToyTarget:
    """Emits one function for each variant, of a number, its gradient and its states."""

    name = "toy"
    source = "toy.py"
    has_kernels = False

    def emit(self, optimizer: CompiledOptimizer) -> Mapping[str, str]:
        """See `Target.emit`."""
        lines = ["import math"]
        for variant in optimizer.variants:
            if len(variant.cases) > 1:
                raise UnsupportedByTarget("the toy target has one case for all shapes")
            program = variant.cases[0].program
            states = [state.name for state in program.states]
            names = ["theta", "g", "t", *states, *(h.name for h in program.hyperparameters)]
            results = [*(state.new for state in program.states), program.result]
            lines += [f"def {variant.name}({', '.join(names)}):"]
            lines += [f"    {line}" for line in map(self.line, program.definitions)]
            lines += [f"    return {', '.join(results)}"]
        return {self.source: "\n".join(lines) + "\n"}

    def line(self, definition: Definition) -> str:
        """A definition as an assignment."""
        if isinstance(definition.value, Reduce) or definition.kind not in (Kind.CONSTANT, Kind.STEP, Kind.ELEMENT):
            raise UnsupportedByTarget("the toy target has no reductions")
        return f"{definition.name} = {ToyPrinter().text(definition.value)}"


TOY: Target = ToyTarget()
