"""Schedules on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from optgen.cli import main

ROOT = Path(__file__).resolve().parents[2]


def said(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.output


def test_show():
    assert said("show", "step") == (0, (ROOT / "specs/schedules/step.toml").read_text())
    assert said("show", "schedules/step") == said("show", "step")
    for target in ("jax", "host"):
        assert said("show", "step", "--target", target) == (
            0,
            (ROOT / f"generated/schedules/step/{target}.py").read_text(),
        )
    latex = r"\eta_t &= \eta_0 \gamma^{\left\lfloor \frac{t}{S} \right\rfloor}"
    assert said("show", "step", "--target", "latex") == (0, f"\\begin{{aligned}}\n{latex}\n\\end{{aligned}}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("step", "--target", "triton"), 1, "no code of the target triton is generated from schedules: only"),
        (("step", "--stage", "simplified"), 2, "a schedule has neither variants nor stages: leave out --variant and"),
        (("adam", "--target", "host"), 2, "--target host goes with schedules: an optimizer runs on arrays"),
        (("cosine_anealing",), 1, "did you mean 'cosine_annealing'?"),
    ],
)
def test_what_cannot_be_shown(arguments, code, message):
    found, text = said("show", *arguments)
    assert found == code
    assert message in text


def test_list():
    _, text = said("list")
    optimizers, schedules = text.split("\n\n")
    assert optimizers.startswith("optimizer ")
    lines = schedules.rstrip("\n").split("\n")
    assert lines[0].split() == ["schedule", "hyperparameters", "dialects"]
    (step,) = [line for line in lines if line.startswith("step ")]
    assert " ".join(step.split()) == "step base_lr, step_size, gamma torch, braintools, brainpy"
    assert len(lines) == 1 + len(list((ROOT / "specs/schedules").glob("*.toml")))


def test_build_and_check_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "cache"))
    folders = ("--specs", str(ROOT / "specs"), "--output", str(tmp_path / "generated"))
    code, text = said("build", "step", *folders)
    assert code == 0
    assert text.startswith("wrote generated/schedules/step/manifest.json\nwrote generated/schedules/step/jax.py\n")
    assert said("check", "step", *folders) == (0, "1 spec: generated code is up to date\n")
    code, text = said("check", "linear", *folders)
    assert code == 1
    assert "--- /dev/null\n+++ generated/schedules/linear/host.py (from the spec)\n" in text
