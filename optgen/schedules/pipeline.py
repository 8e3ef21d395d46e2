"""From the file of a learning-rate schedule to the files that are generated from it.

file ─ read ─▶ LrSchedule ─ schedule_program ─▶ LrScheduleProgram ─ emit ─▶ jax.py, host.py, manifest.json
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optgen.escaping import visible
from optgen.language.latex import equations_latex
from optgen.schedules.emit import emit_host, emit_jax
from optgen.schedules.manifest import FORMAT, LrScheduleManifest, write_schedule_manifest
from optgen.schedules.model import LrSchedule, printable
from optgen.schedules.program import schedule_program
from optgen.schedules.reader import schedule_at
from optgen.targets.code import UnsupportedByTarget
from optgen.targets.header import spec_digest


def generate_schedule(schedule: LrSchedule) -> Mapping[str, str]:
    """The text of each file that is generated from a schedule, by the file's name."""
    program = schedule_program(schedule)
    return {
        "manifest.json": write_schedule_manifest(manifest_of(schedule)),
        "jax.py": emit_jax(program),
        "host.py": emit_host(program),
    }


def show_schedule(path: Path, target: str | None) -> str:
    """The spec of a schedule, or what is generated from it.

    Raises:
        UnsupportedByTarget: no code of that target is generated from schedules.
    """
    schedule = schedule_at(path)
    if target is None:
        return schedule.source.text
    if target == "latex":
        return manifest_of(schedule).latex + "\n"
    files = generate_schedule(schedule)
    found = [text for file, text in files.items() if file.startswith(f"{target}.")]
    if not found:
        raise UnsupportedByTarget(
            f"no code of the target {target} is generated from schedules: only {', '.join(files)}"
        )
    return found[0]


def manifest_of(schedule: LrSchedule) -> LrScheduleManifest:
    """The manifest of a schedule."""
    return LrScheduleManifest(
        format=FORMAT,
        spec=visible(schedule.source.path),
        digest=spec_digest(schedule.source.text),
        name=schedule.name,
        class_name=schedule.class_name,
        title=schedule.title,
        summary=schedule.summary,
        equations=schedule.equations,
        latex=equations_latex(printable(schedule)),
        references=schedule.references,
        hyperparameters=schedule.hyperparameters,
        lists=schedule.lists,
        whole=schedule.whole,
        base=schedule.base,
        constraints=schedule.constraints,
        options=schedule.options,
        order=schedule.order,
        dialects=schedule.dialects,
    )
