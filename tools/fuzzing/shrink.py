"""Making a failing case smaller, as long as it fails in the same way."""

from __future__ import annotations

import ast
import copy
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tools.fuzzing.case import Case, to_toml
from tools.fuzzing.comparing import Failure
from tools.fuzzing.pool import Worker

Fails = Callable[[Case], bool]

#: Seconds that one failure may take to be made smaller.
PATIENCE = 120.0
_SHARED = ("grad_clip_norm", "maximize", "grad_clip_value")


def shrunk(case: Case, fails: Fails, patience: float = PATIENCE) -> Case:
    """The smallest case that is found which still fails."""
    end = time.monotonic() + patience
    tried: set[str] = set()
    progress = True
    while progress and time.monotonic() < end:
        progress = False
        for candidates in (smaller_statements, smaller_models, smaller_expressions, smaller_declarations):
            again = True
            while again and time.monotonic() < end:
                again = False
                for candidate in candidates(case):
                    text = to_toml(candidate)
                    if text in tried or time.monotonic() > end:
                        continue
                    tried.add(text)
                    if fails(candidate):
                        case, again, progress = candidate, True, True
                        break
    return case


def smaller_models(case: Case) -> Iterator[Case]:
    """Fewer and smaller tensors, fewer steps, nothing special."""
    model = case.model

    def changed(**to: object) -> Case:
        return replace(case, model=replace(model, **to))

    for shape in ((), (2,), (2, 3)):
        if model.shapes != (shape,) and len(model.shapes) * max(map(len, model.shapes)) > len(shape):
            yield changed(shapes=(shape,))
    for index in range(len(model.shapes)) if len(model.shapes) > 1 else ():
        yield changed(shapes=(*model.shapes[:index], *model.shapes[index + 1 :]))
    if len(model.shapes) > 2:
        for index in range(len(model.shapes)):
            yield changed(shapes=(model.shapes[index],))
    for steps in range(1, model.steps):
        yield changed(steps=steps)
    if model.special:
        yield changed(special=())
        for one in model.special if len(model.special) > 1 else ():
            yield changed(special=(one,))
    if model.layout != "plain":
        yield changed(layout="plain")
    if model.start != 1.0:
        yield changed(start=1.0)
    for index, shape in enumerate(model.shapes):
        for other in _smaller_shapes(shape):
            yield changed(shapes=(*model.shapes[:index], other, *model.shapes[index + 1 :]))


