"""The command line: what it writes, to the letter, and with which exit code."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner, Result

import optgen
from optgen import _cache, _paths, cli
from optgen.compiler import build as building
from optgen.compiler.build import generate_file
from optgen.docs import write as writing
from optgen.doctor import Finding
from optgen.runtime import lr_schedule_manifests, manifests
from optgen.spec.latex import equations_latex
from optgen.spec.reader import read_spec
from optgen.spec.starter import starter_spec
from tests.cli.specs import PLAIN, edit, wrote

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def catalogue(specs: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """These two folders in place of optgen's own."""
    monkeypatch.setattr(cli, "specs_folder", lambda: specs)
    monkeypatch.setattr(_paths, "specs_folder", lambda: specs)
    monkeypatch.setattr(cli, "generated_folder", lambda: output)
    monkeypatch.setattr(manifests, "generated_folder", lambda: output)
    monkeypatch.setattr(lr_schedule_manifests, "generated_folder", lambda: output)
    for function in (manifests.catalogue_names, manifests.catalogue_manifest):
        function.cache_clear()
    yield
    for function in (manifests.catalogue_names, manifests.catalogue_manifest):
        function.cache_clear()


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def said(result: Result) -> tuple[int, str, str]:
    """Exit code, standard output with the time taken left out, standard error."""
    return result.exit_code, re.sub(r"\b\d+\.\d\d s$", "S s", result.stdout, flags=re.MULTILINE), result.stderr


@pytest.mark.usefixtures("catalogue")
def test_build_says_what_it_wrote(specs: Path, output: Path) -> None:
    assert said(run("build")) == (0, wrote(specs, "plain", "starter") + "2 built, 0 up to date, S s\n", "")
    assert said(run("build")) == (0, "0 built, 2 up to date, S s\n", "")
    (output / "plain" / "jax.py").unlink()
    assert said(run("build")) == (0, "wrote generated/plain/jax.py\n1 built, 1 up to date, S s\n", "")
    (specs / "plain.toml").unlink()
    removed = "".join(f"removed generated/plain/{path.name}\n" for path in sorted((output / "plain").iterdir()))
    assert said(run("build")) == (0, f"{removed}1 built, 1 up to date, S s\n", "")


