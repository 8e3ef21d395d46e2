"""The content of an optimizer's page as plain values: its tables, gathered from spec and manifest."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.declarations import Option
from optgen.contract.dialects import Argument, Dialect
from optgen.contract.kinds import Kind
from optgen.contract.manifest import CaseInfo, Manifest, StateInfo
from optgen.escaping import markdown, markdown_code, markdown_link, markdown_math
from optgen.language.latex import equations_latex
from optgen.language.model import Spec

#: Bytes of a number that is kept, for parameters of any dtype but float64.
STATE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, cell by cell, in Markdown."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One optimizer's page; what comes from the spec is Markdown already."""

    name: str
    title: str
    summary: str
    latex: str
    algorithm: str
    has_options: bool
    hyperparameters: tuple[Row, ...]
    options: tuple[Row, ...]
    inputs: tuple[Row, ...]
    states: tuple[Row, ...]
    costs: tuple[Row, ...]
    dialects: tuple[Row, ...]
    notes: tuple[Row, ...]
    references: tuple[str, ...]
    wrapped: str
    picture: str


def page_of(spec: Spec, manifest: Manifest, picture: str) -> Page:
    """Everything that an optimizer's page says.

    Args:
        spec: the optimizer.
        manifest: what is generated from it.
        picture: the picture's path as seen from the page; empty if there is none.
    """
    default = manifest.variants[0].cases[0]
    hyperparameters = (_hyperparameter(h.name, manifest) for h in spec.own_hyperparameters)
    return Page(
        name=spec.name,
        title=markdown(spec.title),
        summary=markdown(spec.summary),
        latex=manifest.latex,
        algorithm=equations_latex(spec),
        has_options=equations_latex(spec) != manifest.latex,
        hyperparameters=tuple(hyperparameters),
        options=tuple(_option(option) for option in spec.own_options),
        inputs=tuple(Row((markdown_code(i.name), i.kind, markdown(i.meaning))) for i in spec.inputs),
        states=tuple(_state(name, spec, manifest) for name in _state_names(spec, manifest)),
        costs=tuple(_cost(variant.name, variant.cases) for variant in manifest.variants),
        dialects=tuple(Row((d.library, markdown_code(d.name), markdown_code(call_of(d)))) for d in spec.dialects),
        notes=tuple(Row((f"{d.library} {markdown_code(d.name)}", markdown(d.note))) for d in notes_of(spec.dialects)),
        references=tuple(markdown_link(r.text, r.url) for r in spec.references),
        wrapped=f"{spec.wraps}: {spec.wrapped}" if spec.wraps else "",
        picture=picture if default.passes else "",
    )


def notes_of(dialects: tuple[Dialect, ...]) -> tuple[Dialect, ...]:
    """The dialects that have something to say, each note once."""
    found: dict[tuple[str, str], Dialect] = {}
    for dialect in dialects:
        if dialect.note:
            found.setdefault((dialect.library, dialect.note), dialect)
    return tuple(found.values())


def call_of(dialect: Dialect) -> str:
    """A call with every argument's default, as a signature is printed."""
    parts = []
    starred = False
    for argument in sorted(dialect.arguments, key=lambda a: a.keyword_only):
        if argument.keyword_only and not starred:
            parts.append("*")
            starred = True
        parts.append(argument.name if argument.required else f"{argument.name}={_default(argument)}")
    return f"{dialect.name}({', '.join(parts)})"


def _default(argument: Argument) -> str:
    return repr(argument.default)


def _hyperparameter(name: str, manifest: Manifest) -> Row:
    h = next(h for h in manifest.hyperparameters if h.name == name)
    default = "absent" if h.default is None else repr(h.default)
    domain = markdown_code(h.domain.text) if h.domain.text else "any"
    meaning = markdown(h.meaning) + ("; may change at every step" if h.varies else "")
    absent = "; absent at " + repr(h.absent) if h.absent is not None else "; may be absent" if h.optional else ""
    return Row((markdown_math(h.symbol), markdown_code(h.name), default, domain, meaning + absent))


def _option(option: Option) -> Row:
    values = ", ".join(map(markdown_code, option.choices)) or ("switch" if isinstance(option.default, bool) else "n")
    default = str(option.default).lower() if isinstance(option.default, bool) else str(option.default)
    requires = f"; has an effect with {markdown_code(option.requires)} only" if option.requires else ""
    return Row((markdown_code(option.name), default, values, markdown(option.meaning) + requires))


def _state_names(spec: Spec, manifest: Manifest) -> tuple[str, ...]:
    """Those of the variants that are generated ahead, then those that other options need."""
    ahead = [s.name for v in manifest.variants for c in v.cases for s in c.states]
    return tuple(dict.fromkeys([*ahead, *(entry.name for entry in spec.states)]))


def _state(name: str, spec: Spec, manifest: Manifest) -> Row:
    entries = {entry.name: entry for entry in spec.states}
    infos = [(v, s) for v in manifest.variants for c in v.cases for s in c.states if s.name == name]
    always = any(s.name == name for c in manifest.variants[0].cases for s in c.states)
    entry = entries.get(name)
    if not infos:
        assert entry is not None
        return Row(
            (markdown_math(entry.symbol), markdown_code(name), "with other options", "", markdown(entry.meaning))
        )
    info = infos[0][1]
    symbol = markdown_math(entry.symbol) if entry else ""
    meaning = (markdown(entry.meaning) if entry else "of the wrapped optimizer") or name
    start = "0" if info.zero else "see equations"
    return Row((symbol, markdown_code(name), kept(info), start, meaning + ("" if always else " (with an option)")))


def kept(state: StateInfo) -> str:
    """How much of a state is kept, in words: per parameter, tensor, row, ..., and how many earlier values."""
    depth = f"{state.depth} × " if state.depth > 1 else ""
    if state.kind in (Kind.STEP, Kind.GLOBAL):
        return f"{depth}{STATE_BYTES} bytes in all"
    unit = "parameter" if state.kind is Kind.ELEMENT else state.kind
    return f"{depth}{STATE_BYTES} bytes per {unit}"


def memory(case: CaseInfo) -> int:
    """Bytes that are kept per parameter; what there is one of per row, tensor or step does not count."""
    return STATE_BYTES * sum(s.depth for s in case.states if s.kind is Kind.ELEMENT)


def _cost(name: str, cases: tuple[CaseInfo, ...]) -> Row:
    def each(values: list[int]) -> str:
        return " / ".join(str(value) for value in dict.fromkeys(values))

    return Row(
        (
            markdown_code(name),
            each([memory(c) for c in cases]),
            each([c.operations for c in cases]),
            each([c.bytes_per_element for c in cases]),
            each([c.passes for c in cases]),
            each([c.jax_bytes_per_element for c in cases]),
        )
    )
