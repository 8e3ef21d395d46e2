"""The command `new`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from optgen._paths import is_installed, specs_folder
from optgen.cli.messages import FOLDER, echo
from optgen.errors import SpecError


@click.command()
@click.argument("name")
@click.option("--folder", type=FOLDER, help="Where to write it.  [default: the catalogue's specs/]")
def new(name: str, folder: Path | None) -> None:
    """Write a commented spec to start from."""
    from optgen.language.reader import parse_spec
    from optgen.language.starter import starter_spec

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise click.ClickException(
            f"'{name}' is no name for a spec: lower case letters, digits, single '_' between them"
        )
    # An installed catalogue is not the user's to write to.
    folder = folder or (Path.cwd() if is_installed() else None)
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
    echo(f"wrote {path}; edit it, then: {then}")
