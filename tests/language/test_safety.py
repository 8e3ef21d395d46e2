"""A spec is data: nothing in it runs, and none is so large or so odd that reading it takes long or breaks."""

from __future__ import annotations

import builtins
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optgen.compiler.ahead import choices_ahead
from optgen.compiler.analyse import analyse
from optgen.compiler.specialise import specialise
from optgen.errors import SpecError
from optgen.language.reader import MAX_FILE, parse_spec, read_spec

ADAM = (Path(__file__).parents[2] / "specs" / "adam.toml").read_text(encoding="utf-8")
START, END = (ADAM.index(mark) for mark in ("if weight_decay and", "'''\n\n[dialect.optax]"))

RULE = """\
[optimizer]
name = "toy"
class = "Toy"
title = "Toy"
summary = "A toy."

[hyperparameters]
lr = {{ default = 0.1 }}

[equations]
rule = '''
{}
theta[t] = theta[t-1] - lr*g
'''
"""

#: Of CPU time. What is refused takes milliseconds, and what grows without bound takes minutes; between them lies what a
#: long test run spends on collecting its own garbage.
SECONDS = 5.0


def compile_all(text: str) -> int:
    """Take a spec through every stage that may find a mistake in it; how many variants it has."""
    spec = parse_spec(text, "toy.toml")
    choices = choices_ahead(spec)
    for choice in choices.values():
        analyse(specialise(spec, choice))
    return len(choices)


def refusal(text: str) -> str:
    """Where the mistake in a spec stands and what it is; how it is shown is tested with the mistakes."""
    with pytest.raises(SpecError) as caught:
        compile_all(text)
    place = caught.value.location
    return f"{place.line}:{place.column}: {caught.value.message}"


