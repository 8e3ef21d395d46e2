"""docs/language.md: every block is parsed and analysed, every table and every rule of the catalogue is what holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optgen.compiler.ahead import choices_ahead
from optgen.compiler.analyse import analyse
from optgen.compiler.kind_rules import KindMismatch, reduced
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import MAX_CASES, specialise
from optgen.compiler.unroll import MAX_EQUATIONS
from optgen.contract.declarations import MAX_COUNT
from optgen.contract.dialects import DIALECTS
from optgen.contract.kinds import Kind, kept_shapes
from optgen.errors import SpecError
from optgen.language.declarations import INPUT_KINDS
from optgen.language.functions import EXTENTS, FUNCTIONS, SHAPE_NAMES
from optgen.language.model import Spec
from optgen.language.reader import MAX_FILE, parse_spec, read_spec
from optgen.language.tokens import MAX_TEXT
from tests.language.trajectories import difference, problem, rule_of, run_rule

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "language.md").read_text()
REFERENCE, CATALOGUE = PAGE.split("## Examples")
CATALOGUE = CATALOGUE.split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


#: What the names in the reference's fragments are.
DECLARED = {
    "hyperparameters": {
        **dict.fromkeys(("lr", "eps", "beta2", "max_norm", "decay", "initial_accumulator_value"), "default = 0.5"),
        "weight_decay": "default = 0.0, absent = 0",
    },
    "options": {"memory_size": "default = 3"},
}


def spec_of(rule: str, declared: dict[str, dict[str, str]], wraps: str = "") -> Spec:
    """A spec with these equations, that declares what they use."""
    used = set(re.findall(r"\w+", rule))
    lines = ["[optimizer]", 'name = "page"', 'class = "Page"', 'title = "Page"', 'summary = "From the page."']
    lines += [f'wraps = "{wraps}"'] if wraps else []
    for table, entries in declared.items():
        lines += [f"[{table}]", *(f"{name} = {{ {entry} }}" for name, entry in entries.items() if name in used)]
    return parse_spec("\n".join([*lines, "[equations]", "rule = '''", rule.strip("\n"), "'''", ""]), "page.toml")


def check_every_choice(spec: Spec, wrapped: Rule | None = None) -> None:
    for choice in choices_ahead(spec).values():
        analyse(specialise(spec, choice, wrapped))


@pytest.mark.parametrize("text", blocks(PAGE, "toml"), ids=lambda text: re.findall('name = "(.*)"', text)[0])
def test_spec_blocks(text: str) -> None:
    check_every_choice(parse_spec(text, "page.toml"))


@pytest.mark.parametrize("rule", blocks(REFERENCE, "python"), ids=lambda rule: rule.split("\n")[0])
def test_fragments(rule: str) -> None:
    before = REFERENCE.split(rule)[0].removesuffix("```python\n").rstrip()
    if before.endswith("wrong, since `v[t]` is read before it is\nassigned:"):
        with pytest.raises(SpecError, match="is read before it is assigned"):
            check_every_choice(spec_of(rule + "theta[t] = theta[t-1] - v_hat", DECLARED))
    else:
        check_every_choice(spec_of(rule, DECLARED))


ENTRIES = dict(re.findall(r"^### (\S+)\n.*?^```python\n(.*?)^```", CATALOGUE, re.MULTILINE | re.DOTALL))
#: Where an entry's spec has another name, and the values that make its default rule the entry's.
FILES = {"Momentum": "sgd", "MomentumNesterov": "sgd", "L-BFGS": "lbfgs"}
OPTIONS = {"MomentumNesterov": {"nesterov": True}}
VALUES = {"Momentum": {"momentum": 0.9}, "MomentumNesterov": {"momentum": 0.9}, "Lookahead": {"sync_period": 3.0}}


def spec_file(entry: str) -> Spec:
    name = f"{FILES.get(entry, entry.lower())}.toml"
    path = ROOT / "specs" / name
    return read_spec(path)


def test_the_catalogue_is_complete() -> None:
    names = (
        "SGD Momentum MomentumNesterov Adam AdamW Adamax Nadam RAdam Yogi AdaBelief Lion Adagrad Adadelta RMSprop "
        "Rprop Lamb Lars Novograd SM3 Adafactor Fromage Lookahead L-BFGS"
    )
    assert list(ENTRIES) == names.split()


@pytest.mark.parametrize("entry", ENTRIES)
def test_catalogue_entry_is_the_specs_rule(entry: str) -> None:
    """The equations of the page and those of the spec, twenty steps side by side."""
    spec = spec_file(entry)
    wrapped, inner = rule_of(read_spec(ROOT / "specs" / "adam.toml")) if spec.wraps else (None, {})
    base = {spec.wrapped_name(name): value for name, value in inner.items()}
    options, values = OPTIONS.get(entry, {}), VALUES.get(entry, {})
    rule, numbers = rule_of(spec, options, values, wrapped)
    declared = {
        "hyperparameters": {
            h.name: f"default = {numbers[h.name]!r}" if h.name in numbers else "optional = true"
            for h in spec.own_hyperparameters
        },
        "options": {o.name: f"default = {str(o.default).lower()}" for o in spec.own_options if not o.choices},
    }
    shown = spec_of(ENTRIES[entry], declared, spec.wraps)
    shown_rule, _ = rule_of(shown, {}, {}, wrapped)
    parameters, gradients = problem(zeros=entry != "Lars")
    steps = gradients[:6] if entry == "L-BFGS" else gradients
    expected = run_rule(rule, numbers | base, parameters, steps)
    assert difference(run_rule(shown_rule, numbers | base, parameters, steps), expected) < 1e-11


def rows(title: str) -> list[list[str]]:
    """The fields of the table whose head starts with a title."""
    lines = PAGE.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {title} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([field.strip() for field in line.strip("|").split("|")])
    return found


@pytest.mark.parametrize("text", [row[0].strip("`") for row in rows("written")])
def test_what_is_refused(text: str) -> None:
    rule = text if text.startswith("theta[t]") else f"{text}\ntheta[t] = theta[t-1] - lr*g"
    if "m[t+1]" in text:
        rule = f"m[t] = g\n{rule}"
    declared = {"hyperparameters": {"lr": "default = 0.1"}}
    check_every_choice(spec_of("theta[t] = theta[t-1] - lr*g", declared))
    with pytest.raises(SpecError):
        check_every_choice(spec_of(rule, declared))


def test_kinds_and_what_they_keep() -> None:
    table = rows("kind")
    assert [row[0] for row in table] == [kind.value for kind in Kind]
    for name, _, _, kept in table[1:]:
        numbers = sum(_product(shape) for shape in kept_shapes(Kind(name), (2, 3, 4)))
        written = kept.split(",")[0].replace("·", "*")
        assert numbers == sum(_product(tuple(map(int, part.split("*")))) for part in written.split("+"))


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for length in shape:
        result *= length
    return result


def test_examples_have_the_kind_they_stand_for() -> None:
    for name, _, examples, _ in rows("kind"):
        for example in re.findall("`(.*?)`", examples):
            if example in ("t", "lr", "varies", "theta", "g"):
                continue
            text = f"x[t] = {example} + 0*x[t-1]\ntheta[t] = theta[t-1] - lr*g"
            text = text.replace("beta1", "eps")
            program = analyse(rule_of(spec_of(text, DECLARED))[0])[0]
            # A state is at least one number per step.
            assert program.states[0].kind is (Kind.STEP if name == "constant" else Kind(name)), example


def test_reductions() -> None:
    kinds = [Kind.ELEMENT, Kind.ROW, Kind.COLUMN, Kind.MATRIX, Kind.TENSOR, Kind.AXIS]
    table = rows("over")
    assert [row[0].strip("`") for row in table] == list(EXTENTS)
    for row in table:
        for kind, result in zip(kinds, row[2:], strict=True):
            try:
                found = reduced(kind, row[0].strip("`")).value
            except KindMismatch:
                found = ""
            assert found == result, (row[0], kind)
    for kind in (Kind.CONSTANT, Kind.STEP, Kind.GLOBAL):
        for over in EXTENTS:
            with pytest.raises(KindMismatch):
                reduced(kind, over)


def test_words_and_limits() -> None:
    functions = {word for row in rows("what") for word in re.findall(r"`(\w+)[`(]", " ".join(row[1:]))}
    assert functions >= {*FUNCTIONS}
    for word in (*EXTENTS, *SHAPE_NAMES, *DIALECTS, *INPUT_KINDS):
        assert f"`{word}`" in PAGE
    for limit in (
        f"{MAX_EQUATIONS} equations",
        f"{MAX_CASES} cases",
        f"counts up to {MAX_COUNT}",
        f"{MAX_TEXT // 1024} KiB of text",
        f"file of {MAX_FILE // 1024} KiB",
    ):
        assert limit in PAGE
