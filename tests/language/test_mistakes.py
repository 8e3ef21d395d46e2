"""Every mistake in a spec is shown in place: the exact text of the message, the line, the caret and the hint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from optgen.compiler.ahead import choices_ahead
from optgen.compiler.analyse import analyse
from optgen.compiler.specialise import specialise
from optgen.errors import SpecError
from optgen.language.reader import parse_spec

HEAD = """\
[optimizer]
name = "toy"
class = "Toy"
title = "Toy"
summary = "A toy."
"""
LR = "lr = { default = 0.1 }"
# A spec without mistakes; each case of tables.txt changes one thing in it.
GOOD = f"""\
{HEAD}
[hyperparameters]
lr = {{ default = 0.1, domain = "lr >= 0", meaning = "step size" }}
wd = {{ default = 0.0, absent = 0 }}

[options]
nesterov = {{ default = false }}
kind = {{ default = "raw", choices = ["raw", "fine"] }}
k = {{ default = 3 }}

[inputs]
loss = {{ kind = "step" }}

[states]
m = {{ symbol = 'm' }}

[equations]
rule = '''
if wd:
    g = g + wd*theta[t-1]
m[t] = m[t-1] + g*loss*k
if nesterov:
    g = m[t]
if kind == "raw":
    g = 2*g
theta[t] = theta[t-1] - lr*g
'''

[dialect.torch]
name = "Toy"
arguments = {{ lr = "lr", nesterov = "nesterov" }}
required = ["lr"]
keyword_only = ["nesterov"]
defaults = {{ wd = "none" }}
options = {{ kind = "fine" }}
states = {{ m = "buf" }}
"""


@dataclass(frozen=True)
class Mistake:
    """The text of a spec, and what is said of it."""

    text: str
    message: str


def blocks(name: str) -> Iterator[tuple[str, list[str], str]]:
    """The cases of a file: the title, the lines above the arrow, the text below it."""
    text = (Path(__file__).parent / "mistakes" / name).read_text(encoding="utf-8")
    for block in text.split("\n==== ")[1:]:
        above, message = block.split("\n--->\n")
        title, *lines = above.split("\n")
        yield title, lines, message.removesuffix("\n")


def rule(equations: str, hyperparameters: str = LR, options: str = "") -> str:
    """A spec with these equations."""
    table = f"[options]\n{options}\n\n" if options else ""
    return f"{HEAD}\n[hyperparameters]\n{hyperparameters}\n\n{table}[equations]\nrule = '''\n{equations}\n'''\n"


def compile_all(text: str) -> None:
    """Take a spec through every stage that may find a mistake in it, for all the variants that are made ahead."""
    spec = parse_spec(text, "toy.toml")
    for choice in choices_ahead(spec).values():
        analyse(specialise(spec, choice))


def equation_mistakes() -> Iterator[object]:
    for title, lines, message in blocks("equations.txt"):
        declared = {
            mark: "\n".join(line.removeprefix(mark) for line in lines if line.startswith(mark))
            for mark in ("h: ", "o: ")
        }
        equations = "\n".join(line for line in lines if not line.startswith(("h: ", "o: ")))
        yield pytest.param(Mistake(rule(equations, declared["h: "] or LR, declared["o: "]), message), id=title)


def table_mistakes() -> Iterator[object]:
    for title, lines, message in blocks("tables.txt"):
        old = "\n".join(line[2:] for line in lines if line.startswith("-"))
        new = "\n".join(line[2:] for line in lines if line.startswith("+"))
        assert old in GOOD, title
        yield pytest.param(Mistake(GOOD.replace(old, new, 1), message), id=title)


def message_of(text: str) -> str:
    """What is said of a spec with a mistake."""
    with pytest.raises(SpecError) as caught:
        compile_all(text)
    return str(caught.value)


@pytest.mark.parametrize("mistake", [*equation_mistakes(), *table_mistakes()])
def test_a_mistake_is_shown_in_place(mistake: Mistake) -> None:
    assert message_of(mistake.text) == mistake.message


def test_what_the_mistakes_are_made_in_has_none() -> None:
    compile_all(GOOD)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ('rule = "theta[t] = theta[t-1] - lr*gg"', (10, 36)),
        ("rule =   '''theta[t] = theta[t-1] - lr*gg'''  # on one line", (10, 40)),
        ('rule = """\nd = g\ntheta[t] = theta[t-1] - lr*gg*d"""', (12, 28)),
        ("  rule = '''\n    d = g\n    theta[t] = theta[t-1] - lr*gg*d\n  '''", (12, 32)),
        ("rule = '''\n\n# β comes first\nd = g\ntheta[t] = (theta[t-1]\n    - lr*gg*d)\n'''", (15, 10)),
        ('"rule" = "theta[t] = theta[t-1] - lr*gg"', (10, 38)),
        ("# rule = 'no'\nrule = 'theta[t] = theta[t-1] - lr*gg'", (11, 36)),
        ("rule = '''\r\nd = g\r\ntheta[t] = theta[t-1] - lr*gg*d\r\n'''", (12, 28)),
    ],
)
def test_positions_hold_however_equations_are_written(written: str, where: tuple[int, int]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{HEAD}\n[hyperparameters]\n{LR}\n[equations]\n{written}\n", "toy.toml")
    place = caught.value.location
    assert (place.line, place.column) == where
    assert place.line_text[place.column - 1 :][: place.width] == "gg"


def test_an_inline_table_of_equations() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec('equations = { rule = "theta[t] = theta[t-1] - g*q" }\n' + HEAD, "toy.toml")
    assert str(caught.value) == (
        "toy.toml:1:49: unknown name 'q'\n"
        '    1 | equations = { rule = "theta[t] = theta[t-1] - g*q" }\n'
        "      |                                                 ^ declare it in [hyperparameters] or give it a value"
    )


def test_an_empty_file() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec("", "toy.toml")
    assert str(caught.value) == ("toy.toml:1:1: the table [optimizer] is missing\n    1 | \n      | ^ add [optimizer]")


def test_an_escape_in_equations() -> None:
    text = rule("theta[t] = theta[t-1]\\u0020- lr*g").replace("'''", '"""')
    assert message_of(text) == (
        "toy.toml:12:22: '\\' is not part of the equation language\n"
        "   12 | theta[t] = theta[t-1]\\u0020- lr*g\n"
        "      |                      ^ a line goes on by itself inside brackets"
    )


