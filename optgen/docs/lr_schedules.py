"""The reference page of the learning-rate schedules: one section each, gathered from its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optgen.compiler.lr_schedule_pipeline import manifest_of
from optgen.docs.reference import Row
from optgen.runtime.lr_schedule_arguments import schedule_signature
from optgen.spec.domain import Domain
from optgen.spec.lr_schedule_reader import read_schedule
from optgen.targets.lr_schedule_manifest import LrScheduleManifest


@dataclass(frozen=True, slots=True)
class Section:
    """One schedule on the page."""

    name: str
    title: str
    summary: str
    latex: str
    hyperparameters: tuple[Row, ...]
    options: tuple[Row, ...]
    dialects: tuple[Row, ...]
    notes: tuple[Row, ...]
    references: tuple[Row, ...]
    base: str


def schedule_manifests(specs: Path) -> tuple[LrScheduleManifest, ...]:
    """Every schedule of a folder of specs, in alphabetical order.

    Raises:
        SpecError: the file of one is wrong.
    """
    paths = sorted((specs / "schedules").glob("*.toml"))
    return tuple(manifest_of(read_schedule(path, f"specs/schedules/{path.name}")) for path in paths)


def section_of(manifest: LrScheduleManifest) -> Section:
    """Everything that the page says of one schedule."""
    return Section(
        name=manifest.name,
        title=manifest.title,
        summary=manifest.summary,
        latex=manifest.latex,
        hyperparameters=tuple(_hyperparameter(manifest, name) for name in manifest.order),
        options=tuple(
            Row((f"`{o.name}`", str(o.default).lower(), ", ".join(o.choices) or "switch", o.meaning))
            for o in manifest.options
        ),
        dialects=tuple(
            Row((d.library, f"`{d.name}{schedule_signature(manifest, d)}`".replace("|", r"\|")))
            for d in manifest.dialects
        ),
        notes=tuple(Row((f"{d.library} `{d.name}`", d.note)) for d in manifest.dialects if d.note),
        references=tuple(Row((r.text, r.url)) for r in manifest.references),
        base=manifest.base,
    )


def _hyperparameter(manifest: LrScheduleManifest, name: str) -> Row:
    for found in manifest.lists:
        if found.name == name:
            length = f"; as long as `{found.as_long_as}`" if found.as_long_as else ""
            length += f" and {found.longer_by} longer" if found.longer_by else ""
            order = "; each larger than the one before" if found.increasing else ""
            default = f"[{', '.join(f'{x:g}' for x in found.default)}]"
            return Row(
                (f"${found.symbol}$", f"`{name}`", default, _domain(found.domain), found.meaning + order + length)
            )
    (h,) = (h for h in manifest.hyperparameters if h.name == name)
    default = "absent" if h.default is None else f"{h.default:g}"
    whole = "; a whole number" if name in manifest.whole else ""
    return Row((f"${h.symbol}$", f"`{name}`", default, _domain(h.domain), h.meaning + whole))


def _domain(domain: Domain) -> str:
    return f"`{domain.text}`" if domain.text else "any"
