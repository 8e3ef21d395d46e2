"""What `optgen docs` writes: pages, stubs and pictures that say what the specs say."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import optgen.brainpy
import optgen.lucid
import optgen.optax
import optgen.optim
import optgen.schedules
import optgen.torch
from optgen._paths import specs_folder
from optgen.catalogue.manifests import catalogue_manifest, catalogue_names
from optgen.compiler.chosen import chosen_body
from optgen.contract.choice import choose, default_choice, dialect_choice
from optgen.docs.paths import FUNCTIONS, STEPS, best_path
from optgen.docs.schedules import schedule_manifests
from optgen.docs.write import check_docs, documented, picture_digest, text_files
from optgen.frontends.groups.dialect import spellings
from optgen.language.latex import equations_latex
from optgen.language.reader import parse_spec, read_spec
from optgen.schedules.manifests import schedule_names, spelled

ROOT = Path(__file__).parents[2]
FACTORIES = [d.name for n in catalogue_names() for d in catalogue_manifest(n).dialects if d.library == "optax"]
CLASSES = [d.name for n in catalogue_names() for d in catalogue_manifest(n).dialects if d.library == "braintools"]
BRAINPY_CLASSES = [d.name for n in catalogue_names() for d in catalogue_manifest(n).dialects if d.library == "brainpy"]


TORCH_CLASSES = [d.name for n in catalogue_names() for d in spellings(catalogue_manifest(n), "torch")]
LUCID_CLASSES = [d.name for n in catalogue_names() for d in spellings(catalogue_manifest(n), "lucid")]


@pytest.fixture(scope="module")
def optimizers():
    return documented(specs_folder())


def test_the_documentation_is_up_to_date():
    assert [difference.path for difference in check_docs(specs_folder(), ROOT)] == []


def test_what_is_stale_is_told(tmp_path, optimizers):
    """Of an empty folder everything is missing; of a changed spec the page and the picture."""
    missing = {difference.path for difference in check_docs(specs_folder(), tmp_path)}
    assert "docs/optimizers/adam.md" in missing
    assert "docs/optimizers/pictures/adam.png" in missing
    before = picture_digest(optimizers, "yogi")
    spec = optimizers["sgd"].spec
    changed = parse_spec(spec.source.text.replace("1e-3", "1e-4", 1), "specs/sgd.toml")
    assert picture_digest(optimizers | {"sgd": type(optimizers["sgd"])(changed, None)}, "yogi") != before


@pytest.mark.parametrize(
    ("module", "name"),
    [(optgen.optax, n) for n in FACTORIES]
    + [(optgen.optim, n) for n in CLASSES]
    + [(optgen.torch, n) for n in TORCH_CLASSES]
    + [(optgen.lucid, n) for n in LUCID_CLASSES]
    + [(optgen.brainpy, n) for n in BRAINPY_CLASSES],
)
def test_examples_in_docstrings_run(module, name):
    entry = getattr(module, name)
    found = doctest.DocTestFinder().find(entry, name, globs={})
    runner = doctest.DocTestRunner(verbose=False)
    failed = sum(runner.run(test, clear_globs=False).failed for test in found if test.examples)
    assert runner.tries >= 5
    assert failed == 0


@pytest.mark.parametrize(
    ("path", "module", "names"),
    [
        ("optgen/optax/__init__.pyi", optgen.optax, [*FACTORIES, *spelled("optax")]),
        ("optgen/optim/__init__.pyi", optgen.optim, [*CLASSES, *spelled("braintools")]),
        ("optgen/torch/__init__.pyi", optgen.torch, TORCH_CLASSES),
        ("optgen/lucid/__init__.pyi", optgen.lucid, LUCID_CLASSES),
        ("optgen/brainpy/__init__.pyi", optgen.brainpy, [*BRAINPY_CLASSES, *spelled("brainpy")]),
        ("optgen/schedules/__init__.pyi", optgen.schedules, schedule_names()),
    ],
)
def test_stubs_are_the_signatures(path, module, names):
    """Every argument's name, kind and default in the stub is what `inspect.signature` says."""
    tree = ast.parse((ROOT / path).read_text())
    found = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name, args=args) if not name.startswith("_"):
                found[name] = args
            case ast.ClassDef(name=name, body=[_, ast.FunctionDef(args=args)]):
                args.args = args.args[1:]  # self
                found[name] = args
    assert sorted(found) == sorted(names)
    for name, args in found.items():
        plain = [None] * (len(args.args) - len(args.defaults)) + args.defaults
        written = [(a.arg, False, d) for a, d in zip(args.args, plain, strict=True)]
        written += [(a.arg, True, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
        signature = inspect.signature(getattr(module, name)).parameters
        empty = inspect.Parameter.empty
        stated = [(n, only, empty if d is None else ast.literal_eval(d)) for n, only, d in written]
        # What has no literal, such as a dtype, stands as `...`.
        left_out = [n for n, _, default in stated if default is ...]
        real = [
            (p.name, p.kind is inspect.Parameter.KEYWORD_ONLY, ... if p.name in left_out else p.default)
            for p in signature.values()
        ]
        assert stated == real, name
        assert all("<" in repr(signature[n].default) or callable(signature[n].default.init) for n in left_out)


def test_docstrings_print_the_equations_of_their_own_defaults():
    """A library may mean another formula than the spec's defaults do."""

    def equations(optimizer: object) -> str:
        return optimizer.__doc__.split(r"\begin{aligned}")[1].split(r"\end{aligned}")[0]

    assert r"v_{t}^{\max}" in equations(optgen.optax.amsgrad)
    assert r"v_{t}^{\max}" not in equations(optgen.optax.adam)
    assert r"\mu" in equations(optgen.optim.MomentumNesterov)
    assert r"\mu" not in equations(optgen.torch.SGD)
    assert r"\psi" in equations(optgen.torch.NAdam)
    assert r"\psi" not in equations(optgen.optax.nadam)
    for module in (optgen.optax, optgen.optim, optgen.torch, optgen.lucid, optgen.brainpy):
        library = {"optgen.optax": "optax", "optgen.optim": "braintools"}.get(module.__name__, module.__name__[7:])
        for name in catalogue_names():
            spec = read_spec(specs_folder() / f"{name}.toml")
            for dialect in spec.dialects:
                if dialect.library == library:
                    printed = equations_latex(spec, chosen_body(spec, dialect_choice(spec, dialect)))
                    lines = [line.strip() for line in getattr(module, dialect.name).__doc__.splitlines()]
                    assert all(line.strip() in lines for line in printed.splitlines()), (library, dialect.name)


def test_pages_say_everything(optimizers):
    files = text_files(optimizers, schedule_manifests(specs_folder()))
    for name, optimizer in optimizers.items():
        page = files[f"docs/optimizers/{name}.md"]
        for item in (*optimizer.spec.own_hyperparameters, *optimizer.spec.own_options):
            assert f"`{item.name}`" in page
            assert item.meaning in page
        for dialect in optimizer.spec.dialects:
            assert f"`{dialect.name}`" in page
            assert dialect.note in page
        for reference in optimizer.spec.references:
            assert reference.text in page
        assert page.count("$$") in (2, 4)
        assert f"]({name}.md)" in files["docs/optimizers/index.md"]


def test_the_page_of_schedules_says_everything():
    manifests = schedule_manifests(specs_folder())
    page = text_files({"sgd": documented(specs_folder())["sgd"]}, manifests)["docs/schedule_catalogue.md"]
    assert [m.name for m in manifests] == list(schedule_names())
    for manifest in manifests:
        section = page.split(f'<h2 id="{manifest.name}">')[1].split("<h2")[0]
        assert manifest.latex in section
        for item in (*manifest.hyperparameters, *manifest.lists, *manifest.options):
            assert f"`{item.name}`" in section
            assert item.meaning in section
        for dialect in manifest.dialects:
            assert f"`{dialect.name}(" in section
            assert dialect.note in section


def test_a_chosen_body_has_no_options_left():
    for path in sorted(specs_folder().glob("*.toml")):
        spec = read_spec(path)
        text = equations_latex(spec, chosen_body(spec, default_choice(spec)))
        for option in spec.options:
            if not isinstance(option.default, int) or isinstance(option.default, bool):
                assert f"mathtt{{{option.name}" not in text.replace(r"\_", "_"), spec.name


def test_a_chosen_body_keeps_what_the_choice_says():
    spec = read_spec(specs_folder() / "lion.toml")
    with_decay = chosen_body(spec, choose(spec, {}, {"weight_decay": 0.1}))
    without = chosen_body(spec, choose(spec, {}, {"weight_decay": 0.0}))
    assert len(with_decay) == len(without) + 1


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_the_test_functions_gradients(function):
    """Against central differences; both are zero at the minimum."""
    point, h = np.array([0.7, -0.4]), 1e-5
    for axis, unit in enumerate(np.eye(2)):
        slope = (function.value(point + h * unit) - function.value(point - h * unit)) / (2 * h)
        bend = (function.gradient(point + h * unit) - function.gradient(point - h * unit))[axis] / (2 * h)
        np.testing.assert_allclose(function.gradient(point)[axis], slope, rtol=1e-6)
        np.testing.assert_allclose(function.curvature(point)[axis], bend, rtol=1e-6)
    assert function.value(np.array(function.minimum)) == 0
    np.testing.assert_array_equal(function.gradient(np.array(function.minimum)), 0)


def test_a_path_is_the_rules():
    """Plain gradient descent, by hand; the step size is the best of those tried."""
    rosenbrock = FUNCTIONS[0]
    path = best_path(read_spec(specs_folder() / "sgd.toml"), rosenbrock)
    point = np.array(rosenbrock.start)
    for taken in path.points:
        np.testing.assert_allclose(taken, point, rtol=1e-9)
        point = point - path.step_size * rosenbrock.gradient(point)
    assert len(path.points) == STEPS + 1
    assert path.end < 5


def test_a_page_names_the_catalogue():
    page = (ROOT / "docs" / "front_ends.md").read_text()
    table = re.findall(r"^\| .*$", page.split("## The catalogue")[1], re.MULTILINE)
    assert {name for name in FACTORIES if f"`{name}`" not in "\n".join(table)} == set()
