"""Steps of every optimizer of the catalogue by native kernels, on memory of all sorts: run as a script.

    python -m tests.native.sweep THREADS [NAME...]

Prints a line for each optimizer with a digest of all that it computed. What is compared is who runs it: other numbers
of threads, and compilers with sanitizers.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import ml_dtypes
import numpy as np

from optgen.catalogue.entry import catalogue_entry
from optgen.catalogue.manifests import catalogue_names
from optgen.contract.formats import FORMATS
from optgen.runtime.formats.codes import Blocks, closed
from optgen.runtime.formats.state_dtypes import formats_of
from optgen.runtime.native.memory import numpy_memory
from optgen.runtime.native.rule import NativeRule
from optgen.runtime.state import ModelState
from optgen.runtime.threads import Team

#: Several chunks, broken ones, bands and blocks of matrices, rows shorter and longer than a stretch, nothing at all.
SHAPES = [(40_003,), (520, 130), (3, 5, 7), (), (0,), (3, 0), (3, 5000), (1, 1), (150, 2, 140)]
DTYPES = ("float32", "float64", "bfloat16", "float16")


def rule_of(name: str) -> tuple[NativeRule, dict[str, Any]]:
    """An optimizer's default variant, and values of its hyperparameters."""
    entry = catalogue_entry(name)
    options = {option.name: option.default for option in entry.manifest.options}
    values = {h.name: h.default for h in entry.manifest.hyperparameters}
    variant = entry.numpy_variant(options, values)
    rule = entry.native_rule(options, values, variant, numpy_memory)
    return rule, {n: 0.1 if values[n] is None else values[n] for n in variant.info.hyperparameters}


def changeable(value: Any) -> Any:
    """A state as arrays that can be written."""
    return tuple(map(changeable, value)) if isinstance(value, tuple) else np.array(value)


def laid_out(array: np.ndarray, way: str) -> np.ndarray:
    """A copy of an array, in memory of some sort."""
    if way == "unaligned":
        memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
        found = memory.view(array.dtype).reshape(array.shape)
    elif way == "gaps" and array.ndim:
        found = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    elif way in ("turned", "all turned"):
        found = np.zeros(array.shape[::-1], array.dtype).T
    else:
        found = np.zeros(array.shape, array.dtype)
    found[...] = array
    return found


def narrowed(rule: NativeRule, kept: dict[str, Any], dtype: str) -> dict[str, Any]:
    """A tensor's states per element in another dtype."""
    narrow = {s.name for case in rule.variant.info.cases for s in case.states if s.kind == "element"}
    return {n: v.astype(getattr(ml_dtypes, dtype, dtype)) if n in narrow else v for n, v in kept.items()}


def formats_for(rule: NativeRule, state_dtype: str) -> dict[str, str]:
    """The formats of a rule's states; none where kernels cannot take them."""
    if any(state.depth > 1 for case in rule.variant.info.cases for state in case.states):
        return {}
    found = formats_of("", state_dtype or None, rule.variant.info)
    return found if rule.takes(found, SHAPES) else {}


def run(
    name: str,
    threads: int,
    dtype: str = "float32",
    way: str = "plain",
    steps: int = 3,
    kept_as: str = "",
    state_dtype: str = "",
) -> list[np.ndarray]:
    """Parameters and states after some steps."""
    rule, hyperparameters = rule_of(name)
    random = np.random.default_rng(0)
    stored = np.dtype(getattr(ml_dtypes, dtype, dtype))
    parameters = [laid_out(random.standard_normal(shape).astype(stored), way) for shape in SHAPES]
    state = rule.variant.init([np.array(p, order="C") for p in parameters], hyperparameters)
    shared = {n: changeable(value) for n, value in state.shared.items()}
    tensors = tuple({n: changeable(v) for n, v in kept.items()} for kept in state.tensors)
    if kept_as:
        tensors = tuple(narrowed(rule, kept, kept_as) for kept in tensors)
    if way == "all turned":
        kinds_of = {s.name: s for case in rule.variant.info.cases for s in case.states}
        for kept in tensors:
            for n, v in kept.items():
                if kinds_of[n].kind == "element" and kinds_of[n].depth == 1:
                    kept[n] = laid_out(v, way)
    formats = formats_for(rule, state_dtype)
    tensors = closed(rule.variant.arrays, tensors, formats, rule.variant.state_names(), None)
    state = ModelState(tensors, shared, formats=formats)
    kinds = {declared.name: declared.kind for declared in catalogue_entry(name).manifest.inputs}
    for t in range(1, steps + 1):
        gradients = [laid_out(random.standard_normal(shape).astype(stored), way) for shape in SHAPES]
        given: dict[str, Any] = {}
        for need in rule.variant.info.inputs:
            of_elements = [laid_out(np.abs(random.standard_normal(shape)), way) for shape in SHAPES]
            given[need] = of_elements if kinds[need] == "element" else 1.5
        rule.step(parameters, gradients, state, t, hyperparameters, given, team=Team(threads))
    kept = [value for tensor in state.tensors for value in tensor.values()]
    flat = [part for value in kept for part in _parts(value)]
    return [np.array(a, order="C") for a in (*parameters, *flat, *state.shared.values())]


def _parts(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Blocks):
        return value.codes, value.scales
    return value if isinstance(value, tuple) else (value,)


def main() -> None:
    threads, *names = sys.argv[1:]
    for name in names or catalogue_names():
        digest = hashlib.sha256()
        for dtype in DTYPES:
            for way in ("plain", "unaligned", "gaps", "turned", "all turned"):
                for array in run(name, int(threads), dtype, way, steps=2):
                    digest.update(array.tobytes())
            for state_dtype in FORMATS:
                for array in run(name, int(threads), dtype, steps=2, state_dtype=state_dtype):
                    digest.update(array.tobytes())
        print(name, digest.hexdigest(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
