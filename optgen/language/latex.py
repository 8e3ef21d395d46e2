"""Equations as LaTeX, the way a paper prints them."""

from __future__ import annotations

import re

from optgen.escaping import latex as escaped
from optgen.language.functions import FUNCTIONS
from optgen.language.model import Spec
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
    Timed,
    Unary,
    walk,
)

#: How tightly a piece of LaTeX binds, loosest first.
_CASES, _OR, _AND, _NOT, _COMPARISON, _MODULO, _SUM, _PRODUCT, _POWER, _ATOM = range(10)

_COMPARISONS = {"<": "<", "<=": r"\leq", ">": ">", ">=": r"\geq", "==": "=", "!=": r"\neq"}
_GREEK = frozenset(
    "alpha beta gamma delta eps epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega".split()
)
_DECORATIONS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}
#: What stands higher than a line, so that brackets around it have to grow.
_TALL = re.compile(r"\\(frac|sqrt|begin|left)\b")
#: A name of several letters, which needs room beside another factor.
_WORD_FIRST = re.compile(r"\\math(rm|tt)\{")
_WORD_LAST = re.compile(r"\\math(rm|tt)\{[^{}]*\}(_\{[^{}]*\})?\Z")


def equations_latex(spec: Spec, body: tuple[Statement, ...] | None = None) -> str:
    """The equations of a spec, or those of its statements that are given, as one `aligned` environment.

    Equations are aligned at their sign. With branches or loops among them they start at the margin instead, since
    only there can they be indented under their condition.
    """
    writer = _Writer(spec)
    body = spec.body if body is None else body
    straight = [statement for statement in body if isinstance(statement, Assign)]
    if len(straight) == len(body):
        lines = [writer.equation(statement, " &") for statement in straight if not writer.says_nothing(statement)]
    else:
        lines = writer.block(body, 0)
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


