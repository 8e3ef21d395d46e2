"""What must hold of a spec's equations whatever its options are set to."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from optgen.errors import SpecError
from optgen.spec.language import EXTENTS, FUNCTIONS, REDUCTIONS, SHAPE_NAMES
from optgen.spec.model import Spec
from optgen.spec.source import Span
from optgen.spec.syntax import (
    Assign,
    Call,
    Compare,
    For,
    If,
    Indexed,
    Logical,
    Name,
    Node,
    Number,
    Statement,
    Text,
    Unary,
    assignments,
    children,
    expressions,
    walk,
)


def check_spec(spec: Spec) -> None:
    """Refuse what no choice of options can make right.

    Raises:
        SpecError: on the first mistake found.
    """
    _check_declarations(spec)
    _check_double_assignment(spec, spec.body, set())
    _check_targets(spec)
    _check_names(spec, spec.body, frozenset())
    _check_used(spec)


def _fail(spec: Spec, span: Span, message: str, hint: str = "") -> SpecError:
    return SpecError(message, spec.source.location(span), hint)


def _check_declarations(spec: Spec) -> None:
    tables = {"hyperparameters": spec.hyperparameters, "options": spec.options, "inputs": spec.inputs}
    seen: dict[str, str] = {}
    for table, entries in tables.items():
        for entry in entries:
            if entry.name in seen:
                raise _fail(
                    spec,
                    spec.source.find(table, entry.name),
                    f"'{entry.name}' is declared in [{seen[entry.name]}] and in [{table}]",
                )
            seen[entry.name] = table
    for option in spec.options:
        if option.requires and option.requires not in seen:
            raise _fail(
                spec,
                spec.source.find("options", option.name, "requires"),
                f"'{option.requires}' is neither hyperparameter nor option",
            )


def _key(target: Name | Indexed) -> str:
    """What an assignment defines: a name, a state, its initial value, or a loop's element."""
    if isinstance(target, Name):
        return target.name
    match target.index:
        case Name(name="t"):
            return f"{target.name}[t]"
        case Number(value=0):
            return f"{target.name}[0]"
    return f"{target.name}[...]"


def _check_double_assignment(spec: Spec, block: tuple[Statement, ...], outer: set[str]) -> set[str]:
    """A name has one value; only a branch or a loop may give it another. Returns what the block assigns."""
    here: set[str] = set()
    for statement in block:
        match statement:
            case Assign(target=target):
                key = _key(target)
                if key in here:
                    raise _fail(
                        spec,
                        target.span,
                        f"'{key}' is given a second value",
                        "only an 'if' or 'for' may change a value; use another name",
                    )
                here.add(key)
            case If(then=then, otherwise=otherwise):
                here |= _check_double_assignment(spec, then, here)
                here |= _check_double_assignment(spec, otherwise, here)
            case For(body=body):
                here |= _check_double_assignment(spec, body, here)
    return here


def _check_targets(spec: Spec) -> None:
    fixed = {h.name: "a hyperparameter" for h in spec.hyperparameters}
    fixed |= {o.name: "an option" for o in spec.options} | {i.name: "an input" for i in spec.inputs}
    fixed |= dict.fromkeys((*FUNCTIONS, *REDUCTIONS, *EXTENTS, *SHAPE_NAMES, "range"), "a word of the language")
    fixed["t"] = "the step"
    initial_level = {id(statement) for statement in spec.body}
    found_theta = False
    kinds: dict[str, str] = {}
    for assign in assignments(spec.body):
        target = assign.target
        if target.name in fixed:
            raise _fail(spec, target.span, f"'{target.name}' is {fixed[target.name]} and cannot be assigned")
        if target.name == spec.wraps:
            raise _fail(spec, target.span, f"'{target.name}' is the wrapped optimizer and cannot be assigned")
        key = _key(target)
        found_theta |= key == "theta[t]"
        if target.name == "theta" and key != "theta[t]":
            raise _fail(spec, target.span, "the parameter is assigned as 'theta[t]'")
        if target.name == "g" and key != "g":
            raise _fail(spec, target.span, "the gradient has no index", "store it: g_last[t] = g")
        if key.endswith("[0]") and id(assign) not in initial_level:
            raise _fail(spec, target.span, "an initial value stands outside 'if' and 'for'")
        if isinstance(target, Indexed) and key.endswith("[...]") and _mentions_step(target.index):
            raise _fail(spec, target.span, "only the value at [t] can be assigned", f"write {target.name}[t] = ...")
        kind = "plain" if isinstance(target, Name) else "loop" if key.endswith("[...]") else "state"
        if kinds.setdefault(target.name, kind) != kind:
            raise _fail(
                spec, target.span, f"'{target.name}' is used with and without [t]", "give the two different names"
            )
    if not found_theta:
        last = Span(*spec.source.string_start("equations", "rule"), 1)
        span = spec.source.find("equations", "rule") if spec.source.find("equations").line > 1 else last
        raise _fail(spec, span, "the rule never assigns 'theta[t]'", "end with theta[t] = theta[t-1] - ...")


def _mentions_step(node: Node) -> bool:
    return any(isinstance(part, Name) and part.name == "t" for part in walk(node))


