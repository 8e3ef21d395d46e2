"""A hook of mkdocs: LaTeX in the pages becomes MathML, which browsers show without any script.

`$$` on lines of their own enclose displayed equations, `$` a formula in a line; code is left alone.
"""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

_DISPLAYED = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<![\\$`\w])\$([^$\n`]+)\$(?![\w$])")
_FENCED = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with each page's text."""
    parts = _FENCED.split(markdown)
    return "".join(part if part.startswith("```") else _converted(part) for part in parts)


def _converted(text: str) -> str:
    text = _DISPLAYED.sub(lambda found: f"\n<div>{displayed(found[1])}</div>\n", text)
    return _INLINE.sub(lambda found: convert(found[1]), text)


def displayed(latex: str) -> str:
    """An `aligned` environment as MathML, one table row to an equation.

    The converter aligns arrays only: at the equations' sign, or at the margin where lines start there.
    """
    at_margin = latex.startswith("\\begin{aligned}\n&")
    if at_margin:
        latex = re.sub(r"^&", "", latex, flags=re.MULTILINE)
    columns = "l" if at_margin else "rl"
    array = latex.replace(r"\begin{aligned}", rf"\begin{{array}}{{{columns}}}").replace("{aligned}", "{array}")
    return convert(array, display="block")
