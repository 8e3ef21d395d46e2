"""The command `verify`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from optgen._paths import spec_label, specs_folder
from optgen.cli.listing import print_table
from optgen.cli.messages import EXISTING_FOLDER, known_names


@click.command()
@click.argument("names", nargs=-1)
@click.option("--target", type=click.Choice(["triton"]), required=True, help="Whose kernels to look at.")
@click.option("--gpu", "gpus", multiple=True, help="Only for these: sm_80, sm_90, sm_100, gfx942.")
@click.option("--specs", type=EXISTING_FOLDER, help="The folder of specs.  [default: the catalogue's]")
def verify(names: tuple[str, ...], target: str, gpus: tuple[str, ...], specs: Path | None) -> None:
    """Compile kernels ahead of time, which needs no GPU, and say what became of them."""
    try:
        from optgen.pipeline import machine_code as kernels
    except ImportError as error:
        raise click.ClickException(f"{target} kernels are compiled by Triton: {error}") from None
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise click.ClickException("TRITON_INTERPRET=1 has kernels interpreted; unset it to compile them")
    if unknown := set(gpus) - set(kernels.GPUS):
        raise click.ClickException(f"no GPU '{min(unknown)}'; there are: {', '.join(kernels.GPUS)}")
    from optgen.language.reader import read_spec
    from optgen.pipeline.wrapping import wrapped_rule

    folder = specs or specs_folder()
    known = known_names(names, folder)
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
    print_table(("optimizer", "kernel", "gpu", "bytes per element", "wide accesses", "registers", ""), rows, (3, 5))
    if wrong:
        raise click.ClickException(f"{wrong} of {len(rows)} kernels are not as they should be")
