"""Writes docs/agreement.md: which libraries compute what optgen's documented equations say.

    python tools/measure_agreement.py [--output docs/agreement.md]

Each optimizer is run with its defaults and with each option and optional hyperparameter that a library has an argument
for: twenty steps in float64 on tensors of zero to three axes. A library is compared with the equation that its
arguments ask for, that of the spec's own rule: what the spec holds as the library's different formula does not excuse
it. Libraries that are not installed are said to be not run; `pip install braintools brainpy torch` adds their columns.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from optgen._paths import specs_folder
from optgen.catalogue.entry import catalogue_entry
from optgen.compiler.specialise import specialise
from optgen.contract.choice import choose
from optgen.contract.declarations import OptionValue
from optgen.contract.dialects import Argument, Dialect
from optgen.language.model import Spec
from optgen.language.reader import read_spec
from optgen.reference.interpret import Interpreter

STEPS = 20
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (4, 5), (2, 3, 4))
#: Below this difference, relative to the distance that the documented rule moved, two rules are the same.
SAME = 1e-9
LEARNING_RATE = 0.1
PACKAGES = {"optax": "optax", "torch": "torch", "braintools": "braintools", "brainpy": "brainpy", "lucid": "lucid-dl"}

Tensors = list[np.ndarray]
Path_ = list[Tensors]


@dataclass(frozen=True, slots=True)
class Case:
    """One row: an optimizer under a name, with one thing away from the documented defaults."""

    spec: Spec
    label: str
    options: Mapping[str, OptionValue]
    values: Mapping[str, float | None]


@dataclass(slots=True)
class Box:
    """Anything with a settable value, as stateful optimizers want their weights."""

    value: Any


def problem(spec: Spec) -> tuple[Tensors, Path_]:
    """Parameters, and a gradient for each at each step."""
    random = np.random.default_rng(0)
    # Libraries do not take a number where a rule keeps a vector for each axis.
    shapes = [shape for shape in SHAPES if shape or "over=axes" not in spec.equations]
    return (
        [random.normal(size=shape) for shape in shapes],
        [[random.normal(size=shape) for shape in shapes] for _ in range(STEPS)],
    )


def cases_of(spec: Spec) -> list[Case]:
    """The defaults, and each switch and optional hyperparameter that some library has an argument for."""
    exposed = {target for d in spec.dialects for a in d.arguments for target in a.targets}
    found = [Case(spec, "defaults", {}, {})]
    for option in spec.own_options:
        if option.name in exposed and isinstance(option.default, bool):
            values = {option.requires: 0.1} if any(h.name == option.requires for h in spec.hyperparameters) else {}
            found.append(Case(spec, option.name, {option.name: not option.default}, values))
    for h in spec.own_hyperparameters:
        if h.optional and h.name in exposed and h.name != "lr":
            found.append(Case(spec, h.name, {}, {h.name: None if h.present(h.default) else 0.1}))
    return found


def documented(case: Case, parameters: Tensors, gradients: Path_) -> Path_:
    """The path of the spec's own rule, by the interpreter."""
    values = values_of(case)
    rule = specialise(case.spec, choose(case.spec, case.options, values))
    interpreter = Interpreter(rule, {k: float(v) for k, v in values.items() if v is not None})
    model = interpreter.init(parameters)
    path = []
    for step in gradients:
        model = interpreter.step(model, step)
        path.append([np.asarray(tensor.theta) for tensor in model.tensors])
    return path


def values_of(case: Case) -> dict[str, float | None]:
    """Every hyperparameter's value: the spec's default unless the case says otherwise, one learning rate for all."""
    values = {h.name: h.default for h in case.spec.hyperparameters} | dict(case.values)
    if values.get("lr") is not None:
        values["lr"] = LEARNING_RATE
    return values


def arguments_for(case: Case, dialect: Dialect) -> dict[str, Any] | None:
    """What to call a library's optimizer with; None if it has no argument for what the case is about.

    Every argument is stated, so that only formulas are compared and not defaults.
    """
    wanted: dict[str, Any] = {o.name: o.default for o in case.spec.options} | values_of(case) | dict(case.options)
    exposed = {target for a in dialect.arguments for target in a.targets}
    chosen = {*case.options, *case.values} - {name for name, value in case.values.items() if value is None}
    hidden = {n for n, v in {**dialect.options, **dialect.hyperparameters}.items() if wanted.get(n) == v}
    if not chosen <= exposed | hidden:
        return None
    for h in case.spec.hyperparameters:
        if wanted[h.name] is None and h.absent is not None:
            wanted[h.name] = h.absent  # says the same, and keeps a library from its own default
    return {a.name: _argument(a, wanted) for a in dialect.arguments if not _left_out(a, wanted)}


def fixed_otherwise(case: Case, dialect: Dialect) -> str:
    """The options that a library has no argument for and decides otherwise than the row says, in a sentence."""
    wanted: dict[str, Any] = {o.name: o.default for o in case.spec.options} | dict(case.options)
    fixed = {n: v for n, v in dialect.options.items() if wanted[n] != v}
    return f"Its formula is that of {', '.join(f'`{n} = {_word(v)}`' for n, v in fixed.items())}." if fixed else ""