class _Writer:
    """Writes nodes; knows the symbols that the spec gives its names."""

    def __init__(self, spec: Spec) -> None:
        self.symbols = {h.name: h.symbol for h in spec.hyperparameters} | {s.name: s.symbol for s in spec.states}
        self.symbols |= {"theta": r"\theta", "g": "g"}
        self.symbols |= {o.name: _typewriter(o.name) for o in spec.options}

    def block(self, statements: tuple[Statement, ...], depth: int) -> list[str]:
        """Lines that start at the margin, indented by `depth`."""
        start = "&" + r"\quad " * depth
        lines: list[str] = []
        for statement in statements:
            match statement:
                case Assign():
                    if not self.says_nothing(statement):
                        lines.append(start + self.equation(statement, " "))
                case If():
                    lines += self.branches(statement, start, depth)
                case For(body=body):
                    lines.append(rf"{start}\textbf{{for }} {self.turns(statement)}")
                    lines += self.block(body, depth + 1)
        return lines

    def equation(self, statement: Assign, before_sign: str) -> str:
        """`target = value`; an arrow where the value reads what the name meant before."""
        changed = any(
            node.name == statement.target.name
            for node in walk(statement.value)
            if isinstance(node, Name) and isinstance(statement.target, Name)
        )
        sign = r"\leftarrow" if changed else "="
        return f"{self.text(statement.target)}{before_sign}{sign} {self.text(statement.value)}"

    def says_nothing(self, statement: Assign) -> bool:
        """Whether both sides print the same: a hyperparameter that is called `v_0`, being `v` at step 0."""
        return _scripts(self.text(statement.target)) == _scripts(self.text(statement.value))

    def branches(self, statement: If, start: str, depth: int) -> list[str]:
        lines: list[str] = []
        word = "if"
        while True:
            lines.append(rf"{start}\textbf{{{word} }} {self.condition(statement.condition)}")
            lines += self.block(statement.then, depth + 1)
            match statement.otherwise:
                case (If() as only,):
                    statement, word = only, "else if"
                case ():
                    return lines
                case otherwise:
                    return [*lines, rf"{start}\textbf{{else}}", *self.block(otherwise, depth + 1)]

    def turns(self, loop: For) -> str:
        """The values that a loop's variable takes; `stop` itself is not one of them."""
        match loop.step:
            case Number(value=1):
                last = self.beside(loop.stop, -1)
            case Number(value=-1) | Unary(operator="-", operand=Number(value=1)):
                last = self.beside(loop.stop, 1)
            case step:
                bounds = ", ".join(self.text(bound) for bound in (loop.start, loop.stop, step))
                return rf"{loop.variable} \in \operatorname{{range}}({bounds})"
        return rf"{loop.variable} = {self.text(loop.start)}, \dots, {last}"

    def beside(self, node: Node, distance: int) -> str:
        """The integer next to a bound."""
        match node:
            case Number(value=value):
                return _number(value + distance)
            case Unary(operator="-", operand=Number(value=value)):
                return _number(distance - value)
        return f"{self.text(node, _SUM)} {'+' if distance > 0 else '-'} 1"

    def text(self, node: Node, least: int = _CASES) -> str:
        """A node, in brackets if it binds less tightly than its surroundings ask for."""
        return _within(self.node(node), least)

    def condition(self, node: Node, least: int = _CASES) -> str:
        """A condition, in brackets like `text`; a bare name tests an option, or whether a hyperparameter is there."""
        return _typewriter(node.name) if isinstance(node, Name) else self.text(node, least)

    def node(self, node: Node) -> tuple[str, int]:
        """A node and how tightly it binds."""
        match node:
            case Number(value=value):
                text = _number(value)
                return text, _SUM if value < 0 else _PRODUCT if r"\cdot" in text else _POWER if "^" in text else _ATOM
            case Text(value=value):
                return rf"\texttt{{{escaped(value)}}}", _ATOM
            case Name(name=name):
                return self.named(self.symbol(name))
            case Indexed(name=name, index=index):
                return self.named(_with_subscript(self.symbol(name), _compact(self.text(index))))
            case Timed(name=name, lag=lag):
                return self.named(_with_subscript(self.symbol(name), f"t-{lag}" if lag else "t"))
            case Unary(operator="-", operand=operand):
                return f"-{self.text(operand, _PRODUCT)}", _SUM
            case Unary(operator="not", operand=operand):
                return rf"\text{{not }} {self.condition(operand, _NOT)}", _NOT
            case Binary():
                return self.chain(node)
            case Compare(operator=operator, left=left, right=right):
                return f"{self.text(left, _MODULO)} {_COMPARISONS[operator]} {self.text(right, _MODULO)}", _COMPARISON
            case Logical(operator=operator, left=left, right=right):
                binding = _OR if operator == "or" else _AND
                goes_on = isinstance(right, Logical) and right.operator == operator
                sides = self.condition(left, binding), self.condition(right, binding if goes_on else binding + 1)
                return rf"{sides[0]} \text{{ {operator} }} {sides[1]}", binding
            case Call(function=function, arguments=arguments, over=over):
                return self.call(function, arguments, over)
        raise TypeError(f"no LaTeX for {type(node).__name__}")

    def named(self, symbol: str) -> tuple[str, int]:
        return symbol, _POWER if _scripts(symbol)[2] else _ATOM

    def chain(self, node: Binary) -> tuple[str, int]:
        """Operators one after the other; a long sum is as deep as it has terms."""
        links = [node]
        while isinstance(links[-1].left, Binary):
            links.append(links[-1].left)
        written = self.node(links[-1].left)
        for link in reversed(links):
            written = self.binary(link, written)
        return written

    def binary(self, node: Binary, left: tuple[str, int]) -> tuple[str, int]:
        """An operator, what stands on its left having been written."""
        right = node.right
        match node.operator:
            case "+" | "-":
                return f"{_within(left, _SUM)} {node.operator} {self.text(right, _PRODUCT)}", _SUM
            case "*":
                # A sign in front of a product needs no brackets, but makes all of it a term.
                signed = _starts_with_sign(node.left)
                first = _within(left, _SUM if signed else _PRODUCT)
                second = self.text(right, _PRODUCT)
                return f"{first}{_between(first, second)}{second}", _SUM if signed else _PRODUCT
            case "/":
                return rf"\frac{{{_within(left, _CASES)}}}{{{self.text(right)}}}", _PRODUCT
            case "**":
                return f"{_within(left, _ATOM)}^{{{_compact(self.text(right))}}}", _POWER
            case "%":
                return rf"{_within(left, _PRODUCT)} \bmod {self.text(right, _PRODUCT)}", _MODULO
        raise ValueError(f"no LaTeX for the operator {node.operator!r}")

    def call(self, function: str, arguments: tuple[Node, ...], over: str) -> tuple[str, int]:
        mark = "" if over in ("", "tensor") else rf"_{{\text{{{over.replace('_', ' ')}}}}}"
        if function == "where":
            return rf"\begin{{cases}} {self.cases(arguments)} \end{{cases}}", _CASES
        if function == "every":
            return rf"t \bmod {self.text(arguments[0], _PRODUCT)} = 0", _COMPARISON
        inner = ", ".join(self.text(argument) for argument in arguments)
        latex = FUNCTIONS[function].latex if function in FUNCTIONS else ""
        latex = latex or rf"\operatorname{{{escaped(function)}}}"
        left, fence, right = latex.partition(" # ")
        if fence:
            return _fenced(left, inner, right) + mark, _ATOM
        if "#" in latex:
            return latex.replace("#", inner) + mark, _ATOM
        return f"{latex}{mark}{_bracketed(inner)}", _ATOM

    def cases(self, arguments: tuple[Node, ...]) -> str:
        """The rows of a choice between values; what is chosen otherwise may be a choice again."""
        condition, then, otherwise = arguments
        row = rf"{self.text(then)} & \text{{if }} {self.condition(condition)} \\ "
        if isinstance(otherwise, Call) and otherwise.function == "where":
            return row + self.cases(otherwise.arguments)
        return rf"{row}{self.text(otherwise)} & \text{{otherwise}}"

    def symbol(self, name: str) -> str:
        """The spec's symbol for a name, or one made from it: `v_hat` gets a hat, `r_norm` and `beta1` a subscript."""
        if name in self.symbols:
            return self.symbols[name]
        stem, _, last = name.rpartition("_")
        if stem and last in _DECORATIONS:
            base, below, above = _scripts(self.symbol(stem))
            return _joined(f"{_DECORATIONS[last]}{{{base}}}", below, above)
        letters = name.rstrip("0123456789")
        digits = name[len(letters) :]
        first, _, rest = letters.partition("_")
        if rest and (len(first) == 1 or first in _GREEK):
            return _with_subscript(self.symbol(first), rf"\mathrm{{{escaped(rest)}}}{digits}")
        if letters in _GREEK:
            letters = r"\varepsilon" if letters in ("eps", "epsilon") else f"\\{letters}"
        elif len(letters) > 1:
            letters = rf"\mathrm{{{escaped(letters.rstrip('_'))}}}"
        return f"{letters}_{{{digits}}}" if digits else letters


