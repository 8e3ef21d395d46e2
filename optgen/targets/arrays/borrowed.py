"""Results of array functions that may be one of their arguments, or hold fewer numbers than are kept of them."""

from __future__ import annotations

from optgen.compiler.operations import Where
from optgen.compiler.program import Definition, Program, Reduce, expression_kind


def borrowed(program: Program) -> tuple[str, ...]:
    """The outputs of a step that the runtime has to spread, or copy, before anything is written in place.

    Arithmetic makes arrays of its own. A name stands for what it names; a reduction that has nothing to reduce, and a
    `where` whose condition is a number of the step, give their operand.
    """
    by_name = {definition.name: definition for definition in program.definitions}
    kinds = program.kinds

    def is_borrowed(definition: Definition) -> bool:
        value = definition.value
        if isinstance(value, Reduce | Where) or not value.args:
            return True
        # A single number may be one of Python's, computed from shapes alone.
        return definition.kind.is_scalar or expression_kind(value, kinds) is not definition.kind

    return tuple(name for name in program.outputs if name not in by_name or is_borrowed(by_name[name]))
