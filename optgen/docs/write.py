"""Writing the documentation that comes from specs: pages, overview, stubs and pictures; and comparing what is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from optgen._paths import spec_label
from optgen.compiler.build import Difference, spec_paths
from optgen.compiler.pipeline import generate
from optgen.compiler.wrapping import wrapped_rule
from optgen.docs.lr_schedules import schedule_manifests, section_of
from optgen.docs.paths import FUNCTIONS, TakenPath, best_path
from optgen.docs.reference import Row, memory, page_of
from optgen.docs.stubs import brainpy_stub, grouped_stub, optax_stub, optim_stub, schedules_stub
from optgen.escaping import markdown, markdown_code
from optgen.spec.latex import equations_latex
from optgen.spec.model import Spec
from optgen.spec.reader import read_spec
from optgen.targets.lr_schedule_manifest import LrScheduleManifest
from optgen.targets.manifest import Manifest, read_manifest

#: What every rule's paths are drawn beside, by label.
COMPARED = {"SGD": "sgd", "Adam": "adam"}
_PICTURES = "docs/optimizers/pictures"
#: Which spec each picture was drawn from: a picture's own bytes depend on the libraries that drew it.
_DRAWN = f"{_PICTURES}/drawn.json"


@dataclass(frozen=True, slots=True)
class Documented:
    """One optimizer with all that its documentation needs."""

    spec: Spec
    manifest: Manifest


def documented(specs: Path) -> dict[str, Documented]:
    """Every optimizer of a folder of specs.

    Raises:
        SpecError: a spec is wrong.
    """
    found = {}
    for name, path in spec_paths(specs).items():
        spec = read_spec(path, spec_label(path))
        files = generate(spec, wrapped=wrapped_rule(spec, specs), targets=("jax",)).files
        found[name] = Documented(spec, read_manifest(files["manifest.json"].encode()))
    return found


def text_files(optimizers: Mapping[str, Documented], schedules: Sequence[LrScheduleManifest]) -> dict[str, str]:
    """The text files of the documentation, by their path from the root of the checkout."""
    files = {}
    page = _template("optimizer.md.jinja")
    for name, optimizer in optimizers.items():
        content = page_of(optimizer.spec, optimizer.manifest, f"pictures/{name}.png")
        files[f"docs/optimizers/{name}.md"] = page.render(page=content)
    any_spec = max((optimizer.spec for optimizer in optimizers.values()), key=lambda spec: len(spec.preamble.names))
    shared = {o.name: o.meaning for o in any_spec.options} | {h.name: h.meaning for h in any_spec.hyperparameters}
    files["docs/optimizers/index.md"] = _template("index.md.jinja").render(
        rows=[_overview(optimizer) for optimizer in optimizers.values()],
        preamble=equations_latex(any_spec, any_spec.preamble.body),
        shared=[Row((markdown_code(name), markdown(shared[name]))) for name in any_spec.preamble.names],
    )
    manifests = [optimizer.manifest for optimizer in optimizers.values()]
    files["docs/schedule_catalogue.md"] = _template("schedules.md.jinja").render(
        schedules=[section_of(manifest) for manifest in schedules]
    )
    files["optgen/optax.pyi"] = optax_stub(manifests, schedules)
    files["optgen/optim/__init__.pyi"] = optim_stub(manifests, schedules)
    files["optgen/torch.pyi"] = grouped_stub(manifests, "torch")
    files["optgen/lucid.pyi"] = grouped_stub(manifests, "lucid")
    files["optgen/brainpy/__init__.pyi"] = brainpy_stub(manifests, schedules)
    files["optgen/schedules.pyi"] = schedules_stub(schedules)
    return files


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Markdown
    )
    return environment.get_template(name)


def _overview(optimizer: Documented) -> Row:
    manifest = optimizer.manifest
    first = manifest.variants[0].cases[0]
    names = dict.fromkeys(markdown_code(dialect.name) for dialect in manifest.dialects)
    return Row(
        (
            f"[{markdown(manifest.title)}]({manifest.name}.md)",
            ", ".join(names),
            str(memory(first)),
            f"{first.bytes_per_element}, {first.passes}",
            str(first.jax_bytes_per_element),
            str(first.operations),
            ", ".join(dict.fromkeys(dialect.library for dialect in manifest.dialects)),
        )
    )


def write_docs(specs: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Bring the documentation of a checkout up to date.

    Yields:
        for each file that changed, what became of it, "wrote" or "removed", and its path.

    Raises:
        SpecError: a spec is wrong.
        OSError: a file cannot be written.
    """
    optimizers = documented(specs)
    for relative, text in text_files(optimizers, schedule_manifests(specs)).items():
        path = root / relative
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            yield "wrote", relative
    for relative in _left_over(root, optimizers):
        (root / relative).unlink()
        yield "removed", relative
    for relative in _draw(specs, root, optimizers):
        yield "wrote", relative