def _word(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _left_out(argument: Argument, wanted: Mapping[str, Any]) -> bool:
    """Whether an argument stays at its default: those of the front-ends, and absent ones that cannot be stated."""
    return (
        not argument.targets
        or any(target in ("maximize", "grad_clip_norm", "grad_clip_value") for target in argument.targets)
        or (not argument.packed and wanted[argument.targets[0]] is None and argument.default is None)
    )


def _argument(argument: Argument, wanted: Mapping[str, Any]) -> Any:
    values = tuple(wanted[target] for target in argument.targets)
    values = tuple(-v if _negated(argument, i, v) else v for i, v in enumerate(values))
    return values if argument.packed else values[0]


def _negated(argument: Argument, index: int, value: Any) -> bool:
    """Whether a library wants the value's sign the other way round, as for Adafactor's exponent."""
    default = argument.defaults[index]
    return isinstance(default, float) and default < 0 < float(value or 0.0)


def run_optgen(case: Case, _: Dialect, __: dict[str, Any], parameters: Tensors, gradients: Path_) -> Path_:
    """The generated jax functions, through the stateful front-end."""
    spec, values = case.spec, values_of(case)
    variant = catalogue_entry(spec.name).variant(dict(case.options), values)
    used = {n: values[n] for n in variant.info.hyperparameters}
    current: Any = tuple(jnp.asarray(p) for p in parameters)
    state = variant.init(current, used)
    path = []
    for t, step in enumerate(gradients, start=1):
        given = [jnp.asarray(g) for g in step]
        current, state = variant.step(given, state, current, t, used, form="theta_new")
        path.append([np.asarray(p) for p in current])
    return path


def run_optax(_: Case, dialect: Dialect, given: dict[str, Any], parameters: Tensors, gradients: Path_) -> Path_:
    make = getattr(optax, dialect.name, None) or getattr(optax.contrib, dialect.name)
    if "linesearch" in inspect.signature(make).parameters:
        given = given | {"linesearch": None}  # no part of the equation
    transformation = make(**given)
    current = [jnp.asarray(p) for p in parameters]
    state = transformation.init(current)
    path = []
    for step in gradients:
        updates, state = transformation.update([jnp.asarray(g) for g in step], state, current)
        current = optax.apply_updates(current, updates)
        path.append([np.asarray(p) for p in current])
    return path


#: What makes a call of `step` one iteration of the rule.
ONE_ITERATION = {"LBFGS": {"max_iter": 1, "tolerance_grad": 0.0, "tolerance_change": 0.0}}


def run_torch(_: Case, dialect: Dialect, given: dict[str, Any], parameters: Tensors, gradients: Path_) -> Path_:
    import torch

    torch.set_default_dtype(torch.float64)
    current = [torch.tensor(p) for p in parameters]
    optimizer = getattr(torch.optim, dialect.name)(current, **given, **ONE_ITERATION.get(dialect.name, {}))
    path = []
    for step in gradients:
        for parameter, gradient in zip(current, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step(lambda: torch.zeros(()))  # L-BFGS asks for one
        path.append([p.numpy().copy() for p in current])
    return path


def run_braintools(_: Case, dialect: Dialect, given: dict[str, Any], parameters: Tensors, gradients: Path_) -> Path_:
    import brainstate
    import braintools

    with jax.enable_x64(True), brainstate.environ.context(precision=64):
        weights = {str(i): brainstate.ParamState(jnp.asarray(p)) for i, p in enumerate(parameters)}
        optimizer = getattr(braintools.optim, dialect.name)(**given)
        optimizer.register_trainable_weights(weights)
        path = []
        for step in gradients:
            optimizer.step({str(i): jnp.asarray(g) for i, g in enumerate(step)})
            path.append([np.asarray(w.value) for w in weights.values()])
    return path


def run_brainpy(_: Case, dialect: Dialect, given: dict[str, Any], parameters: Tensors, gradients: Path_) -> Path_:
    import brainpy as bp
    import brainpy.math as bm

    bm.enable_x64()
    weights = {str(i): bm.Variable(jnp.asarray(p)) for i, p in enumerate(parameters)}
    optimizer = getattr(bp.optim, dialect.name)(train_vars=weights, **given)
    path = []
    for step in gradients:
        optimizer.update({str(i): jnp.asarray(g) for i, g in enumerate(step)})
        path.append([np.asarray(w.value) for w in weights.values()])
    return path


def run_lucid(_: Case, dialect: Dialect, given: dict[str, Any], parameters: Tensors, gradients: Path_) -> Path_:
    import lucid.nn
    import lucid.optim

    # It fails for a parameter without axes; its rules are elementwise, so one of a single entry tells the same.
    current = [lucid.nn.Parameter(np.atleast_1d(p).copy()) for p in parameters]
    optimizer = getattr(lucid.optim, dialect.name)(current, **given)
    path = []
    for step in gradients:
        for parameter, gradient in zip(current, step, strict=True):
            parameter.grad = np.atleast_1d(gradient).copy()
        optimizer.step()
        path.append([np.array(p.data).reshape(s.shape) for p, s in zip(current, parameters, strict=True)])
    return path


RUNNERS: dict[str, Callable[..., Path_]] = {
    "optax": run_optax,
    "torch": run_torch,
    "braintools": run_braintools,
    "brainpy": run_brainpy,
    "lucid": run_lucid,
}


def difference(theirs: Path_, expected: Path_, start: Tensors) -> float:
    """The largest difference, relative to the largest distance that the documented rule moved."""
    moved = max(float(np.max(np.abs(p - s))) for p, s in zip(expected[-1], start, strict=True))
    apart = max(
        float(np.max(np.abs(a - b))) for x, y in zip(theirs, expected, strict=True) for a, b in zip(x, y, strict=True)
    )
    return math.inf if math.isnan(apart) else apart / moved


def shown(value: float) -> str:
    """A difference as the table shows it."""
    return "same" if value < SAME else "NaN" if math.isinf(value) else f"**{value:.1e}**"


def installed(library: str) -> str:
    """The version of a library, empty if it cannot be run here."""
    if library not in RUNNERS:
        return ""
    try:
        importlib.import_module(library)
        return metadata.version(PACKAGES[library])
    except ImportError:
        return ""


def rows_of(spec: Spec, versions: Mapping[str, str]) -> list[list[str]]:
    """The rows of one optimizer: name, case, a cell for optgen and each library, why."""
    parameters, gradients = problem(spec)
    rows = []
    for case in cases_of(spec):
        expected = documented(case, parameters, gradients)
        nothing = spec.dialects[0]
        jax.config.update("jax_enable_x64", True)
        ours = run_optgen(case, nothing, {}, parameters, gradients)
        cells, notes = [shown(difference(ours, expected, parameters))], []
        for library, version in versions.items():
            told = []
            for dialect in (d for d in spec.dialects if d.library == library):
                given = arguments_for(case, dialect)
                if given is None:
                    continue
                label = "" if len([d for d in spec.dialects if d.library == library]) == 1 else f"{dialect.name} "
                if not version:
                    told.append(f"{label}not run")
                    continue
                # Some libraries change the precision of the whole process.
                jax.config.update("jax_enable_x64", True)
                run = RUNNERS[library]
                try:
                    try:
                        theirs = run(case, dialect, given, parameters, gradients)
                    except TypeError:
                        # What is absent cannot be stated everywhere; then the library's own default stands.
                        given = {name: value for name, value in given.items() if value is not None}
                        theirs = run(case, dialect, given, parameters, gradients)
                except Exception as error:  # noqa: BLE001  # whatever a library raises belongs in the table
                    told.append(f"{label}{type(error).__name__}")
                    notes.append(f"{library}: Cannot be called so: {str(error).splitlines()[0][:80]}")
                    continue
                apart = difference(theirs, expected, parameters)
                told.append(label + shown(apart))
                why = " ".join(filter(None, (fixed_otherwise(case, dialect), dialect.note)))
                if apart >= SAME:
                    # A dialect is what a library documents; the library itself was run.
                    notes.append(f"{library}: {why or 'Documents this equation, and computes something else.'}")
            cells.append("; ".join(told) or "–")
        rows.append([spec.name, case.label, *cells, " ".join(dict.fromkeys(notes))])
    return rows


def page(rows: list[list[str]], versions: Mapping[str, str]) -> str:
    """The text of docs/agreement.md."""
    head = ["optimizer", "case", "optgen", *versions, "what is different"]
    counts = []
    for column, library in enumerate(versions, start=3):
        cells = [cell for row in rows for cell in row[column].split("; ")]
        same = sum(cell.endswith("same") for cell in cells)
        differs = sum("**" in cell or "NaN" in cell for cell in cells)
        ran = f"{library} {versions[library]}" if versions[library] else f"{library}, which was not run"
        counts.append(f"- {ran}: the same in {same} comparisons, different in {differs}")
    lines = [
        "# Who computes what the equation says",
        "",
        "*Written by `python tools/measure_agreement.py`.* Each library is called with the arguments of the row, all",
        "of them explicit, so that this compares formulas and not defaults. Its steps are compared with the documented",
        f"equation of optgen's spec, run by the interpreter: {STEPS} steps in float64 on tensors of zero to three",
        f"axes, with a learning rate of {LEARNING_RATE} for all. *same* is a difference below {SAME:g} of the distance",
        "that the documented rule moved; other numbers are that difference. – means that the library has no such",
        "optimizer or argument; a word is the error that the library raised. Column optgen is the generated jax code.",
        "",
        *counts,
        "",
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Rules that need values besides the gradient, or another optimizer to wrap, are compared in the tests instead.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/agreement.md"))
    chosen = parser.parse_args()
    versions = {library: installed(library) for library in PACKAGES}
    jax.config.update("jax_enable_x64", True)
    rows = []
    for path in sorted(specs_folder().glob("*.toml")):
        spec = read_spec(path)
        if spec.inputs or spec.wraps:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            rows += rows_of(spec, versions)
        print(f"{spec.name}: done")
    chosen.output.write_text(page(rows, versions), encoding="utf-8")


if __name__ == "__main__":
    main()
