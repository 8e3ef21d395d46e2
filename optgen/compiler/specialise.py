"""Spec × choice of options → straight-line rule.

Options are decided, loops unrolled, a wrapped optimizer's equations put in place, and every value gets one name for
good (single assignment). A branch on the step becomes `where`. A branch on a tensor's shape splits the rule into
cases, of which each tensor takes the one that fits it.
"""

from __future__ import annotations

from dataclasses import replace

from optgen.compiler.initial_values import check_initial
from optgen.compiler.rule import Case, Rule
from optgen.compiler.unroll import UndecidedShape, Unroller
from optgen.contract.choice import Choice
from optgen.errors import SpecError
from optgen.language.functions import MATRIX_AXES_OPTION
from optgen.language.model import Spec
from optgen.language.syntax import (
    Assign,
    Name,
    Node,
    is_initial,
    renamed,
    walk,
)

MAX_CASES = 8


def specialise(spec: Spec, choice: Choice, wrapped: Rule | None = None) -> Rule:
    """The rule that a spec states for one choice of its options.

    Args:
        spec: the optimizer.
        choice: its options.
        wrapped: the rule of the optimizer that it wraps, for a spec that wraps one.

    Raises:
        SpecError: a name has no value under this choice, or the rule grows too large.
    """
    if spec.wraps and wrapped is None:
        raise ValueError(f"{spec.name} wraps an optimizer, and none was given")
    cases: list[Case] = []
    pending: list[tuple[tuple[Node, bool], ...]] = [()]
    while pending:
        assumed = pending.pop()
        try:
            cases.append(Unroller(spec, choice, wrapped, assumed).case())
        except UndecidedShape as undecided:
            if len(pending) + len(cases) >= MAX_CASES:
                where = spec.source.location(undecided.condition.span)
                raise SpecError("too many conditions on the shape", where) from None
            pending += [(*assumed, (undecided.condition, False)), (*assumed, (undecided.condition, True))]
    states = {state for case in cases for state in case.final}
    initial: dict[str, Node] = {}
    hyperparameters, inputs = list(spec.hyperparameters), list(spec.inputs)
    if wrapped is not None:
        own = {h.name for h in hyperparameters}
        theirs = {h.name: spec.wrapped_name(h.name) for h in wrapped.hyperparameters}
        hyperparameters += [
            replace(h, name=theirs[h.name]) for h in wrapped.hyperparameters if theirs[h.name] not in own
        ]
        inputs += [replace(i, name=f"{spec.wraps}_{i.name}") for i in wrapped.inputs]
        for state, value in wrapped.initial.items():
            if (name := f"{spec.wraps}_{state}") in states:
                initial[name] = renamed(value, lambda n: theirs.get(n, n))
    unroller = Unroller(spec, choice, wrapped, ())
    for statement in spec.body:
        if isinstance(statement, Assign) and is_initial(statement.target):
            check_initial(spec, statement.value)
            if statement.target.name in states:
                initial[statement.target.name] = unroller.initial_value(statement.value)
    used = {n.name for c in cases for e in c.equations for n in walk(e.value) if isinstance(n, Name)}
    used |= {n.name for value in initial.values() for n in walk(value) if isinstance(n, Name)}
    return Rule(
        name=spec.name,
        hyperparameters=tuple(h for h in hyperparameters if h.name in used),
        inputs=tuple(i for i in inputs if i.name in used),
        cases=tuple(sorted(cases, key=lambda case: [not holds for _, holds in case.conditions])),
        initial=initial,
        source=spec.source,
        matrix_axes=_matrix_axes(choice, wrapped),
    )


def _matrix_axes(choice: Choice, wrapped: Rule | None) -> str:
    chosen = dict(choice.options).get(MATRIX_AXES_OPTION)
    return str(chosen) if chosen is not None else wrapped.matrix_axes if wrapped is not None else "last"
