"""The command line: `optgen` or `python -m optgen`."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from optgen import __version__
from optgen._paths import generated_folder, specs_folder
from optgen.errors import OptgenError

_OUT = Console(highlight=False, soft_wrap=True)
_ERR = Console(stderr=True, highlight=False, soft_wrap=True)

_FOLDER = click.Path(path_type=Path, file_okay=False)


class _Group(click.Group):
    """Reports optgen's own errors as text; anything else keeps its traceback, since it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OptgenError as error:
            _ERR.print(str(error), style="red", markup=False)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optgen")
def main() -> None:
    """Compile update rules of training optimizers into the code that runs them."""


@main.command()
@click.argument("names", nargs=-1)
@click.option("--watch", is_flag=True, help="Build again whenever a spec is saved.")
@click.option("--specs", type=_FOLDER, help="The folder of specs.  [default: the catalogue's]")
@click.option("--output", type=_FOLDER, help="Where to write.  [default: the catalogue's generated/]")
def build(names: tuple[str, ...], watch: bool, specs: Path | None, output: Path | None) -> None:
    """Generate code from specs: those NAMED, or all that changed."""
    source, target = specs or specs_folder(), output or generated_folder()
    _build_once(source, target, names)
    if watch:
        _watch(source, target, names)


def _build_once(specs: Path, output: Path, names: tuple[str, ...]) -> None:
    from rich.progress import Progress, TextColumn

    from optgen.compiler.build import build as build_all
    from optgen.compiler.build import spec_paths

    started = time.perf_counter()
    known = spec_paths(specs)
    _check_names(names, known)
    done = skipped = 0
    with Progress(TextColumn("{task.description}"), *Progress.get_default_columns()[1:3], console=_ERR) as progress:
        task = progress.add_task("building", total=len(names or known))
        for built in build_all(specs, output, names):
            progress.update(task, advance=1, description=built.name)
            skipped += built.skipped
            done += not built.skipped
            for file in built.changed:
                _OUT.print(f"wrote {output.name}/{built.name}/{file}", markup=False)
    seconds = time.perf_counter() - started
    _OUT.print(f"{done} built, {skipped} up to date, {seconds:.2f} s")


def _check_names(names: tuple[str, ...], known: dict[str, Path]) -> None:
    from difflib import get_close_matches

    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
            raise click.BadParameter(f"no spec '{name}'; {hint}", param_hint="NAMES")


def _watch(specs: Path, output: Path, names: tuple[str, ...]) -> None:
    try:
        from watchfiles import watch
    except ImportError:
        raise click.ClickException("--watch needs the package watchfiles: pip install 'optgen[watch]'") from None
    _OUT.print(f"watching {specs}; stop with Ctrl-C", markup=False)
    for _ in watch(specs):
        try:
            _build_once(specs, output, names)
        except OptgenError as error:
            # A spec being edited is often wrong for a while; the next save may put it right.
            _ERR.print(str(error), style="red", markup=False)


@main.command()
@click.argument("names", nargs=-1)
@click.option("--specs", type=_FOLDER, help="The folder of specs.  [default: the catalogue's]")
@click.option("--output", type=_FOLDER, help="The folder to compare.  [default: the catalogue's generated/]")
def check(names: tuple[str, ...], specs: Path | None, output: Path | None) -> None:
    """Exit with 1 and a diff if generated code is not what the specs say."""
    from optgen.compiler.build import check as compare
    from optgen.compiler.build import spec_paths

    source = specs or specs_folder()
    _check_names(names, spec_paths(source))
    differences = compare(source, output or generated_folder(), names)
    for difference in differences:
        click.echo(difference.diff or f"{difference.path}: empty on one side", nl=False)
    if differences:
        _ERR.print(f"{len(differences)} files are not what the specs say; run: optgen build", style="red")
        sys.exit(1)
    _OUT.print(f"{len(names or spec_paths(source))} specs: generated code is up to date")


@main.command()
@click.argument("name")
@click.option(
    "--stage", type=click.Choice(["spec", "analysed", "simplified", "schedule"]), help="Show a stage of the compiler."
)
@click.option("--target", type=click.Choice(["jax", "triton", "manifest", "latex"]), help="Show what is generated.")
@click.option("--variant", default="default", show_default=True, help="Which variant a stage is shown of.")
@click.option("--specs", type=_FOLDER, help="The folder of specs.  [default: the catalogue's]")
def show(name: str, stage: str | None, target: str | None, variant: str, specs: Path | None) -> None:
    """Show one optimizer at a stage of the compiler, or as the code of a target."""
    from optgen.show import show_stage, show_target
    from optgen.spec.reader import read_spec

    if stage and target:
        raise click.UsageError("--stage and --target exclude each other")
    path = (specs or specs_folder()) / f"{name}.toml"
    if not path.is_file():
        from optgen.compiler.build import spec_paths

        _check_names((name,), spec_paths(specs or specs_folder()))
    spec = read_spec(path, f"specs/{path.name}")
    text = show_target(spec, target) if target else show_stage(spec, stage or "spec", variant)
    if _OUT.is_terminal:
        from rich.syntax import Syntax

        language = {"jax": "python", "triton": "python", "manifest": "json", "latex": "latex"}.get(target or "", "toml")
        _OUT.print(Syntax(text, language, background_color="default"))
    else:
        click.echo(text, nl=False)


@main.command("list")
def list_command() -> None:
    """List the catalogue."""
    from optgen.runtime.manifests import catalogue_names, catalogue_manifest

    table = Table(box=None, pad_edge=False)
    for column in ("optimizer", "states", "bytes/element", "passes", "variants", "dialects"):
        table.add_column(column, justify="right" if column in ("bytes/element", "passes", "variants") else "left")
    for name in catalogue_names():
        manifest = catalogue_manifest(name)
        first = manifest.variants[0].cases[0]
        states = ", ".join(s.name if s.kind == "element" else f"{s.name} per {s.kind}" for s in first.states)
        table.add_row(
            name,
            states or "none",
            str(first.bytes_per_element),
            str(first.passes),
            str(len(manifest.variants)),
            ", ".join(manifest.dialects),
        )
    _OUT.print(table)


@main.command()
@click.argument("name")
@click.option("--folder", type=_FOLDER, help="Where to write it.  [default: the catalogue's specs/]")
def new(name: str, folder: Path | None) -> None:
    """Write a commented spec to start from."""
    from optgen.spec.starter import starter_spec

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise click.BadParameter("lower case letters, digits and single '_', a letter first", param_hint="NAME")
    path = (folder or specs_folder()) / f"{name}.toml"
    if path.exists():
        raise click.ClickException(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(starter_spec(name))
    _OUT.print(f"wrote {path}; edit it, then: optgen build {name}", markup=False)


@main.command()
def doctor() -> None:
    """Say what works on this machine, and why something does not."""
    from optgen.doctor import examine

    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in examine():
        table.add_row("[green]yes[/green]" if finding.works else "[yellow]no[/yellow]", finding.subject, finding.detail)
    _OUT.print(table)


@main.command()
@click.option("--steps", default=600, show_default=True, help="Training steps of each run.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), default=Path("out/demo.png"), show_default=True
)
def demo(steps: int, picture: Path) -> None:
    """Train a small network on handwritten digits with generated optimizers, beside optax's."""
    try:
        from optgen.demo import run_demo
    except ImportError as error:
        raise click.ClickException(f"the demo needs {error.name}: pip install 'optgen[demo]'") from None
    if not run_demo(steps, picture, _OUT):
        sys.exit(1)
