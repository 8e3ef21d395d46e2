"""The commands `build`, `check` and `docs`."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optgen._paths import checkout_folder, generated_folder, specs_folder
from optgen.cli.messages import EXISTING_FOLDER, FOLDER, complain, counted, echo, known_names, message_of
from optgen.errors import OptgenError
from optgen.escaping import visible

if TYPE_CHECKING:
    from optgen.pipeline.build import Built


#: How long after it starts watching a folder, and while nothing changes, `build --watch` looks up, in milliseconds.
_WATCH_PAUSE = 500


@click.command()
@click.argument("names", nargs=-1)
@click.option("--watch", is_flag=True, help="Build again whenever a spec is saved, until Ctrl-C.")
@click.option("--specs", type=EXISTING_FOLDER, help="The folder of specs; needs --output.  [default: the catalogue's]")
@click.option("--output", type=FOLDER, help="Where to write.  [default: the catalogue's generated/]")
def build(names: tuple[str, ...], watch: bool, specs: Path | None, output: Path | None) -> None:
    """Generate code from specs: those NAMED, or all. Only what changed is compiled."""
    source, target = folders(specs, output)
    is_beside_others = (
        Path("specs").is_dir() and Path("optgen").is_dir() and Path("specs").resolve() != source.resolve()
    )
    if specs is None and checkout_folder() is None and is_beside_others:
        echo(f"note: this builds {source}; for specs/ of this checkout: pip install -e .", err=True)
    if watch:
        _watch(source, target, names)
    elif not _build_once(source, target, names):
        sys.exit(1)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--specs", type=EXISTING_FOLDER, help="The folder of specs; needs --output.  [default: the catalogue's]")
@click.option("--output", type=FOLDER, help="The folder to compare.  [default: the catalogue's generated/]")
def check(names: tuple[str, ...], specs: Path | None, output: Path | None) -> None:
    """Exit with 1 and a diff if generated code is not what the specs say."""
    from optgen.pipeline.build import check as compare

    source, target = folders(specs, output)
    wanted = known_names(names, source)
    differences = compare(source, target, wanted if names else ())
    root = checkout_folder()
    if not names and root is not None and (source, target) == (root / "specs", root / "generated"):
        from optgen.docs.write import check_docs

        stale = check_docs(source, root)
        if stale and not differences:
            complain(f"{counted(len(stale), 'difference')} of the documentation from the specs; run: optgen docs")
            for difference in stale:
                echo(difference.diff, end="")
            sys.exit(1)
    for difference in differences:
        echo(difference.diff, end="")
    foreign = [difference.path for difference in differences if difference.foreign]
    if len(differences) > len(foreign):
        complain(f"{counted(len(differences) - len(foreign), 'difference')} from what the specs say; run: optgen build")
    if foreign:
        complain(f"not made by optgen, to be removed by hand: {', '.join(foreign)}")
    if differences:
        sys.exit(1)
    click.echo(f"{counted(len(wanted), 'spec')}: generated code is up to date")


@click.command()
def docs() -> None:
    """Write the pages, pictures and type stubs that come from the specs, in a checkout."""
    from optgen.docs.write import write_docs

    root = checkout_folder()
    if root is None:
        raise click.ClickException("the documentation belongs to a checkout of optgen, and this is an installed one")
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException("pictures are drawn by matplotlib: pip install -e '.[docs]'")
    changed = 0
    for verb, relative in write_docs(specs_folder(), root):
        echo(f"{verb} {relative}")
        changed += 1
    click.echo(f"{counted(changed, 'file')} of the documentation changed")


def folders(specs: Path | None, output: Path | None) -> tuple[Path, Path]:
    """The folders of specs and of generated code: those given, or the catalogue's."""
    if specs is not None and output is None:
        # Building another folder's specs into the catalogue would replace the catalogue.
        raise click.UsageError("--specs needs --output: the catalogue's folder holds what its own specs say")
    return specs or specs_folder(), output or generated_folder()


def _build_once(specs: Path, output: Path, names: tuple[str, ...], *, quiet: bool = False) -> bool:
    """Build, saying what was written; whether all specs were right. `quiet` says nothing if nothing had changed."""
    from optgen.pipeline.build import build as build_all

    started = time.perf_counter()
    wanted = known_names(names, specs)
    progress = _Progress(len(wanted))
    done: list[Built] = []
    try:
        for built in build_all(specs, output, wanted if names else ()):
            done.append(built)
            progress.clear()
            for verb, files in (("wrote", built.written), ("removed", built.removed)):
                for file in files:
                    click.echo(visible(f"{verb} {output.name}/{built.name}/{file}"))
            if built.error is not None:
                complain(str(built.error))
            progress.show(len(done), built.name)
    except OSError as error:
        raise click.ClickException(f"cannot build into {output}: {message_of(error)}") from None
    finally:
        progress.clear()
    wrong = sum(built.error is not None for built in done)
    skipped = sum(built.skipped for built in done)
    if not quiet or skipped < len(done):
        parts = [
            f"{len(done) - skipped - wrong} built",
            f"{skipped} up to date",
            *([f"{wrong} wrong"] if wrong else []),
        ]
        click.echo(f"{', '.join(parts)}, {time.perf_counter() - started:.2f} s")
    return not wrong


class _Progress:
    """One line on the terminal that says how far a build is; nothing where standard error is no terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._wanted = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.show(0, "")

    def show(self, done: int, name: str) -> None:
        """Replace the line; it is never longer than a narrow terminal."""
        if self._wanted:
            click.echo(
                f"\r\x1b[Kbuilding {min(done, self._total)}/{self._total} {visible(name)[:40]}",
                err=True,
                nl=False,
                color=True,
            )

    def clear(self) -> None:
        """Remove the line, so that something else can be written."""
        if self._wanted:
            click.echo("\r\x1b[K", err=True, nl=False, color=True)


def _watch(specs: Path, output: Path, names: tuple[str, ...]) -> None:
    try:
        from watchfiles import watch
    except ImportError:
        raise click.ClickException("--watch needs the package watchfiles: pip install 'optgen[watch]'") from None
    known_names(names, specs)  # a name that is wrong from the start is a mistake, not an edit
    _build_for_now(specs, output, names, quiet=False)
    echo(f"watching {specs}; stop with Ctrl-C")
    first = True
    # Not a KeyboardInterrupt: one that is raised while an object is being deleted is lost.
    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        for changes in watch(specs, stop_event=stop, rust_timeout=_WATCH_PAUSE, yield_on_timeout=True, recursive=False):
            # The first look also finds what was saved after the first build and before watching began.
            if first or changes:
                _build_for_now(specs, output, names, quiet=True)
            first = False
    finally:
        signal.signal(signal.SIGINT, before)


def _build_for_now(specs: Path, output: Path, names: tuple[str, ...], *, quiet: bool) -> None:
    """Build, and only report what goes wrong: while a spec is edited, the next save may put it right."""
    try:
        _build_once(specs, output, names, quiet=quiet)
    except click.ClickException as error:
        complain(error.format_message())
    except OptgenError as error:
        complain(str(error))