@pytest.mark.usefixtures("catalogue")
def test_an_installed_command_in_a_checkout_says_what_it_builds(
    specs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a catalogue of its own, and what is edited here is not in that."""
    monkeypatch.setattr(cli, "checkout_folder", lambda: None)
    for name in ("specs", "optgen"):
        (tmp_path / "checkout" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout")
    note = f"note: this builds {specs}; for specs/ of this checkout: pip install -e .\n"
    assert run("build").stderr == note
    monkeypatch.chdir(tmp_path)
    assert run("build").stderr == ""


def test_documentation_without_what_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before it is known that all can be."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    done = run("docs")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: pictures are drawn by matplotlib: pip install -e '.[docs]'\n"


def test_build_of_named_specs_from_and_into_other_folders(specs: Path, output: Path) -> None:
    result = run("build", "plain", "plain", "--specs", specs, "--output", output)
    assert said(result) == (0, wrote(specs, "plain") + "1 built, 0 up to date, S s\n", "")
    assert [path.name for path in output.iterdir()] == ["plain"]


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize("command", [["build"], ["build", "--watch"], ["check"], ["show"]])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("plian", "did you mean 'plain'?"),
        ("PlaIn", "did you mean 'plain'?"),
        ("specs/startr.toml", "did you mean 'starter'?"),
        ("zzz", "there are: plain, starter"),
        ("../specs/plain", "did you mean 'plain'?"),
    ],
)
def test_unknown_name(specs: Path, command: list[str], name: str, hint: str) -> None:
    assert said(run(*command, name)) == (1, "", f"Error: no spec '{name}' in {specs}; {hint}\n")


@pytest.fixture
def mistake(specs: Path) -> str:
    """Makes a spec wrong, on a line that would look different if it were taken for markup; what is to be said of it."""
    edit(specs / "plain.toml", "lr*d\n", "lr*(dd + bold)\t# [bold]:smile: é\n")
    lines = (specs / "plain.toml").read_text().split("\n")
    number = next(at for at, line in enumerate(lines, 1) if "bold" in line)
    return (
        f"specs/plain.toml:{number}:29: unknown name 'dd'\n"
        f"   {number} | theta[t] = theta[t-1] - lr*(dd + bold) # [bold]:smile: é\n"
        f"      |                             ^^ declare it in [hyperparameters] or give it a value\n"
    )


@pytest.mark.usefixtures("catalogue")
def test_mistake_in_a_spec_is_shown_as_it_is(specs: Path, mistake: str) -> None:
    for command in (["check"], ["check", "plain"], ["show", "plain"], ["show", "plain", "--target", "latex"]):
        assert said(run(*command)) == (1, "", mistake)
    built = wrote(specs, "starter") + "1 built, 0 up to date, 1 wrong, S s\n"
    assert said(run("build")) == (1, built, mistake)


@pytest.mark.parametrize("command", [["build"], ["check"], ["show", "plain"]])
def test_folder_of_specs_that_does_not_exist(tmp_path: Path, command: list[str]) -> None:
    code, out, error = said(run(*command, "--specs", tmp_path / "nowhere"))
    assert (code, out) == (2, "")
    assert error.splitlines()[-1] == (
        f"Error: Invalid value for '--specs': Directory '{tmp_path / 'nowhere'}' does not exist."
    )


@pytest.mark.parametrize("command", ["build", "check"])
def test_specs_of_others_never_go_into_the_catalogue(specs: Path, command: str) -> None:
    code, out, error = said(run(command, "--specs", specs))
    assert (code, out) == (2, "")
    assert error.splitlines()[-1] == (
        "Error: --specs needs --output: the catalogue's folder holds what its own specs say"
    )


@pytest.mark.parametrize("command", ["build", "check"])
def test_folder_without_specs(tmp_path: Path, output: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    error = f"Error: there are no specs in {tmp_path / 'empty'}\n"
    assert said(run(command, "--specs", tmp_path / "empty", "--output", output)) == (1, "", error)


@pytest.mark.usefixtures("catalogue")
def test_output_that_is_in_the_way_of_a_file(output: Path) -> None:
    output.mkdir()
    (output / "plain").touch()
    error = f"Error: cannot build into {output}: {output / 'plain'}: File exists\n"
    assert said(run("build")) == (1, "", error)


@pytest.mark.usefixtures("catalogue")
def test_output_that_cannot_be_written(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions do not hold root back, so the refusal is made up.
    def refuse(dir: Path, prefix: str) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied", str(dir / prefix))

    monkeypatch.setattr(_cache.tempfile, "mkstemp", refuse)
    error = f"Error: cannot build into {output}: {output}/plain/{_cache.UNFINISHED}: Permission denied\n"
    assert said(run("build")) == (1, "", error)


@pytest.mark.usefixtures("catalogue")
def test_disk_that_is_full(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, mode: str) -> object:
        os.close(handle)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building.os, "fdopen", refuse)
    assert said(run("build")) == (1, "", f"Error: cannot build into {output}: No space left on device\n")
    assert [path.name for path in output.rglob("*")] == ["plain"]


@pytest.mark.usefixtures("catalogue")
def test_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> dict[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "generate_file", interrupt)
    assert said(run("build")) == (130, "", "")


@pytest.mark.usefixtures("catalogue")
def test_check(specs: Path, output: Path) -> None:
    run("build")
    assert said(run("check")) == (0, "2 specs: generated code is up to date\n", "")
    assert said(run("check", "plain")) == (0, "1 spec: generated code is up to date\n", "")
    (output / "plain" / "extra.py").write_text("# generated by optgen from specs/plain.toml\n")
    (output / "mine").mkdir()
    (output / "starter" / "notes.txt").write_text("mine\n")
    diff = (
        "Only in generated: mine/ (empty)\n"
        "--- generated/plain/extra.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-# generated by optgen from specs/plain.toml\n"
        "--- generated/starter/notes.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-mine\n"
    )
    error = (
        "1 difference from what the specs say; run: optgen build\n"
        "not made by optgen, to be removed by hand: mine/, starter/notes.txt\n"
    )
    assert said(run("check")) == (1, diff, error)
    (output / "mine").rmdir()
    (output / "starter" / "notes.txt").unlink()
    edit(specs / "plain.toml", "Steps down the gradient.", "Goes down the gradient.")
    code, out, error = said(run("check", "plain"))
    assert (code, error) == (1, "8 differences from what the specs say; run: optgen build\n")
    assert '- "summary": "Steps down the gradient.",\n+ "summary": "Goes down the gradient.",\n' in out
    assert run("build").exit_code == 0
    assert said(run("check")) == (0, "2 specs: generated code is up to date\n", "")


@pytest.mark.usefixtures("catalogue")
def test_show_of_targets(specs: Path) -> None:
    files = generate_file(specs / "plain.toml")
    latex = equations_latex(read_spec(specs / "plain.toml")) + "\n"
    assert said(run("show", "plain")) == (0, PLAIN, "")
    assert said(run("show", "plain", "--stage", "spec")) == (0, PLAIN, "")
    assert said(run("show", "plain", "--target", "jax")) == (0, files["jax.py"], "")
    assert said(run("show", "plain", "--target", "manifest")) == (0, files["manifest.json"], "")
    assert said(run("show", "plain", "--target", "latex")) == (0, latex, "")


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize("generated", [True, False])
def test_show_of_a_target_that_may_be_missing(monkeypatch: pytest.MonkeyPatch, generated: bool) -> None:
    from optgen import show

    class Stub:
        files = {"manifest.json": "{}", "jax.py": "# jax"} | ({"triton.py": "# triton\n"} if generated else {})

    monkeypatch.setattr(show, "generate", lambda spec, choices, wrapped: Stub)
    error = "no code of the target triton is generated from plain: only manifest.json, jax.py\n"
    assert said(run("show", "plain", "--target", "triton")) == ((0, "# triton\n", "") if generated else (1, "", error))


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--stage", "analysed"], "default\n  element  d = g\n  element  theta_update = -lr*d\n"),
        (
            ["--stage", "analysed", "--variant", "averaged"],
            "averaged\n"
            "  state m: one per element, 1 kept, from 0\n"
            "  element  m_new = beta*m + (1 - beta)*g\n"
            "  element  d = m_new\n"
            "  element  theta_update = -lr*d\n",
        ),
        (
            ["--stage", "simplified", "--variant", "averaged"],
            "averaged\n"
            "  state m: one per element, 1 kept, from 0\n"
            "  constant  one_minus_beta = 1 - beta\n"
            "  element   m_new = beta*m + one_minus_beta*g\n"
            "  element   theta_update = -lr*m_new\n"
            "operations per element: 6 before, 5 after\n",
        ),
        (
            ["--stage", "schedule", "--variant", "averaged"],
            "averaged\n"
            "  when built: one_minus_beta = 1 - beta\n"
            "  pass 1, over elements\n"
            "    reads   m, g, theta, to be updated\n"
            "    m_new = beta*m + one_minus_beta*g\n"
            "    theta_update = -lr*m_new\n"
            "    writes  m_new, theta_update\n"
            "  float32: 20 bytes per element (3 numbers read, 2 written, parameter updated in place)\n",
        ),
    ],
)
def test_show_of_stages(arguments: list[str], text: str) -> None:
    assert said(run("show", "plain", *arguments)) == (0, text, "")


@pytest.mark.usefixtures("catalogue")
def test_show_of_one_variant(specs: Path) -> None:
    code, text, error = said(run("show", "plain", "--target", "jax", "--variant", "averaged"))
    assert (code, error) == (0, "")
    assert set(re.findall(r"^def (\w+)", text, re.MULTILINE)) == {
        name
        for name in re.findall(r"^def (\w+)", generate_file(specs / "plain.toml")["jax.py"], re.MULTILINE)
        if name.startswith("averaged")
    }
    for arguments in (["--stage", "schedule"], ["--target", "jax"]):
        error = "plain has no variant 'averagd'; did you mean 'averaged'?\n"
        assert said(run("show", "plain", *arguments, "--variant", "averagd")) == (1, "", error)
        error = "plain has no variant 'x'; there are: default, averaged\n"
        assert said(run("show", "plain", *arguments, "--variant", "x")) == (1, "", error)


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--stage", "spec", "--target", "jax"], "--stage and --target exclude each other"),
        (
            ["--variant", "averaged"],
            "--variant goes with a later stage or with generated code: this is the same for all",
        ),
        (
            ["--target", "latex", "--variant", "averaged"],
            "--variant goes with a later stage or with generated code: this is the same for all",
        ),
    ],
)
def test_show_of_what_does_not_go_together(arguments: list[str], error: str) -> None:
    result = run("show", "plain", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"Error: {error}"


@pytest.mark.usefixtures("catalogue")
def test_list_has_one_line_to_a_row(specs: Path) -> None:
    name = "a_name_that_is_longer_than_a_terminal_is_wide"
    (specs / f"{name}.toml").write_text(starter_spec(name))
    run("build")
    width = len(name)
    assert said(run("list")) == (
        0,
        f"{'optimizer':{width}}  states  memory  kernel bytes  passes  jax bytes  variants  dialects\n"
        f"{name:{width}}  m            4            20       1         28         3  optax, braintools\n"
        f"{'plain':{width}}  none         0            12       1         20         2\n"
        f"{'starter':{width}}  m            4            20       1         28         3  optax, braintools\n",
        "",
    )


@pytest.mark.usefixtures("catalogue")
def test_list_of_nothing_and_of_a_broken_manifest(output: Path) -> None:
    assert said(run("list")) == (1, "", "Error: nothing is generated yet; run: optgen build\n")
    manifests.catalogue_names.cache_clear()
    (output / "plain").mkdir(parents=True)
    (output / "plain" / "manifest.json").write_text("{}")
    code, out, error = said(run("list"))
    assert (code, out) == (1, "")
    assert error.startswith("Error: plain/manifest.json: not a Manifest of this version of optgen: ")
    assert error.endswith("; run: optgen build plain\n")


def test_doctor_has_one_line_to_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from optgen import doctor

    long = "[red]a detail[/red] " + "which is much longer than a terminal is wide " * 3 + "."
    findings = [Finding("target", True, long), Finding("something", False, "no :smile: here")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    assert said(run("doctor")) == (0, f"yes  target     {long}\nno   something  no :smile: here\n", "")


def test_new_spec_builds_and_trains_as_it_is(tmp_path: Path, output: Path) -> None:
    folder = tmp_path / "mine"
    path = folder / "first_try.toml"
    assert said(run("new", "first_try", "--folder", folder)) == (
        0,
        f"wrote {path}; edit it, then: optgen.load({str(path)!r}) in a script\n",
        "",
    )
    result = run("build", "--specs", folder, "--output", output)
    assert said(result) == (0, wrote(folder, "first_try") + "1 built, 0 up to date, S s\n", "")
    assert said(run("check", "--specs", folder, "--output", output))[0] == 0

    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 2.0, 5)
    for nesterov in (False, True):
        theta, m = rng.normal(size=5), np.zeros(5)
        transform = optgen.load(path).optax(0.1, beta=0.8, weight_decay=0.02, nesterov=nesterov)
        params = {"w": jnp.asarray(theta)}
        state = transform.init(params)
        for _ in range(20):
            updates, state = transform.update({"w": jnp.asarray(scale) * params["w"]}, state, params)
            params = {"w": params["w"] + updates["w"]}
            g = scale * theta
            m = 0.8 * m + 0.2 * g
            d = 0.8 * m + 0.2 * g if nesterov else m
            theta = theta - 0.1 * (d + 0.02 * theta)
        np.testing.assert_allclose(np.asarray(params["w"]), theta, rtol=1e-12)


def test_generated_code_says_how_it_is_made_again(tmp_path: Path, output: Path) -> None:
    """By the command that was run, also in a folder that is called as the catalogue's is."""
    for name, shown in (("mine", "mine"), ("with space", "'with space'"), ("specs", "./specs")):
        folder = tmp_path / name
        run("new", "first_try", "--folder", folder)
        (folder / "schedules").mkdir()
        schedule = (ROOT / "specs" / "schedules" / "constant.toml").read_text()
        (folder / "schedules" / "constant.toml").write_text(schedule)
        assert said(run("build", "--specs", folder, "--output", output))[0] == 0
        title, again, digest, *_ = (output / "first_try" / "jax.py").read_text().splitlines()
        path = f"{shown.strip(chr(39))}/first_try.toml"
        assert title == f"# FirstTry: generated by optgen from {path}; do not edit."
        assert again == f"# Regenerate with: optgen build first_try --specs {shown} --output FOLDER"
        assert digest.startswith("# sha256 of the spec: ")
        again = (output / "schedules" / "constant" / "host.py").read_text().splitlines()[1]
        assert again == f"# Regenerate with: optgen build constant --specs {shown} --output FOLDER"
        assert said(run("check", "--specs", folder, "--output", output))[0] == 0
    assert "both take --specs FOLDER, and build --output FOLDER too" in (folder / "first_try.toml").read_text()


def test_a_folder_of_another_name_is_built_anew(tmp_path: Path, output: Path) -> None:
    """What is generated tells the folder's name."""
    run("new", "first_try", "--folder", tmp_path / "one")
    run("build", "--specs", tmp_path / "one", "--output", output)
    (tmp_path / "one").rename(tmp_path / "two")
    assert said(run("build", "--specs", tmp_path / "two", "--output", output))[0] == 0
    assert said(run("check", "--specs", tmp_path / "two", "--output", output))[0] == 0


def test_a_mistake_is_told_with_its_folder(tmp_path: Path, output: Path) -> None:
    run("new", "first_try", "--folder", tmp_path / "mine")
    path = tmp_path / "mine" / "first_try.toml"
    path.write_text(path.read_text().replace("    d = m[t]", "    d = mm[t]"))
    for command in (("build", "--output", output), ("check", "--output", output), ("show", "first_try")):
        assert said(run(*command, "--specs", tmp_path / "mine"))[2].startswith("mine/first_try.toml:")


@pytest.mark.usefixtures("catalogue")
def test_new_spec_joins_the_catalogue(specs: Path) -> None:
    path = specs / "mine.toml"
    assert said(run("new", "mine")) == (0, f"wrote {path}; edit it, then: optgen build mine\n", "")
    path.write_text("edited")
    assert said(run("new", "mine")) == (1, "", f"Error: {path} exists already\n")
    assert path.read_text() == "edited"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("Mine", "'Mine' is no name for a spec: lower case letters, digits, single '_' between them"),
        ("a__b", "'a__b' is no name for a spec: lower case letters, digits, single '_' between them"),
        ("../a", "'../a' is no name for a spec: lower case letters, digits, single '_' between them"),
        ("lambda", "'lambda' is a Python keyword: choose another name"),
        ("none", "'None' is a Python keyword: choose another name"),
    ],
)
def test_new_spec_with_a_name_that_cannot_be(tmp_path: Path, name: str, error: str) -> None:
    assert said(run("new", name, "--folder", tmp_path / "mine")) == (1, "", f"Error: {error}\n")
    assert not (tmp_path / "mine").exists()


