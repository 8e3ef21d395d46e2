"""Equations as LaTeX: exact text of small ones, and that every spec of the catalogue gives LaTeX that can be set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

from optgen.language.latex import equations_latex
from optgen.language.model import Spec
from optgen.language.reader import parse_spec, read_spec
from optgen.language.starter import starter_spec

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "specs").glob("*.toml"))

HEAD = r"""
[optimizer]
name = "small"
class = "Small"
title = "Small"
summary = "Small."

[hyperparameters]
lr = { default = 1e-3, symbol = '\alpha', domain = "lr >= 0", meaning = "learning rate" }
beta1 = { default = 0.9, symbol = '\beta_1', domain = "0 <= beta1 < 1", meaning = "first decay" }
up = { default = 1.2, symbol = '\eta^+', domain = "up > 1", meaning = "growth" }
weight_decay = { default = 0.0, symbol = '\lambda', domain = "weight_decay >= 0", absent = 0, meaning = "decay" }

[options]
nesterov = { default = false, meaning = "look ahead" }
kind = { default = "raw", choices = ["raw", "very_raw"], meaning = "which" }
turns = { default = 2, meaning = "how many" }

[states]
v_max = { symbol = '\hat v^{\max}', meaning = "largest" }
square = { symbol = 'E[g^2]', meaning = "mean square" }

[equations]
rule = '''
"""

USES_ALL = r"""
m[t] = beta1*m[t-1]
v_max[t] = up*v_max[t-1]
square[t] = square[t-1]
if nesterov and kind == "raw" and weight_decay:
    z = weight_decay
else:
    z = turns
theta[t] = lr*z*m[t]*v_max[t]*square[t]
"""


def small(rule: str) -> Spec:
    """A spec that declares all of the above and states these equations and whatever else it must."""
    return parse_spec(f"{HEAD}{rule.strip()}\n{USES_ALL.strip()}\n'''\n", "specs/small.toml")


def lines_of(latex: str) -> list[str]:
    first, *lines, last = latex.split("\n")
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    assert all(line.endswith(r" \\") for line in lines[:-1])
    return [line.removesuffix(r" \\") for line in lines]


@pytest.mark.parametrize(
    ("written", "latex"),
    [
        ("m[t-1] + m[t-1]", r"m_{t-1} + m_{t-1}"),
        ("(1 - beta1)*g", r"(1 - \beta_1) g"),
        ("g**2", r"g^{2}"),
        ("theta[t-1]**2", r"\theta_{t-1}^{2}"),
        ("beta1**t", r"\beta_1^{t}"),
        ("beta1**(t + 1)", r"\beta_1^{t+1}"),
        ("up**2", r"(\eta^+)^{2}"),
        ("v_max[t-1]**2", r"(\hat v_{t-1}^{\max})^{2}"),
        ("square[t-1]**2", r"E[g^2]_{t-1}^{2}"),
        ("(g + 1)**2", r"(g + 1)^{2}"),
        ("(g/t)**2", r"\left(\frac{g}{t}\right)^{2}"),
        ("(g**2)**3", r"(g^{2})^{3}"),
        ("g**2**3", r"g^{2^{3}}"),
        ("-g**2", r"-g^{2}"),
        ("(-g)**2", r"(-g)^{2}"),
        ("g**-0.5", r"g^{-0.5}"),
        ("-g*lr", r"-g \alpha"),
        ("g*-lr", r"g (-\alpha)"),
        ("g - -lr*g", r"g - (-\alpha g)"),
        ("-lr*g + g", r"-\alpha g + g"),
        ("-(g + lr)", r"-(g + \alpha)"),
        ("g - (lr - 1)", r"g - (\alpha - 1)"),
        ("g - lr - 1", r"g - \alpha - 1"),
        ("lr*m[t-1]/(sqrt(g) + 1e-8)", r"\frac{\alpha m_{t-1}}{\sqrt{g} + 10^{-8}}"),
        ("g/lr*t", r"\frac{g}{\alpha} t"),
        ("2*3*g", r"2 \cdot 3 g"),
        ("g*2.5e-7", r"g \cdot 2.5 \cdot 10^{-7}"),
        ("1e20**2", r"(10^{20})^{2}"),
        ("2.0*g", r"2 g"),
        ("t % 5 + 1", r"(t \bmod 5) + 1"),
        ("lr*(t % 5)", r"\alpha (t \bmod 5)"),
        ("t % (5 + t)", r"t \bmod (5 + t)"),
        ("abs(g)", r"\lvert g \rvert"),
        ("abs(g/lr)", r"\left\lvert \frac{g}{\alpha} \right\rvert"),
        ("norm(g)**2", r"\lVert g \rVert^{2}"),
        ("norm(g, over=model)", r"\lVert g \rVert_{\text{model}}"),
        ("dot(g, theta[t-1])", r"\langle g, \theta_{t-1} \rangle"),
        ("mean(g**2)", r"\operatorname{mean}(g^{2})"),
        ("floor(t/2)", r"\left\lfloor \frac{t}{2} \right\rfloor"),
        ("ceil(lr)", r"\lceil \alpha \rceil"),
        ("max(g, 0)", r"\max(g, 0)"),
        ("clip(g/lr, -1, 1)", r"\operatorname{clip}\left(\frac{g}{\alpha}, -1, 1\right)"),
        ("exp(-g)", r"\exp(-g)"),
        ("size*g", r"\mathrm{size} \, g"),
        ("g*size", r"g \, \mathrm{size}"),
        ("where(g > 0, g, -g)", r"\begin{cases} g & \text{if } g > 0 \\ -g & \text{otherwise} \end{cases}"),
        (
            "where(g > 0, up, where(g != 0, lr, 1))*g",
            r"\left(\begin{cases} \eta^+ & \text{if } g > 0 \\ \alpha & \text{if } g \neq 0 \\ 1 & \text{otherwise} "
            r"\end{cases}\right) g",
        ),
        (
            "where(0 < t <= 5, 1, 2)*1",
            r"\left(\begin{cases} 1 & \text{if } 0 < t \text{ and } t \leq 5 \\ 2 & \text{otherwise} "
            r"\end{cases}\right) \cdot 1",
        ),
        (
            "where((t < 5 or t > 9) and t >= 1, 1, 2)",
            r"\begin{cases} 1 & \text{if } (t < 5 \text{ or } t > 9) \text{ and } t \geq 1 \\ 2 & \text{otherwise} "
            r"\end{cases}",
        ),
        (
            "where(not t == 1, 1, 2)",
            r"\begin{cases} 1 & \text{if } \text{not } t = 1 \\ 2 & \text{otherwise} \end{cases}",
        ),
        ("where(every(5), 1, 2)", r"\begin{cases} 1 & \text{if } t \bmod 5 = 0 \\ 2 & \text{otherwise} \end{cases}"),
    ],
)
def test_expression(written: str, latex: str) -> None:
    assert lines_of(equations_latex(small(f"x = {written}")))[0] == f"&x = {latex}"


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("q", "q"),
        ("m_hat", r"\hat{m}"),
        ("v_bar", r"\bar{v}"),
        ("beta1_hat", r"\hat{\beta}_{1}"),
        ("v_max_hat", r"\hat{\hat v}^{\max}"),
        ("q2", r"q_{2}"),
        ("gamma", r"\gamma"),
        ("rho3", r"\rho_{3}"),
        ("epsilon", r"\varepsilon"),
        ("r_norm", r"r_{\mathrm{norm}}"),
        ("theta_norm", r"\theta_{\mathrm{norm}}"),
        ("beta1_next", r"\mathrm{beta1\_next}"),
        ("step_size", r"\mathrm{step\_size}"),
        ("ratio2", r"\mathrm{ratio}_{2}"),
    ],
)
def test_name_of_an_intermediate(name: str, latex: str) -> None:
    assert lines_of(equations_latex(small(f"{name} = 1")))[0] == f"&{latex} = 1"


