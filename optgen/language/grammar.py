"""The order in which tokens may stand, and lines below one another.

What passes here is well-formed Python, so that Python's parser has nothing left to complain of; what does not is
reported in the terms of the equation language. Precedence and meaning are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection

from optgen.errors import SpecError
from optgen.language.source import Source, Span
from optgen.language.tokens import (
    NAME,
    NUMBER,
    OPERATOR,
    TEXT,
    WORD,
    Line,
    Token,
)

MAX_LINE_TOKENS = 2000
MAX_BRACKETS = 50
MAX_SIGNS = 50
MAX_BLOCKS = 30

_BINARY = frozenset({"+", "-", "*", "/", "%", "**", "<", "<=", ">", ">=", "==", "!="})
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_FEWER = "an update rule has a few"
_FORM = "write 'name = expression', one to a line"


def check_grammar(source: Source, lines: tuple[Line, ...], functions: Collection[str]) -> None:
    """Refuse lines that are neither equations nor heads of blocks, and blocks that are not laid out as such.

    Args:
        source: the file they stand in, for messages.
        lines: the equations.
        functions: the names of functions, for hints.

    Raises:
        SpecError: on the first mistake found.
    """
    blocks = _BlockChecker(source)
    for line in lines:
        if len(line.tokens) > MAX_LINE_TOKENS:
            raise SpecError(
                "this equation is too long", source.location(line.tokens[0].span), "split it into named steps"
            )
        blocks.place(line)
        _LineChecker(source, line.tokens, functions).check()
    blocks.close()


class _BlockChecker:
    """Follows indentation: which blocks are open, and which of them an 'else' may go on with."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.open: list[tuple[int, str, int]] = []  # indent, the word of the last line there, branches so far
        self.head: Token | None = None  # of a block that has no line yet

    def fail(self, span: Span, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(span), hint)

    def place(self, line: Line) -> None:
        first = line.tokens[0]
        if self.head is not None:
            if line.indent <= self.open[-1][0]:
                raise self.empty(self.head)
            if len(self.open) + sum(branches for _, _, branches in self.open) > MAX_BLOCKS:
                raise self.fail(first.span, "too many blocks inside one another", _FEWER)
            self.open.append((line.indent, "", 0))
        elif not self.open:
            self.open.append((line.indent, "", 0))
        elif line.indent > self.open[-1][0]:
            raise self.fail(
                _margin(line), "this line is further in than the one above", "only an 'if' or 'for' opens a block"
            )
        while line.indent < self.open[-1][0]:
            self.open.pop()
            if not self.open or line.indent > self.open[-1][0]:
                raise self.fail(
                    _margin(line), "this line is in step with no block above", "line it up with the block it belongs to"
                )
        indent, before, branches = self.open[-1]
        word = first.text if first.kind == WORD else ""
        if word in ("elif", "else") and before not in ("if", "elif"):
            raise self.fail(first.span, f"'{word}' follows no 'if'", "line it up with its 'if'")
        branches = branches + 1 if word == "elif" else 0
        if branches > MAX_BLOCKS:
            raise self.fail(first.span, "too many branches of one 'if'", _FEWER)
        self.open[-1] = (indent, word, branches)
        self.head = first if word and line.tokens[-1].text == ":" else None

    def empty(self, head: Token) -> SpecError:
        return self.fail(head.span, f"nothing stands under this '{head.text}'", "indent the equations below it")

    def close(self) -> None:
        if self.head is not None:
            raise self.empty(self.head)