def _smaller_shapes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for axis in range(len(shape)):
        yield (*shape[:axis], *shape[axis + 1 :])
    for axis, length in enumerate(shape):
        for other in sorted({1, 2, 3, length // 2, length - 1}):
            if 0 < other < length:
                yield (*shape[:axis], other, *shape[axis + 1 :])


def smaller_statements(case: Case) -> Iterator[Case]:
    """Statements left out, branches and loops replaced by what stands in them."""
    tree = ast.parse(case.equations)
    for path, block in list(_blocks(tree)):
        for size in sorted({len(block) // 2, 1} - {0}, reverse=True):
            for first in range(0, len(block) - size + 1, size):
                yield from _with(case, tree, path, lambda body, a=first, n=size: body[:a] + body[a + n :])
        for index, statement in enumerate(block):
            for inside in (getattr(statement, "body", None), getattr(statement, "orelse", None)):
                if inside:
                    yield from _with(
                        case,
                        tree,
                        path,
                        lambda body, i=index, new=inside: body[:i] + copy.deepcopy(new) + body[i + 1 :],
                    )
            if getattr(statement, "orelse", None):

                def without_else(body: list[ast.stmt], i: int = index) -> list[ast.stmt]:
                    body[i].orelse = []  # type: ignore[attr-defined]
                    return body

                yield from _with(case, tree, path, without_else)


Path_ = tuple[tuple[int, str], ...]


def _blocks(tree: ast.Module) -> Iterator[tuple[Path_, list[ast.stmt]]]:
    """The blocks of statements, with the way to each."""

    def inside(block: list[ast.stmt], path: Path_) -> Iterator[tuple[Path_, list[ast.stmt]]]:
        yield path, block
        for index, statement in enumerate(block):
            for part in ("body", "orelse"):
                inner = getattr(statement, part, None)
                if inner:
                    yield from inside(inner, (*path, (index, part)))

    yield from inside(tree.body, ())


def _with(
    case: Case, tree: ast.Module, path: Path_, change: Callable[[list[ast.stmt]], list[ast.stmt]]
) -> Iterator[Case]:
    """The case with one of its blocks changed; nothing if the block would be empty."""
    new = copy.deepcopy(tree)
    owner: ast.AST = new
    part = "body"
    for index, name in path:
        owner, part = getattr(owner, part)[index], name
    block = change(getattr(owner, part))
    if not block and part == "body":
        return
    setattr(owner, part, block)
    yield tidied(replace(case, equations=ast.unparse(new)))


def smaller_expressions(case: Case) -> Iterator[Case]:
    """Expressions replaced by a part of theirs, or by something simple."""
    tree = ast.parse(case.equations)
    places = list(_expressions(tree))
    sizes = [sum(1 for _ in ast.walk(_at(tree, place))) for place in places]
    for _, place in sorted(zip(sizes, places, strict=True), key=lambda pair: -pair[0]):
        node = _at(tree, place)
        options = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if isinstance(node, ast.Call):
            options = list(node.args)
        if isinstance(node, ast.Subscript):
            options = []
        if isinstance(node, ast.Constant):
            options = [ast.Constant(1)] if node.value not in (1, 0) else []
        elif not isinstance(node, ast.Name | ast.Subscript):
            options += [ast.Name("g"), ast.Constant(1), ast.Name("t"), ast.parse("theta[t-1]", mode="eval").body]
        elif not (isinstance(node, ast.Name) and node.id in ("g", "t")):
            options += [ast.Name("g"), ast.Constant(1)]
        for option in options:
            if not isinstance(option, ast.Compare | ast.BoolOp) or isinstance(node, ast.BoolOp | ast.UnaryOp):
                new = copy.deepcopy(tree)
                _put(new, place, copy.deepcopy(option))
                text = ast.unparse(ast.fix_missing_locations(new))
                yield tidied(replace(case, equations=text))


Place = tuple[tuple[str, int | None], ...]


def _expressions(tree: ast.AST, path: Place = ()) -> Iterator[Place]:
    """The way to every expression that has a value; not to targets and indices."""
    for name, value in ast.iter_fields(tree):
        if name in ("targets", "target", "slice", "func", "keywords", "ops", "ctx"):
            continue
        many = value if isinstance(value, list) else [value]
        for index, child in enumerate(many):
            if isinstance(child, ast.AST):
                here = (*path, (name, index if isinstance(value, list) else None))
                if isinstance(child, ast.expr) and not isinstance(child, ast.Compare | ast.BoolOp):
                    yield here
                yield from _expressions(child, here)


def _at(tree: ast.AST, place: Place) -> ast.AST:
    for name, index in place:
        value = getattr(tree, name)
        tree = value if index is None else value[index]
    return tree


def _put(tree: ast.AST, place: Place, new: ast.AST) -> None:
    owner = _at(tree, place[:-1])
    name, index = place[-1]
    if index is None:
        setattr(owner, name, new)
    else:
        getattr(owner, name)[index] = new


def smaller_declarations(case: Case) -> Iterator[Case]:
    """Fewer arguments and plainer declarations."""
    for name in case.arguments:
        yield tidied(replace(case, arguments={n: v for n, v in case.arguments.items() if n != name}))
    if "matrix_axes" in case.options:
        yield tidied(replace(case, options={n: v for n, v in case.options.items() if n != "matrix_axes"}))
    for name, entry in case.hyperparameters.items():
        if entry.get("varies") or entry.get("optional") or "absent" in entry:
            plain = {"default": case.arguments.get(name, entry.get("default", 0.1))}
            yield replace(case, hyperparameters={**case.hyperparameters, name: plain})
    if isinstance(case.wraps, Case):
        yield replace(case, wraps="sgd")
        for candidates in (smaller_statements, smaller_expressions, smaller_declarations):
            for inner in candidates(case.wraps):
                yield replace(case, wraps=inner)
    if case.wraps is not None:
        yield tidied(replace(case, wraps=None, equations=re.sub(r"\bbase\(", "(", case.equations)))


def tidied(case: Case) -> Case:
    """The case without declarations that no equation reads."""
    words = set(re.findall(r"[a-zA-Z_]\w*", case.equations))
    tables = {}
    for table in ("hyperparameters", "options", "inputs"):
        entries = getattr(case, table)
        tables[table] = {n: e for n, e in entries.items() if n in words or n == "matrix_axes"}
    known = {*tables["hyperparameters"], *tables["options"], *_SHARED}
    return replace(case, **tables, arguments={n: v for n, v in case.arguments.items() if n in known})


def likeness(failure: Failure) -> tuple[str, str]:
    """Features that have to stay while a case gets smaller."""
    return failure.kind, failure.what.partition(":")[0] if failure.kind == "exception" else ""


def minimised(case: Case, failure: Failure, worker: Worker, limit: float, patience: float = PATIENCE) -> Case:
    """The smallest case that is found which fails like a failure, of its target alone."""
    targets = () if failure.target == "compiler" else (failure.target,)

    def fails(candidate: Case) -> bool:
        outcome = worker.run(candidate, targets, limit)
        return any(likeness(found) == likeness(failure) for found in outcome.failures)

    return replace(shrunk(case, fails, patience), targets=targets)


def minimise_groups(
    groups: dict[str, list[tuple[Case, Failure]]], most: int, corpus: Path | None, limit: float
) -> None:
    """Print the smallest rule of each group of failures, and write it to a folder if one is given."""
    from tools.fuzzing.report import environment

    workers: dict[bool, Worker] = {}
    for name, members in sorted(groups.items(), key=lambda item: -len(item[1]))[:most]:
        case, failure = min(members, key=lambda member: len(member[0].equations))
        interpreted = failure.target.startswith("triton")
        worker = workers.setdefault(interpreted, Worker(environment((failure.target,))))
        small = minimised(case, failure, worker, min(limit, 20.0))
        small = replace(small, note=name)
        print(f"\n# {name}\n{to_toml(small)}", flush=True)
        if corpus is not None:
            corpus.mkdir(parents=True, exist_ok=True)
            stem = re.sub(r"\W+", "-", name.lower())[:50].strip("-")
            (corpus / f"{stem}-{case.seed}.toml").write_text(
                to_toml(replace(small, targets=(), failed=(failure.target,)))
            )
    for worker in workers.values():
        worker.close()