def test_straight_equations_are_aligned_at_their_sign() -> None:
    text = HEAD.split("[options]")[0].replace("weight_decay = {", "#").replace("up = {", "#")
    rule = "m[t] = beta1*m[t-1] + (1 - beta1)*g\ntheta[t] = theta[t-1] - lr*m[t]\n"
    spec = parse_spec(f"{text}\n[equations]\nrule = '''\n{rule}'''\n", "specs/small.toml")
    assert equations_latex(spec) == (
        "\\begin{aligned}\n"
        r"m_{t} &= \beta_1 m_{t-1} + (1 - \beta_1) g \\" + "\n"
        r"\theta_{t} &= \theta_{t-1} - \alpha m_{t}" + "\n"
        r"\end{aligned}"
    )


def test_branches_are_indented_under_their_condition() -> None:
    rule = """
if nesterov and not (kind == "very_raw" or weight_decay):
    if t == 1:
        x = g
    elif t > 5:
        x = 2*g
    else:
        x = 3*g
else:
    x = 4*g
"""
    assert lines_of(equations_latex(small(rule)))[:9] == [
        r"&\textbf{if } \mathtt{nesterov} \text{ and } \text{not } "
        r"(\mathtt{kind} = \texttt{very\_raw} \text{ or } \mathtt{weight\_decay})",
        r"&\quad \textbf{if } t = 1",
        r"&\quad \quad x = g",
        r"&\quad \textbf{else if } t > 5",
        r"&\quad \quad x = 2 g",
        r"&\quad \textbf{else}",
        r"&\quad \quad x = 3 g",
        r"&\textbf{else}",
        r"&\quad x = 4 g",
    ]


@pytest.mark.parametrize(
    ("written", "latex"),
    [
        ("range(turns)", r"i = 0, \dots, \mathtt{turns} - 1"),
        ("range(3)", r"i = 0, \dots, 2"),
        ("range(turns - 1, -1, -1)", r"i = \mathtt{turns} - 1, \dots, 0"),
        ("range(4, 0, -1)", r"i = 4, \dots, 1"),
        ("range(0, turns, 2)", r"i \in \operatorname{range}(0, \mathtt{turns}, 2)"),
    ],
)
def test_loop(written: str, latex: str) -> None:
    rule = f"q = g\nfor i in {written}:\n    q = q + m[t-1-i]"
    assert lines_of(equations_latex(small(rule)))[:3] == [
        "&q = g",
        rf"&\textbf{{for }} {latex}",
        r"&\quad q \leftarrow q + m_{t-1-i}",
    ]