class _LineChecker:
    """Walks along one line.

    `stack` holds the open brackets and what they are: a group, an index, a call, or a call's keywords.
    """

    def __init__(self, source: Source, tokens: tuple[Token, ...], functions: Collection[str]) -> None:
        self.source = source
        self.tokens = tokens
        self.functions = functions
        self.at = 0

    def fail(self, token: Token, message: str, hint: str = "") -> SpecError:
        return SpecError(message, self.source.location(token.span), hint)

    @property
    def here(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def check(self) -> None:
        first = self.tokens[0]
        match first.kind, first.text:
            case "word", "if" | "elif":
                self.at = 1
                self.expression(f"write '{first.text} condition:'")
                self.after_head(first)
            case "word", "else":
                self.at = 1
                self.after_head(first)
            case "word", "for":
                self.loop(first)
            case _:
                self.equation()

    def loop(self, first: Token) -> None:
        hint = "write 'for i in range(n):'"
        variable, word = [*self.tokens[1:3], first, first][:2]
        if variable.kind != NAME or word.text != "in":
            raise self.fail(first, "a loop this language does not have", hint)
        self.at = 3
        self.expression(hint)
        self.after_head(first)

    def after_head(self, head: Token) -> None:
        if self.here is not None and self.here.text == "=":
            raise self.unexpected(self.here)
        if self.here is None or self.here.text != ":":
            raise self.fail(self.here or self.tokens[-1], f"'{head.text}' lacks its ':'", "end the line with ':'")
        self.at += 1
        if self.here is not None:
            if self.here.kind == WORD:
                raise self.fail(self.here, f"'{self.here.text}' opens a block on a line of its own", "break the line")
            self.equation()

    def equation(self) -> None:
        """`name = expression` or `name[index] = expression`, up to the end of the line."""
        start = self.at
        equals = self.equals_sign()
        target = self.tokens[start:equals]
        if len(target) > 1 and target[1].text == ":":
            raise self.fail(target[1], "a type annotation is not part of the equation language", "kinds are inferred")
        self.expression(_FORM)
        if not _is_target(target) or self.at < equals:
            raise self.fail(
                target[0], "only a name or a state can be given a value", "write name = ... or name[t] = ..."
            )
        self.at = equals + 1
        self.expression(_FORM)
        if self.here is not None and self.here.text == "=":
            raise self.fail(self.here, "a second '=' in one equation", "write one 'name = expression' for each")
        if self.here is not None:
            raise self.unexpected(self.here)

    def equals_sign(self) -> int:
        depth = 0
        for position in range(self.at, len(self.tokens)):
            token = self.tokens[position]
            depth += (token.text in ("(", "[")) - (token.text in (")", "]")) if token.kind == OPERATOR else 0
            if token.kind == OPERATOR and token.text == "=" and depth == 0:
                if position == self.at:
                    raise self.fail(token, "nothing stands before '='", _FORM)
                return position
        first = self.tokens[self.at]
        last = [token for token in self.tokens if token.span.line == first.span.line][-1]
        width = last.span.column + last.span.width - first.span.column
        whole = Span(first.span.line, first.span.column, width)
        raise SpecError("this is not an equation: it has no '='", self.source.location(whole), _FORM)

    def expression(self, hint: str) -> None:
        """Walk to the token that ends an expression: a ':' or '=' outside brackets, or the end of the line."""
        stack: list[tuple[str, Token]] = []
        signs = 0
        previous: Token = self.tokens[self.at - 1] if self.at else self.tokens[0]
        operand_next = True
        while self.here is not None:
            token = self.here
            if operand_next:
                signs = signs + 1 if token.text in ("-", "+", "not") else 0
                if signs > MAX_SIGNS:
                    raise self.fail(token, "too many signs in a row", "leave out those that cancel")
                if self.operand(token, previous, stack):
                    operand_next = False
            elif not stack and (token.text in (":", "=") and token.kind == OPERATOR):
                return
            else:
                operand_next = self.operator(token, previous, stack)
            previous = token
            self.at += 1
        if operand_next:
            raise self.fail(previous, f"something is missing after '{previous.text}'", hint)

    def operand(self, token: Token, previous: Token, stack: list[tuple[str, Token]]) -> bool:
        """Take a token where a value is due. Returns whether the value is there now."""
        if token.kind in (NUMBER, NAME, TEXT):
            return True
        match token.text:
            case "-" | "+":
                return False
            case "not":
                if previous.kind == OPERATOR and previous.text in _BINARY:
                    raise self.fail(token, "'not' stands after an operator", "put it in brackets: (not ...)")
                return False
            case "(":
                self.open(stack, "group", token)
                return False
            case ")" if stack and stack[-1][0] == "call" and previous is stack[-1][1]:
                stack.pop()
                return True
            case "[":
                raise self.fail(token, "a list is not part of the equation language", "give each value its own name")
            case ":" if stack and stack[-1][0] == "index":
                raise self.slice(token)
            case ")" | "]" if stack and previous is stack[-1][1]:
                raise self.fail(previous, "nothing stands in these brackets", "leave them out")
        if previous.text == token.text == "*":
            raise self.fail(token, "something is missing before '*'", "a power is '**' without a blank")
        if token.text in _BINARY or token.text in ("and", "or"):
            raise self.fail(token, f"something is missing before '{token.text}'")
        if self.at == 0:
            raise self.fail(token, f"'{token.text}' cannot start a line", _FORM)
        raise self.fail(previous, f"something is missing after '{previous.text}'")

    def operator(self, token: Token, previous: Token, stack: list[tuple[str, Token]]) -> bool:
        """Take a token where a value has ended. Returns whether another value is due."""
        inside = stack[-1][0] if stack else ""
        if token.kind in (NUMBER, NAME, TEXT):
            if stack and token.span.line != previous.span.line:
                raise self.fail(stack[-1][1], f"'{stack[-1][1].text}' is never closed")
            raise self.fail(
                token, f"an operator is missing between '{previous.text}' and '{token.text}'", "write '*' for a product"
            )
        if token.text in _BINARY or token.text in ("and", "or"):
            return True
        match token.text:
            case ")" | "]":
                stack.pop()
                return False
            case "(":
                if previous.kind != NAME:
                    raise self.fail(token, "only a function's name stands before '('", "write '*' for a product")
                self.open(stack, "call", token)
                return True
            case "[":
                if previous.kind != NAME:
                    raise self.fail(token, "only a name can be indexed", "give the value a name first")
                self.open(stack, "index", token)
                return True
            case "," if inside == "call":
                return True
            case "," if inside == "keywords":
                if [after.text for after in self.tokens[self.at + 2 : self.at + 3]] != ["="]:
                    raise self.fail(token, "a value follows a keyword", "write 'over=...' last: norm(x, over=rows)")
                return True
            case "=" if inside in ("call", "keywords") and self.tokens[self.at - 2].text in ("(", ","):
                if previous.kind == NAME:
                    stack[-1] = ("keywords", stack[-1][1])
                    return True
            case ":" if inside == "index":
                raise self.slice(token)
        raise self.unexpected(token, inside)

    def last_attribute(self) -> str:
        """The last name of a chain of attributes, `sqrt` of `jnp.sqrt`; the walk has come to its first dot."""
        at = self.at
        while at + 2 < len(self.tokens) and self.tokens[at + 2].text == ".":
            at += 2
        return self.tokens[at + 1].text if at + 1 < len(self.tokens) else ""

    def open(self, stack: list[tuple[str, Token]], what: str, token: Token) -> None:
        if len(stack) >= MAX_BRACKETS:
            raise self.fail(token, "too many brackets inside one another", "split it into named steps")
        stack.append((what, token))

    def slice(self, token: Token) -> SpecError:
        return self.fail(token, "a slice is not part of the equation language", "an index is a step: [t], [t-1], [0]")

    def unexpected(self, token: Token, inside: str = "") -> SpecError:
        what, hint = f"'{token.text}' cannot stand here", _FORM
        match token.text:
            case ",":
                what, hint = "a tuple is not part of the equation language", "give each value its own name"
                if inside == "index":
                    what, hint = "an index is one step", "write name[t-1]"
            case ".":
                what, hint = "an attribute is not part of the equation language", "there is nothing behind a dot"
                if (last := self.last_attribute()) in self.functions:
                    hint = f"write {last}(...)"
            case "=":
                what, hint = "'=' gives a value to a name", "write '==' to compare"
            case "if":
                what, hint = "'a if c else b' is not part of the equation language", "write where(c, a, b)"
            case "for":
                what, hint = "a comprehension is not part of the equation language", "write a 'for' loop"
            case "in" | "not":
                what, hint = f"'{token.text}' compares nothing here", "only < <= > >= == != compare values"
        return self.fail(token, what, hint)


def _margin(line: Line) -> Span:
    """The indentation of a line; its first token if there is none."""
    first = line.tokens[0].span
    return Span(first.line, first.column - line.indent, line.indent) if line.indent else first


def _is_target(tokens: tuple[Token, ...]) -> bool:
    """Whether tokens are a name, or a name with one index."""
    if len(tokens) == 1 or tokens[0].kind != NAME:
        return tokens[0].kind == NAME
    closing = [position for position, token in enumerate(tokens) if token.text == "]"]
    depth = 0
    for position, token in enumerate(tokens[1:], start=1):
        depth += (token.text == "[") - (token.text == "]")
        if depth == 0:
            return position == len(tokens) - 1 and position in closing
    return False