@pytest.fixture
def in_time() -> Iterator[None]:
    """Fail a test that computes for long."""
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("d = __import__('os').system('touch ran')", "12:21: an attribute is not part of the equation language"),
        ("d = __import__('os')", "12:5: unknown function '__import__'"),
        ("d = open('ran', 'w')", "12:5: unknown function 'open'"),
        ("d = eval('1')", "12:5: unknown function 'eval'"),
        ("d = exec('1')", "12:5: unknown function 'exec'"),
        ("d = os.system(g)", "12:7: an attribute is not part of the equation language"),
        ("d = g.__class__.__mro__", "12:6: an attribute is not part of the equation language"),
        ("d = (lambda: 1)()", "12:6: a lambda is not part of the equation language"),
        ("d = f'{open(1)}'", "12:5: a string is not part of the equation language"),
        ("d = [x for x in open]", "12:5: a list is not part of the equation language"),
        ("d = __builtins__", "12:5: '__builtins__' is not a name here"),
        ("d = __file__", "12:5: '__file__' is not a name here"),
        ("__import__ = g", "12:1: '__import__' is not a name here"),
        ("d = S", "12:5: unknown name 'S'"),
        ("d = sympify(g)", "12:5: unknown function 'sympify'"),
        ("import os", "12:1: an import is not part of the equation language"),
    ],
)
def test_nothing_runs(equation: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(*_arguments: object, **_keywords: object) -> None:
        raise AssertionError("something in a spec was executed")

    monkeypatch.chdir(tmp_path)
    owned = ((builtins, "eval"), (builtins, "exec"), (builtins, "open"), (os, "system"), (subprocess, "Popen"))
    with monkeypatch.context() as patched:
        for owner, name in owned:
            patched.setattr(owner, name, run)
        try:
            compile_all(RULE.format(equation))
        except SpecError as error:
            caught = error
    assert f"{caught.location.line}:{caught.location.column}: {caught.message}" == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize(
    ("equation", "message"),
    [
        pytest.param("d = " + "1 + " * 500000 + "1", "1:1: a spec file is at most 256 KiB", id="2 MB"),
        pytest.param("d = " + "1+" * 30000 + "1", "12:1: this is too large for an update rule", id="terms"),
        pytest.param("d = " + "1+" * 9000 + "1", "12:1: this equation is too long", id="fewer terms"),
        pytest.param("d = " + "1+" * 1000 + "1", "12:1: this equation is too long", id="few terms"),
        pytest.param(
            "if " + "1+" * 90 + "1 > t:\n  d = 1",
            "12:4: more than 50 operations in a row are too many here",
            id="a condition",
        ),
        pytest.param("d = " + "g if " * 9000 + "1", "12:1: this equation is too long", id="ifs"),
        pytest.param("d = " + "1 and " * 900 + "1", "12:5: this is a number, not a condition", id="and"),
        pytest.param("d = " + "1 < " * 900 + "1", "12:5: a chain of more than two comparisons", id="comparisons"),
        pytest.param("d = " + "(" * 9000 + "g" + ")" * 9000, "12:1: this equation is too long", id="brackets"),
        pytest.param("d = " + "(" * 900 + "g" + ")" * 900, "12:55: too many brackets inside one another", id="fewer"),
        pytest.param("d = " + "(" * 50000, "12:1: this is too large for an update rule", id="open brackets"),
        pytest.param("d = " + "(" * 10000, "12:10004: '(' is never closed", id="fewer open brackets"),
        pytest.param("d = " + "[" * 10000 + "]" * 10000, "12:1: this is too large for an update rule", id="lists"),
        pytest.param(
            "d = " + "sqrt(" * 60 + "g" + ")" * 60, "12:259: too many brackets inside one another", id="calls"
        ),
        pytest.param("d = " + "-" * 10000 + "g", "12:1: this equation is too long", id="signs"),
        pytest.param("d = " + "-" * 1000 + "g", "12:55: too many signs in a row", id="fewer signs"),
        pytest.param("if " + "not " * 1000 + "g:\n  d = 1", "12:204: too many signs in a row", id="not"),
        pytest.param("d = " + "9**" * 900 + "9", "12:305: this is too large for an update rule", id="powers"),
        pytest.param("d = 1" + "0" * 999, "12:5: this number is too long", id="digits"),
        pytest.param("d = 1" + "0" * 100000, "12:5: this number is too long", id="more digits"),
        pytest.param("d = 1" + "0" * 30, "12:5: this integer is too large for a float64", id="a large integer"),
        pytest.param("d = 1e999", "12:5: this number is too large for a float64", id="1e999"),
        pytest.param("d = " + "a" * 60000, "12:5: a name has at most 60 characters", id="a long name"),
        pytest.param(
            "\n".join("  " * depth + "if t > 1:" for depth in range(200)) + "\n" + "  " * 200 + "d = g",
            "43:63: too many blocks inside one another",
            id="ifs inside one another",
        ),
        pytest.param(
            "if t > 1:\n  d = g\n" + "elif t > 1:\n  d = g\n" * 5000,
            "12:1: these equations are longer than 64 KiB",
            id="an if of many branches",
        ),
        pytest.param(
            "\n".join(f"d{n} = g" for n in range(4000)),
            "2012:9: this rule has more than 2000 equations",
            id="equations",
        ),
        pytest.param("x = " + "γ" * 60000, "12:5: a name has at most 60 characters", id="letters"),
        pytest.param("#" * 70000, "12:1: these equations are longer than 64 KiB", id="a comment"),
    ],
)
def test_a_large_expression_is_refused(equation: str, message: str) -> None:
    assert refusal(RULE.format(equation)) == message


@pytest.mark.usefixtures("in_time")
def test_a_power_of_powers_is_never_computed() -> None:
    assert compile_all(RULE.format("g = g*9**9**9**9")) == 1


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "1:1: the table [optimizer] is missing", id="nothing"),
        pytest.param("\x00", "1:1: this is neither [table] nor key = value", id="a null character"),
        pytest.param("#" * (MAX_FILE + 1), "1:1: a spec file is at most 256 KiB", id="2 MB of comment"),
        pytest.param(
            "a = " + "[" * 100000, "1:25: too many brackets inside one another", id="lists inside one another, open"
        ),
        pytest.param(
            "a = " + "[" * 100000 + "]" * 100000,
            "1:25: too many brackets inside one another",
            id="lists inside one another",
        ),
        pytest.param(
            "a = " + "[\n" * 50000 + "]" * 50000,
            "21:1: too many brackets inside one another",
            id="lists inside one another over lines",
        ),
        pytest.param(
            "a = " + "{ a = " * 20000,
            "1:125: too many brackets inside one another",
            id="inline tables inside one another",
        ),
        pytest.param("a" + ".a" * 60000 + " = 1", "1:1: this key has too many parts", id="a key of many parts"),
        pytest.param("[a" + ".a" * 60000 + "]", "1:2: this key has too many parts", id="a table of many parts"),
        pytest.param("a = " + "1" * 10000, "1:5: this number is too long", id="an integer without end"),
        pytest.param("a = 0x" + "f" * 900, "1:1: unknown table 'a'", id="a hexadecimal integer"),
        pytest.param(
            "a" * 200000 + " = 1",
            "1:1: unknown table 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'",
            id="a long key",
        ),
        pytest.param("a = '" + "b" * 200000, "1:5: a string is never closed", id="a string left open"),
        pytest.param(
            "a = '''" + "b\n" * 100000, "1:5: a string is never closed", id="a string of many lines left open"
        ),
        pytest.param("a = 1\n" * 40000, "2:1: 'a' is given twice", id="a key given often"),
        pytest.param("\n".join(f"a{n} = 1" for n in range(10000)), "1:1: unknown table 'a0'", id="many keys"),
        pytest.param("\n".join(f"[a{n}]" for n in range(10000)), "1:2: unknown table 'a0'", id="many tables"),
        pytest.param("\n" * 250000 + "a", "250001:1: a key lacks its '='", id="many lines"),
        pytest.param(
            RULE.format("d = g").replace("0.1", "1" + "0" * 400),
            "8:18: this number is too large for a float64",
            id="a default larger than a float64",
        ),
        pytest.param(
            RULE.format("d = g").replace("0.1", "1e999"),
            "8:18: inf is outside the domain of 'lr'",
            id="a default that is infinite",
        ),
        pytest.param(
            RULE.format("d = g").replace("0.1", "0x" + "f" * 900),
            "8:18: this number is too large for a float64",
            id="a hexadecimal default",
        ),
        pytest.param(
            ADAM.replace("lr = {", "l" * 100 + " = {"),
            "13:1: 'lllllllllllllllllllllllllllllllllllllllllllllllllllllllll...' is not a name",
            id="a long name",
        ),
        pytest.param(ADAM.replace('adam"', '../adam"', 1), "2:8: '../adam' is not a name", id="a name that is a path"),
    ],
)
def test_an_odd_file_is_refused(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ADAM.replace("\n", "\r\n"), id="ends of lines of two characters"),
        pytest.param("\ufeff" + ADAM, id="a byte order mark"),
        pytest.param(ADAM.rstrip(), id="no line end at the end"),
        pytest.param(ADAM + "\n" * 1_000, id="blank lines"),
    ],
)
def test_what_editors_do_to_a_file_changes_nothing(text: str) -> None:
    expected, found = parse_spec(ADAM, "adam.toml"), parse_spec(text, "adam.toml")
    assert replace(found, source=expected.source) == expected


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"#\n# caf\xe9 \n", "spec.toml:2:6: byte 0xe9 is not UTF-8", id="Latin-1"),
        pytest.param(b"\xff\xfea\x00", "spec.toml:1:1: byte 0xff is not UTF-8", id="UTF-16"),
        pytest.param("# é\n# ü\n".encode() + b"\x80", "spec.toml:3:1: byte 0x80 is not UTF-8", id="after others"),
        pytest.param(b"#" * (MAX_FILE + 1), "spec.toml:1:1: a spec file is at most 256 KiB", id="large"),
        pytest.param(b"#" * 2_000_000, "spec.toml:1:1: a spec file is at most 256 KiB", id="larger"),
        pytest.param(b"a = 1\x00", "spec.toml:1:6: something stands after the value", id="a null byte"),
    ],
)
def test_bytes_that_are_no_spec(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_bytes(data)
    with pytest.raises(SpecError) as caught:
        read_spec(tmp_path / "spec.toml", "spec.toml")
    assert str(caught.value).split("\n")[0] == message


FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
#: What mutations put in: pieces of specs, and what has broken parsers.
PIECES = st.sampled_from(
    [
        *(
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "=",
            "==",
            ":",
            ",",
            ".",
            "'",
            '"',
            "'''",
            "#",
            "\\",
            "\n",
            "\n    ",
            "\t",
            " ",
        ),
        *(
            "+",
            "-",
            "*",
            "**",
            "/",
            "//",
            "%",
            "<",
            ">=",
            "^",
            "@",
            "~",
            "$",
            "\0",
            "\x0c",
            "\r",
            "γ",
            "²",
            "\u2028",
            "\U0001f600",
        ),
        *(
            "if t > 1:\n    ",
            "elif g:\n",
            "else:\n",
            "for i in range(3):\n    ",
            "range(9)",
            "and ",
            "or ",
            "not ",
            "in ",
        ),
        *(
            "theta",
            "theta[t]",
            "theta[t-1]",
            "g",
            "t",
            "m[t]",
            "m[t-1]",
            "m[0]",
            "v[t-2]",
            "beta1",
            "lr",
            "size",
            "rank",
            "None",
        ),
        *(
            "norm(g)",
            "sum(g, over=rows)",
            "sum(g, over=other_axes)",
            "over=axes",
            "max(",
            "where(g > 0, ",
            "every(",
            "g[i]",
        ),
        *(
            "0",
            "1e999",
            "1e-320",
            "99999999999999999999",
            "0.5",
            "nan",
            "inf",
            "true",
            "[options]\n",
            "default = ",
            "requires = ",
        ),
    ]
)


def mutated(text: str, edits: list[tuple[int, int, str]]) -> str:
    """A text with stretches taken out and pieces put in."""
    for place, length, piece in edits:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + length :]
    return text


