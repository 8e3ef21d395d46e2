"""The README and the pages for users: their examples run, their links and commands exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from optgen._paths import specs_folder
from optgen.catalogue.manifests import catalogue_manifest
from optgen.errors import SpecError
from optgen.language.reader import parse_spec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
#: Pages whose examples run as they stand; docs/schedules.md, language.md and devices.md have tests of their own.
WITH_EXAMPLES = ("README.md", "docs/front_ends.md", "docs/native.md", "docs/state_formats.md")
EXAMPLES = [
    pytest.param(code, id=f"{page}-{number}")
    for page in WITH_EXAMPLES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))
]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run_as_they_stand(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_rule_shown_is_the_spec_s():
    shown = re.search(r"```toml\n# specs/(\w+)\.toml.*?\nrule = '''\n(.*?)'''", README, re.DOTALL)
    assert shown is not None
    assert shown.group(2).strip() == catalogue_manifest(shown.group(1)).equations.strip()


def test_the_mistake_shown_is_reported_so():
    shown = re.search(r"```\n(specs/adam\.toml:.*?)\n```", README, re.DOTALL)
    assert shown is not None
    text = (specs_folder() / "adam.toml").read_text().replace("m[t] = beta1*m", "m[t] = beta_1*m")
    with pytest.raises(SpecError) as caught:
        parse_spec(text, "specs/adam.toml")
    assert str(caught.value) == shown.group(1)


def test_commands_exist():
    commands = set(re.findall(r"^\$ optgen (\w+)", README, re.MULTILINE))
    helped = subprocess.run([sys.executable, "-m", "optgen", "--help"], capture_output=True, text=True, check=True)
    assert commands
    assert all(re.search(rf"^  {command} ", helped.stdout, re.MULTILINE) for command in commands)


def heading_anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as forges and mkdocs make them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
    return anchors | set(re.findall(r'<h\d id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES)
def test_links_scripts_and_make_targets_exist(page):
    text = (ROOT / page).read_text()
    for link, anchor in re.findall(r"\]\(((?!https?:)[^\s()#]*)(?:#([^\s()]+))?\)", text):
        target = (ROOT / page).parent / link if link else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in heading_anchors(target.read_text()), f"{link}#{anchor}"
    for script in re.findall(r"\bpython (tools/\w+\.py)\b", text):
        assert (ROOT / script).is_file(), script
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^\$ )make ([a-z][a-z-]*)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.slow
def test_a_new_rule_is_in_the_front_ends(tmp_path):
    """`optgen new my_rule`, then `optgen build`, in a copy of the checkout."""
    for folder in ("optgen", "specs", "generated"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OPTGEN_CACHE": str(tmp_path / "cache")}

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    run("-m", "optgen", "new", "my_rule")
    run("-m", "optgen", "build", "my_rule")
    run(
        "-c",
        "import optgen.optim, optgen.torch, optgen.lucid; from optgen.optax import my_rule; my_rule(0.1)\n"
        "optgen.optim.MyRule, optgen.torch.MyRule, optgen.lucid.MyRule",
    )
