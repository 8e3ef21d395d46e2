"""The command line: `optgen` or `python -m optgen`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from optgen import __version__
from optgen.cli import build, doctor, listing, new, show, verify
from optgen.cli.messages import CommandGroup

#: Training steps of the demo, which are enough for the accuracy that it asks for.
_DEMO_STEPS = 600


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optgen")
def main() -> None:
    """Compile update rules of training optimizers into the code that runs them."""


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
        from optgen.cli.demonstration import run_demo
    except ImportError as error:
        raise click.ClickException(f"the demo needs {error.name}: pip install 'optgen[demo]'") from None
    from rich.console import Console

    if not run_demo(steps, _DEMO_STEPS, picture, Console(highlight=False, soft_wrap=True)):
        sys.exit(1)


for command in (
    build.build,
    build.check,
    build.docs,
    show.show,
    listing.list_command,
    new.new,
    verify.verify,
    doctor.doctor,
):
    main.add_command(command)
