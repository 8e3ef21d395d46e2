r"""Text of a spec in other languages: one function for each, whatever the text holds.

A spec comes from anyone. Its title, notes, equations and path end up in comments of Python and C, in docstrings, on
pages and in a terminal, where a line break, a quote or a `*/` would end what they stand in and begin something else.
`HIDDEN` are the characters that a spec is refused for; a path, and what else no reader has seen, may still hold them.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

#: What a reader does not see or a program takes for the end of a line: control characters but tab and line feed, the
#: separators of lines and paragraphs, marks that turn the direction of text, other marks without width (those that join
#: letters are part of words), halves of characters, and what Unicode keeps for no character.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
#: The same for text of one line.
_HIDDEN_IN_LINE = re.compile(f"[\t\n]|{HIDDEN.pattern}")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}

#: Python reads the encoding of a file from a comment like `coding: utf-8` on its first lines.
_ENCODING = re.compile(r"coding(?=[:=])")

#: Characters of ASCII that mean something to Markdown wherever they stand, to what shows its formulas, or to HTML.
_MARKDOWN = re.compile(r"[\\`\[\]{}<>&|$~^#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
#: What opens a block at the start of a line: items of lists, underlines of headings, definitions.
_MARKDOWN_START = re.compile(r"\A(\d+(?=[.)](?:\s|\Z)))?([-+*=:!]|(?<=\d)[.)])")
_PLAIN_CODE = re.compile(r"[^`|$\s]([^`|$]*[^`|$\s])?")
_LINK = re.compile(r"https?://[^\s/]\S*")

#: What means something to reStructuredText inside a line.
_REST = re.compile(r"[\\`|]|(?<![^\s'\"(\[{<\-/:])\*(?=\S)|(?<=\w)_(?!\w)")
#: What opens a directive, a prompt of a doctest or an item at the start of a line.
_REST_START = re.compile(r"\A(?=[^\w\s(\[\\'\"]|['\"]{2})")

_LATEX = {"_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}


def visible(text: str) -> str:
    """Text on one line, with an escape of Python's in place of every character that is not seen."""
    return _HIDDEN_IN_LINE.sub(_escape, text)


def terminal(text: str) -> str:
    """Text of any number of lines for a terminal, which takes no orders from it."""
    return HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    form = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    return _SHORT.get(found[0], form)


def python_comment(lines: Iterable[str]) -> str:
    """Lines as comments of Python, none of which says how its file is encoded."""
    shown = (_ENCODING.sub("coding ", visible(line)) for line in lines)
    return "\n".join(f"# {line}" if line else "#" for line in shown)


def python_docstring(text: str) -> str:
    """Text between three double quotes."""
    return re.sub(r'"(?="|\Z)', r"\"", visible(text).replace("\\", "\\\\"))


def c_comment(text: str) -> str:
    """A line of a comment between `/*` and `*/`: neither mark, no trigraph, and no line that goes on in the next."""
    text = visible(text).replace("*/", "* /").replace("/*", "/ *")
    return re.sub(r"\\(?=\s*\Z)", r"\\x5c", re.sub(r"\?(?=\?)", "? ", text))


def latex(text: str) -> str:
    """A name or word in LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def html(text: str) -> str:
    """Text in HTML, or as the value of an attribute."""
    import html as library  # not with every front-end, which needs no table of entities

    return library.escape(visible(text))


def markdown(text: str) -> str:
    """Text in Markdown, at the start of a line or in a cell of a table as well: it reads as it is written."""
    text = visible(text).strip()
    text = _MARKDOWN.sub(_entity, text)
    # One star alone emphasises nothing.
    text = text.replace("*", "&#42;") if text.count("*") > 1 else text
    return _MARKDOWN_START.sub(lambda found: f"{found[1] or ''}&#{ord(found[2])};", text)


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def markdown_code(text: str) -> str:
    """Text set as code in Markdown; by HTML's own mark where it holds what would end Markdown's, or a cell."""
    text = visible(text)
    if _PLAIN_CODE.fullmatch(text):
        return f"`{text}`"
    return f"<code>{re.sub(r'[^A-Za-z0-9 ]', _entity, text)}</code>"


def markdown_math(text: str) -> str:
    r"""LaTeX within a line of Markdown; `\vert` is a `|` that ends no cell."""
    bars = text.replace("|", r"\vert ")
    return f"${bars}$" if text else ""


def markdown_link(text: str, url: str) -> str:
    """A link in Markdown; only to the web, anything else is text."""
    if not is_link(url):
        return " ".join(part for part in (markdown(text), markdown(url)) if part)
    return f"[{markdown(text)}]({urllib.parse.quote(url, safe='/:?#@!&+,;=~%-._')})"


def is_link(url: str) -> bool:
    """Whether an address is one of the web: `https://...` or `http://...`."""
    return _LINK.fullmatch(url) is not None and HIDDEN.search(url) is None


def rest(text: str) -> str:
    """Text in reStructuredText, as docstrings are read: no markup, no directive, and no example to be run."""
    return _REST_START.sub(r"\\", _REST.sub(r"\\\g<0>", visible(text)))
