"""Hostile text in every field of a spec: it is refused in place, or everything that is generated is what it was.

Files of Python are compared as syntax trees without docstrings, files of C after the preprocessor, pages as the tags
that a browser gets. Nothing that is planted runs.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import doctest
import importlib.util
import json
import subprocess
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import optgen
from optgen.arguments.docstrings import described
from optgen.cli import main
from optgen.docs.write import Documented, text_files
from optgen.errors import SpecError
from optgen.escaping import HIDDEN, visible
from optgen.frontends.groups.dialect import spellings
from optgen.language.model import Spec
from optgen.language.reader import parse_spec
from optgen.language.syntax import Statement
from optgen.pipeline.optimizer import generate
from optgen.runtime.modules import module_from_text
from optgen.schedules.docstrings import described_schedule
from optgen.schedules.model import LrSchedule
from optgen.schedules.pipeline import generate_schedule, manifest_of
from optgen.schedules.reader import parse_schedule
from tests.text.hostile import ACCEPTED, BREAKS, CODE, REFUSED, SCHEDULE, SPEC, leaves, quoted, replaced, toml
from tests.text.pages import renderers, tags_and_text

HEADERS = Path(optgen.__file__).parent / "runtime" / "native" / "c"
#: Where anything may be written: what a reader is told.
WORDS = {
    "Spec": ("title", "summary", "equations"),
    "LrSchedule": ("title", "summary", "equations"),
    "Reference": ("text",),
    "Hyperparameter": ("meaning",),
    "NumberList": ("meaning",),
    "Option": ("meaning",),
    "Input": ("meaning",),
    "StateEntry": ("meaning",),
    "Dialect": ("note", "instead", "states", "count"),
    "LibraryStateLayout": ("only", "words"),
    "Argument": ("defaults",),
}
#: Where only names, words of a list or certain forms are taken; a path is not part of the file.
FORMS = {
    "Spec": ("name", "class_name", "wraps", "wrapped"),
    "LrSchedule": ("name", "class_name", "whole", "base", "order"),
    "Reference": ("url",),
    "Hyperparameter": ("name", "symbol"),
    "NumberList": ("name", "symbol", "as_long_as"),
    "Constraint": ("left", "operator", "right"),
    "Domain": ("text",),
    "Option": ("name", "choices", "default", "requires"),
    "Input": ("name",),
    "StateEntry": ("name", "symbol"),
    "Argument": ("name", "targets", "instead"),
    "StatePart": ("type", "fields", "when", "otherwise", "schedule", "scheduled", "mask", "of"),
    "GivenTransformation": ("gives", "every", "restarts"),
    "History": ("states", "length"),
    "LibraryStateLayout": ("dtypes", "masks", "transformations", "draws", "schedules"),
    "Dialect": ("library", "name", "options", "hyperparameters", "sparse", "missing", "domains", "demands", "counts"),
    "Preamble": ("names",),
    "Source": ("path", "text"),
}


def dataclasses_of(root: type, found: dict[str, type]) -> dict[str, type]:
    """A dataclass and those that its fields hold; the syntax tree has names and numbers only, which are parsed."""
    if root.__name__ not in found and root not in typing.get_args(Statement):
        found[root.__name__] = root
        for kind in typing.get_type_hints(root).values():
            for part in parts_of(kind):
                if dataclasses.is_dataclass(part) and isinstance(part, type):
                    dataclasses_of(part, found)
    return found


def parts_of(kind: Any) -> Iterator[Any]:
    yield kind
    for part in typing.get_args(kind):
        yield from parts_of(part)


def test_every_field_is_spoken_of() -> None:
    """A field for text that is new is put among `WORDS` or `FORMS`, and into the spec that is filled in below."""
    found = dataclasses_of(LrSchedule, dataclasses_of(Spec, {}))
    texts = {
        (name, field)
        for name, cls in found.items()
        for field, kind in typing.get_type_hints(cls).items()
        if str in parts_of(kind)
    }
    assert texts == {(name, field) for part in (WORDS, FORMS) for name, fields in part.items() for field in fields}


def parsed(tables: Mapping[str, Any], path: str = "") -> Spec | LrSchedule:
    if "schedule" in tables:
        return parse_schedule(toml(dict(tables)), path or "specs/schedules/ramp.toml")
    return parse_spec(toml(dict(tables)), path or "specs/toy.toml")


def accepts(tables: Mapping[str, Any], path: tuple[Any, ...], text: str) -> bool:
    """Whether a text may stand in a place; what is refused is refused in place, in printable words."""
    try:
        parsed(replaced(dict(tables), path, text))
    except SpecError as error:
        told = str(error)
    else:
        return True
    assert len(told.split("\n")) == 3
    assert not HIDDEN.search(told)
    return False


PLACES = [("spec", path) for path in leaves(SPEC)] + [("schedule", path) for path in leaves(SCHEDULE)]
TABLES = {"spec": SPEC, "schedule": SCHEDULE}


def is_free(path: tuple[Any, ...]) -> bool:
    """Whether anything may be written in a place that is shown: words, names in a library's state, comments."""
    if "layout" in path or "history" in path:
        return False
    if path[-1] is None:
        return path[-3:-1] == ("form", "words")  # the library's own words
    if "dialect" in path and path[2] in ("states", "only"):
        return True
    return path[-1] in ("title", "summary", "text", "meaning", "note", "instead", "count", "own", "rule")


