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


def read_lines(source: Source, text: str, first_line: int, first_column: int) -> tuple[Line, ...]:
    """Cut equations into lines of tokens.

    Args:
        source: the file they stand in, for messages.
        text: the equations.
        first_line: the line of the file on which `text` starts.
        first_column: the number of characters before `text` on that line.

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
        tokens = _tokens(source, line, first_line + number, before, MAX_TOKENS - total)
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


def _tokens(source: Source, line: str, number: int, before: int, allowed: int) -> list[Token]:
    found: list[Token] = []
    for part in _PART.finditer(line):
        kind, text = str(part.lastgroup), part.group()
        if kind in ("blank", "comment"):
            continue
        span = Span(number, before + part.start() + 1, len(text))
        if problem := _problem(kind, text, line[part.end() : part.end() + 1]):
            offset, width, message, hint = problem
            place = Span(span.line, span.column + offset, width)
            raise SpecError(message, source.location(place), hint)
        if len(found) >= allowed:
            start = (found[0] if found else Token(kind, text, span)).span
            raise SpecError("this is too large for an update rule", source.location(start), "split it into named steps")
        found.append(Token(WORD if kind == NAME and text in WORDS else kind, text, span))
    return found


def _problem(kind: str, text: str, after: str) -> tuple[int, int, str, str] | None:
    """The problem of a token: at which character of it, over how many, the message and the hint."""
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
            if text in _UPDATES:
                return *whole, "an update in place is not part of the equation language", "write 'name = name + ...'"
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
