"""What the README shows is what happens."""

from __future__ import annotations

import re
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
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
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
    for script in re.findall(r"`python (tools/\w+\.py)`", README):
        assert (ROOT / script).is_file(), script
    for link in re.findall(r"\]\((docs/\S+?)\)", README):
        assert (ROOT / link).is_file(), link