def test_a_text_is_taken_or_refused() -> None:
    """A few texts in each place, other ones in the next; all are tried where words are taken below."""
    for number, (kind, path) in enumerate(PLACES):
        refused = [REFUSED[(5 * number + i) % len(REFUSED)] for i in range(2)]
        if path == ("equations", "rule"):
            refused = [text for text in REFUSED if "\n" not in text]
        assert not [text for text in refused if accepts(TABLES[kind], path, text)], (kind, path)
        text = ACCEPTED[7 * number % len(ACCEPTED)]
        # A symbol is LaTeX, of which some letters and signs are left; see below.
        if path[-1] != "symbol" and ("'''" not in text or path != ("equations", "rule")):
            assert accepts(TABLES[kind], path, text) == is_free(path), (kind, path, text)


def filled(kind: str, turn: int) -> Spec | LrSchedule:
    """The spec with hostile text wherever it is taken, another one in each place and turn."""
    tables = TABLES[kind]
    free = [path for path in leaves(tables) if is_free(path)]
    # Keys last, since they are part of the other paths.
    for number, path in enumerate(sorted(free, key=lambda path: path[-1] is None)):
        text = ACCEPTED[(turn * len(free) + number) % len(ACCEPTED)]
        if path == ("equations", "rule"):
            # Variants of longer files are not made ahead.
            text = "\n# ".join(found for found in ACCEPTED[turn::24] if "'''" not in found)
        tables = replaced(tables, path, text)
    path = ["", "<x> \n\r\x85\u2028\udcff*/??/", f'"""\n{CODE}\n', f"a*/\n{CODE}//\\"][turn % 4]
    return parsed(tables, path and f"{path}.toml")


