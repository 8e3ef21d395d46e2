"""The equation language: text in, syntax tree out.

Equations are a whitelisted part of Python's grammar. Their form is checked first (`tokens`, `grammar`), so that all
messages are about equations and none depends on the Python version. `ast.parse` only reads the text; the tree is then
built node by node from a list of what is allowed, so nothing that a spec holds is ever looked up, called or executed.
"""

from __future__ import annotations

import ast
import math
import warnings
from dataclasses import dataclass

from optgen.errors import SpecError
from optgen.language.functions import EXTENTS, FUNCTIONS, LENGTH, reduces
from optgen.language.grammar import check_grammar
from optgen.language.refused_names import name_problem
from optgen.language.source import Source, Span
from optgen.language.syntax import (
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
    height,
    is_initial,
)
from optgen.language.tokens import read_lines
from optgen.suggestions import did_you_mean

#: Functions of torch and numpy that are written otherwise here: how many values they take, and what to write.
_OTHER_FUNCTIONS = {
    **dict.fromkeys(("square", "sqr"), (1, "{}**2")),
    **dict.fromkeys(("pow", "power", "float_power"), (2, "{}**{}")),
    "rsqrt": (1, "1/sqrt({})"),
    "reciprocal": (1, "1/{}"),
    **dict.fromkeys(("neg", "negative"), (1, "-{}")),
    **dict.fromkeys(("absolute", "fabs"), (1, "abs({})")),
    "sgn": (1, "sign({})"),
    **dict.fromkeys(("maximum", "fmax"), (2, "max({}, {})")),
    **dict.fromkeys(("minimum", "fmin"), (2, "min({}, {})")),
    "clamp": (3, "clip({}, {}, {})"),
    "add": (2, "{} + {}"),
    **dict.fromkeys(("sub", "subtract"), (2, "{} - {}")),
    **dict.fromkeys(("mul", "multiply"), (2, "{}*{}")),
    **dict.fromkeys(("div", "divide", "true_divide"), (2, "{}/{}")),
    "log1p": (1, "log(1 + {})"),
    "expm1": (1, "exp({}) - 1"),
    "zeros_like": (1, "0*{}"),
    "ones_like": (1, "0*{} + 1"),
    **dict.fromkeys(("numel", "nelement"), (1, "size")),
    **dict.fromkeys(("ndim", "dim"), (1, "rank")),
}

MAX_NODES = 5000
MAX_DEPTH = 100
#: What cannot be split is shorter: an index, a bound of a loop, a condition of a branch, an initial value.
MAX_SHORT = 50

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.Mod: "%",
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


