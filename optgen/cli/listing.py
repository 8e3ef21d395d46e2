"""The command `list`, and tables as commands print them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from optgen.cli.messages import echo


@click.command("list")
def list_command() -> None:
    """List the catalogue, for float32 and each rule's defaults.

    Memory is what is kept, in bytes per parameter. The bytes that a step moves are per element; passes say how often a
    kernel goes through a tensor.
    """
    from optgen.catalogue.manifests import catalogue_manifest, catalogue_names
    from optgen.docs.reference import memory

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
    print_table(header, rows, numbers=(2, 3, 4, 5, 6))
    if schedules := _schedule_rows():
        click.echo()
        print_table(("schedule", "hyperparameters", "dialects"), schedules)


def _schedule_rows() -> list[tuple[str, str, str]]:
    from optgen.schedules.manifests import schedule_manifest, schedule_names

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


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
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
        echo("  ".join(cells).rstrip())
