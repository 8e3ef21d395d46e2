"""The command line: `optgen` or `python -m optgen`."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optgen import __version__
from optgen._paths import checkout_folder, generated_folder, spec_label, specs_folder
from optgen.errors import OptgenError, SpecError
from optgen.escaping import terminal, visible
from optgen.suggestions import did_you_mean

if TYPE_CHECKING:
    from optgen.compiler.build import Built

_FOLDER = click.Path(path_type=Path, file_okay=False)
_EXISTING = click.Path(path_type=Path, file_okay=False, exists=True)
#: How long after it starts watching a folder, and while nothing changes, `build --watch` looks up, in milliseconds.
_WATCH_PAUSE = 500
#: Training steps of the demo, which are enough for the accuracy that it asks for.
_DEMO_STEPS = 600


class _Group(click.Group):
    """Reports what a user can put right as text; anything else keeps its traceback, since it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OptgenError as error:
            _complain(str(error))
            ctx.exit(1)
        except OSError as error:
            # One without a number is no report of the system's; nobody reads what a closed pipe was sent.
            if error.errno in (None, errno.EPIPE):
                raise
            raise click.ClickException(terminal(_said(error))) from None
        except KeyboardInterrupt:
            ctx.exit(130)  # what a shell reports of a command that was interrupted


def _print(text: str, *, end: str = "\n", err: bool = False) -> None:
    """Write text that may come from a spec or a path: a terminal takes no orders from it."""
    click.echo(terminal(text) + end, nl=False, err=err)


def _complain(text: str) -> None:
    """Write to standard error as it is; in red on a terminal."""
    click.secho(terminal(text), err=True, fg="red")


