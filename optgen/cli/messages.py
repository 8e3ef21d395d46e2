"""Helpers of all commands: printing, error messages, and names of optimizers."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from optgen.errors import OptgenError
from optgen.escaping import terminal
from optgen.suggestions import did_you_mean

FOLDER = click.Path(path_type=Path, file_okay=False)
EXISTING_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


class CommandGroup(click.Group):
    """Reports what a user can put right as text; anything else keeps its traceback, since it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group.invoke`."""
        try:
            return super().invoke(ctx)
        except OptgenError as error:
            complain(str(error))
            ctx.exit(1)
        except OSError as error:
            # One without a number is no report of the system's; nobody reads what a closed pipe was sent.
            if error.errno in (None, errno.EPIPE):
                raise
            raise click.ClickException(terminal(message_of(error))) from None
        except KeyboardInterrupt:
            ctx.exit(130)  # what a shell reports of a command that was interrupted


def echo(text: str, *, end: str = "\n", err: bool = False) -> None:
    """Write text that may come from a spec or a path: a terminal takes no orders from it."""
    click.echo(terminal(text) + end, nl=False, err=err)


def complain(text: str) -> None:
    """Write to standard error as it is; in red on a terminal."""
    click.secho(terminal(text), err=True, fg="red")


def message_of(error: OSError) -> str:
    """The system's message for an error, after the path of its file."""
    return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror)


def known_names(names: tuple[str, ...], specs: Path) -> tuple[str, ...]:
    """The names given, each once; those of all specs if none are. A schedule's follows `schedules/`."""
    from optgen.pipeline.build import SCHEDULES, all_paths

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


def counted(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number} {what}{'s' if number != 1 else ''}"
