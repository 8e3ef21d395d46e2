"""The reference page of the learning-rate schedules: one section each, gathered from its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optgen._paths import spec_label
from optgen.compiler.lr_schedule_pipeline import manifest_of
from optgen.docs.reference import Row
from optgen.escaping import html, markdown, markdown_code, markdown_link, markdown_math
from optgen.runtime.lr_schedule_arguments import schedule_signature
from optgen.spec.domain import Domain
from optgen.spec.lr_schedule_reader import read_schedule
from optgen.targets.lr_schedule_manifest import LrScheduleManifest


@dataclass(frozen=True, slots=True)
class Section:
    """One schedule on the page; what comes from the spec is Markdown already, the heading HTML."""

    name: str
    title: str
    heading: str
    summary: str
    latex: str
    hyperparameters: tuple[Row, ...]
    options: tuple[Row, ...]
    dialects: tuple[Row, ...]
    notes: tuple[Row, ...]
    references: tuple[str, ...]
    base: str


def schedule_manifests(specs: Path) -> tuple[LrScheduleManifest, ...]:
    """Every schedule of a folder of specs, in alphabetical order.

    Raises:
        SpecError: the file of one is wrong.
    """
    paths = sorted((specs / "schedules").glob("*.toml"))
    return tuple(manifest_of(read_schedule(path, spec_label(path))) for path in paths)


def section_of(manifest: LrScheduleManifest) -> Section:
    """Everything that the page says of one schedule."""
    return Section(
        name=manifest.name,
        title=markdown(manifest.title),
        heading=html(manifest.title),
        summary=markdown(manifest.summary),
        latex=manifest.latex,
        hyperparameters=tuple(_hyperparameter(manifest, name) for name in manifest.order),
        options=tuple(
            Row((markdown_code(o.name), str(o.default).lower(), ", ".join(o.choices) or "switch", markdown(o.meaning)))
            for o in manifest.options
        ),
        dialects=tuple(
            Row((d.library, markdown_code(f"{d.name}{schedule_signature(manifest, d)}"))) for d in manifest.dialects
        ),
        notes=tuple(
            Row((f"{d.library} {markdown_code(d.name)}", markdown(d.note))) for d in manifest.dialects if d.note
        ),
        references=tuple(markdown_link(r.text, r.url) for r in manifest.references),
        base=manifest.base,
    )


def _hyperparameter(manifest: LrScheduleManifest, name: str) -> Row:
    for found in manifest.lists:
        if found.name == name:
            length = f"; as long as `{found.as_long_as}`" if found.as_long_as else ""
            length += f" and {found.longer_by} longer" if found.longer_by else ""
            order = "; each larger than the one before" if found.increasing else ""
            default = f"[{', '.join(f'{x:g}' for x in found.default)}]"
            meaning = markdown(found.meaning) + order + length
            return Row((markdown_math(found.symbol), markdown_code(name), default, _domain(found.domain), meaning))
    (h,) = (h for h in manifest.hyperparameters if h.name == name)
    default = "absent" if h.default is None else f"{h.default:g}"
    whole = "; a whole number" if name in manifest.whole else ""
    return Row((markdown_math(h.symbol), markdown_code(name), default, _domain(h.domain), markdown(h.meaning) + whole))


def _domain(domain: Domain) -> str:
    return markdown_code(domain.text) if domain.text else "any"
