"""The command as a process: pipes, terminals, signals, and what it loads."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import optgen
from optgen.language.starter import starter_spec
from optgen.pipeline.build import generate_file
from tests.cli.specs import PLAIN, edit, wrote

ROOT = Path(__file__).resolve().parents[2]


def optgen_process(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "optgen", *map(str, arguments)]


def test_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(optgen_process("--version"), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"optgen, version {optgen.__version__}\n", "")
    done = subprocess.run(optgen_process("show", "nothing"), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: no spec 'nothing' in {ROOT / 'specs'}; there are: ")


def test_reader_of_a_pipe_may_leave(specs: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        command = optgen_process("show", "plain", "--specs", specs)
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"")


def on_terminal(arguments: list[str], columns: int, *, both: bool) -> tuple[str, str]:
    """What a command writes to a terminal of that width, and to a pipe if only standard error is the terminal."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        arguments, stdout=child if both else subprocess.PIPE, stderr=child, stdin=child, env=environment
    )
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    piped = process.stdout.read().decode() if process.stdout else ""
    assert process.wait(timeout=60) == 0
    os.close(parent)
    return shown.decode().replace("\r\n", "\n"), piped


def test_progress_is_shown_on_a_terminal_only(specs: Path, output: Path) -> None:
    arguments = optgen_process("build", "--specs", specs, "--output", output)
    shown, piped = on_terminal(arguments, 40, both=False)
    clear = "\r\x1b[K"
    assert shown.split(clear) == ["", "building 0/2 ", "", "building 1/2 plain", "", "building 2/2 starter", ""]
    assert re.sub(r"\d+\.\d\d s", "S s", piped) == wrote(specs, "plain", "starter") + "2 built, 0 up to date, S s\n"


def test_code_on_a_terminal_is_coloured_but_not_cut(specs: Path) -> None:
    long = "Steps" + " and steps" * 30
    edit(specs / "plain.toml", "Steps down the gradient.", long)
    shown, _ = on_terminal(optgen_process("show", "plain", "--specs", specs), 40, both=True)
    assert "\x1b[" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == PLAIN.replace("Steps down the gradient.", long)


WATCH_LIMIT = 30


class Watched:
    """A running `build --watch` and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log

    def wait_for(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + WATCH_LIMIT
        while self.log.read_text().count(text) < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def watched(specs: Path, output: Path, tmp_path: Path) -> Iterator[Watched]:
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            optgen_process("build", "--watch", "--specs", specs, "--output", output),
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            yield Watched(process, log)
        finally:
            process.kill()
            process.wait()


def test_watch_builds_what_is_saved_and_survives_mistakes(specs: Path, output: Path, watched: Watched) -> None:
    watched.wait_for("watching ")
    watched.wait_for("2 built, 0 up to date")

    # Saved before watching has begun or after: both are seen.
    edit(specs / "plain.toml", "default = 0.25", "default = 0.125")
    watched.wait_for("wrote generated/plain/manifest.json", 2)
    watched.wait_for("1 built, 1 up to date")
    assert (output / "plain" / "manifest.json").read_text() == generate_file(specs / "plain.toml")["manifest.json"]

    edit(specs / "plain.toml", "lr*d\n", "lr*wrong\n")
    watched.wait_for("unknown name 'wrong'")
    watched.wait_for("0 built, 1 up to date, 1 wrong")

    edit(specs / "plain.toml", "lr*wrong\n", "2*lr*d\n")
    watched.wait_for("1 built, 1 up to date", 2)

    (specs / "starter.toml").unlink()
    watched.wait_for("removed generated/starter/manifest.json")
    (specs / "third.toml").write_text(starter_spec("third"))
    watched.wait_for("wrote generated/third/manifest.json")
    watched.wait_for("1 built, 1 up to date", 3)

    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(timeout=WATCH_LIMIT) == 0
    assert "Traceback" not in watched.log.read_text()
    assert "Abort" not in watched.log.read_text()


def test_verify_says_what_became_of_kernels() -> None:
    pytest.importorskip("triton", reason="Triton has wheels for Linux only")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = optgen_process("verify", "lion", "--target", "triton", "--gpu", "sm_90", "--gpu", "gfx942")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert re.split("  +", head) == ["optimizer", "kernel", "gpu", "bytes per element", "wide accesses", "registers"]
    cells = [re.split("  +", row) for row in rows]
    assert [one[:5] for one in cells[:4]] == [
        ["lion", f"{stem}_elements", gpu, "20", wide]
        for stem in ("default", "weight_decay")
        for gpu, wide in (("sm_90", "10 of 10"), ("gfx942", "5 of 5"))
    ]
    # Both variants share the kernel for the numbers of a step, which goes through no elements.
    assert [one[:3] for one in cells[4:]] == [["lion", "default_step_numbers", gpu] for gpu in ("sm_90", "gfx942")]
    assert all(row.endswith("  fine") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        (["constant"], {}, "learning rate schedules have no kernels"),
        (["adam", "--gpu", "sm_70"], {}, "no GPU 'sm_70'; there are: sm_80, sm_90, sm_100, gfx942"),
        (["adam"], {"TRITON_INTERPRET": "1"}, "TRITON_INTERPRET=1 has kernels interpreted; unset it to compile them"),
    ],
)
def test_verify_of_what_cannot_be(arguments: list[str], environment: dict[str, str], error: str) -> None:
    pytest.importorskip("triton", reason="Triton has wheels for Linux only")
    command = optgen_process("verify", *arguments, "--target", "triton")
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {error}\n")


HEAVY = ("jax", "jinja2", "numpy", "rich", "sympy", "torch", "triton")

LOADED = f"""
import sys
from optgen.cli import main
main(sys.argv[1:], standalone_mode=False)
print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], ""),
        (["new", "third", "--folder", "{specs}"], ""),
        (["list"], ""),
        (["show", "plain", "--specs", "{specs}"], ""),
        (["build", "--specs", "{specs}", "--output", "{output}"], ""),
        (["check", "--specs", "{specs}", "--output", "{output}"], "jinja2 sympy"),
    ],
    ids=["help", "new", "list", "show", "build", "check"],
)
def test_commands_load_no_more_than_they_need(specs: Path, output: Path, arguments: list[str], loaded: str) -> None:
    subprocess.run(optgen_process("build", "--specs", specs, "--output", output), capture_output=True, check=True)
    filled = [argument.format(specs=specs, output=output) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", LOADED, *filled], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, f"{loaded}\n")
