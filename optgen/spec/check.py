"""What must hold of a spec's equations whatever its options are set to."""

from __future__ import annotations

from collections.abc import Iterable

from optgen.errors import SpecError
from optgen.spec.language import MATRIX_AXES, MATRIX_AXES_OPTION, RESERVED, SHAPE_NAMES
from optgen.spec.model import SHARED_WITH_WRAPPED, Spec, spelling
from optgen.spec.source import Span
from optgen.spec.state_layouts import unassigned_field
from optgen.spec.syntax import (
    Assign,
    Binary,
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
from optgen.suggestions import nearest

#: What newcomers and other libraries call the gradient, the parameter, the step and sizes.
_OTHER_NAMES = dict.fromkeys(("grad", "grads", "gradient", "gradients"), "the gradient is g")
_OTHER_NAMES |= dict.fromkeys(
    ("param", "params", "parameter", "parameters", "weight", "weights", "w", "p", "x"), "the parameter is theta[t-1]"
)
_OTHER_NAMES |= dict.fromkeys(("step", "steps", "iteration", "iterations"), "the step is t, counted from 1")
_OTHER_NAMES |= dict.fromkeys(("ndim", "ndims", "dim", "dims"), "the number of axes is rank")
_OTHER_NAMES |= dict.fromkeys(("numel", "nelement"), "the number of elements is size")


def check_spec(spec: Spec, defined: bool = False) -> None:
    """Refuse what no choice of options can make right.

    Args:
        spec: what was read.
        defined: whether it came from `optgen.define`, so that its names are declared by arguments.

    Raises:
        SpecError: on the first mistake found.
    """
    check = _Check(spec, defined)
    check.declarations()
    check.double_assignments(spec.body)
    check.targets()
    check.block(spec.body, frozenset())
    check.everything_is_used()


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


class _Check:
    """The checks of one spec; a class only so that what they all look up is gathered once."""

    def __init__(self, spec: Spec, defined: bool) -> None:
        self.spec = spec
        self.defined = defined
        self.hyperparameters = {h.name: h for h in spec.hyperparameters}
        self.options = {o.name: o for o in spec.options}
        self.inputs = {i.name for i in spec.inputs}
        self.declared = {*self.hyperparameters, *self.options, *self.inputs}
        targets = [assign.target for assign in assignments(spec.body)]
        self.assigned = {target.name for target in targets}
        self.keys = {_key(target) for target in targets}
        self.known = self.declared | self.assigned | {"theta", "g", "t", *SHAPE_NAMES}
        self.seen: set[str] = set()  # names without a step that lines above give a value
        self.counts = {o.name for o in spec.options if isinstance(o.default, int) and not isinstance(o.default, bool)}

    def fail(self, span: Span, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.spec.source.location(span), hint)

    def tables(self) -> dict[str, tuple[str, ...]]:
        """The tables that declare names, and the names."""
        return {
            "hyperparameters": tuple(self.hyperparameters),
            "options": tuple(self.options),
            "inputs": tuple(i.name for i in self.spec.inputs),
        }

    def declarations(self) -> None:
        source = self.spec.source
        seen: dict[str, str] = {}
        for table, names in self.tables().items():
            for name in names:
                if name in seen:
                    raise self.fail(
                        source.find(table, name),
                        f"'{name}' is declared in [{seen[name]}] and in [{table}]",
                        "rename one of them",
                    )
                seen[name] = table
                self.apart_from_wrapped(source.find(table, name), name)
        for option in self.spec.options:
            self.requirement(option.name, option.requires)
            if option.name == MATRIX_AXES_OPTION and set(option.choices) != set(MATRIX_AXES):
                choices = ", ".join(f'"{word}"' for word in MATRIX_AXES)
                hint = f"write choices = [{choices}]"
                raise self.fail(
                    source.find("options", option.name), f"'{option.name}' has a meaning in the language", hint
                )
        if self.spec.wraps in self.known | RESERVED:
            raise self.fail(
                source.value("optimizer", "wraps"), f"'{self.spec.wraps}' has a meaning already", "choose another name"
            )

    def apart_from_wrapped(self, span: Span, name: str) -> None:
        if self.spec.wraps and name == SHARED_WITH_WRAPPED and name not in self.hyperparameters:
            raise self.fail(
                span,
                f"'{name}' is the learning rate of the wrapped optimizer",
                "choose another name, or declare it as a hyperparameter of both",
            )
        if self.spec.wraps and name.startswith(f"{self.spec.wraps}_"):
            raise self.fail(
                span,
                f"'{name}' starts with '{self.spec.wraps}_', as names of the wrapped optimizer do",
                "choose another name",
            )

    def requirement(self, option: str, required: str) -> None:
        if not required:
            return
        span = self.spec.source.value("options", option, "requires")
        switches = {o.name for o in self.spec.options if isinstance(o.default, bool)} - {option}
        optional = {h.name for h in self.spec.hyperparameters if h.optional}
        if required in self.hyperparameters and required not in optional:
            raise self.fail(span, f"'{required}' is always there", "require a switch or an optional hyperparameter")
        if required not in switches | optional:
            known = ", ".join(sorted(switches | optional))
            raise self.fail(
                span, f"'{required}' is no other switch, nor an optional hyperparameter", known and f"known: {known}"
            )

    def double_assignments(self, block: tuple[Statement, ...]) -> set[str]:
        """A name has one value; only a branch or a loop may give it another. Returns what the block assigns."""
        here: dict[str, int] = {}
        for statement in block:
            match statement:
                case Assign(target=target):
                    key = _key(target)
                    if key in here:
                        raise self.fail(
                            target.span,
                            f"'{key}' is given a second value; the first stands on line {here[key]}",
                            "only 'if' and 'for' change a value; use another name",
                        )
                    here[key] = target.span.line
                case If(then=then, otherwise=otherwise):
                    inner = self.double_assignments(then) | self.double_assignments(otherwise)
                    # What a branch changes may be changed again after it, by another branch only.
                    here |= {key: statement.span.line for key in inner if key not in here}
                case For(body=body):
                    inner = self.double_assignments(body)
                    here |= {key: statement.span.line for key in inner if key not in here}
        return set(here)

    def targets(self) -> None:
        fixed = dict.fromkeys(RESERVED, "a word of the language")
        fixed |= dict.fromkeys(self.hyperparameters, "a hyperparameter") | dict.fromkeys(self.options, "an option")
        fixed |= dict.fromkeys(self.inputs, "an input") | {"t": "the step", self.spec.wraps: "the wrapped optimizer"}
        for name in ("g", "theta"):
            del fixed[name]
        outermost = {id(statement) for statement in self.spec.body}
        forms: dict[str, str] = {}
        for assign in assignments(self.spec.body):
            target, key = assign.target, _key(assign.target)
            if target.name in fixed:
                raise self.fail(
                    target.span, f"'{target.name}' is {fixed[target.name]} and cannot be assigned", "use another name"
                )
            self.apart_from_wrapped(target.span, target.name)
            if target.name == "theta" and key != "theta[t]":
                raise self.fail(target.span, "the parameter is assigned as 'theta[t]'", "write theta[t] = ...")
            if target.name == "g" and key != "g":
                raise self.fail(target.span, "the gradient has no steps", "to keep it: g_last[t] = g")
            if key.endswith("[0]") and id(assign) not in outermost:
                raise self.fail(target.span, "an initial value stands outside 'if' and 'for'", "move it to the top")
            if isinstance(target, Indexed) and key.endswith("[...]") and _mentions_step(target.index):
                raise self.fail(target.span, "only the value at [t] can be assigned", f"write {target.name}[t] = ...")
            form = "plain" if isinstance(target, Name) else "loop" if key.endswith("[...]") else "state"
            if forms.setdefault(target.name, form) != form:
                raise self.fail(target.span, f"'{target.name}' is used with and without [t]", "use two different names")
            if key.endswith("[0]") and f"{target.name}[t]" not in self.keys:
                raise self.fail(
                    target.span,
                    f"'{target.name}' has an initial value, but '{target.name}[t]' is never assigned",
                    f"add {target.name}[t] = ...",
                )
        if "theta[t]" not in self.keys:
            table = self.spec.source.find("equations", "rule")
            raise self.fail(table, "the rule never assigns 'theta[t]'", "end with theta[t] = theta[t-1] - ...")

    def block(self, block: Iterable[Statement], loops: frozenset[str]) -> None:
        for statement in block:
            match statement:
                case Assign(target=target, value=value):
                    if isinstance(target, Indexed):
                        self.index(target, loops)
                    else:
                        self.not_itself(target.name, value)
                    self.value(value, loops)
                case If(condition=condition, then=then, otherwise=otherwise):
                    self.value(condition, loops, condition=True)
                    self.block(then, loops)
                    self.block(otherwise, loops)
                case For(variable=variable, start=start, stop=stop, step=step, body=body, span=span):
                    if variable in self.known | RESERVED | loops:
                        raise self.fail(span, f"'{variable}' has another meaning already", "rename the loop variable")
                    for bound in (start, stop, step):
                        self.value(bound, loops)
                    self.block(body, loops | {variable})

    def not_itself(self, name: str, value: Node) -> None:
        """The first value of a name is not computed from itself; most likely it should have been a state."""
        if name not in self.seen and name != "g":
            for part in walk(value):
                match part:
                    case Name(name=read) if read == name:
                        message = f"'{name}' has no value yet"
                    case Indexed(name=read, index=index) if read == name and _mentions_step(index):
                        message = f"'{name}' is read at a step, but '{name}[t]' is never assigned"
                    case _:
                        continue
                raise self.fail(part.span, message, f"to keep it from step to step: {name}[t] = ... {name}[t-1]")
        self.seen.add(name)

    def index(self, node: Indexed, loops: frozenset[str]) -> None:
        allowed = loops | self.counts | {"t"}
        hint = "an index is [t], [t-1] or [0]"
        for part in walk(node.index):
            match part:
                case Name(name=name) if name not in allowed:
                    raise self.fail(part.span, f"'{name}' cannot stand in an index", hint)
                case Number(value=value) if not isinstance(value, int):
                    raise self.fail(part.span, "a step is a whole number", hint)
                case Name() | Number() | Unary(operator="-") | Binary(operator="+" | "-"):
                    pass
                case _:
                    raise self.fail(part.span, "this cannot stand in an index", hint)

    def value(self, node: Node, loops: frozenset[str], condition: bool = False) -> None:
        pending = [(node, condition)]
        while pending:
            here, is_condition = pending.pop()
            below = self.node(here, loops, is_condition)
            is_condition = is_condition and (isinstance(here, Logical) or _is_not(here))
            pending.extend((child, is_condition) for child in reversed(below))

    def node(self, node: Node, loops: frozenset[str], condition: bool) -> tuple[Node, ...]:
        """Check one node by itself; returns what below it is still to be checked."""
        match node:
            case Name():
                self.name(node, loops, condition)
                return ()
            case Indexed():
                self.indexed(node, loops)
                return ()
            case Compare(operator=operator, left=Name(name=name) as left, right=Text(value=word) as right) if (
                name in self.options
            ):
                choices = self.options[name].choices
                if not choices:
                    raise self.fail(left.span, f"option '{name}' has no choices", f"write 'if {name}:'")
                if word not in choices:
                    raise self.fail(right.span, f"'{word}' is no choice of '{name}'", f"known: {', '.join(choices)}")
                if operator not in ("==", "!="):
                    raise self.fail(node.span, "choices have no order", "compare them with == or !=")
                return ()
            case Compare(left=Text(span=span)) | Compare(right=Text(span=span)) | Text(span=span):
                raise self.fail(span, "only an option is compared with a quoted word", 'write option == "word"')
            case Call(function="every", arguments=(Unary() | Number(value=float() | 0) as count,)):
                raise self.fail(count.span, "'every' counts whole steps", "write every(n) with n of 1 or more")
        return children(node)

    def name(self, node: Name, loops: frozenset[str], condition: bool) -> None:
        name, span = node.name, node.span
        if name not in self.known and name not in loops:
            raise self.unknown(span, name, loops)
        if option := self.options.get(name):
            if option.choices and condition:
                hint = f'write {name} == "{option.choices[0]}"'
                raise self.fail(span, f"option '{name}' is one of {', '.join(option.choices)}", hint)
            if not condition and (option.choices or isinstance(option.default, bool)):
                test = f'{name} == "{option.choices[0]}"' if option.choices else name
                raise self.fail(span, f"option '{name}' is not a number", f"write 'if {test}:'")
        if name == "theta":
            raise self.fail(span, "the parameter needs its step", "write theta[t-1]")
        if f"{name}[t]" in self.keys:
            raise self.fail(span, f"state '{name}' needs its step", f"write {name}[t-1] or {name}[t]")
        if f"{name}[...]" in self.keys:
            raise self.fail(span, f"'{name}' needs an index", f"write {name}[0]")

    def indexed(self, node: Indexed, loops: frozenset[str]) -> None:
        name, span = node.name, node.span
        if name in self.declared or name in ("g", "t", *SHAPE_NAMES) or name in loops:
            hint = f"write {name}; to keep it: g_last[t] = g" if name == "g" else f"write {name}"
            raise self.fail(span, f"'{name}' has no steps", hint)
        self.index(node, loops)
        if name not in self.known:
            if nearest(name, sorted(self.known), 0.7) or name in _OTHER_NAMES or not _mentions_step(node.index):
                raise self.unknown(span, name, loops)
            raise self.fail(
                span, f"'{name}' is read at a step, but '{name}[t]' is never assigned", f"add {name}[t] = ..."
            )
        if _mentions_step(node.index) and name != "theta" and f"{name}[t]" not in self.keys:
            raise self.fail(
                span, f"'{name}' is read at a step, but '{name}[t]' is never assigned", f"it is no state; write {name}"
            )

    def unknown(self, span: Span, name: str, loops: frozenset[str]) -> SpecError:
        meant = nearest(name, sorted(self.known | loops), 0.7)
        hint = "declare it in [hyperparameters] or give it a value"
        if self.defined:
            hint = f"write define(..., {name}=...) or give it a value"
        if meant:
            hint = f"did you mean '{meant}'?"
        elif name in _OTHER_NAMES:
            hint = _OTHER_NAMES[name]
        if name in RESERVED:
            hint = f"'{name}' is a function: write {name}(...)"
        return self.fail(span, f"unknown name '{name}'", hint)

    def everything_is_used(self) -> None:
        source, body = self.spec.source, self.spec.body
        parts = [part for expression in expressions(body) for part in walk(expression)]
        # An index may hold a count, and stands on the left as well.
        parts += [part for a in assignments(body) if isinstance(a.target, Indexed) for part in walk(a.target.index)]
        # Which axes are rows and columns is chosen by an option that no equation reads.
        used = {part.name for part in parts if isinstance(part, Name | Indexed)} | {MATRIX_AXES_OPTION}
        for table, names in self.tables().items():
            for name in names:
                if name not in used:
                    what = f"argument '{name}' of define" if self.defined else f"{table[:-1]} '{name}'"
                    raise self.fail(source.find(table, name), f"{what} is never used", "use it or remove it")
        called = {part.function for part in parts if isinstance(part, Call)}
        if self.spec.wraps and self.spec.wraps not in called:
            raise self.fail(
                source.value("optimizer", "wraps"),
                f"'{self.spec.wraps}' is never called",
                f"write {self.spec.wraps}(g)",
            )
        for dialect in self.spec.dialects:
            also = dialect is not spelling(self.spec.dialects, dialect.library)
            table = f"dialect.{dialect.library}" + (f".also.{dialect.name}" if also else "")
            # The states of a wrapped optimizer are not known here.
            for name in () if self.spec.wraps else dialect.states:
                if f"{name}[t]" not in self.keys:
                    raise self.fail(
                        source.find(table, "states", name),
                        f"no equation assigns state '{name}'",
                        f"add {name}[t] = ..., or remove it",
                    )
            if mistake := unassigned_field(self.spec, dialect, self.keys):
                place, name = mistake
                span = source.value(table, *place)
                raise self.fail(span, f"no equation assigns state '{name}'", f"add {name}[t] = ..., or name another")
        for state in self.spec.states:
            if f"{state.name}[t]" not in self.keys:
                raise self.fail(
                    source.find("states", state.name),
                    f"no equation assigns state '{state.name}'",
                    f"add {state.name}[t] = ..., or remove it",
                )


def _is_not(node: Node) -> bool:
    return isinstance(node, Unary) and node.operator == "not"


def _mentions_step(node: Node) -> bool:
    return any(isinstance(part, Name) and part.name == "t" for part in walk(node))
