"""Filling in the skeletons of generated files."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import jinja2

from optgen.escaping import c_comment, python_comment, python_docstring

#: The longest line of generated code, where nothing forces a longer one.
WIDTH = 110


@functools.cache
def template(module: str, file: str = "module.py.jinja") -> jinja2.Template:
    """The skeleton of a generated file.

    Args:
        module: the path of the module that fills it in (`__file__`), which has a folder `templates` beside it.
        file: its name there, or in the templates that all targets share.
    """
    folders = [Path(place).parent / "templates" for place in (module, __file__)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is source code, not HTML
    )
    environment.filters["listed"] = listed
    environment.filters["filled"] = filled
    environment.filters |= {f.__name__: f for f in (c_comment, python_comment, python_docstring)}
    return environment.get_template(file)


def listed(items: Sequence[str], opening: str, closing: str, indent: int = 0) -> str:
    """`opening`, items, `closing` on one line if they fit, else one item to a line."""
    line = f"{opening}{', '.join(items)}{closing}"
    if indent + len(line) <= WIDTH:
        return line
    pad = " " * (indent + 4)
    return opening + "".join(f"\n{pad}{item}," for item in items) + f"\n{' ' * indent}{closing}"


def filled(items: Sequence[str], opening: str, closing: str, indent: int = 0) -> str:
    """`opening`, items, `closing` with as many items to a line as fit: for long lists of short arguments."""
    line = f"{opening}{', '.join(items)}{closing}"
    if indent + len(line) <= WIDTH:
        return line
    lines = [""]
    for item in items:
        if lines[-1] and indent + 4 + len(lines[-1]) + len(item) + 2 > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{item},"
    return "\n".join([opening, *(f"{' ' * (indent + 4)}{one}" for one in lines), f"{' ' * indent}{closing}"])