def code(text: str) -> str:
    """A file of Python as its bytes are read, without docstrings; words in it are data and may be any."""
    tree = ast.parse(text.encode())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def tokens_of_c(text: str, folder: Path) -> str:
    """A file of C as a compiler reads it, with trigraphs; nothing in its comments is worth a warning."""
    path = folder / "kernel.c"
    path.write_bytes(text.encode())
    command = ["cc", "-std=c11", "-trigraphs", "-Wall", "-Werror", f"-I{HEADERS}", "-E", "-P", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return found.stdout


def everything(spec: Spec, schedule: LrSchedule) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Generated files, pages and stubs by name; docstrings."""
    generated = generate(spec)
    files = dict(generated.files) | {f"schedule/{name}": text for name, text in generate_schedule(schedule).items()}
    pages = text_files({"toy": Documented(spec, generated.manifest)}, [manifest_of(schedule)])
    docstrings = [
        *(described(generated.manifest, dialect) for dialect in generated.manifest.dialects),
        *(described(generated.manifest, dialect) for dialect in spellings(generated.manifest, "torch")),
        *(described_schedule(manifest_of(schedule), dialect) for dialect in schedule.dialects),
    ]
    return files, pages, docstrings


TURNS = range(16)


@pytest.mark.parametrize("turn", TURNS)
def test_what_is_generated_is_what_it_was(turn: int, tmp_path: Path) -> None:
    spec, schedule = filled("spec", turn), filled("schedule", turn)
    plain = everything(parsed(SPEC, spec.source.path), parsed(SCHEDULE, schedule.source.path))
    files, pages, docstrings = everything(spec, schedule)
    for name, text in files.items():
        if name.endswith(".py"):
            assert code(text) == code(plain[0][name]), name
            assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) <= {"\n", "\u200d"}
        elif name.endswith(".c"):
            assert tokens_of_c(text, tmp_path) == tokens_of_c(plain[0][name], tmp_path)
            compiled = ["cc", "-std=gnu11", "-trigraphs", "-Wall", "-Werror", f"-I{HEADERS}", "-fsyntax-only"]
            subprocess.run([*compiled, str(tmp_path / "kernel.c")], check=True)
        else:
            told = json.loads(text)
            assert told["spec"] == visible((schedule if "schedule" in name else spec).source.path)
            if "title" in told:
                assert told["title"] == (schedule if "schedule" in name else spec).title
    for name, text in pages.items():
        if name.endswith(".pyi"):
            assert code(text) == code(plain[1][name]), name
            continue
        for renderer in renderers().values():
            assert tags_and_text(renderer(text))[0] == tags_and_text(renderer(plain[1][name]))[0], name
    parser = doctest.DocTestParser()
    for text, before in zip(docstrings, plain[2], strict=True):
        assert not HIDDEN.search(text)
        assert [e.source for e in parser.get_examples(text)] == [e.source for e in parser.get_examples(before)]


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_nothing_that_is_planted_runs(turn: int, tmp_path: Path) -> None:
    files, pages, _ = everything(filled("spec", turn), filled("schedule", turn))
    for name in ("jax.py", "eager.py", "schedule/jax.py", "schedule/host.py"):
        module_from_text("planted", files[name], "planted.py")
    stubs = {Path(name).stem: text for name, text in pages.items() if name.endswith(".pyi")}
    for name, text in {"jax_file": files["jax.py"], **stubs}.items():
        path = tmp_path / f"{name}.py"
        path.write_bytes(text.encode())
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None
        if name in ("jax_file", "schedules"):
            assert found.loader is not None
            found.loader.exec_module(importlib.util.module_from_spec(found))
        else:  # stubs import what a front-end has
            compile(path.read_bytes(), path, "exec")
    assert not hasattr(builtins, "planted")


RULE = "theta[t] = theta[t-1] - lr*g"


@pytest.mark.parametrize("text", BREAKS)
def test_equations_of_a_script(text: str) -> None:
    """A comment ends where a line of a script does, and holds no other break."""
    equations = f"# words{text}{CODE}\n{RULE}"
    with pytest.raises(SpecError) as caught:
        optgen.define("toy", equations, lr=0.1)
    assert not HIDDEN.search(str(caught.value))
    assert not hasattr(builtins, "planted")


def test_equations_of_a_script_with_any_comment(tmp_path: Path) -> None:
    comments = "\n".join(f"# {text}" for text in ACCEPTED)
    made = optgen.define("toy", f"{comments}\n{RULE}  # {ACCEPTED[0]}", lr=0.1)
    plain = optgen.define("toy", RULE, lr=0.1)
    for name in ("jax.py", "eager.py", "triton.py"):
        assert code(made.files[name]) == code(plain.files[name])
    assert tokens_of_c(made.files["native.c"], tmp_path) == tokens_of_c(plain.files["native.c"], tmp_path)
    assert (
        optgen.define("toy", RULE.replace(" = ", " =\\\r\n")[:0] + f"# a\r\n{RULE}\r\n", lr=0.1).spec.equations
        == f"# a\n{RULE}\n"
    )


@pytest.mark.parametrize("name", ["a\nb", "a\rb", 'a"""b', "a*/b", "coding: utf-7", "a\udcffb", "\x1b[2Ja", "a'''b"])
def test_a_path_with_anything_in_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name.replace('/', '_')}\n{CODE}\n.toml"
    path.write_text(toml(SPEC), encoding="utf-8")
    made = optgen.load(path)
    plain = generate(parsed(SPEC), None).files
    for file in ("jax.py", "eager.py", "triton.py"):
        names = {node.name for node in ast.walk(ast.parse(plain[file])) if isinstance(node, ast.FunctionDef)}
        found = {
            node.name for node in ast.walk(ast.parse(made.files[file].encode())) if isinstance(node, ast.FunctionDef)
        }
        assert found <= names
        assert CODE not in [line.strip() for line in made.files[file].splitlines()]
    path.write_text(toml(SPEC).replace('"decay"', '"decoy"'), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        optgen.load(path)
    assert len(str(caught.value).split("\n")) == 3
    assert not HIDDEN.search(str(caught.value))
    assert not hasattr(builtins, "planted")


@pytest.mark.parametrize("name", [*BREAKS, 'a"', "a\nb", "a'''", "../a", "a b", "[a]", "a\\", "{name}"])
def test_the_starter_takes_names_alone(name: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["new", name.replace("\0", "\x01"), "--folder", str(tmp_path)])
    assert found.exit_code != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "symbol",
    [
        *(
            "$",
            "a$b",
            "$$",
            "<script>",
            r"\text{<script>}",
            r"\href{javascript:a}{b}",
            r"\url{a}",
            r"\input{a}",
            "%",
            "#",
            "&",
        ),
        *(
            r"\begin{a}",
            r"\end{aligned}",
            r"\\",
            r"\def\a{b}",
            r"\catcode",
            r"\write18{a}",
            r"\csname a\endcsname",
            r"\$",
        ),
        *(
            r"\htmlClass{a}{b}",
            r"\style{a}{b}",
            r"\require{a}",
            "{",
            "}",
            "}{",
            "`",
            '"',
            "a\\",
            "\\\u03b1",
            "\u03b1",
            "a" * 300,
        ),
    ],
)
def test_a_symbol_does_nothing(symbol: str) -> None:
    for tables, path in ((SPEC, ("hyperparameters", "lr", "symbol")), (SCHEDULE, ("hyperparameters", "at", "symbol"))):
        assert not accepts(tables, path, symbol)


def test_symbols_that_are_written() -> None:
    for symbol in (
        r"\beta_1",
        r"\hat v^{\max}",
        r"E[\Delta^2]",
        r"d_{\mathrm{model}}",
        "f^*",
        r"\lVert x\rVert",
        "v'",
        "|x|",
        r"\eta^-",
    ):
        assert accepts(SPEC, ("hyperparameters", "lr", "symbol"), symbol)


def test_the_helper_writes_toml() -> None:
    import tomllib

    for text in (*ACCEPTED, *REFUSED):
        assert tomllib.loads(f"{quoted(text)} = {quoted(text)}") == {text: text}
