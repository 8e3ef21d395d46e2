"""Running a case on targets, each step compared with the equations."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.contract.choice import Choice, choose, default_choice
from optgen.contract.kinds import Kind
from optgen.custom import CustomOptimizer, OptimizerDefinition
from optgen.errors import SpecError
from optgen.reference.compare import Snapshot
from optgen.reference.interpret import InterpretedState, Interpreter
from tools.fuzzing.case import NARROW, Case
from tools.fuzzing.intervals import DOUBLE_PRECISION, SINGLE_PRECISION, Interval, Intervals, exactly
from tools.fuzzing.models import Data, dtypes_of, numpy_dtype
from tools.fuzzing.targets import make_target, prepare, state_of


@dataclass(slots=True)
class Failure:
    """A fault of one target.

    Attributes:
        target: which, with its dtype.
        kind: `wrong`, `exception`, `refused`, `crash` or `timeout`.
        what: where the numbers are wrong, or the exception and the place it comes from.
        detail: for the reader.
    """

    target: str
    kind: str
    what: str
    detail: str = ""


@dataclass(slots=True)
class Outcome:
    """Result of running a case.

    Attributes:
        refused: the compiler's message, if it refused the rule.
        failures: the targets that failed.
        steps: the steps that were made, by target.
        compared, bounded: the numbers that were compared, and those of them with a bound of any use.
        seconds: how long each part took.
    """

    refused: str = ""
    failures: list[Failure] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    compared: int = 0
    bounded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Compiled:
    """A case's rule, by the compiler and for the reference."""

    made: CustomOptimizer
    rule: Rule
    values: dict[str, float]


def defined(case: Case, name: str) -> OptimizerDefinition:
    """Definition that a case's optimizer is compiled from."""
    wraps = defined(case.wraps, "inner") if isinstance(case.wraps, Case) else case.wraps
    return OptimizerDefinition(case.spec(name), f"{name}.toml", wraps)


def compiled(case: Case, name: str = "fuzzed") -> Compiled:
    """Compile a case.

    Raises:
        SpecError: the compiler refuses it.
    """
    definition = defined(case, name)
    spec, wrapped = definition.spec(), definition.wrapped()
    # The analysis alone first: what it takes, all targets have to take.
    options = {n: v for n, v in case.arguments.items() if any(o.name == n for o in spec.options)}
    values = {n: v for n, v in case.arguments.items() if n not in options}
    choice: Choice = choose(spec, options, values)
    rule = specialise(spec, choice, wrapped)
    default = {h.name: h.default for h in rule.hyperparameters} | values
    numbers = {h.name: float(default[h.name]) for h in rule.hyperparameters if default.get(h.name) is not None}
    Interpreter(rule, numbers)
    try:
        return Compiled(CustomOptimizer(definition), rule, numbers)
    except SpecError as error:
        # Its default options may be another choice than the one that is analysed here.
        if choice == default_choice(spec):
            raise RuntimeError(f"the analysis takes the rule, and a target does not: {error}") from error
        raise


