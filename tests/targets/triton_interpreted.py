"""Runs generated Triton kernels in Triton's interpreter and prints how far they are from the equations.

    python -m tests.targets.triton_interpreted NAME...

A process of its own, since the interpreter has to be chosen before Triton is imported and does not go together with
compiling. Prints one JSON object: check → largest relative difference, or fraction of the allowed error.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import json
import sys
import warnings
from typing import Any

import numpy as np
import torch
from triton.runtime import interpreter as triton_interpreter

from optgen.compiler.choice import choices_ahead
from optgen.compiler.interpret import Interpreter
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.compiler.verify import (
    SHAPES,
    allowed_step,
    follow_float64,
    largest_fraction,
    random_tensors,
    relative_difference,
    within_float32,
)
from tests.targets.triton_rules import spec_named
from tests.targets.triton_target import TritonTarget, compile_target, hyperparameters_of

#: NaN, infinities, zeros of both signs, large and small numbers, the smallest of float32 and of float64.
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e18, -1e18, 1e-30, 1e-45, 5e-324, -5e-324, 0.7])


def splat_comparisons() -> None:
    """Mend Triton's interpreter: a comparison of single numbers keeps their type, and spread over a block becomes one
    of floats, which `&` and `|` refuse. The compiler has no such difficulty."""
    handle = triton_interpreter.TensorHandle

    def create_splat(_: object, result_type: Any, argument: Any) -> Any:
        value = np.ravel(argument.data)[0]
        return handle(np.full(result_type.shape, value, dtype=argument.data.dtype), argument.dtype.scalar)

    triton_interpreter.InterpreterBuilder.create_splat = create_splat


def special_values(rule: Rule, target: TritonTarget) -> float:
    """The difference over three steps with special gradients; infinite if NaN or Inf turn up in other places."""
    interpreter = Interpreter(rule, target.hyperparameters)
    start = random_tensors(0, [SPECIAL.shape], np.float64)
    model = interpreter.init(start)
    target.init(start)
    worst = 0.0
    for shift in range(3):
        gradient = np.roll(SPECIAL, shift)
        model = interpreter.step(model, [gradient])
        target.step([gradient])
        worst = max(worst, relative_difference(np.asarray(model.tensors[0].theta), target.snapshot().parameters[0]))
    return worst


def special_float32(rule: Rule, target: TritonTarget) -> float:
    """The largest error of float32 steps with special gradients, as a fraction of what float32 may be off by."""
    special = SPECIAL[:-3].astype(np.float32)  # what follows is zero in float32
    target.init(random_tensors(0, [special.shape], np.float32))
    worst = 0.0
    for step, shift in enumerate((0, 1, 3, 4)):
        gradients = [np.roll(special, shift)]
        allowed = allowed_step(rule, target.hyperparameters, target.snapshot(), step, gradients)
        target.step(gradients)
        worst = max(worst, largest_fraction(allowed, target.snapshot()))
    return worst


def with_inputs(rule: Rule, target: TritonTarget) -> float:
    """The difference over some steps of a rule that reads values from outside."""
    generator = np.random.default_rng(0)
    shapes = [(), (0,), (7,), (5, 3)]
    parameters = random_tensors(0, shapes, np.float64)
    interpreter = Interpreter(rule, target.hyperparameters)
    model = interpreter.init(parameters)
    target.init(parameters)
    worst = 0.0
    for step in range(5):
        gradients = random_tensors(step + 1, shapes, np.float64)
        given = {"a": generator.normal(), "b": generator.normal(), "c": generator.normal(size=len(shapes))}
        given["d"] = random_tensors(step + 100, shapes, np.float64)
        target.inputs = given | {"d": [torch.tensor(d) for d in given["d"]]}
        model = interpreter.step(model, gradients, given)
        target.step(gradients)
        for tensor, parameter in zip(model.tensors, target.parameters, strict=True):
            worst = max(worst, relative_difference(np.asarray(tensor.theta), parameter.numpy()))
    return worst


def layouts(target: TritonTarget) -> float:
    """The difference between strided and transposed tensors and contiguous copies of them, steps taken side by side."""
    generator = torch.Generator().manual_seed(0)
    base, changes = (torch.randn(6, 10, dtype=torch.float64, generator=generator) for _ in range(2))
    views = [base.T[:4], base[::2, 5:], base[1:, 4], base[0, 4]]
    gradients = [changes.T[:4], changes[::2, 5:], changes[1:, 4], changes[0, 4]]
    plain = [view.clone(memory_format=torch.contiguous_format) for view in views]
    untouched = base.clone()
    ours, theirs = target.rule.init(views, target.hyperparameters), target.rule.init(plain, target.hyperparameters)
    for t in (1, 2, 3):
        target.rule.step(views, gradients, ours, t, target.hyperparameters)
        copies = [gradient.contiguous() for gradient in gradients]
        target.rule.step(plain, copies, theirs, t, target.hyperparameters)
    assert not torch.equal(base, untouched)
    return max(float((a - b).abs().max()) for a, b in zip(views, plain, strict=True))


def results(name: str) -> dict[str, float]:
    """All checks of one rule's variants."""
    spec = spec_named(name)
    found = {}
    for variant, choice in choices_ahead(spec).items():
        values = hyperparameters_of(spec, choice)
        rule = specialise(spec, choice)
        target = compile_target(spec, variant, choice, values)
        key = f"{name} {variant}"
        if rule.inputs:
            found[f"{key} inputs"] = with_inputs(rule, target)
            continue
        found[f"{key} float64"] = follow_float64(rule, values, target, SHAPES)
        found[f"{key} special"] = special_values(rule, target)
        found[f"{key} special float32"] = special_float32(rule, target)
        found[f"{key} layouts"] = layouts(target)
        found[f"{key} float32"] = within_float32(rule, values, target, steps=4)
    return found


if __name__ == "__main__":
    splat_comparisons()
    warnings.simplefilter("ignore")  # numpy's, of NaN and Inf inside the interpreter
    sys.stdout.write(json.dumps({key: value for name in sys.argv[1:] for key, value in results(name).items()}))