def test_new_spec_in_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = f"Error: {tmp_path}/file/mine: Not a directory\n"
    assert said(run("new", "mine", "--folder", tmp_path / "file" / "mine")) == (1, "", error)


def test_docs_say_what_became_of_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = tmp_path / "docs" / "optimizers"
    pages.mkdir(parents=True)
    (pages / "gone.md").touch()
    (tmp_path / "docs" / "same.md").write_text("same")
    texts = {"docs/new.md": "new", "docs/same.md": "same"}
    monkeypatch.setattr(cli, "checkout_folder", lambda: tmp_path)
    monkeypatch.setattr(writing, "documented", lambda specs: {})
    monkeypatch.setattr(writing, "text_files", lambda *arguments: texts)
    monkeypatch.setattr(writing, "_draw", lambda *arguments: iter(["docs/optimizers/pictures/new.png"]))
    assert said(run("docs")) == (
        0,
        "wrote docs/new.md\nremoved docs/optimizers/gone.md\nwrote docs/optimizers/pictures/new.png\n"
        "3 files of the documentation changed\n",
        "",
    )
    assert not (pages / "gone.md").exists()


@pytest.mark.parametrize(
    ("steps", "accuracy", "status", "told"),
    [
        (20, 0.5, 0, "one reached 0.500: too few steps for the 0.95 that 600 reach"),
        (20, 0.96, 0, ""),
        (600, 0.5, 1, "one reached 0.500, less than 0.95"),
        (600, 0.96, 0, ""),
    ],
)
def test_a_short_demo_is_not_judged_by_its_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, accuracy: float, status: int, told: str
) -> None:
    demo = pytest.importorskip("optgen.demo")
    monkeypatch.setattr(demo, "_train", lambda name, optimizer, steps: demo.Run("one", [1.0] * steps, accuracy, 1e-3))
    code, output, _ = said(run("demo", "--steps", steps, "--picture", tmp_path / "demo.png"))
    assert code == status
    assert ("reached" in output) is bool(told)
    assert told in output


def test_a_difference_of_the_documentation_gives_a_terminal_no_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "checkout_folder", lambda: ROOT)
    monkeypatch.setattr(cli, "_folders", lambda specs, output: (ROOT / "specs", ROOT / "generated"))
    monkeypatch.setattr(building, "check", lambda *arguments: [])
    stale = [building.Difference("docs/catalogue.md", "+title \x1b[2J\n")]
    monkeypatch.setattr("optgen.docs.write.check_docs", lambda *arguments: stale)
    shown = CliRunner().invoke(cli.main, ["check"])
    assert (shown.exit_code, shown.stdout) == (1, "+title \\x1b[2J\n")
