"""The equation language: text in, syntax tree out.

Equations are a whitelisted part of Python's grammar. `ast.parse` only reads the text; the tree is then built node by
node from a list of what is allowed, so nothing that a spec holds is ever looked up, called or executed.
"""

from __future__ import annotations

import ast
import math
import re
import textwrap
import warnings
from dataclasses import dataclass
from difflib import get_close_matches

from optgen.errors import SpecError
from optgen.spec.source import Source, Span
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
)

#: Functions of numbers: name → fewest and most arguments.
FUNCTIONS: dict[str, tuple[int, int]] = {
    "sqrt": (1, 1),
    "abs": (1, 1),
    "sign": (1, 1),
    "exp": (1, 1),
    "log": (1, 1),
    "sin": (1, 1),
    "cos": (1, 1),
    "tanh": (1, 1),
    "floor": (1, 1),
    "ceil": (1, 1),
    "max": (2, 16),
    "min": (2, 16),
    "clip": (3, 3),
    "where": (3, 3),
    "every": (1, 1),
}
#: Functions that fold many numbers into fewer: name → number of arguments. `max` and `min` of one value fold too.
REDUCTIONS: dict[str, int] = {"sum": 1, "mean": 1, "norm": 1, "rms": 1, "dot": 2, "max": 1, "min": 1}
#: What a reduction may run over.
EXTENTS = ("tensor", "model", "rows", "columns", "other_axes", "axes")
#: Sizes known from a tensor's shape: its number of elements and axes, and the lengths of its two matrix axes.
SHAPE_NAMES = ("size", "rank", "rows", "columns")
#: Names that the language gives a meaning; a spec may not declare them.
RESERVED = frozenset({"theta", "g", "t", "range", *FUNCTIONS, *REDUCTIONS, *EXTENTS, *SHAPE_NAMES})
#: Names that mean something in the code that is generated: modules and builtins it uses, and words of C.
GENERATED_WORDS = frozenset(
    "jax jnp math functools tuple zip isinstance any triton tl tensor n offsets mask block program "
    "auto break case char const continue default do double else enum extern float goto inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile bool".split()
)

_COMPILER_NAME = re.compile(r"_(new|lag\d+)\Z|\A(update|model_size|tensor_count)\Z")