def _check_names(spec: Spec, block: Iterable[Statement], loops: frozenset[str]) -> None:
    assigned = {assign.target.name for assign in assignments(spec.body)}
    for statement in block:
        match statement:
            case Assign(target=target, value=value):
                if isinstance(target, Indexed):
                    _check_index(spec, target, loops)
                _check_value(spec, value, assigned, loops, condition=False)
            case If(condition=condition, then=then, otherwise=otherwise):
                _check_value(spec, condition, assigned, loops, condition=True)
                _check_names(spec, then, loops)
                _check_names(spec, otherwise, loops)
            case For(variable=variable, start=start, stop=stop, step=step, body=body, span=span):
                declared = {h.name for h in spec.hyperparameters} | {o.name for o in spec.options}
                if variable in assigned | declared | {"t", "g", "theta"} | loops:
                    raise _fail(spec, span, f"'{variable}' has another meaning already", "rename the loop variable")
                for bound in (start, stop, step):
                    _check_value(spec, bound, assigned, loops, condition=False)
                _check_names(spec, body, loops | {variable})


def _check_index(spec: Spec, node: Indexed, loops: frozenset[str]) -> None:
    counts = {o.name for o in spec.options if isinstance(o.default, int) and not isinstance(o.default, bool)}
    for part in walk(node.index):
        if isinstance(part, Name) and part.name not in loops | counts | {"t"}:
            raise _fail(spec, part.span, f"'{part.name}' cannot stand in an index", "an index is [t], [t-1] or [0]")
        if not isinstance(part, Name | Number | Unary) and not (
            hasattr(part, "operator") and part.operator in ("+", "-")
        ):
            raise _fail(spec, part.span, "an index is [t], [t-1] or [0]")


def _check_value(spec: Spec, node: Node, assigned: set[str], loops: frozenset[str], condition: bool) -> None:
    hyperparameters = {h.name: h for h in spec.hyperparameters}
    options = {o.name: o for o in spec.options}
    known = assigned | set(hyperparameters) | set(options) | {i.name for i in spec.inputs} | loops
    known |= {"theta", "g", "t", *SHAPE_NAMES}
    match node:
        case Name(name=name, span=span):
            if name not in known:
                raise _unknown_name(spec, span, name, known)
            if name in options and not condition:
                option = options[name]
                if isinstance(option.default, bool) or option.choices:
                    raise _fail(spec, span, f"option '{name}' is not a number", f"write 'if {name}:'")
            if name == "theta":
                raise _fail(spec, span, "the parameter needs its step", "write theta[t-1]")
            states = {a.target.name for a in assignments(spec.body) if _key(a.target).endswith("[t]")}
            if name in states and not condition:
                raise _fail(spec, span, f"state '{name}' needs its step", f"write {name}[t-1] or {name}[t]")
        case Indexed(name=name, span=span):
            _check_index(spec, node, loops)
            if name in hyperparameters or name in options or name in ("g", "t", *SHAPE_NAMES):
                raise _fail(spec, span, f"'{name}' has no steps", f"write {name}")
            if name not in known:
                raise _unknown_name(spec, span, name, known)
        case Compare(left=Name(name=name) as left, right=Text(value=word) as right) if name in options:
            option = options[name]
            if not option.choices:
                raise _fail(spec, left.span, f"option '{name}' has no choices", f"write 'if {name}:'")
            if word not in option.choices:
                raise _fail(
                    spec, right.span, f"'{word}' is not a choice of '{name}'", f"known: {', '.join(option.choices)}"
                )
        case Compare(left=Text(span=span)) | Compare(right=Text(span=span)):
            raise _fail(spec, span, "a quoted word is compared with an option", "write 'option == \"word\"'")
        case Logical() | Unary(operator="not"):
            for child in children(node):
                _check_value(spec, child, assigned, loops, condition)
        case Call(function=function, arguments=arguments) if function == "where":
            _check_value(spec, arguments[0], assigned, loops, condition=False)
            _check_value(spec, arguments[1], assigned, loops, condition=False)
            _check_value(spec, arguments[2], assigned, loops, condition=False)
        case _:
            for child in children(node):
                _check_value(spec, child, assigned, loops, condition=False)


def _unknown_name(spec: Spec, span: Span, name: str, known: set[str]) -> SpecError:
    close = get_close_matches(name, sorted(known), 1)
    hint = f"did you mean '{close[0]}'?" if close else "declare it in [hyperparameters] or give it a value"
    return _fail(spec, span, f"unknown name '{name}'", hint)


def _check_used(spec: Spec) -> None:
    used = {
        part.name
        for expression in expressions(spec.body)
        for part in walk(expression)
        if isinstance(part, Name | Indexed)
    }
    called = {
        part.function for e in expressions(spec.body) for part in walk(e) if isinstance(part, Call)
    }
    tables = {"hyperparameters": spec.hyperparameters, "options": spec.options, "inputs": spec.inputs}
    for table, entries in tables.items():
        for entry in entries:
            if entry.name not in used:
                what = {"hyperparameters": "hyperparameter", "options": "option", "inputs": "input"}[table]
                raise _fail(
                    spec, spec.source.find(table, entry.name), f"{what} '{entry.name}' is never used", "remove it"
                )
    if spec.wraps and spec.wraps not in called:
        raise _fail(
            spec, spec.source.find("optimizer", "wraps"), f"'{spec.wraps}' is never called", f"write {spec.wraps}(g)"
        )
    assigned = {a.target.name for a in assignments(spec.body)}
    for state in spec.states:
        if state.name not in assigned:
            raise _fail(spec, spec.source.find("states", state.name), f"no equation assigns state '{state.name}'")
