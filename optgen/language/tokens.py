"""Equations as tokens: the first look at the text, which refuses every character and word the language lacks.

Python's own messages for malformed text differ from one version to the next and speak of Python. So nothing malformed
reaches its parser: the characters are checked here, and the order in which tokens stand in `grammar`.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from dataclasses import dataclass

from optgen.errors import SpecError
from optgen.language.refused_names import keyword_problem
from optgen.language.source import Source, Span

MAX_TEXT = 64 * 1024
MAX_TOKENS = 20_000
MAX_NAME = 60
MAX_DIGITS = 40

NUMBER, NAME, WORD, TEXT, OPERATOR = "number", "name", "word", "text", "operator"
#: Words that have a meaning of their own in equations.
WORDS = frozenset({"if", "elif", "else", "for", "in", "and", "or", "not"})

_PART = re.compile(
    r"""(?P<blank>[ \t]+)
    |(?P<comment>\#.*)
    |(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<text>'[^'\\]*'|"[^"\\]*")
    |(?P<operator>\*\*=|//=|<<=|>>=|\*\*|//|<<|>>|<=|>=|==|!=|:=|->|<>|&&|\|\||[-+*/%@&|^]=|[-+*/%<>=(),:\[\].])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)

#: What can follow the name of a value.
_BEHIND_NAME = re.compile(r"\s*([-+*/%)\],<>=\[#]|$)")
_UPDATES = frozenset({"+=", "-=", "*=", "/=", "%=", "@=", "&=", "|=", "^=", "**=", "//=", "<<=", ">>="})
#: Operators and characters that people write and the language lacks, with what they write instead.
_REFUSED = {
    "^": "write '**' for a power",
    "//": "write floor(a/b)",
    "@": "the language has no matrix product",
    "&": "write 'and'",
    "&&": "write 'and'",
    "|": "write 'or', or abs(x) for |x|",
    "||": "write 'or', or norm(x) for ||x||",
    "!": "write 'not'",
    "~": "write 'not'",
    "<>": "write '!='",
    "<<": "write a product with a power of 2",
    ">>": "write a quotient with a power of 2",
    ":=": "put the definition on a line of its own",
    "->": "write one equation per line",
    ";": "write one equation per line",
    "{": "group with '(' and ')'",
    "}": "group with '(' and ')'",
    "\\": "a line goes on by itself inside brackets",
    "−": "write '-'",
    "–": "write '-'",
    "±": "write the two cases",
    "×": "write '*'",
    "·": "write '*'",
    "⋅": "write '*'",
    "∗": "write '*'",
    "⊙": "write '*'",
    "÷": "write '/'",
    "√": "write sqrt(x)",
    "²": "write '**2'",
    "³": "write '**3'",
    "≤": "write '<='",
    "≥": "write '>='",
    "≠": "write '!='",
    "←": "write '='",
    "‖": "write norm(x)",
}
#: Words of Python that the language lacks: how they are spoken of, and what to do instead.
_REFUSED_WORDS = {
    "lambda": ("a lambda", "write the expression itself"),
    "def": ("a function definition", "write one equation per line"),
    "class": ("a class definition", "write one equation per line"),
    "import": ("an import", "equations are not code"),
    "from": ("an import", "equations are not code"),
    "while": ("a 'while' loop", "write 'for i in range(n):'"),
    "return": ("'return'", "a rule ends by assigning theta[t]"),
    "pass": ("'pass'", "leave the branch out"),
    "is": ("'is'", "only < <= > >= == != compare values"),
    "assert": ("'assert'", "give the hyperparameter a domain"),
    "raise": ("'raise'", "give the hyperparameter a domain"),
    "True": ("'True'", "test an option by its name: 'if amsgrad:'"),
    "False": ("'False'", "test an option by its name: 'if not amsgrad:'"),
    "None": ("'None'", "test an optional hyperparameter by its name: 'if weight_decay:'"),
}


@dataclass(frozen=True, slots=True)
class Token:
    """One number, name, word, quoted text or operator."""

    kind: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Line:
    """An equation or the head of a block, over as many lines of text as its brackets hold open."""

    indent: int
    tokens: tuple[Token, ...]


def read_lines(source: Source, text: str, first_line: int, first_column: int, states: bool = True) -> tuple[Line, ...]:
    """Cut equations into lines of tokens.

    Args:
        source: the file they stand in, for messages.
        text: the equations.
        first_line: the line of the file on which `text` starts.
        first_column: the number of characters before `text` on that line.
        states: whether names can be kept from step to step, for hints.

    Raises:
        SpecError: the text is too long, or holds something that is no token, or its brackets do not pair.
    """
    if len(text) > MAX_TEXT:
        raise SpecError(
            f"these equations are longer than {MAX_TEXT // 1024} KiB",
            source.location(Span(first_line, first_column + 1, 1)),
            "an update rule is a few dozen lines",
        )
    lines: list[Line] = []
    current: list[Token] = []
    indent = 0
    open_brackets: list[Token] = []
    total = 0
    for number, line in enumerate(text.split("\n")):
        before = first_column if number == 0 else 0
        start = Span(first_line + number, before + 1, 1)
        tokens = _Scan(source, line, start, bool(open_brackets), lines, states).tokens(MAX_TOKENS - total)
        total += len(tokens)
        if tokens and not current:
            indent = _indent(source, line, first_line + number, before)
        current += tokens
        _pair(source, tokens, open_brackets)
        if current and not open_brackets:
            lines.append(Line(indent, tuple(current)))
            current = []
    if open_brackets:
        last = open_brackets[-1]
        raise SpecError(f"'{last.text}' is never closed", source.location(last.span))
    return tuple(lines)


def _indent(source: Source, line: str, number: int, before: int) -> int:
    margin = line[: len(line) - len(line.lstrip())]
    if "\t" in margin:
        span = Span(number, before + margin.index("\t") + 1, 1)
        raise SpecError("a tab in the indentation", source.location(span), "indent with spaces")
    return len(margin)


def _pair(source: Source, tokens: list[Token], open_brackets: list[Token]) -> None:
    for token in tokens:
        if token.kind != OPERATOR:
            continue
        if token.text in ("(", "["):
            open_brackets.append(token)
        elif token.text in (")", "]"):
            if not open_brackets:
                raise SpecError(f"'{token.text}' closes nothing", source.location(token.span))
            wanted = ")" if open_brackets[-1].text == "(" else "]"
            if token.text != wanted:
                raise SpecError(
                    f"'{token.text}' does not close '{open_brackets[-1].text}'",
                    source.location(token.span),
                    f"write '{wanted}'",
                )
            open_brackets.pop()


@dataclass(frozen=True, slots=True)
class _Scan:
    """One line of text and what stands before it.

    Attributes:
        source: the file, for messages.
        text: the line.
        start: where its first character stands in the file.
        is_open: whether a bracket of a line above is open.
        above: the equations and heads of blocks above.
        states: whether names can be kept from step to step.
    """

    source: Source
    text: str
    start: Span
    is_open: bool
    above: list[Line]
    states: bool

    def tokens(self, allowed: int) -> list[Token]:
        """Cut the line into tokens, no more than are allowed.

        Raises:
            SpecError: a part of it is no token of the language.
        """
        found: list[Token] = []
        for part in _PART.finditer(self.text):
            kind, text = str(part.lastgroup), part.group()
            if kind in ("blank", "comment"):
                continue
            span = Span(self.start.line, self.start.column + part.start(), len(text))
            if problem := self.problem(found, kind, text, self.text[part.end() :]):
                offset, width, message, hint = problem
                place = Span(span.line, span.column + offset, width)
                raise SpecError(message, self.source.location(place), hint)
            if len(found) >= allowed:
                first = (found[0] if found else Token(kind, text, span)).span
                hint = "split it into named steps"
                raise SpecError("this is too large for an update rule", self.source.location(first), hint)
            found.append(Token(WORD if kind == NAME and text in WORDS else kind, text, span))
        return found

    def problem(self, found: list[Token], kind: str, text: str, rest: str) -> tuple[int, int, str, str] | None:
        """The problem of a token: at which character of it, over how many, the message and the hint.

        Args:
            found: the tokens before it on the line.
            kind: what it is.
            text: the token.
            rest: what follows on the line.
        """
        whole = (0, len(text))
        if kind == "name" and text in ("True", "False", "None") and self.is_keyword_value(found):
            return None  # whether the call takes the keyword is said where calls are read
        if kind == "name" and text not in WORDS and (known := keyword_problem(text)) and _is_named(found, text, rest):
            return *whole, *known
        if kind == "operator" and text in _UPDATES:
            return *whole, "an update in place is not part of the equation language", self.in_place_of(found, text[:-1])
        return _problem(kind, text, rest[:1])

    def is_keyword_value(self, found: list[Token]) -> bool:
        """Whether a value comes next that a call is given under a name: `keepdims=`."""
        if [token.kind for token in found[-2:]] != [NAME, OPERATOR] or found[-1].text != "=":
            return False
        return found[-3].text in ("(", ",") if len(found) > 2 else self.is_open

    def in_place_of(self, found: list[Token], operator: str) -> str:
        """The equation to write in place of an update, as a hint."""
        if operator not in ("+", "-", "*", "/", "%", "**"):
            return _REFUSED.get(operator, "write 'name = ...'")
        heads = [position for position, token in enumerate(found) if token.text == ":"]
        target = found[heads[-1] + 1 :] if heads else found
        if not target or target[0].kind != NAME:
            return f"write 'name = name {operator} ...'"
        name = target[0].text
        if len(target) > 1 or name == "theta":
            return f"write {name}[t] = {name}[t-1] {operator} ..."
        has_value = any([token.text for token in line.tokens[:2]] == [name, "="] for line in self.above)
        indent = len(self.text) - len(self.text.lstrip())
        in_block = bool(heads) or any(line.indent < indent for line in self.above)
        if name == "g" or (has_value and in_block):
            return f"write {name} = {name} {operator} ..."
        if has_value:
            return f"write {name}_2 = {name} {operator} ...: only 'if' and 'for' change a value"
        return f"write {name}[t] = {name}[t-1] {operator} ..." if self.states else f"write {name} = ..."


def _is_named(found: list[Token], text: str, rest: str) -> bool:
    """Whether a word of Python stands where the name of a value would."""
    if text in ("True", "False", "None") or not _BEHIND_NAME.match(rest):
        return False
    if not found:
        return rest.lstrip()[:1] in ("=", "[")
    return found[-1].kind in (OPERATOR, WORD) and found[-1].text not in (")", "]")


def _problem(kind: str, text: str, after: str) -> tuple[int, int, str, str] | None:
    """The problem of a token whatever stands before it, see `_Scan.problem`; `after` is the text that follows."""
    whole = (0, len(text))
    match kind:
        case "name":
            if len(text) > MAX_NAME:
                return *whole, f"a name has at most {MAX_NAME} characters", "choose a shorter one"
            for offset, character in enumerate(text):
                if character in _REFUSED:
                    return offset, 1, *_not_in_language(character)
            if not text.isascii():
                return *whole, f"'{text}' is not plain ASCII", _spelled(text)
            if after in ("'", '"') and after:
                return *whole, "a string is not part of the equation language", "equations hold numbers only"
            if text in _REFUSED_WORDS:
                what, hint = _REFUSED_WORDS[text]
                return *whole, f"{what} is not part of the equation language", hint
            if keyword.iskeyword(text) and text not in WORDS:
                return *whole, f"'{text}' is not part of the equation language", "equations are not code"
        case "number":
            if after.isalnum() or (after in ("_", ".") and after):
                return *whole, f"a number is followed by '{after}'", "a product needs '*', a number is decimal"
            if len(text) > MAX_DIGITS:
                return *whole, "this number has too many digits", "a float64 holds 17 of them"
            if text[0] == "0" and text.isdigit() and text.strip("0"):
                return *whole, f"'{text}' starts with a zero", "leave it out"
        case "operator":
            if text in _REFUSED:
                return *whole, *_not_in_language(text)
        case "other":
            if text in ("'", '"'):
                return *whole, "this quote is never closed", "equations hold numbers only"
            return *whole, *_not_in_language(text)
    return None


def _not_in_language(text: str) -> tuple[str, str]:
    shown = f"'{text}'" if text.isprintable() else f"the character U+{ord(text):04X}"
    return f"{shown} is not part of the equation language", _REFUSED.get(text, "")


def _spelled(name: str) -> str:
    """How a name with Greek letters is spelled in ASCII, as a hint."""
    plain = ""
    for character in unicodedata.normalize("NFKD", name):
        title = unicodedata.name(character, "")
        if title.startswith("GREEK") and " LETTER " in title:
            plain += title.rsplit(" ", 1)[1].replace("LAMDA", "lambda_").lower()
        else:
            plain += character
    plain = plain.removesuffix("_")
    if plain.isascii() and not keyword.iskeyword(plain):
        return f"write '{plain}'; 'symbol' gives the LaTeX"
    return "spell it out; 'symbol' gives the LaTeX"
