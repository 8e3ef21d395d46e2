"""The manifest of a generated schedule, `generated/schedules/NAME/manifest.json`, as typed values.

Reading it imports neither sympy nor jinja2.
"""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.declarations import Hyperparameter, Option, Reference
from optgen.contract.dialects import Dialect
from optgen.contract.stored import from_json, to_json
from optgen.schedules.model import Constraint, NumberList

#: Raised whenever the fields below change, so that a file written by another version is refused by name.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class LrScheduleManifest:
    """A generated schedule; for its fields see `optgen.schedules.model.LrSchedule`.

    Attributes:
        digest: the sha256 of the text of the spec at `spec`.
        latex: the equations, as an `aligned` environment.
        order: the hyperparameters that the generated functions take after the step, in this order; the options follow
            by keyword.
    """

    format: int
    spec: str
    digest: str
    name: str
    class_name: str
    title: str
    summary: str
    equations: str
    latex: str
    references: tuple[Reference, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    lists: tuple[NumberList, ...]
    whole: tuple[str, ...]
    base: str
    constraints: tuple[Constraint, ...]
    options: tuple[Option, ...]
    order: tuple[str, ...]
    dialects: tuple[Dialect, ...]


def write_schedule_manifest(manifest: LrScheduleManifest) -> str:
    """The manifest as the text of its file."""
    return to_json(manifest)


def read_schedule_manifest(data: bytes) -> LrScheduleManifest:
    """The manifest from the bytes of its file.

    Raises:
        ValueError: the bytes are no manifest of this version.
    """
    return from_json(data, LrScheduleManifest, FORMAT)