MAX_TEXT = 64 * 1024
MAX_NODES = 5000
MAX_DEPTH = 100

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.Mod: "%",
}
_REFUSED_BINARY: dict[type[ast.operator], tuple[str, str]] = {
    ast.BitXor: ("^", "write '**' for a power"),
    ast.FloorDiv: ("//", "write floor(a/b)"),
    ast.MatMult: ("@", "the language has no matrix product"),
    ast.BitAnd: ("&", "write 'and'"),
    ast.BitOr: ("|", "write 'or'"),
    ast.LShift: ("<<", "write a product with a power of 2"),
    ast.RShift: (">>", "write a quotient with a power of 2"),
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_REFUSED_NODES: dict[type[ast.AST], tuple[str, str]] = {
    ast.Attribute: ("an attribute", "names have no parts; there is nothing behind a dot"),
    ast.Lambda: ("a lambda", "write the expression itself"),
    ast.IfExp: ("'a if c else b'", "write where(c, a, b)"),
    ast.List: ("a list", "give each value a name of its own"),
    ast.Tuple: ("a tuple", "give each value a name of its own"),
    ast.Dict: ("a dictionary", "give each value a name of its own"),
    ast.Set: ("a set", "give each value a name of its own"),
    ast.ListComp: ("a comprehension", "write a 'for' loop"),
    ast.GeneratorExp: ("a comprehension", "write a 'for' loop"),
    ast.JoinedStr: ("a string", "equations hold numbers only"),
    ast.NamedExpr: ("':='", "put the definition on a line of its own"),
    ast.Await: ("'await'", "equations are not code"),
    ast.Yield: ("'yield'", "equations are not code"),
    ast.Starred: ("'*' before a name", "write each argument"),
    ast.AugAssign: ("an update in place", "write 'name = name + ...'"),
    ast.AnnAssign: ("a type annotation", "kinds are inferred"),
    ast.Import: ("an import", "equations are not code"),
    ast.ImportFrom: ("an import", "equations are not code"),
    ast.FunctionDef: ("a function definition", "write one equation per line"),
    ast.ClassDef: ("a class definition", "write one equation per line"),
    ast.While: ("a 'while' loop", "write 'for i in range(n)'"),
    ast.Return: ("'return'", "a rule ends by assigning theta[t]"),
    ast.Delete: ("'del'", "equations are not code"),
    ast.Try: ("'try'", "equations are not code"),
    ast.With: ("'with'", "equations are not code"),
    ast.Assert: ("'assert'", "give the hyperparameter a domain"),
    ast.Raise: ("'raise'", "give the hyperparameter a domain"),
    ast.Pass: ("'pass'", "leave the branch out"),
    ast.Expr: ("an expression alone", "write 'name = expression'"),
}


@dataclass(slots=True)
class _Reader:
    """Builds the syntax tree of one text; holds what is needed to say where a node stands."""

    source: Source
    lines: list[str]
    first_line: int
    first_column: int
    dedent: int
    wrapped: str
    nodes: int = 0

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> Span:
        """Where a node stands in the file; one that runs over several lines is shown by its first."""
        text = self.lines[node.lineno - 1]
        start = _characters(text, node.col_offset)
        last = node.end_lineno or node.lineno
        end = _characters(text, node.end_col_offset or 0) if last == node.lineno else len(text)
        column = start + self.dedent + 1 + (self.first_column if node.lineno == 1 else 0)
        return Span(self.first_line + node.lineno - 1, column, max(1, end - start))

    def fail(self, node: ast.expr | ast.stmt | ast.keyword, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(self.span(node)), hint)

    def block(self, body: list[ast.stmt]) -> tuple[Statement, ...]:
        return tuple(self.statement(statement) for statement in body)

    def statement(self, node: ast.stmt) -> Statement:
        match node:
            case ast.Assign(targets=[target], value=value):
                return Assign(self.target(target), self.expression(value, 0), self.span(node))
            case ast.Assign():
                raise self.fail(node, "one name to a line", "write one 'name = expression' for each")
            case ast.If(test=test, body=body, orelse=orelse):
                return If(
                    self.expression(test, 0, condition=True), self.block(body), self.block(orelse), self.span(test)
                )
            case ast.For(target=ast.Name(id=variable), iter=iterable, body=body, orelse=[]):
                self.name(node.target, variable)
                start, stop, step = self.loop_range(iterable)
                return For(variable, start, stop, step, self.block(body), self.span(node.target))
            case ast.For():
                raise self.fail(node, "a loop this language does not have", "write 'for i in range(n):'")
        what, hint = _REFUSED_NODES.get(type(node), ("this statement", "write 'name = expression'"))
        raise self.fail(node, f"{what} is not part of the equation language", hint)

    def loop_range(self, node: ast.expr) -> tuple[Node, Node, Node]:
        match node:
            case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]) if 1 <= len(args) <= 3:
                values = [self.expression(argument, 0) for argument in args]
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
                return Indexed(self.name(node, name), self.expression(index, 0), self.span(node))
        what, hint = _REFUSED_NODES.get(type(node), ("this", ""))
        raise self.fail(node, f"cannot assign to {what}", "write 'name = ...' or 'name[t] = ...'" if hint else "")

    def name(self, node: ast.expr, name: str) -> str:
        if not name.isascii():
            raise self.fail(node, f"'{name}' is not plain ASCII", "spell it out; 'symbol' gives the LaTeX")
        if name.startswith("_") or "__" in name or name.endswith("_"):
            raise self.fail(node, f"'{name}' is not a name here", "names start and end with a letter or digit")
        if name in GENERATED_WORDS and name not in EXTENTS:
            raise self.fail(node, f"'{name}' is a word of the generated code", "choose another name")
        if _COMPILER_NAME.search(name):
            raise self.fail(node, f"'{name}' is a name of the kind that the compiler makes", "choose another")
        return name

    def expression(self, node: ast.expr, depth: int, condition: bool = False) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self.fail(node, "this is too large for an update rule", "split it into named steps")
        below = depth + 1
        match node:
            case ast.Constant(value=value):
                return self.constant(node, value)
            case ast.Name(id=name):
                return Name(self.name(node, name), self.span(node))
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Slice()):
                raise self.fail(node, f"'{name}' is indexed by a slice", "an index is a step: [t], [t-1], [0]")
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                return Indexed(self.name(node.value, name), self.expression(index, below), self.span(node))
            case ast.Subscript():
                raise self.fail(node, "only a name can be indexed", "give the value a name first")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Unary("-", self.expression(operand, below), self.span(node))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.expression(operand, below)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Unary("not", self.expression(operand, below, condition), self.span(node))
            case ast.UnaryOp():
                raise self.fail(node, "'~' is not part of the equation language", "write 'not'")
            case ast.BinOp(left=left, op=operator, right=right):
                if type(operator) in _REFUSED_BINARY:
                    symbol, hint = _REFUSED_BINARY[type(operator)]
                    raise self.fail(node, f"'{symbol}' is not part of the equation language", hint)
                return Binary(
                    _BINARY[type(operator)],
                    self.expression(left, below),
                    self.expression(right, below),
                    self.span(node),
                )
            case ast.BoolOp(op=operator, values=values):
                word = "and" if isinstance(operator, ast.And) else "or"
                parts = [self.expression(value, below, condition) for value in values]
                joined = parts[0]
                for part in parts[1:]:
                    joined = Logical(word, joined, part, self.span(node))
                return joined
            case ast.Compare():
                return self.comparison(node, below, condition)
            case ast.Call():
                return self.call(node, below)
        what, hint = _REFUSED_NODES.get(type(node), ("this", "see docs/language.md for what is"))
        raise self.fail(node, f"{what} is not part of the equation language", hint)

    def constant(self, node: ast.Constant, value: object) -> Number:
        if isinstance(value, bool):
            raise self.fail(node, f"'{value}' is not a number", "test an option by its name: 'if amsgrad:'")
        if isinstance(value, int):
            if abs(value) > 2**53:
                raise self.fail(node, "this integer is too large for a float64", "write it as a float")
            return Number(value, self.span(node))
        if isinstance(value, float):
            if not math.isfinite(value):
                raise self.fail(node, "this number is too large for a float64")
            return Number(value, self.span(node))
        if isinstance(value, str | bytes):
            raise self.fail(node, "a string is not part of the equation language", "equations hold numbers only")
        raise self.fail(node, f"'{value}' is not part of the equation language", "equations hold numbers only")

    def comparison(self, node: ast.Compare, depth: int, condition: bool) -> Node:
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
                raise self.fail(node, "only < <= > >= == != compare values", "write '=='")
            one = Compare(_COMPARE[type(operator)], left, right, self.span(node))
            joined = one if joined is None else Logical("and", joined, one, self.span(node))
        assert joined is not None  # ast.Compare holds at least one comparison
        return joined

    def call(self, node: ast.Call, depth: int) -> Call:
        if not isinstance(node.func, ast.Name):
            if isinstance(node.func, ast.Attribute):
                what, hint = _REFUSED_NODES[ast.Attribute]
                raise self.fail(node.func, f"{what} is not part of the equation language", hint)
            raise self.fail(node, "only a named function can be called", f"known: {_function_names()}")
        function = node.func.id
        known = function in FUNCTIONS or function in REDUCTIONS
        if not known and function != self.wrapped:
            close = get_close_matches(function, [*FUNCTIONS, *REDUCTIONS], 1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {_function_names()}"
            raise self.fail(node.func, f"unknown function '{function}'", hint)
        over = ""
        for keyword in node.keywords:
            if keyword.arg != "over":
                raise self.fail(keyword, f"unknown keyword '{keyword.arg}'", "reductions take 'over=...'")
            if not isinstance(keyword.value, ast.Name) or keyword.value.id not in EXTENTS:
                raise self.fail(keyword, "unknown extent of a reduction", f"known: {', '.join(EXTENTS)}")
            over = keyword.value.id
        arguments = tuple(self.expression(argument, depth) for argument in node.args)
        self.check_arguments(node, function, len(arguments), over)
        return Call(function, arguments, over, self.span(node))

    def check_arguments(self, node: ast.Call, function: str, count: int, over: str) -> None:
        if function == self.wrapped:
            if count != 1 or over:
                raise self.fail(node, f"'{function}' takes one argument, the gradient", f"write {function}(g)")
            return
        if REDUCTIONS.get(function) == count:
            return
        if function in FUNCTIONS and not over:
            fewest, most = FUNCTIONS[function]
            if fewest <= count <= most:
                return
        if function in FUNCTIONS and over:
            raise self.fail(node, f"'over' does not go with {count} arguments of '{function}'", "fold one value")
        if function in REDUCTIONS and function not in FUNCTIONS:
            wanted = f"{REDUCTIONS[function]}"
        else:
            fewest, most = FUNCTIONS[function]
            wanted = f"{fewest}" if fewest == most else f"{fewest} or more"
        raise self.fail(node, f"'{function}' takes {wanted} arguments, not {count}")


def parse_equations(source: Source, text: str, first_line: int, first_column: int, wrapped: str) -> tuple[
    Statement, ...
]:
    """Read equations.

    Args:
        source: the file they stand in, for messages.
        text: the equations.
        first_line: the line of the file on which `text` starts.
        first_column: the number of characters before `text` on that line.
        wrapped: the name under which the rule calls the optimizer it wraps, empty if none.

    Raises:
        SpecError: the text is not in the language.
    """
    dedented = textwrap.dedent(text)
    lines = text.split("\n")
    plain = dedented.split("\n")
    dedent = max((len(a) - len(b) for a, b in zip(lines, plain, strict=True) if b.strip()), default=0)
    reader = _Reader(source, plain, first_line, first_column, dedent, wrapped)
    _check_text(reader, dedented)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(dedented)
    except SyntaxError as error:
        line = min(max(error.lineno or 1, 1), len(plain))
        column = max((error.offset or 1), 1)
        span = Span(first_line + line - 1, column + dedent + (first_column if line == 1 else 0), 1)
        raise SpecError(
            "this is not an equation", source.location(span), "write 'name = expression', one to a line"
        ) from None
    except (RecursionError, MemoryError):
        raise SpecError(
            "this is too large for an update rule",
            source.location(Span(first_line, first_column + 1, 1)),
            "split it into named steps",
        ) from None
    return reader.block(tree.body)


def _check_text(reader: _Reader, text: str) -> None:
    """Refuse what `ast.parse` would report differently from one Python version to the next."""
    start = Span(reader.first_line, reader.first_column + 1, 1)
    if len(text) > MAX_TEXT:
        raise SpecError(
            f"these equations are longer than {MAX_TEXT // 1024} KiB", reader.source.location(start)
        )
    if "\0" in text:
        raise SpecError("a null character stands in the equations", reader.source.location(start))
    open_brackets: list[tuple[str, Span]] = []
    pairs = {")": "(", "]": "["}
    for number, line in enumerate(text.split("\n")):
        code = re.sub(r"'[^']*'|\"[^\"]*\"", lambda m: " " * len(m.group()), line.split("#", 1)[0])
        for position, character in enumerate(code):
            column = position + reader.dedent + 1 + (reader.first_column if number == 0 else 0)
            span = Span(reader.first_line + number, column, 1)
            if character in "([":
                open_brackets.append((character, span))
            elif character in pairs:
                if not open_brackets or open_brackets[-1][0] != pairs[character]:
                    raise SpecError(f"'{character}' closes nothing", reader.source.location(span))
                open_brackets.pop()
    if open_brackets:
        character, span = open_brackets[-1]
        raise SpecError(f"'{character}' is never closed", reader.source.location(span))


def _characters(line: str, byte_offset: int) -> int:
    """The character at a UTF-8 byte offset, which is what `ast` counts in."""
    return len(line.encode()[:byte_offset].decode(errors="ignore"))


def _function_names() -> str:
    return ", ".join(sorted({*FUNCTIONS, *REDUCTIONS}))