def _within(written: tuple[str, int], least: int) -> str:
    """A piece of LaTeX, in brackets if it binds less tightly than its surroundings ask for."""
    text, binding = written
    return _bracketed(text) if binding < least else text


def _starts_with_sign(node: Node) -> bool:
    while isinstance(node, Binary) and node.operator == "*":
        node = node.left
    match node:
        case Unary(operator="-"):
            return True
        case Number(value=value):
            return value < 0
    return False


def _between(left: str, right: str) -> str:
    """The text between two factors: a dot before digits, which would read as one number, space beside a word."""
    if right[0].isdigit():
        return r" \cdot "
    return r" \, " if _WORD_FIRST.match(right) or _WORD_LAST.search(left) else " "


def _with_subscript(symbol: str, index: str) -> str:
    r"""`m` → `m_{t}`; a symbol that has a subscript already gets a second part: `\beta_1` → `\beta_{1,t}`."""
    base, below, above = _scripts(symbol)
    return _joined(base, f"{below},{index}" if below else index, above)


def _joined(base: str, below: str, above: str) -> str:
    return base + (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")


def _scripts(symbol: str) -> tuple[str, str, str]:
    """A symbol without its subscript and superscript, and those two, empty if there are none."""
    depth = 0
    for start, character in enumerate(symbol):
        depth += (character in "{[") - (character in "}]")
        if depth == 0 and character in "_^" and symbol[start - 1 : start] != "\\":
            break
    else:
        return symbol, "", ""
    found = {"_": "", "^": ""}
    at = start
    while at < len(symbol):
        mark, end = symbol[at], _argument_end(symbol, at + 1)
        if mark not in found or found[mark] or end == at + 1:
            return f"{{{symbol}}}", "", ""  # too odd to be taken apart: scripts go around all of it
        argument = symbol[at + 1 : end]
        found[mark] = argument[1:-1] if argument.startswith("{") else argument
        at = end
    return symbol[:start], found["_"], found["^"]


def _argument_end(text: str, start: int) -> int:
    """Where the argument that starts there ends: a group in braces, a command, or one character."""
    if text[start : start + 1] == "{":
        depth = 0
        for at in range(start, len(text)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                return at + 1
        return len(text)
    command = re.compile(r"\\([a-zA-Z]+|.)").match(text, start)
    return command.end() if command else min(start + 1, len(text))


def _fenced(left: str, inner: str, right: str) -> str:
    grow = _TALL.search(inner)
    return rf"\left{left} {inner} \right{right}" if grow else f"{left} {inner} {right}"


def _bracketed(text: str) -> str:
    return rf"\left({text}\right)" if _TALL.search(text) else f"({text})"


def _compact(script: str) -> str:
    """Subscripts and exponents are set without room around signs."""
    return re.sub(r" ([+-]) ", r"\1", script)


def _number(value: int | float) -> str:
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    mantissa, exponent = text.split("e")
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"


def _typewriter(name: str) -> str:
    return rf"\mathtt{{{escaped(name)}}}"