def _said(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optgen")
def main() -> None:
    """Compile update rules of training optimizers into the code that runs them."""


@main.command()
@click.argument("names", nargs=-1)
@click.option("--watch", is_flag=True, help="Build again whenever a spec is saved, until Ctrl-C.")
@click.option("--specs", type=_EXISTING, help="The folder of specs; needs --output.  [default: the catalogue's]")
@click.option("--output", type=_FOLDER, help="Where to write.  [default: the catalogue's generated/]")
def build(names: tuple[str, ...], watch: bool, specs: Path | None, output: Path | None) -> None:
    """Generate code from specs: those NAMED, or all. Only what changed is compiled."""
    source, target = _folders(specs, output)
    is_beside_others = (
        Path("specs").is_dir() and Path("optgen").is_dir() and Path("specs").resolve() != source.resolve()
    )
    if specs is None and checkout_folder() is None and is_beside_others:
        _print(f"note: this builds {source}; for specs/ of this checkout: pip install -e .", err=True)
    if watch:
        _watch(source, target, names)
    elif not _build_once(source, target, names):
        sys.exit(1)


@main.command()
@click.argument("names", nargs=-1)
@click.option("--specs", type=_EXISTING, help="The folder of specs; needs --output.  [default: the catalogue's]")
@click.option("--output", type=_FOLDER, help="The folder to compare.  [default: the catalogue's generated/]")
def check(names: tuple[str, ...], specs: Path | None, output: Path | None) -> None:
    """Exit with 1 and a diff if generated code is not what the specs say."""
    from optgen.compiler.build import check as compare

    source, target = _folders(specs, output)
    wanted = _known_names(names, source)
    differences = compare(source, target, wanted if names else ())
    root = checkout_folder()
    if not names and root is not None and (source, target) == (root / "specs", root / "generated"):
        from optgen.docs.write import check_docs

        stale = check_docs(source, root)
        if stale and not differences:
            _complain(f"{_counted(len(stale), 'difference')} of the documentation from the specs; run: optgen docs")
            for difference in stale:
                _print(difference.diff, end="")
            sys.exit(1)
    for difference in differences:
        _print(difference.diff, end="")
    foreign = [difference.path for difference in differences if difference.foreign]
    if len(differences) > len(foreign):
        _complain(
            f"{_counted(len(differences) - len(foreign), 'difference')} from what the specs say; run: optgen build"
        )
    if foreign:
        _complain(f"not made by optgen, to be removed by hand: {', '.join(foreign)}")
    if differences:
        sys.exit(1)
    click.echo(f"{_counted(len(wanted), 'spec')}: generated code is up to date")


@main.command()
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
        _print(f"{verb} {relative}")
        changed += 1
    click.echo(f"{_counted(changed, 'file')} of the documentation changed")


def _folders(specs: Path | None, output: Path | None) -> tuple[Path, Path]:
    if specs is not None and output is None:
        # Building another folder's specs into the catalogue would replace the catalogue.
        raise click.UsageError("--specs needs --output: the catalogue's folder holds what its own specs say")
    return specs or specs_folder(), output or generated_folder()


def _known_names(names: tuple[str, ...], specs: Path) -> tuple[str, ...]:
    """The names given, each once; those of all specs if none are. A schedule's follows `schedules/`."""
    from optgen.compiler.build import SCHEDULES, all_paths

    known = all_paths(specs)
    if not known:
        raise click.ClickException(f"there are no specs in {specs}")
    found = [name if name in known else f"{SCHEDULES}/{name}" for name in names]
    for name, meant in zip(names, found, strict=True):
        if meant not in known:
            # Whoever names the file means the spec in it.
            last = [path.rpartition("/")[2] for path in known]
            hint = did_you_mean(Path(name).stem, last, f"there are: {', '.join(last)}")
            raise click.ClickException(terminal(f"no spec '{name}' in {specs}; {hint}"))
    return tuple(dict.fromkeys(found)) or tuple(known)


def _build_once(specs: Path, output: Path, names: tuple[str, ...], *, quiet: bool = False) -> bool:
    """Build, saying what was written; whether all specs were right. `quiet` says nothing if nothing had changed."""
    from optgen.compiler.build import build as build_all

    started = time.perf_counter()
    wanted = _known_names(names, specs)
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
                _complain(str(built.error))
            progress.show(len(done), built.name)
    except OSError as error:
        raise click.ClickException(f"cannot build into {output}: {_said(error)}") from None
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
    _known_names(names, specs)  # a name that is wrong from the start is a mistake, not an edit
    _build_for_now(specs, output, names, quiet=False)
    _print(f"watching {specs}; stop with Ctrl-C")
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
        _complain(error.format_message())
    except OptgenError as error:
        _complain(str(error))


@main.command()
@click.argument("name")
@click.option(
    "--stage", type=click.Choice(["spec", "analysed", "simplified", "schedule"]), help="Show a stage of the compiler."
)
@click.option(
    "--target",
    type=click.Choice(["jax", "host", "native", "triton", "manifest", "latex"]),
    help="Show what is generated.",
)
@click.option("--variant", help="Which variant a stage or a target is shown of.  [default: default; of a target: all]")
@click.option("--specs", type=_EXISTING, help="The folder of specs.  [default: the catalogue's]")
def show(name: str, stage: str | None, target: str | None, variant: str | None, specs: Path | None) -> None:
    """Show one optimizer at a stage of the compiler, or as the code of a target; or a schedule's equations or code."""
    if stage and target:
        raise click.UsageError("--stage and --target exclude each other")
    if variant and (target == "latex" or (not target and stage in (None, "spec"))):
        raise click.UsageError("--variant goes with a later stage or with generated code: this is the same for all")
    folder = specs or specs_folder()
    (name,) = _known_names((name,), folder)
    text = _shown(name, folder, stage, target, variant)
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    languages = dict.fromkeys(("jax", "host", "triton"), "python") | {
        "native": "c",
        "manifest": "json",
        "latex": "latex",
    }
    language = languages.get(target or "", "toml")
    highlighted = Syntax(text, language, background_color="default").highlight(text)
    # Long lines are left to the terminal: what is shown can be copied.
    Console(soft_wrap=True).print(highlighted, end="" if text.endswith("\n") else "\n")


def _shown(name: str, folder: Path, stage: str | None, target: str | None, variant: str | None) -> str:
    from optgen.compiler.build import SCHEDULES, all_paths

    if name.startswith(f"{SCHEDULES}/"):
        if variant or stage not in (None, "spec"):
            raise click.UsageError("a schedule has neither variants nor stages: leave out --variant and --stage")
        from optgen.compiler.lr_schedule_pipeline import show_schedule

        return show_schedule(all_paths(folder)[name], target)
    from optgen.spec.reader import read_spec

    path = folder / f"{name}.toml"
    spec = read_spec(path, spec_label(path))
    if target:
        from optgen.show import show_target

        if target == "host":
            raise click.UsageError("--target host goes with schedules: an optimizer runs on arrays")
        return show_target(spec, target, variant)
    if stage in (None, "spec"):
        return spec.source.text
    from optgen.show import show_stage

    return show_stage(spec, stage, variant or "default")


@main.command("list")
def list_command() -> None:
    """List the catalogue, for float32 and each rule's defaults.

    Memory is what is kept, in bytes per parameter. The bytes that a step moves are per element; passes say how often a
    kernel goes through a tensor.
    """
    from optgen.docs.reference import memory
    from optgen.runtime.manifests import catalogue_manifest, catalogue_names

    rows = []
    for name in catalogue_names():
        try:
            manifest = catalogue_manifest(name)
        except ValueError as error:
            raise click.ClickException(f"{name}/manifest.json: {error}; run: optgen build {name}") from None
        first = manifest.variants[0].cases[0]
        states = ", ".join(s.name if s.kind == "element" else f"{s.name} per {s.kind}" for s in first.states)
        kernel, jax = (first.bytes_per_element, first.passes), first.jax_bytes_per_element
        counts = (memory(first), *kernel, jax, len(manifest.variants))
        libraries = dict.fromkeys(dialect.library for dialect in manifest.dialects)
        rows.append((name, states or "none", *map(str, counts), ", ".join(libraries)))
    if not rows:
        raise click.ClickException("nothing is generated yet; run: optgen build")
    header = ("optimizer", "states", "memory", "kernel bytes", "passes", "jax bytes", "variants", "dialects")
    _table(header, rows, numbers=(2, 3, 4, 5, 6))
    if schedules := _schedule_rows():
        click.echo()
        _table(("schedule", "hyperparameters", "dialects"), schedules)


def _schedule_rows() -> list[tuple[str, str, str]]:
    from optgen.runtime.lr_schedule_manifests import schedule_manifest, schedule_names

    rows = []
    for name in schedule_names():
        try:
            manifest = schedule_manifest(name)
        except ValueError as error:
            message = f"schedules/{name}/manifest.json: {error}; run: optgen build {name}"
            raise click.ClickException(message) from None
        libraries = dict.fromkeys(dialect.library for dialect in manifest.dialects)
        rows.append((name, ", ".join(manifest.order), ", ".join(libraries)))
    return rows


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Write a table: fitted to a terminal, or one line to a row where a program reads it."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=bool(header))
        for column in range(len(rows[0])):
            table.add_column(header[column] if header else "", justify="right" if column in numbers else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        Console(highlight=False).print(table)
        return
    lines = [*([header] if header else []), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        _print("  ".join(cells).rstrip())


@main.command()
@click.argument("name")
@click.option("--folder", type=_FOLDER, help="Where to write it.  [default: the catalogue's specs/]")
def new(name: str, folder: Path | None) -> None:
    """Write a commented spec to start from."""
    from optgen.spec.reader import parse_spec
    from optgen.spec.starter import starter_spec

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise click.ClickException(
            f"'{name}' is no name for a spec: lower case letters, digits, single '_' between them"
        )
    # An installed catalogue is not the user's to write to.
    installed = (Path(__file__).parent / "_catalogue").is_dir()
    folder = folder or (Path.cwd() if installed else None)
    path = (folder or specs_folder()) / f"{name}.toml"
    text = starter_spec(name)
    try:
        parse_spec(text, path.name)
    except SpecError as error:  # the name means something already
        raise click.ClickException(f"{error.message}: {error.hint}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{path} exists already") from None
    then = f"optgen.load({str(path)!r}) in a script" if folder else f"optgen build {name}"
    _print(f"wrote {path}; edit it, then: {then}")


@main.command()
@click.argument("names", nargs=-1)
@click.option("--target", type=click.Choice(["triton"]), required=True, help="Whose kernels to look at.")
@click.option("--gpu", "gpus", multiple=True, help="Only for these: sm_80, sm_90, sm_100, gfx942.")
@click.option("--specs", type=_EXISTING, help="The folder of specs.  [default: the catalogue's]")
def verify(names: tuple[str, ...], target: str, gpus: tuple[str, ...], specs: Path | None) -> None:
    """Compile kernels ahead of time, which needs no GPU, and say what became of them."""
    try:
        from optgen.targets.triton import verify as kernels
    except ImportError as error:
        raise click.ClickException(f"{target} kernels are compiled by Triton: {error}") from None
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise click.ClickException("TRITON_INTERPRET=1 has kernels interpreted; unset it to compile them")
    if unknown := set(gpus) - set(kernels.GPUS):
        raise click.ClickException(f"no GPU '{min(unknown)}'; there are: {', '.join(kernels.GPUS)}")
    from optgen.compiler.wrapping import wrapped_rule
    from optgen.spec.reader import read_spec

    folder = specs or specs_folder()
    known = _known_names(names, folder)
    chosen = [name for name in known if not name.startswith("schedules/")]
    if names and len(chosen) < len(known):
        raise click.ClickException("learning rate schedules have no kernels")
    rows, wrong = [], 0
    for name in chosen:
        path = folder / f"{name}.toml"
        spec = read_spec(path, spec_label(path))
        found = kernels.verify(spec, wrapped_rule(spec, folder), gpus or tuple(kernels.GPUS))
        for variant, moved, said in found.bytes:
            if moved != said:
                raise click.ClickException(f"{name} {variant}: {moved} bytes per element, and the schedule says {said}")
        for one in found.kernels:
            problems = one.problems()
            wrong += bool(problems)
            each = "" if one.bytes is None else str(one.bytes)
            wide = "" if one.bytes is None else f"{one.wide[0]} of {one.wide[1]}"
            cells = (name, one.kernel, one.gpu, each, wide, str(one.registers), ", ".join(problems) or "fine")
            rows.append(cells)
    _table(("optimizer", "kernel", "gpu", "bytes per element", "wide accesses", "registers", ""), rows, (3, 5))
    if wrong:
        raise click.ClickException(f"{wrong} of {len(rows)} kernels are not as they should be")


@main.command()
def doctor() -> None:
    """Say what works on this machine, and why something does not."""
    from optgen.doctor import examine

    _table((), [("yes" if found.works else "no", found.subject, found.detail) for found in examine()])


@main.command()
@click.option(
    "--steps", type=click.IntRange(min=20), default=_DEMO_STEPS, show_default=True, help="Training steps of each run."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), default=Path("out/demo.png"), show_default=True
)
def demo(steps: int, picture: Path) -> None:
    """Train a small network on handwritten digits with generated optimizers, beside optax's."""
    try:
        from optgen.demo import run_demo
    except ImportError as error:
        raise click.ClickException(f"the demo needs {error.name}: pip install 'optgen[demo]'") from None
    from rich.console import Console

    if not run_demo(steps, _DEMO_STEPS, picture, Console(highlight=False, soft_wrap=True)):
        sys.exit(1)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