def _draw(specs: Path, root: Path, optimizers: Mapping[str, Documented]) -> Iterator[str]:
    drawn = _drawn(root)
    wanted = {name: picture_digest(optimizers, name) for name in optimizers}
    stale = [n for n, digest in wanted.items() if drawn.get(n) != digest or not _picture(root, n).is_file()]
    if not stale:
        if drawn != wanted:
            (root / _DRAWN).write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
            yield _DRAWN
        return
    from optgen.docs.pictures import draw

    def paths_of(name: str) -> dict[str, TakenPath]:
        spec = optimizers[name].spec
        wrapped = wrapped_rule(spec, specs)
        paths = {function.name: best_path(spec, function, wrapped) for function in FUNCTIONS}
        return {function: path for function, path in paths.items() if path is not None}

    compared = {label: paths_of(name) for label, name in COMPARED.items() if name in optimizers}
    for name in stale:
        own = paths_of(name)
        labels = {optimizers[name].spec.class_name: own} | {k: v for k, v in compared.items() if COMPARED[k] != name}
        drawing = {f.name: {k: v[f.name] for k, v in labels.items() if f.name in v} for f in FUNCTIONS}
        draw(drawing, _picture(root, name))
        yield f"{_PICTURES}/{name}.png"
    (root / _DRAWN).write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")


def check_docs(specs: Path, root: Path) -> list[Difference]:
    """Where the documentation of a checkout is not what the specs say; empty if it is.

    Raises:
        SpecError: a spec is wrong.
    """
    optimizers = documented(specs)
    found = []
    for relative, text in text_files(optimizers, schedule_manifests(specs)).items():
        path = root / relative
        old = path.read_text(encoding="utf-8") if path.is_file() else None
        if old != text:
            found.append(Difference(relative, f"{relative} is not what the specs say\n"))
    drawn = _drawn(root)
    if set(drawn) - set(optimizers):
        found.append(Difference(_DRAWN, f"{_DRAWN} speaks of specs that are gone\n"))
    for name in optimizers:
        if drawn.get(name) != picture_digest(optimizers, name) or not _picture(root, name).is_file():
            found.append(Difference(f"{_PICTURES}/{name}.png", f"{_PICTURES}/{name}.png is of another spec\n"))
    found += [Difference(relative, f"{relative} is of no spec\n") for relative in _left_over(root, optimizers)]
    return found


def picture_digest(optimizers: Mapping[str, Documented], name: str) -> str:
    """What a picture is drawn from: the specs of its paths."""
    spec = optimizers[name].spec
    names = [name, *COMPARED.values(), *([spec.wrapped] if spec.wrapped else [])]
    texts = [optimizers[n].spec.source.text for n in names if n in optimizers]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _picture(root: Path, name: str) -> Path:
    return root / _PICTURES / f"{name}.png"


def _drawn(root: Path) -> dict[str, str]:
    path = root / _DRAWN
    found: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _left_over(root: Path, optimizers: Mapping[str, Documented]) -> list[str]:
    """Pages and pictures of specs that are gone."""
    kept = {"index", *optimizers}
    pages = [*(root / "docs/optimizers").glob("*.md"), *(root / _PICTURES).glob("*.png")]
    return sorted(path.relative_to(root).as_posix() for path in pages if path.stem not in kept)
