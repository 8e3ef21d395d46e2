"""The command `show`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from optgen._paths import spec_label, specs_folder
from optgen.cli.messages import EXISTING_FOLDER, known_names
from optgen.targets.registry import TARGETS


@click.command()
@click.argument("name")
@click.option(
    "--stage", type=click.Choice(["spec", "analysed", "simplified", "schedule"]), help="Show a stage of the compiler."
)
@click.option(
    "--target",
    type=click.Choice([*TARGETS, "host", "manifest", "latex"]),
    help="Show what is generated.",
)
@click.option("--variant", help="Which variant a stage or a target is shown of.  [default: default; of a target: all]")
@click.option("--specs", type=EXISTING_FOLDER, help="The folder of specs.  [default: the catalogue's]")
def show(name: str, stage: str | None, target: str | None, variant: str | None, specs: Path | None) -> None:
    """Show one optimizer at a stage of the compiler, or as the code of a target; or a schedule's equations or code."""
    if stage and target:
        raise click.UsageError("--stage and --target exclude each other")
    if variant and (target == "latex" or (not target and stage in (None, "spec"))):
        raise click.UsageError("--variant goes with a later stage or with generated code: this is the same for all")
    folder = specs or specs_folder()
    (name,) = known_names((name,), folder)
    text = _shown(name, folder, stage, target, variant)
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    languages = {"native": "c", "manifest": "json", "latex": "latex"}
    language = languages.get(target, "python") if target else "toml"
    highlighted = Syntax(text, language, background_color="default").highlight(text)
    # Long lines are left to the terminal: what is shown can be copied.
    Console(soft_wrap=True).print(highlighted, end="" if text.endswith("\n") else "\n")


def _shown(name: str, folder: Path, stage: str | None, target: str | None, variant: str | None) -> str:
    from optgen.pipeline.build import SCHEDULES, all_paths

    if name.startswith(f"{SCHEDULES}/"):
        if variant or stage not in (None, "spec"):
            raise click.UsageError("a schedule has neither variants nor stages: leave out --variant and --stage")
        from optgen.schedules.pipeline import show_schedule

        return show_schedule(all_paths(folder)[name], target)
    from optgen.language.reader import read_spec

    path = folder / f"{name}.toml"
    spec = read_spec(path, spec_label(path))
    if target:
        from optgen.pipeline.stages import show_target

        if target == "host":
            raise click.UsageError("--target host goes with schedules: an optimizer runs on arrays")
        return show_target(spec, target, variant)
    if stage in (None, "spec"):
        return spec.source.text
    from optgen.pipeline.stages import show_stage

    return show_stage(spec, stage, variant or "default")