EDITS = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from([0, 0, 1, 1, 2, 5, 40]), st.one_of(PIECES, st.just(""))),
    min_size=1,
    max_size=4,
)


def mistake_in(text: str) -> SpecError | None:
    """What is wrong with a spec, if anything is."""
    try:
        compile_all(text)
    except SpecError as error:
        return error
    return None


def accepted_or_refused(text: str) -> None:
    """Anything but a SpecError escapes and fails the test; what is refused is shown where it stands."""
    if mistake := mistake_in(text):
        place = mistake.location
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\t", " ").split("\n")
        assert place.line_text == lines[place.line - 1].rstrip("\r")
        assert 1 <= place.column <= len(place.line_text) + 1
        # Python's parser must not be what finds a mistake: its limits depend on the version.
        assert mistake.message != "these equations cannot be read"


@FUZZ
@given(EDITS)
def test_fuzz_a_mutated_file(edits: list[tuple[int, int, str]]) -> None:
    accepted_or_refused(mutated(ADAM, edits))


@FUZZ
@given(EDITS)
def test_fuzz_mutated_equations(edits: list[tuple[int, int, str]]) -> None:
    accepted_or_refused(ADAM[:START] + mutated(ADAM[START:END], edits) + ADAM[END:])


@FUZZ
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map(" ".join)))
def test_fuzz_random_equations(text: str) -> None:
    accepted_or_refused(RULE.format("{}").replace("{}", text))


@FUZZ
@given(st.lists(PIECES, max_size=12).map("".join))
def test_fuzz_a_random_right_hand_side(text: str) -> None:
    accepted_or_refused(RULE.replace("{}", "g = " + text).replace("{{", "{").replace("}}", "}"))