def run_case(case: Case, targets: tuple[str, ...], tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Compile a case and run it on targets.

    Args:
        case: the case.
        targets: their names, with dtypes.
        tell: is told what is being done, for whoever waits.
    """
    if any(target.startswith("jax") for target in targets):
        prepare()
    outcome = Outcome()
    tell("compiler")
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = compiled(case)
    except SpecError as error:
        outcome.refused = str(error)
        return outcome
    except Exception as error:  # noqa: BLE001
        outcome.failures.append(_of_exception("compiler", error))
        return outcome
    finally:
        outcome.seconds["compile"] = time.perf_counter() - start
    for target in targets:
        tell(target)
        start = time.perf_counter()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            failure = _run_target(case, found, target, outcome)
        name = target.split()[0]
        outcome.seconds[name] = outcome.seconds.get(name, 0.0) + time.perf_counter() - start
        if failure is not None:
            outcome.failures.append(failure)
    return outcome


def features(reference: Interpreter) -> list[str]:
    """Describe a rule's states, to tell faults apart."""
    states = [{s.name: (s.kind, s.depth) for s in program.states} for program in reference.programs]
    every = [found for kept in states for found in kept.items()]
    said = [f"history of {kind.value}" for kind in Kind if any(k is kind and d > 1 for _, (k, d) in every)]
    if len({*every}) > len({name for name, _ in every}):
        said.append("states differ by shape")
    elif any(kept.keys() != states[0].keys() for kept in states):
        said.append("states in some shapes only")
    return said


def _of_exception(target: str, error: BaseException) -> Failure:
    """A failure by an exception, told by where it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "optgen" in f.filename and "tools" not in f.filename] or frames
    last = own[-1]
    # Generated functions are named after the rule's own names.
    is_generated = "<" in last.filename
    where = "generated code" if is_generated else f"{Path(last.filename).name}:{last.name}"
    detail = "".join(traceback.format_exception(error)[-6:])
    return Failure(target, "exception", f"{type(error).__name__} in {where}: {str(error)[:60]}", detail[-2000:])


def _run_target(case: Case, found: Compiled, target: str, outcome: Outcome) -> Failure | None:
    """Steps of one target; what is wrong with them, if anything."""
    name, dtype = target.split()
    dtypes = dtypes_of(dtype, len(case.model.shapes))
    precision = DOUBLE_PRECISION if set(dtypes) == {"float64"} else SINGLE_PRECISION
    reference = Interpreter(found.rule, found.values, Intervals(precision))
    data = Data(case.model, dtypes)
    driver = make_target(name, found.made, case, reference)
    current: InterpretedState
    try:
        driver.start(data.parameters(), case.model.layout)
        current = reference.init([p.astype(np.float64) for p in data.parameters()])
        if name.startswith("jax"):
            snapshot = driver.snapshot()
            wrong = _compare(current, snapshot, dtypes, None, outcome)
            if wrong:
                return Failure(target, "wrong", f"initial {wrong[0]}", wrong[1])
        for step in range(case.model.steps):
            gradients, inputs = data.gradients(step), data.inputs(found.rule, step)
            wide = [np.asarray(g, np.float64) for g in gradients]
            wide_inputs = {n: _wide(v) for n, v in inputs.items()}
            allowed = reference.step(current, wide, wide_inputs)
            if precision is SINGLE_PRECISION and "float64" in dtypes:
                _sharpen(allowed, dtypes, found, current, wide, wide_inputs)
            before = [np.asarray(_plain(tensor.theta), np.float64) for tensor in current.tensors]
            driver.step(gradients, inputs)
            outcome.steps[target] = outcome.steps.get(target, 0) + 1
            snapshot = driver.snapshot()
            update = before if name.endswith("update") else None
            wrong = _compare(allowed, snapshot, dtypes, update, outcome)
            if wrong:
                what = ", ".join([wrong[0], *features(reference)])
                return Failure(target, "wrong", what, f"step {step + 1}: {wrong[1]}")
            current = state_of(snapshot, step + 1, _given)
    except Exception as error:  # noqa: BLE001
        return _of_exception(target, error)
    return None


class _Telling(Intervals):
    """Intervals of float64 that tell whether anything was folded over the model."""

    folds = False

    def total(self, operation: str, values: Sequence[Interval]) -> Interval:
        self.folds = True
        return super().total(operation, values)


def _sharpen(
    allowed: InterpretedState,
    dtypes: list[str],
    found: Compiled,
    current: InterpretedState,
    gradients: list[Any],
    inputs: Any,
) -> None:
    """Let float64 tensors be off by no more than float64 is, unless they learn of tensors in less."""
    arithmetic = _Telling(DOUBLE_PRECISION)
    exact = Interpreter(found.rule, found.values, arithmetic).step(current, gradients, inputs)
    for index, dtype in enumerate(dtypes):
        if dtype == "float64" and not arithmetic.folds:
            allowed.tensors[index] = exact.tensors[index]


def _wide(value: Any) -> Any:
    return [np.asarray(v, np.float64) for v in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Interval) else value


def _given(value: Any) -> Interval:
    return exactly(np.asarray(value, np.float64))


def _compare(
    allowed: InterpretedState, snapshot: Snapshot, dtypes: list[str], update: list[Any] | None, outcome: Outcome
) -> tuple[str, str] | None:
    """The first number that cannot be right: what it is, and for the reader what it should be."""
    for index, (tensor, parameter) in enumerate(zip(allowed.tensors, snapshot.parameters, strict=True)):
        dtype = dtypes[index]
        theta = stored(tensor.theta, dtype, None if update is None else update[index])
        wrong = _outside(theta, parameter, outcome)
        if wrong:
            return "theta", f"theta of tensor {index}, shape {parameter.shape}, {wrong}"
        kept = snapshot.states[index]
        wrong_state = _compare_states(tensor.history, kept, dtype, outcome)
        if wrong_state:
            return f"state {wrong_state[0]}", f"{wrong_state[1]} of tensor {index}, shape {parameter.shape}"
    # What is kept once may be kept in any tensor's dtype.
    coarsest = max(dtypes, key=lambda dtype: _STORED[dtype][0])
    wrong_state = _compare_states(allowed.shared, snapshot.shared, coarsest, outcome)
    return (f"shared state {wrong_state[0]}", wrong_state[1]) if wrong_state else None


def _compare_states(
    allowed: Mapping[str, list[Any]], kept: Mapping[str, list[Any]], dtype: str, outcome: Outcome
) -> tuple[str, str] | None:
    for name, history in allowed.items():
        if name not in kept:
            return "missing", f"{name} is not kept"
        for lag, (ours, theirs) in enumerate(zip(history, kept[name], strict=True)):
            pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
            for expected, actual in pairs:
                wrong = _outside(stored(expected, dtype, None), np.asarray(actual), outcome)
                if wrong:
                    kind = "vector" if isinstance(ours, tuple) else f"rank {np.ndim(actual)}"
                    return f"lag {lag} {kind}", f"{name}[t-{lag}]: {wrong}"
    return None


def stored(value: Interval, dtype: str, before: Any) -> Interval:
    """Widen an interval by the rounding to the dtype of the array that keeps the number.

    Args:
        value: the number.
        dtype: the array's.
        before: the parameter before the step, where it is a sum of that and of an update, which is rounded as well.
    """
    low, high, nan = (np.asarray(part) for part in (value.low, value.high, value.nan))
    unit, smallest, largest = _STORED[dtype]
    with np.errstate(all="ignore"):
        # Rounding keeps the order of numbers, so that each end has room of its own.
        rooms = [np.abs(end) * unit + smallest for end in (low, high)]
        if before is not None:
            ways = [np.abs(end - before) for end in (low, high)]
            rooms = [room * 2 + (way + np.abs(before)) * unit * 2 for room, way in zip(rooms, ways, strict=True)]
            moved = np.maximum(*ways)
            # What is added to an infinity does not change it.
            lost = ~np.isfinite(before) | ~np.isfinite(moved) | (np.abs(before) + moved > largest)
            low, high, nan = np.where(lost, -np.inf, low), np.where(lost, np.inf, high), nan | lost
        below, above = (np.where(np.isfinite(room), room, 0.0) for room in rooms)
        is_empty = low > high
        low, high = np.where(is_empty, low, low - below), np.where(is_empty, high, high + above)
        low, high = np.where(low < -largest, -np.inf, low), np.where(high > largest, np.inf, high)
        low, high = (
            np.where((low > largest) & ~is_empty, largest, low),
            np.where((high < -largest) & ~is_empty, -largest, high),
        )
    return Interval(value.value, low, high, nan)


def _stored(dtype: str) -> tuple[float, float, float]:
    import ml_dtypes

    info = ml_dtypes.finfo(numpy_dtype(dtype))
    # An infinite number stays one where it is rounded.
    return float(info.eps) / 2, float(info.smallest_normal), float(info.max)


_STORED = {dtype: _stored(dtype) for dtype in ("float32", "float64", *NARROW)}


def _outside(expected: Interval, actual: Any, outcome: Outcome) -> str:
    """Describe what is wrong with an array; empty if nothing is."""
    actual = np.asarray(actual, np.float64)
    if np.shape(expected.value) != actual.shape:
        shape = np.broadcast_shapes(np.shape(expected.value), actual.shape)
        if shape != actual.shape:
            return f"has shape {actual.shape}, should have {np.shape(expected.value)}"
    low, high, nan, value = (
        np.broadcast_to(part, actual.shape) for part in (expected.low, expected.high, expected.nan, expected.value)
    )
    is_right = np.where(np.isnan(actual), nan, (low <= actual) & (actual <= high))
    outcome.compared += actual.size
    width = np.where(low > high, 0.0, high - low)
    with np.errstate(all="ignore"):
        known = np.isnan(width) | (width == 0) | (width <= 0.01 * np.maximum(np.abs(value), 1e-3))
    outcome.bounded += int(np.sum(known & (~nan | (low > high))))
    if is_right.all():
        return ""
    place = tuple(int(i) for i in np.argwhere(~is_right)[0])
    wrong = int(np.sum(~is_right))
    return (
        f"{wrong} of {actual.size} wrong, at {place}: {actual[place]!r}, should be {value[place]!r} "
        f"in [{low[place]!r}, {high[place]!r}]{' or NaN' if nan[place] else ''}"
    )