@dataclass(slots=True)
class _EquationReader:
    """Builds the syntax tree of one text; holds what is needed to say where a node stands."""

    source: Source
    lines: list[str]
    first_line: int
    first_column: int
    wrapped: str
    added_lines: int
    lists: bool
    nodes: int = 0

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> Span:
        """Where a node stands in the file; one that runs over several lines is shown by its first."""
        number = node.lineno - 1 - self.added_lines
        text = self.lines[number]
        start = _characters(text, node.col_offset)
        ends_here = node.end_lineno == node.lineno
        end = _characters(text, node.end_col_offset or 0) if ends_here else len(text.split("#")[0].rstrip())
        column = start + 1 + (self.first_column if number == 0 else 0)
        return Span(self.first_line + number, column, max(1, end - start))

    def fail(self, node: ast.expr | ast.stmt | ast.keyword, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(self.span(node)), hint)

    def block(self, body: list[ast.stmt]) -> tuple[Statement, ...]:
        return tuple(self.statement(statement) for statement in body)

    def statement(self, node: ast.stmt) -> Statement:
        match node:
            case ast.Assign(targets=[left], value=value):
                target = self.target(left)
                read = self.short if self.lists or is_initial(target) else self.expression
                return Assign(target, read(value), self.span(node))
            case ast.If(test=test, body=body, orelse=orelse):
                return If(self.short(test, condition=True), self.block(body), self.block(orelse), self.span(test))
            case ast.For(target=ast.Name(id=variable), iter=iterable, body=body, orelse=[]):
                self.name(node.target, variable)
                start, stop, step = self.loop_range(iterable)
                return For(variable, start, stop, step, self.block(body), self.span(node.target))
        raise self.unknown(node)

    def loop_range(self, node: ast.expr) -> tuple[Node, Node, Node]:
        match node:
            case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]) if 1 <= len(args) <= 3:
                values = [self.short(argument) for argument in args]
                here = self.span(node)
                if len(values) == 1:
                    return Number(0, here), values[0], Number(1, here)
                return values[0], values[1], values[2] if len(values) == 3 else Number(1, here)
        raise self.fail(node, "a loop this language does not have", "write 'for i in range(n):'")

    def target(self, node: ast.expr) -> Name | Indexed:
        match node:
            case ast.Name(id=name):
                return Name(self.name(node, name), self.span(node))
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                return Indexed(self.name(node.value, name), self.short(index), self.span(node))
        raise self.unknown(node)

    def name(self, node: ast.expr, name: str) -> str:
        if problem := name_problem(name):
            raise self.fail(node, *problem)
        return name

    def short(self, node: ast.expr, depth: int = 0, condition: bool = False) -> Node:
        """An expression of which no part can be named: an index, a bound, a condition or an initial value."""
        value = self.expression(node, depth, condition)
        if height(value) > MAX_SHORT + 1:
            raise self.fail(node, f"more than {MAX_SHORT} operations in a row are too many here", "write it shorter")
        return value

    def expression(self, node: ast.expr, depth: int = 0, condition: bool = False) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self.fail(node, "this is too large for an update rule", "split it into named steps")
        below = depth + 1
        match node:
            case ast.Constant(value=value):
                return self.constant(node, value)
            case ast.Name(id=name):
                return Name(self.name(node, name), self.span(node))
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                return Indexed(self.name(node.value, name), self.short(index, below), self.span(node))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Unary("-", self.expression(operand, below), self.span(node))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.expression(operand, below)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Unary("not", self.expression(operand, below, condition), self.span(node))
            case ast.BinOp():
                return self.chain(node, below)
            case ast.BoolOp(op=operator, values=values):
                word = "and" if isinstance(operator, ast.And) else "or"
                return self.joined(node, word, [self.expression(value, below, condition) for value in values])
            case ast.Compare():
                return self.comparison(node, below, condition)
            case ast.Call(func=ast.Name(id=function)):
                return self.call(node, function, below)
        raise self.unknown(node)

    def chain(self, node: ast.BinOp, depth: int) -> Node:
        """`a + b - c*d`: a sum of many terms nests as often as it has terms, each on the left of the next."""
        links = [node]
        while isinstance(links[-1].left, ast.BinOp):
            links.append(links[-1].left)
        self.nodes += len(links) - 1
        value = self.expression(links[-1].left, depth)
        for link in reversed(links):
            if type(link.op) not in _BINARY:
                raise self.unknown(link)
            value = Binary(_BINARY[type(link.op)], value, self.expression(link.right, depth), self.span(link))
        return value

    def joined(self, node: ast.expr, word: str, parts: list[Node]) -> Node:
        """Conditions joined by `and` or `or`, in halves, so that many do not nest deeply."""
        if len(parts) == 1:
            return parts[0]
        half = (len(parts) + 1) // 2
        left, right = self.joined(node, word, parts[:half]), self.joined(node, word, parts[half:])
        return Logical(word, left, right, self.span(node))

    def unknown(self, node: ast.expr | ast.stmt) -> SpecError:
        """For a form that the check of the grammar should not have let through: refuse it all the same."""
        return self.fail(node, f"{type(node).__name__} is not part of the equation language")

    def constant(self, node: ast.Constant, value: object) -> Number:
        if isinstance(value, str):
            raise self.fail(node, "a string is not part of the equation language", "equations hold numbers only")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.unknown(node)
        if isinstance(value, int) and value > 2**53:
            raise self.fail(node, "this integer is too large for a float64", "write it as a float, 1e20")
        if not math.isfinite(value):
            raise self.fail(node, "this number is too large for a float64", "the largest is about 1.8e308")
        return Number(value, self.span(node))

    def comparison(self, node: ast.Compare, depth: int, condition: bool) -> Node:
        if len(node.ops) > 2:
            raise self.fail(node, "a chain of more than two comparisons", "join them with 'and'")
        operands: list[Node] = []
        for part in (node.left, *node.comparators):
            # A quoted word may stand in one place only: where a choice option is compared with it.
            if condition and isinstance(part, ast.Constant) and isinstance(part.value, str):
                operands.append(Text(part.value, self.span(part)))
            else:
                operands.append(self.expression(part, depth))
        joined: Node | None = None
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            if type(operator) not in _COMPARE:
                raise self.unknown(node)
            one = Compare(_COMPARE[type(operator)], left, right, self.span(node))
            joined = one if joined is None else Logical("and", joined, one, self.span(node))
        assert joined is not None  # ast.Compare holds at least one comparison
        return joined

    def call(self, node: ast.Call, function: str, depth: int) -> Call:
        if self.lists and function == LENGTH:
            return self.length(node, depth)
        if function not in FUNCTIONS and function != self.wrapped:
            others = f"a product needs '*'; the functions are {', '.join(sorted(FUNCTIONS))}"
            hint = _other_function(node, function) or did_you_mean(function, FUNCTIONS, others, 0.7)
            raise self.fail(node.func, f"unknown function '{function}'", hint)
        over = ""
        for keyword in node.keywords:
            if keyword.arg != "over":
                raise self.fail(keyword, f"unknown keyword '{keyword.arg}'", "reductions take 'over=...'")
            if over:
                raise self.fail(keyword, "'over' is given twice", "leave one out")
            value = keyword.value
            if not isinstance(value, ast.Name) or value.id not in EXTENTS:
                raise self.fail(value, "a reduction runs over none of this", f"known: {', '.join(EXTENTS)}")
            over = value.id
        arguments = tuple(self.expression(argument, depth) for argument in node.args)
        self.check_arguments(node, function, len(arguments), over)
        return Call(function, arguments, over, self.span(node))

    def length(self, node: ast.Call, depth: int) -> Call:
        if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Name):
            raise self.fail(node, f"'{LENGTH}' takes the name of one list", f"write {LENGTH}(milestones)")
        return Call(LENGTH, (self.expression(node.args[0], depth),), "", self.span(node))

    def check_arguments(self, node: ast.Call, function: str, count: int, over: str) -> None:
        if function == self.wrapped:
            if count != 1 or over:
                raise self.fail(node, f"'{function}' takes one argument, the gradient", f"write {function}(g)")
            return
        row = FUNCTIONS[function]
        fewest, most = row.arity
        if reduces(function, count) or (row.is_elementwise and not over and fewest <= count <= most):
            return
        if row.is_elementwise and over:
            hint = f"reduce one value: {function}(x, over={over})" if row.reduces else "it reduces nothing"
            raise self.fail(node, f"'over' does not go with {_arguments(count)} of '{function}'", hint)
        wanted = _arguments(fewest) if fewest == most else f"{fewest} to {most} arguments"
        if row.reduces and row.is_elementwise:
            wanted = f"1 argument to reduce or {wanted}"
        raise self.fail(node, f"'{function}' takes {wanted}, not {count}", f"write {row.example}")


