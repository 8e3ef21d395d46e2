"""Markdown as browsers get it: by the documentation's own way and by CommonMark's, as a list of tags."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]


def common_mark(text: str) -> str:
    """As forges show it: CommonMark with tables, where a page may hold HTML."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def site(text: str) -> str:
    """As `mkdocs` makes it of a page, with its default extensions and the hook for formulas."""
    import markdown

    spec = importlib.util.spec_from_file_location("mathml", ROOT / "tools" / "mathml.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    return str(markdown.markdown(hook.on_page_markdown(text), extensions=["toc", "tables", "fenced_code"]))


def renderers() -> dict[str, Callable[[str], str]]:
    """Those that are installed here."""
    found: dict[str, Callable[[str], str]] = {"CommonMark": common_mark}
    if all(importlib.util.find_spec(name) for name in ("markdown", "latex2mathml")):
        found["the site"] = site
    return found


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The anchor of a heading is made of its text; a link's address is looked at by itself.
        shown = [(name, value) for name, value in attrs if name not in ("id", "href")]
        links = [value or "" for name, value in attrs if name == "href"]
        assert all(re.match(r"https?://|#[\w-]*\Z|[\w./]+\.md(#[\w-]+)?\Z", link) for link in links), links
        self.tags.append(f"<{tag} {shown}{len(links)}>")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.tags.append("<!---->")

    def handle_decl(self, decl: str) -> None:
        self.tags.append("<!>")

    def handle_pi(self, data: str) -> None:
        self.tags.append("<?>")

    def handle_data(self, data: str) -> None:
        self.text += data


def tags_and_text(html: str) -> tuple[list[str], str]:
    """The tags of a page, closing ones included, with their attributes; and what is read between them."""
    parser = _Tags()
    parser.feed(html)
    parser.close()
    return parser.tags, parser.text
