"""Equations as LaTeX, the way a paper prints them."""

from __future__ import annotations

from optgen.spec.model import Spec
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
    Timed,
    Unary,
)

_SUM, _PRODUCT, _POWER = 1, 2, 3
_COMPARISONS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge", "==": "=", "!=": r"\ne"}
_FUNCTIONS = {"exp": r"\exp", "log": r"\log", "sin": r"\sin", "cos": r"\cos", "tanh": r"\tanh", "max": r"\max"} | {
    "min": r"\min",
    "sign": r"\operatorname{sign}",
    "clip": r"\operatorname{clip}",
    "sum": r"\textstyle\sum",
    "mean": r"\operatorname{mean}",
    "rms": r"\operatorname{rms}",
}
_GREEK = frozenset(
    "alpha beta gamma delta eps epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega".split()
)
_DECORATIONS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}


def equations_latex(spec: Spec) -> str:
    """The equations of a spec as one `aligned` environment; branches and loops are indented under their condition."""
    writer = _Writer(spec)
    lines = writer.block(spec.body, 0)
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


class _Writer:
    """Writes nodes; knows the symbols that the spec gives its names."""

    def __init__(self, spec: Spec) -> None:
        self.symbols = {h.name: h.symbol for h in spec.hyperparameters} | {s.name: s.symbol for s in spec.states}
        self.symbols |= {"theta": r"\theta", "g": "g"}

    def block(self, statements: tuple[Statement, ...], depth: int) -> list[str]:
        pad = r"\quad " * depth
        lines: list[str] = []
        for statement in statements:
            match statement:
                case Assign(target=target, value=value):
                    lines.append(f"{pad}{self.node(target)} &= {self.node(value)}")
                case If(condition=condition, then=then, otherwise=otherwise):
                    lines.append(rf"{pad}&\textbf{{if }} {self.condition(condition)}")
                    lines += self.block(then, depth + 1)
                    if otherwise:
                        lines.append(rf"{pad}&\textbf{{else}}")
                        lines += self.block(otherwise, depth + 1)
                case For(variable=variable, start=start, stop=stop, step=step, body=body):
                    last = f"{self.node(start)}, \\dots, {self.node(stop)} - 1"
                    by = "" if step == Number(1, step.span) else rf" \text{{ by }} {self.node(step)}"
                    lines.append(rf"{pad}&\textbf{{for }} {variable} = {last}{by}")
                    lines += self.block(body, depth + 1)
        return lines

    def condition(self, node: Node) -> str:
        """A condition; options stand as their names."""
        match node:
            case Name(name=name) if name not in ("t", "rank", "rows", "columns", "size"):
                return rf"\mathtt{{{_escaped(name)}}}"
            case Unary(operator="not", operand=operand):
                return rf"\text{{not }} {self.condition(operand)}"
            case Logical(operator=operator, left=left, right=right):
                return rf"{self.condition(left)} \text{{ {operator} }} {self.condition(right)}"
            case Compare(operator=operator, left=left, right=right):
                return f"{self.condition(left)} {_COMPARISONS[operator]} {self.condition(right)}"
        return self.node(node)

    def node(self, node: Node, binding: int = 0) -> str:
        match node:
            case Number(value=value):
                return _number(value)
            case Text(value=value):
                return rf"\texttt{{{_escaped(value)}}}"
            case Name(name=name):
                return self.symbol(name)
            case Indexed(name=name, index=index):
                return _with_subscript(self.symbol(name), self.node(index))
            case Timed(name=name, lag=lag):
                return _with_subscript(self.symbol(name), f"t-{lag}" if lag else "t")
            case Unary(operator="-", operand=operand):
                return _bracketed(f"-{self.node(operand, _PRODUCT)}", binding >= _SUM)
            case Unary(operand=operand):
                return rf"\text{{not }} {self.node(operand, _PRODUCT)}"
            case Binary():
                return self.binary(node, binding)
            case Compare(operator=operator, left=left, right=right):
                return _bracketed(f"{self.node(left)} {_COMPARISONS[operator]} {self.node(right)}", binding > 0)
            case Logical(operator=operator, left=left, right=right):
                return _bracketed(rf"{self.node(left)} \text{{ {operator} }} {self.node(right)}", binding > 0)
            case Call(function=function, arguments=arguments, over=over):
                return self.call(function, [self.node(a) for a in arguments], over)
        raise TypeError(f"no LaTeX for {type(node).__name__}")

    def binary(self, node: Binary, binding: int) -> str:
        match node.operator:
            case "+" | "-":
                text = f"{self.node(node.left)} {node.operator} {self.node(node.right, _SUM)}"
                return _bracketed(text, binding >= _SUM)
            case "*":
                left, right = self.node(node.left, _SUM), self.node(node.right, _SUM)
                # Two numbers side by side would read as one.
                sign = r" \cdot " if right[0].isdigit() else " "
                return _bracketed(f"{left}{sign}{right}", binding >= _POWER)
            case "/":
                return rf"\frac{{{self.node(node.left)}}}{{{self.node(node.right)}}}"
            case "**":
                base = self.node(node.left, _POWER)
                if isinstance(node.left, Indexed | Timed) or "_" in base:
                    base = f"{{{base}}}"
                return f"{base}^{{{self.node(node.right)}}}"
            case "%":
                return _bracketed(rf"{self.node(node.left, _SUM)} \bmod {self.node(node.right, _SUM)}", binding >= _SUM)
        raise ValueError(f"unknown operator {node.operator!r}")

    def call(self, function: str, arguments: list[str], over: str) -> str:
        mark = "" if over in ("", "tensor") else rf"_{{\text{{{over.replace('_', ' ')}}}}}"
        match function:
            case "sqrt":
                return rf"\sqrt{{{arguments[0]}}}"
            case "abs":
                return rf"\left|{arguments[0]}\right|"
            case "norm":
                return rf"\left\lVert {arguments[0]} \right\rVert{mark}"
            case "dot":
                return rf"\left\langle {arguments[0]}, {arguments[1]} \right\rangle{mark}"
            case "floor" | "ceil":
                return rf"\left\l{function} {arguments[0]} \right\r{function}"
            case "every":
                return rf"t \bmod {arguments[0]} = 0"
            case "where":
                return (
                    rf"\begin{{cases}} {arguments[1]} & \text{{if }} {arguments[0]} \\ "
                    rf"{arguments[2]} & \text{{otherwise}} \end{{cases}}"
                )
        name = _FUNCTIONS.get(function, rf"\operatorname{{{_escaped(function)}}}")
        return rf"{name}{mark}\left({', '.join(arguments)}\right)"

    def symbol(self, name: str) -> str:
        """What the spec says, or what the name suggests: `v_hat` is v with a hat, `beta1` has a subscript."""
        if name in self.symbols:
            return self.symbols[name]
        stem, _, last = name.rpartition("_")
        if stem and last in _DECORATIONS:
            return f"{_DECORATIONS[last]}{{{self.symbol(stem)}}}"
        letters = name.rstrip("0123456789")
        digits = name[len(letters) :]
        if letters in _GREEK:
            letters = r"\varepsilon" if letters in ("eps", "epsilon") else f"\\{letters}"
        elif len(letters) > 1:
            letters = rf"\mathrm{{{_escaped(letters)}}}"
        return f"{letters}_{{{digits}}}" if digits else letters


def _with_subscript(symbol: str, index: str) -> str:
    """`m` → `m_{t}`; a symbol that has a subscript already gets a second part."""
    if symbol.endswith("}") and "_{" in symbol:
        return f"{symbol[:-1]},{index}}}"
    if "_" in symbol:
        return f"{{{symbol}}}_{{{index}}}"
    return f"{symbol}_{{{index}}}"


def _bracketed(text: str, needed: bool) -> str:
    return rf"\left({text}\right)" if needed else text


def _number(value: int | float) -> str:
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \cdot {power}"


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")