def parse_equations(
    source: Source, text: str, first_line: int, first_column: int, wrapped: str, lists: bool = False
) -> tuple[Statement, ...]:
    """Read equations.

    Args:
        source: the file they stand in, for messages.
        text: the equations.
        first_line: the line of the file on which `text` starts.
        first_column: the number of characters before `text` on that line.
        wrapped: the name under which the rule calls the optimizer it wraps, empty if none.
        lists: whether hyperparameters may be lists of numbers, whose length the equations ask for.

    Raises:
        SpecError: the text is not in the language.
    """
    lines = read_lines(source, text, first_line, first_column, states=not lists)
    if not lines:
        return ()
    check_grammar(source, lines, FUNCTIONS)
    # Equations may all be indented; under a head of their own they still stand where they stand in the file.
    indented = lines[0].indent > 0
    reader = _EquationReader(source, text.split("\n"), first_line, first_column, wrapped, int(indented), lists)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(f"if x:\n{text}" if indented else text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The check of the grammar lets nothing malformed through, but Python's parser has limits of its own.
        start = lines[0].tokens[0].span
        raise SpecError(
            "these equations cannot be read", source.location(start), "split them into shorter steps"
        ) from None
    body = tree.body
    if indented:
        head = body[0]
        assert isinstance(head, ast.If)  # the head that was put there
        body = head.body
    return reader.block(body)


def _other_function(node: ast.Call, function: str) -> str:
    """How a function of another library is written here, as a hint; empty for any other name."""
    if function not in _OTHER_FUNCTIONS:
        return ""
    count, form = _OTHER_FUNCTIONS[function]
    short = all(isinstance(a, ast.Name | ast.Constant) for a in node.args) and len(node.args) == count
    values = [ast.unparse(a) for a in node.args] if short else ["x", "y", "z"]
    return f"write {form.format(*values)}"


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


def _characters(line: str, byte_offset: int) -> int:
    """The character at a UTF-8 byte offset, which is what `ast` counts in."""
    return len(line.encode()[:byte_offset].decode(errors="ignore"))