def test_name_that_is_changed_gets_an_arrow() -> None:
    rule = "d = g\nif nesterov:\n    d = d + lr*theta[t-1]\n    g = 2*g"
    assert lines_of(equations_latex(small(rule)))[:4] == [
        "&d = g",
        r"&\textbf{if } \mathtt{nesterov}",
        r"&\quad d \leftarrow d + \alpha \theta_{t-1}",
        r"&\quad g \leftarrow 2 g",
    ]


def test_initial_value_that_prints_as_itself_is_left_out() -> None:
    text = HEAD.replace(r"symbol = '\eta^+'", "symbol = 'm_0'").replace("up > 1", "up >= 0")
    spec = parse_spec(f"{text}m[0] = up\n{USES_ALL.strip()}\n'''\n", "specs/small.toml")
    assert lines_of(equations_latex(spec))[0] == r"&m_{t} = \beta_1 m_{t-1}"


def faults(latex: str) -> list[str]:
    """What LaTeX would refuse, or set wrongly, in an `aligned` environment."""
    found = []
    open_: list[str] = []
    columns = [0]
    pairs = {"}": "{", ")": "(", r"\rvert": r"\lvert", r"\rVert": r"\lVert", r"\rangle": r"\langle"}
    pairs |= {r"\rfloor": r"\lfloor", r"\rceil": r"\lceil"}
    pairs |= {rf"\right{close}": rf"\left{start}" for close, start in pairs.items()}
    grown = r"\\(?:left|right)(?:\\[a-zA-Z]+|.)"
    tokens = re.findall(rf"\\(?:begin|end)\{{\w+\}}|{grown}|\\[a-zA-Z]+|\\.|.", latex, re.DOTALL)
    for at, token in enumerate(tokens):
        if token.startswith(r"\begin"):
            open_.append(token)
            columns.append(0)
        elif token.startswith(r"\end"):
            if not open_ or open_.pop() != token.replace("end", "begin"):
                found.append(f"{token} closes nothing")
            columns = columns[:-1] or [0]
        elif token in pairs.values():
            open_.append(token)
        elif token in pairs:
            if not open_ or open_.pop() != pairs[token]:
                found.append(f"{token} closes nothing")
        elif token == "&":
            columns[-1] += 1
            if columns[-1] > 1:
                found.append("two & on one line")
            if not (open_ and open_[-1].startswith(r"\begin")):
                found.append("& inside brackets")
        elif token == r"\\":
            columns[-1] = 0
        if token in ("_", "^") and "".join(tokens[at + 1 : at + 2]) in ("", " ", "}"):
            found.append(f"{token} with nothing after it")
    return found + [f"{token} stays open" for token in open_]


def cells(latex: str) -> Iterator[str]:
    """The formulas between the marks of alignment, as matplotlib's mathtext takes them."""
    text = "".join(latex.split("\n")[1:-1])
    # It sets one line at a time and has one bold and one typewriter face.
    text = re.sub(r"\\(begin|end)\{cases\}", r"\\\\", text).replace(r"\left(\\", r"\\").replace(r"\\\right)", r"\\")
    text = text.replace(r"\textbf", r"\mathbf").replace(r"\texttt", r"\mathtt").replace(r"\lvert", "|")
    text = text.replace(r"\rvert", "|").replace(r"\lVert", r"\|").replace(r"\rVert", r"\|").replace(r"\bmod", r"\%")
    yield from (cell.strip() for cell in re.split(r"\\\\|(?<!\\)&", text) if cell.strip())


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_every_spec_gives_latex_that_can_be_set(path: Path) -> None:
    latex = equations_latex(read_spec(path))
    assert faults(latex) == []
    parser = MathTextParser("path")
    for cell in cells(latex):
        if cell.count(r"\left") == cell.count(r"\right"):  # one that `cells` has cut in two is no formula any more
            assert parser.parse(f"${cell}$", 72, FontProperties(size=10)).width > 0, cell


def test_starter_gives_latex_that_can_be_set() -> None:
    assert faults(equations_latex(parse_spec(starter_spec("first_try"), "specs/first_try.toml"))) == []


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\begin{aligned}a &= {b}\end{aligned}", []),
        (r"\begin{aligned}a &= {b\end{aligned}", [r"\end{aligned} closes nothing", r"\begin{aligned} stays open"]),
        (
            r"\begin{aligned}a &= \left(b)\end{aligned}",
            [") closes nothing"],
        ),
        (r"\begin{aligned}a &= b &= c\end{aligned}", ["two & on one line"]),
        (r"\begin{aligned}a &= b \\ c &= d\end{aligned}", []),
        (r"\begin{aligned}a = (b & c)\end{aligned}", ["& inside brackets"]),
        (r"a_ b", ["_ with nothing after it"]),
    ],
)
def test_faults_are_found(latex: str, expected: list[str]) -> None:
    assert faults(latex) == expected
