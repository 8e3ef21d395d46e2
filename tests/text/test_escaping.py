"""Each escaping function by itself: whatever the text, it stays text in its language."""

from __future__ import annotations

import ast
import builtins
import doctest
import re
import subprocess
import sys
import tokenize
from io import BytesIO
from pathlib import Path

import pytest

from optgen.escaping import (
    HIDDEN,
    c_comment,
    html,
    latex,
    markdown,
    markdown_code,
    markdown_link,
    python_comment,
    python_docstring,
    rest,
    terminal,
    visible,
)
from tests.text.hostile import ACCEPTED, BREAKS, CODE, REFUSED, SEEN
from tests.text.pages import renderers, tags_and_text

TEXTS = [*ACCEPTED, *REFUSED, *SEEN, *BREAKS, *(text + "\ud800" for text in SEEN[:5]), ""]


@pytest.mark.parametrize("character", BREAKS)
def test_every_break_is_hidden_and_shown(character: str) -> None:
    shown = visible(f"a{character}b")
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1
    assert not HIDDEN.search(terminal(character))
    assert set(terminal(character)) <= {*map(chr, range(32, 127)), "\n"}
    assert ast.literal_eval(f'"{visible(character.strip("?/" + chr(92)))}"') == character.strip("?/\\")


def test_what_is_seen_stays() -> None:
    text = "Loshchilov and Hutter, décroissance découplée, 权重衰减, نرخ\u200cیادگیری, 🙂"
    for function in (visible, terminal, c_comment, html, markdown, rest, python_docstring, latex):
        assert function(text) == text
    assert python_comment([text, "", "b"]) == f"# {text}\n#\n# b"
    assert markdown_code("lr >= 0") == "`lr >= 0`"
    assert markdown("Evaluate at (theta - (1 - b1)*z)/b1, as eval_params does") == (
        "Evaluate at (theta - (1 - b1)*z)/b1, as eval_params does"
    )


def test_python_comments(tmp_path: Path) -> None:
    """By Python's own reading of the bytes, on any of the first lines."""
    for text in TEXTS:
        source = (python_comment([text, text]) + "\nvalue = 1\n").encode()
        assert tokenize.detect_encoding(BytesIO(source).readline)[0] == "utf-8", text
        assert ast.dump(ast.parse(source)) == ast.dump(ast.parse("value = 1")), text
    path = tmp_path / "all.py"
    path.write_text(python_comment(TEXTS), encoding="utf-8")
    found = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")


def test_python_docstrings() -> None:
    for text in TEXTS:
        (statement,) = ast.parse(f'"""{python_docstring(text)}"""'.encode()).body
        assert isinstance(statement, ast.Expr)
        assert ast.literal_eval(statement.value) == visible(text), text


def test_c_comments(tmp_path: Path) -> None:
    """Every text alone between two declarations, for a preprocessor that knows trigraphs; no warning either."""
    block = "".join(f"/* {c_comment(text)} */\nint a{i};\n" for i, text in enumerate(TEXTS))
    block += "/*\n" + "".join(f" * {c_comment(text)}\n" for text in TEXTS) + " */\nint last;\n"
    path = tmp_path / "comments.c"
    path.write_text(block, encoding="utf-8")
    command = ["cc", "-std=c11", "-trigraphs", "-Wall", "-Wextra", "-Wcomment", "-Wtrigraphs", "-Werror", "-E", "-P"]
    found = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert found.stderr == ""
    assert found.stdout.split() == [word for i in [*range(len(TEXTS)), -1] for word in _declared(i)]


def _declared(number: int) -> tuple[str, str]:
    return "int", f"a{number};" if number >= 0 else "last;"


@pytest.mark.parametrize("renderer", sorted(renderers()))
def test_markdown(renderer: str) -> None:
    """A text renders to itself, in a paragraph, a heading, an item, a cell and a link, with the tags of plain words."""
    render = renderers()[renderer]

    def page(text: str, code: str, link: str) -> str:
        row = f"| {text} | {code} | {link} |"
        return f"# {text}\n\n{text}\n\n- {text}\n- {code}: {link}\n\n| a | b | c |\n| --- | --- | --- |\n{row}\n\nend\n"

    expected, _ = tags_and_text(render(page("words", "`words`", "[words](https://a.b)")))
    for text in filter(str.strip, TEXTS):
        url = f"https://a.b/{text}"
        link = markdown_link(text, url if not re.search(r"\s", url) and not HIDDEN.search(url) else "https://a.b")
        found, read = tags_and_text(render(page(markdown(text), markdown_code(text), link)))
        assert found == expected, text
        plain = " ".join(visible(text).split())
        assert " ".join(read.split()).count(plain) >= 7, (text, read)


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", " https://a", "//a.b", "https:a", "a", "https://a\nb"],
)
def test_a_link_leads_to_the_web(url: str) -> None:
    for render in renderers().values():
        assert "href" not in render(markdown_link("words", url))


def test_html() -> None:
    for text in TEXTS:
        tags, read = tags_and_text(f'<p title="{html(text)}">{html(text)}</p>')
        assert (len(tags), read) == (2, visible(text)), text


def test_latex() -> None:
    assert latex("a_b") == r"a\_b"
    assert latex("a&b%c#d$e{f}g") == r"a\&b\%c\#d\$e\{f\}g"
    assert latex("\\input{a}^b~c") == r"\textbackslash{}input\{a\}\textasciicircum{}b\textasciitilde{}c"


def test_rest() -> None:
    """No example for doctest, no directive, and no markup that has not been escaped."""
    parser = doctest.DocTestParser()
    for text in TEXTS:
        found = rest(text)
        assert parser.get_examples(f"{found}\n\n    {found}\n") == [], text
        assert not re.match(r"\.\.|:\w+:|[-=`:'\"~^*+#<>]{4}", found), text
        assert not re.search(r"(?<!\\)(\\\\)*[`|]", found), text
        assert re.sub(r"\\(.)", r"\1", found) == visible(text), text


def test_nothing_was_run() -> None:
    assert not hasattr(builtins, "planted")
    assert "planted" in CODE