def test_a_tab_in_the_indentation() -> None:
    assert message_of(rule("if t > 1:\n\tg = 2*g")) == (
        "toy.toml:13:1: a tab in the indentation\n   13 |  g = 2*g\n      | ^ indent with spaces"
    )


def test_a_tab_inside_a_line_does_not_move_the_caret() -> None:
    assert message_of(rule("d =\tg^2")) == (
        "toy.toml:12:6: '^' is not part of the equation language\n"
        "   12 | d = g^2\n"
        "      |      ^ write '**' for a power"
    )


def test_a_blank_that_is_none() -> None:
    assert message_of(rule("d = g\u00a0+ 2")) == (
        "toy.toml:12:6: the character U+00A0 is not part of the equation language\n"
        "   12 | d = g\u00a0+ 2\n"
        "      |      ^"
    )


def test_a_control_character() -> None:
    assert message_of(GOOD.replace("A toy.", "A\x01 toy.")) == (
        'toy.toml:5:13: a control character\n    5 | summary = "A\ufffd toy."\n      |             ^ remove it'
    )


def test_a_default_larger_than_a_float64() -> None:
    written = f"1{'0' * 309}"
    assert message_of(GOOD.replace("0.1", written)) == (
        "toy.toml:8:18: this number is too large for a float64\n"
        f"    8 | lr = {{ default = {written[:103]}\n"
        f"      |                  {'^' * 103}"
    )


def test_a_mistake_far_along_a_line_is_in_sight() -> None:
    """The line is cut around the caret."""
    assert message_of(rule(f"d = {'g + ' * 50}gg\ntheta[t] = theta[t-1] - lr*d")) == (
        "toy.toml:12:205: unknown name 'gg'\n"
        f"   12 | {('g + ' * 50)[-118:]}gg\n"
        f"      | {' ' * 118}^^ declare it in [hyperparameters] or give it a value"
    )
